"""Connection, region and clients, sync and async, for hooks that derive from amazon's ``AwsBaseHook``.

Every way in which an ``aws`` connection can authenticate stays amazon's own; what differs is in
:mod:`~airflow_provider_aiml.hooks.connection_rules` and
:mod:`~airflow_provider_aiml.hooks.client_config`, and that nothing of it blocks an event loop: connections
are read through Airflow's async way, sessions are made and credentials renewed in threads.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import logging
from contextlib import asynccontextmanager
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any, Self

from airflow.exceptions import (  # type: ignore[attr-defined]  # re-exported there; common-compat 1.10.0 lacks them
    AirflowException,
    AirflowNotFoundException,
)
from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.utils.connection_wrapper import AwsConnectionWrapper
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError
from botocore.loaders import Loader, create_loader

from airflow_provider_aiml.exceptions import AwsConfigurationError, InferenceError
from airflow_provider_aiml.hooks.client_config import ClientConfig, operator_config
from airflow_provider_aiml.hooks.connection_rules import (
    check_connection,
    check_connection_id,
    unknown_connection,
)
from airflow_provider_aiml.inference.errors import not_sent, translate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    _Base = AwsBaseHook
else:
    _Base = object

__all__ = [
    "ApiGatewayControlHook",
    "AwsClientMixin",
    "CompanionHook",
    "LogsHook",
    "S3Hook",
    "SageMakerControlHook",
    "SqsHook",
]

log = logging.getLogger(__name__)


class AwsClientMixin(_Base):
    """Strict connections, merged settings, and one async client per event loop.

    :param aws_conn_id: the Airflow connection of type ``aws``; None takes boto3's default chain. Default:
        ``aws_default``, the only one that may be missing: the default chain takes its place.
    :param region_name: the AWS region; default: the connection's, else the environment's.
    :param verify: False, or the path of a CA bundle, for TLS; default: the connection's.
    :param config: settings of botocore, merged over the connection's ``config_kwargs`` and our defaults.
    :raises AwsConfigurationError: ``aws_conn_id`` is empty, or ``config`` holds what botocore does not know.
    """

    default_conn_name = "aws_default"

    def __init__(
        self,
        aws_conn_id: str | None = default_conn_name,
        *,
        region_name: str | None = None,
        verify: bool | str | None = None,
        config: Mapping[str, Any] | Config | None = None,
    ) -> None:
        check_connection_id(aws_conn_id)
        # amazon's hook would take a config for the whole truth and drop the connection's, so it gets none.
        super().__init__(
            aws_conn_id=aws_conn_id,
            region_name=region_name,
            verify=verify,
            config=None,
            client_type=self.client_type,
        )
        self._operator_config = operator_config(config)
        self._lent: dict[asyncio.AbstractEventLoop, _LentClient] = {}

    @cached_property
    def conn_config(self) -> AwsConnectionWrapper:
        """The connection, checked; read from Airflow when first used.

        :raises AwsConfigurationError: it is not defined (and not ``aws_default``), or cannot be used.
        """
        connection = None
        if self.aws_conn_id:
            try:
                connection = self.get_connection(self.aws_conn_id)
            except AirflowNotFoundException:
                self._mind_missing_connection()
        return self._wrap(connection)

    async def aload_connection(self) -> None:
        """Read the connection without blocking the event loop, unless it was read before."""
        if "conn_config" in self.__dict__:
            return
        read = await asyncio.to_thread(_import_reader)
        connection = None
        if self.aws_conn_id:
            try:
                connection = await read(self.aws_conn_id)
            except AirflowNotFoundException:
                self._mind_missing_connection()
        # In a thread, for the wrapper masks secrets with a synchronous call to Airflow's supervisor.
        self.__dict__["conn_config"] = await asyncio.to_thread(self._wrap, connection)

    def _mind_missing_connection(self) -> None:
        if self.aws_conn_id != self.default_conn_name:
            raise unknown_connection(str(self.aws_conn_id)) from None
        log.info("Connection %s is not defined; boto3's default chain is used", self.aws_conn_id)

    def _wrap(self, connection: Any) -> AwsConnectionWrapper:
        if connection is not None:
            check_connection(connection)
        try:
            return AwsConnectionWrapper(conn=connection, region_name=self._region_name, verify=self._verify)
        except (
            AirflowException,
            BotoCoreError,
            TypeError,
            ValueError,
            AttributeError,
            NotImplementedError,
        ) as error:
            found = type(error).__name__
        raise AwsConfigurationError(
            f"The extra of the AWS connection {self.aws_conn_id!r} cannot be used ({found})",
            hint="check config_kwargs, assume_role_method and the other fields of its extra",
        )

    @cached_property
    def client_config(self) -> ClientConfig:
        """The settings of this hook's clients, merged."""
        return ClientConfig.of_free_calls(self.conn_config.botocore_config, self._operator_config)

    def get_session(self, region_name: str | None = None, deferrable: bool = False) -> Any:
        """Make a session from the connection; an async one renews its credentials in a thread."""
        session: Any = super().get_session(region_name=region_name, deferrable=deferrable)
        if deferrable:
            session.register_component("data_loader", _shared_loader())
            _renew_in_thread(getattr(session, "_credentials", None))
        return session

    def get_client_type(
        self, region_name: str | None = None, config: Config | None = None, deferrable: bool = False
    ) -> Any:
        """Make a client.

        :param region_name: default: the hook's.
        :param config: botocore settings that take the place of the merged ones. Default: None.
        :param deferrable: give an async context manager of an aiobotocore client. Default: False.
        :raises AwsConfigurationError: no region, no such profile, a setting that botocore refuses, …
        """
        try:
            return super().get_client_type(
                region_name=region_name or self.region_name,
                config=config or self.client_config.config,
                deferrable=deferrable,
            )
        except (BotoCoreError, ClientError, OSError, ValueError) as error:
            failure = self._unusable(error)
        raise failure

    def _unusable(self, error: Exception) -> InferenceError:
        if isinstance(error, BotoCoreError | ClientError):
            failure = translate(error, operation="Making the client", service=self.service_name)
            return not_sent(failure) if failure.may_have_been_billed else failure
        return AwsConfigurationError(
            f"Making the {self.service_name} client failed ({type(error).__name__})",
            hint="check verify, endpoint_url and service_config of the connection",
        )

    def _adopt(self, client: Any) -> None:
        """Prepare a client that was just made."""

    @asynccontextmanager
    async def aclient(self) -> AsyncIterator[Any]:
        """Lend this hook's aiobotocore client of the running event loop.

        It is made for the first who asks and closed when the last gives it back, so nothing is left open.
        Hold it around many calls, for otherwise each one makes a client and a connection of its own::

            async with hook.aclient():
                await asyncio.gather(*(hook.ainvoke_endpoint(...) for body in bodies))

        :raises AwsConfigurationError: as :meth:`get_client_type`.
        """
        loop = asyncio.get_running_loop()
        lent = self._lent.setdefault(loop, _LentClient())
        try:
            client = await lent.take(self)
            try:
                yield client
            finally:
                await lent.give_back()
        finally:
            if not lent.holders and self._lent.get(loop) is lent:
                del self._lent[loop]

    async def _aopen(self) -> tuple[Any, Any]:
        """Make an async client: its context manager, and the client."""
        await self.aload_connection()
        context = await asyncio.to_thread(self._prepare_async_client)
        try:
            client = await context.__aenter__()
        except (BotoCoreError, ClientError, OSError, ValueError) as error:
            failure = self._unusable(error)
        else:
            self._adopt(client)
            return context, client
        raise failure

    def _prepare_async_client(self) -> Any:
        """Do what blocks, in a thread: ask STS, read the service's model from disk."""
        context = self.get_client_type(region_name=self.region_name, deferrable=True)
        loader = _shared_loader()
        for type_name in ("service-2", "endpoint-rule-set-1"):
            loader.load_service_model(self.service_name, type_name)
        for name in ("partitions", "endpoints", "sdk-default-configuration", "_retry"):
            loader.load_data(name)
        return context


class _LentClient:
    """One async client and how many hold it; belongs to one event loop."""

    def __init__(self) -> None:
        self.holders = 0
        self.context: Any = None
        self.client: Any = None
        self.opening = asyncio.Lock()

    async def take(self, hook: AwsClientMixin) -> Any:
        async with self.opening:
            if self.context is None:
                self.context, self.client = await hook._aopen()
            self.holders += 1
            return self.client

    async def give_back(self) -> None:
        self.holders -= 1
        if self.holders:
            return
        context, self.context, self.client = self.context, None, None
        # Shielded, for a caller that is cancelled just now must not leave sockets open.
        await asyncio.shield(asyncio.ensure_future(context.__aexit__(None, None, None)))


class CompanionHook(AwsClientMixin, AwsBaseHook):
    """Another service with a hook's connection, region and settings; its calls are free: botocore retries."""

    @classmethod
    def beside(cls, hook: AwsClientMixin) -> Self:
        """Make one from a hook, without reading the connection a second time if that was done."""
        companion = cls(
            hook.aws_conn_id, region_name=hook._region_name, verify=hook._verify, config=hook._operator_config
        )
        if "conn_config" in hook.__dict__:
            companion.__dict__["conn_config"] = hook.conn_config
        return companion


class S3Hook(CompanionHook):
    """S3, where inputs, outputs and kept answers are."""

    client_type = "s3"

    def get_session(self, region_name: str | None = None, deferrable: bool = False) -> Any:
        """Make a session that has a region.

        Without one S3, alone of all services, would go on: to buckets of us-east-1, or into a time-out.

        :raises NoRegionError: there is none anywhere.
        """
        session = super().get_session(region_name=region_name, deferrable=deferrable)
        if not (session.get_config_variable("region") if deferrable else session.region_name):
            raise NoRegionError
        return session

    @property
    def fingerprint(self) -> str:
        """What tells the settings of this hook's file system from those of others'."""
        connection = self.conn_config
        identity = (connection.conn_id, connection.login, connection.role_arn, connection.profile_name)
        settings = (*identity, self.region_name, self.service_config, self._filesystem_settings())
        return hashlib.sha256(repr(settings).encode()).hexdigest()[:16]

    def filesystem(self) -> Any:
        """Make an s3fs file system with this hook's connection, region, endpoint and settings.

        amazon's own for a connection (seen with 9.39) knows neither ``verify`` nor what a task sets itself; a
        connection that signs in a way of its own, or through a proxy for S3 alone, still gets that one.

        :raises AwsConfigurationError: as :meth:`get_client_type`.
        """
        if self.service_config.keys() & {"signer", "proxy-uri"}:
            from airflow.providers.amazon.aws.fs.s3 import get_fs

            return get_fs(self.aws_conn_id)
        from s3fs import S3FileSystem

        try:
            session = self.get_session(region_name=self.region_name, deferrable=True)
            anonymous = asyncio.run(session.get_credentials()) is None
        except (BotoCoreError, ClientError, OSError, ValueError) as error:
            failure = self._unusable(error)
        else:
            settings = self._filesystem_settings()
            return S3FileSystem(session=session, anon=anonymous, skip_instance_cache=True, **settings)
        raise failure

    def _filesystem_settings(self) -> dict[str, Any]:
        config, untouched = self.client_config.config, Config()
        given = {name: getattr(config, name) for name in config.OPTION_DEFAULTS}
        changed = {name: value for name, value in given.items() if value != getattr(untouched, name)}
        return {
            "endpoint_url": self.conn_config.get_service_endpoint_url("s3"),
            "client_kwargs": {"verify": self.verify},
            # s3fs would take shorter time-outs of its own where there are none.
            "config_kwargs": {name: given[name] for name in ("connect_timeout", "read_timeout")} | changed,
        }


class SageMakerControlHook(CompanionHook):
    """SageMaker's control plane, which knows how an endpoint is configured."""

    client_type = "sagemaker"


class ApiGatewayControlHook(CompanionHook):
    """API Gateway's control plane."""

    client_type = "apigateway"


class LogsHook(CompanionHook):
    """CloudWatch Logs."""

    client_type = "logs"


class SqsHook(CompanionHook):
    """SQS, where notices of completed inferences come."""

    client_type = "sqs"


def _import_reader() -> Any:
    from airflow.providers.common.compat.connection import get_async_connection

    return get_async_connection


@cache
def _shared_loader() -> Loader:
    """One cache of service models for every async session: each would hold its own megabytes otherwise."""
    return create_loader()


def _renew_in_thread(credentials: Any) -> None:
    """Make amazon's synchronous renewal of assumed roles leave the event loop alone."""
    renew = getattr(credentials, "_refresh_using", None)
    if renew is not None and not inspect.iscoroutinefunction(renew):
        credentials._refresh_using = partial(asyncio.to_thread, renew)
