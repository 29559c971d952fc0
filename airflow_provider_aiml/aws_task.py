"""What operators and sensors share: AWS parameters, a hook made when first used, errors that fail for good.

Importing this module must stay cheap, for it is imported wherever a DAG file is parsed: neither boto3 nor the
amazon provider may be imported at its top level.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import timedelta
from functools import cache, cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_provider_aiml.exceptions import (
    InferenceError,
    PayloadError,
    Problem,
    RequestError,
    StoredAnswerError,
    error_from_dict,
    public_class,
)
from airflow_provider_aiml.inference.described import describe
from airflow_provider_aiml.inference.identity import TaskIdentity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from airflow.sdk import Context, ObjectStoragePath

AWS_TEMPLATE_FIELDS = ("aws_conn_id", "region_name", "verify", "botocore_config")
DEFERRAL_MARGIN = 900
"""Seconds by which Airflow's own deferral timeout lies behind the end of a wait: ours speaks first."""


class AwsTask(BaseOperator):
    """An operator or sensor that talks to AWS.

    :param aws_conn_id: the Airflow connection of type ``aws``; None takes boto3's default chain. Default:
        ``aws_default``, which falls back to the default chain where it is not defined. An empty text is
        refused. (templated)
    :param region_name: the AWS region; default: the connection's, else the environment's. (templated)
    :param verify: False, or the path of a CA bundle, for TLS; default: the connection's. (templated)
    :param botocore_config: settings of botocore's ``Config``, merged over the connection's own
        ``config_kwargs``. ``retries`` in it hands retrying to botocore, which may buy an inference again
        after a read timeout. (templated)
        https://botocore.amazonaws.com/v1/documentation/api/latest/reference/config.html
    :param validate: check requests against botocore's service model before they leave. True, False, or the
        checks to keep, of ``min``, ``max``, ``pattern`` and ``enum``. Default: True.
    :param retry_args: how often and how fast to send again what surely did not run: ``attempts`` (number),
        ``base`` and ``cap`` (seconds). Default: 5 attempts, 1 s and 20 s.
    :param log_payloads: let botocore write payloads to DEBUG logs. Default: False.
    :param quote_model_errors: put the model's own failure message (2 KB at most) into errors. Default: True.
    """

    template_fields: Sequence[str] = AWS_TEMPLATE_FIELDS
    template_fields_renderers: ClassVar[dict[str, str]] = {"botocore_config": "json"}
    ui_color = "#d9f2ec"

    hook_module: ClassVar[str]
    hook_name: ClassVar[str]

    def __init__(
        self,
        *,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
        validate: bool | Collection[str] = True,
        retry_args: Mapping[str, float] | None = None,
        log_payloads: bool = False,
        quote_model_errors: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config
        self.validate = validate
        self.retry_args = retry_args
        self.log_payloads = log_payloads
        self.quote_model_errors = quote_model_errors

    @cached_property
    def hook(self) -> Any:
        """The hook of this task's service, with this task's connection, region and settings."""
        hook_class = getattr(import_module(self.hook_module), self.hook_name)
        return hook_class(
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            config=self.botocore_config,
            validate=self.validate,
            retry_args=self.retry_args,
            log_payloads=self.log_payloads,
            quote_model_errors=self.quote_model_errors,
        )

    @property
    def connection_arguments(self) -> dict[str, Any]:
        """What a trigger needs to talk to AWS as this task does."""
        return {name: getattr(self, name) for name in AWS_TEMPLATE_FIELDS}

    @cached_property
    def s3(self) -> Any:
        """A boto3 S3 client with this task's connection, region and settings."""
        return self.hook.s3_client()

    @contextmanager
    def careful(self) -> Iterator[None]:
        """Do the task's work: no payload in debug logs, and what no retry can help fails for good."""
        from airflow_provider_aiml.inference.quiet_logs import quiet_libraries

        with quiet_libraries(not self.log_payloads), failing_for_good():
            yield

    def check(self, operation: str, members: Mapping[str, Any], names: Mapping[str, str]) -> None:
        """Refuse a request before anything is written or sent.

        :param operation: the API's name.
        :param members: the request's members by their snake_case names.
        :param names: what the task calls a member where it has another name for it.
        :raises RequestError: the connection, the region or the request cannot be used.
        """
        try:
            self.hook.check(operation, members)
        except RequestError as error:
            failure = error.with_fields_called(names)
        else:
            return
        raise failure

    def object_path(self, uri: str) -> ObjectStoragePath:
        """Open a place in object storage; one on S3 with this task's settings, unless it names a connection.

        :param uri: ``s3://bucket/key``, ``s3://conn_id@bucket/key``, ``file:///path`` or of any other scheme
            that Airflow knows.
        :raises AwsConfigurationError: the connection cannot be used, this task's or the one that is named.
        :raises RequestError: Airflow does not know the scheme.
        """
        from airflow.sdk import ObjectStoragePath
        from airflow.sdk.io import attach

        place = _s3_place(uri)
        if place is None:
            try:
                return ObjectStoragePath(uri)
            except ValueError:
                raise _no_place("the place", "of a scheme that no installed provider knows") from None
        conn_id, bare = place
        if conn_id not in self._s3_files:
            self._s3_files[conn_id] = self._open_s3(conn_id)
        name, files = self._s3_files[conn_id]
        scheme = uri.partition("://")[0]
        attach(scheme, name, fs=files)
        return ObjectStoragePath(f"{scheme}://{bare}", conn_id=name)

    @cached_property
    def _s3_files(self) -> dict[str | None, tuple[str, Any]]:
        """The file systems of S3 by the connection that places name, None for this task's own."""
        return {}

    def _open_s3(self, conn_id: str | None) -> tuple[str, Any]:
        """Make a file system of S3, and what Airflow is to know it by: it keeps one for each connection id.

        So the id says more than the connection, or tasks with other settings would get the first one's.
        amazon's own would take the default chain where a connection is missing or holds half a key pair.
        """
        from airflow_provider_aiml.hooks.aws_client import S3Hook

        if conn_id is None:
            s3 = S3Hook.beside(self.hook)
        elif not (s3 := S3Hook(conn_id)).region_name:
            s3 = S3Hook(conn_id, region_name=self.hook.region_name)
        return f"{s3.aws_conn_id or 'boto3'}-{s3.fingerprint}", s3.filesystem()

    def read_body(
        self, payload: Any, payload_uri: str | None, content_type: str, field: str = "payload"
    ) -> bytes:
        """Encode a request's body, or read it from object storage.

        :param payload: the value to encode by ``content_type``; never None, for that is what a template
            gives that found nothing.
        :param payload_uri: or where the bytes are.
        :param field: what the task calls its payload, for errors.
        :raises PayloadError: it is None, does not fit its content type, or cannot be read.
        :raises RequestError: ``payload_uri`` is no place.
        """
        from airflow_provider_aiml.inference.payload import encode, load_payload

        if payload_uri is not None:
            place = read_place(payload_uri, f"{field}_uri")
            return load_payload(self.object_path(place), field=f"{field}_uri")
        if payload is None:
            problem = Problem(field, "None", "a value; the text null gives JSON's null")
            raise PayloadError("There is nothing to send", problems=(problem,))
        try:
            return encode(payload, content_type)
        except PayloadError as error:
            failure = error.with_fields_called({"payload": field})
        raise failure


def task_identity(context: Context) -> TaskIdentity:
    """Name the task instance of ``context``, without its try number."""
    ti = context["ti"]
    map_index = -1 if ti.map_index is None else ti.map_index
    return TaskIdentity(ti.dag_id, ti.run_id, ti.task_id, map_index)


def stop_if_orphaned(context: Context, identity: str) -> None:
    """Write down, through Airflow's supervisor, what is about to be bought.

    A process whose supervisor was killed, or whose task instance was retried meanwhile, cannot write and so
    does not buy what its successor buys. Airflow before 3.3 has no such place: there an orphan goes on.

    :param identity: who asks what.
    :raises StoredAnswerError: Airflow does not take it; nothing was sent.
    """
    store = context.get("task_state_store")
    if store is None:
        return
    try:
        store.set("aiml.asked", identity)
    except Exception as error:
        raise StoredAnswerError(
            f"Airflow does not take what is about to be sent: {type(error).__name__}",
            hint="this process may be an orphan of a killed supervisor, so nothing was sent",
        ) from error


def deferrable_default() -> bool:
    """Read ``[operators] default_deferrable``."""
    from airflow.providers.common.compat.sdk import conf

    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


def deferral_timeout(end: float | None) -> timedelta | None:
    """Give Airflow's own limit for a deferral, which lies behind the end of the wait.

    :param end: in seconds since the epoch; None: the wait has no end.
    """
    return None if end is None else timedelta(seconds=max(0.0, end - time.time()) + DEFERRAL_MARGIN)


def told_error(told: Mapping[str, Any], otherwise: type[InferenceError]) -> InferenceError:
    """Give the error that a trigger told.

    :param told: the trigger's event, one that does not say that all went well.
    :param otherwise: what to raise where it tells no error.
    :raises InferenceError: it tells none; a retry may help.
    """
    if facts := told.get("error"):
        return error_from_dict(facts)
    status = told.get("status") or "no event"
    raise otherwise(f"The trigger ended without saying why: {status}", retryable=True)


def has_jinja(value: object) -> bool:
    """Say whether a value is a template, which cannot be judged before it is rendered."""
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def own_s3_uri(uri: str) -> str | None:
    """Give a place that the task's own connection reaches on S3 as ``s3://bucket/key``; else None."""
    conn_id, bare = _s3_place(uri) or ("", "")
    return f"s3://{bare}" if conn_id is None else None


def _s3_place(uri: str) -> tuple[str | None, str] | None:
    """Give the connection that a place on S3 names, None for the task's own, and the place without it.

    s3a and s3n are other names of s3; any other place gives None.
    """
    scheme, _, rest = uri.partition("://")
    if scheme not in ("s3", "s3a", "s3n"):
        return None
    bucket, slash, key = rest.partition("/")
    conn_id, named, bucket = bucket.rpartition("@")
    return (conn_id if named else None), f"{bucket}{slash}{key}"


def check_place(uri: object, field: str, *, folder: bool = False) -> None:
    """Refuse a plain string, or one in a list, that is no place in object storage.

    A template is judged once it is rendered.

    :param folder: whether a whole bucket, ``s3://bucket/``, is a place, too.
    :raises RequestError: the scheme, the bucket or what lies behind it is missing.
    """
    if isinstance(uri, (list, tuple)):
        for index, one in enumerate(uri):
            check_place(one, f"{field}[{index}]", folder=folder)
    if isinstance(uri, str) and not has_jinja(uri):
        read_place(uri, field, folder=folder)


def read_place(uri: object, field: str, *, folder: bool = False) -> str:
    """Give a place as a template, another task's result or a plain string rendered it.

    What lacks a scheme is none: Airflow would take it for a file of the worker, which nobody meant to send.

    :param folder: whether a whole bucket, ``s3://bucket/``, is a place, too.
    :raises RequestError: it is no text, or its scheme, bucket or what lies behind it is missing.
    """
    if not isinstance(uri, str):
        raise _no_place(field, describe(uri), folder=folder)
    scheme, separator, rest = uri.partition("://")
    bucket, slash, key = rest.partition("/")
    if scheme and separator and (bucket or scheme == "file") and (key or (folder and slash)):
        return uri
    found = f"a string of {len(uri)} characters that lacks a scheme, a bucket or a key"
    raise _no_place(field, found, folder=folder)


def _no_place(field: str, found: str, *, folder: bool = False) -> RequestError:
    allowed = "a URI such as s3://bucket/key" + (" or s3://bucket/folder/" if folder else "")
    return RequestError("The place cannot be used", problems=(Problem(field, found, allowed),))


def check_s3_uri(uri: object, field: str, *, folder: bool = False, or_https: bool = False) -> None:
    """Refuse a plain string, or one in a list, that names no object on S3.

    A template is judged once it is rendered.

    :param folder: whether a folder is meant, and so a whole bucket, ``s3://bucket/``, serves too.
    :param or_https: whether an ``https://`` address serves too.
    :raises RequestError: it is not ``s3://bucket/key``.
    """
    if isinstance(uri, (list, tuple)):
        for index, one in enumerate(uri):
            check_s3_uri(one, f"{field}[{index}]", folder=folder, or_https=or_https)
    if not isinstance(uri, str) or has_jinja(uri) or (or_https and uri.startswith("https://")):
        return
    from airflow_provider_aiml.inference.outputs import Location

    inside = folder and uri.startswith("s3://") and uri.endswith("/")
    Location.parse(f"{uri}name" if inside else uri, field)


@contextmanager
def failing_for_good() -> Iterator[None]:
    """Turn errors that no retry can help into ones for which Airflow does not retry.

    The error raised is still an instance of its class in :mod:`airflow_provider_aiml.exceptions`.
    """
    try:
        yield
    except InferenceError as error:
        known: Any = public_class(type(error))
        if error.retryable or isinstance(error, _lasting_class(known)):
            raise
        raise hopeless(error).with_traceback(error.__traceback__) from error.__cause__


def hopeless(error: InferenceError) -> InferenceError:
    """Give ``error`` as an ``AirflowFailException`` of the same class, with all that it says."""
    known: Any = public_class(type(error))
    error_class: type[InferenceError] = _lasting_class(known)
    twin = error_class.__new__(error_class, *error.args)
    twin.__dict__.update(error.__dict__)
    return twin


@cache
def _lasting_class(known: Any) -> Any:
    from airflow.providers.common.compat.sdk import AirflowFailException

    facts = {"__module__": __name__, "__doc__": known.__doc__}
    return type(known.__name__, (known, AirflowFailException), facts)
