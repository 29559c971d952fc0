"""One call of a model, from the members of its request to the members of its answer: the path of every hook
method.

It checks the request, sends it with one attempt of botocore, sends again what surely did not run, reads the
body, turns every error into one of ours and writes one line to the log, without payload.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from botocore import xform_name

from airflow_provider_aiml.exceptions import InferenceError, ResponseError
from airflow_provider_aiml.hooks.aws_client import AwsClientMixin, S3Hook
from airflow_provider_aiml.hooks.client_config import ClientConfig
from airflow_provider_aiml.hooks.event_streams import (
    CALL_ERRORS,
    AsyncEventStream,
    EventStream,
    async_call_errors,
)
from airflow_provider_aiml.inference.errors import not_sent, translate
from airflow_provider_aiml.inference.quiet_logs import quiet_libraries
from airflow_provider_aiml.inference.requests import check_request
from airflow_provider_aiml.inference.retry import RetryPolicy, acall_with_retries, call_with_retries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from botocore.config import Config

    from airflow_provider_aiml.inference.requests import Validate

__all__ = ["InferenceCallsMixin"]

log = logging.getLogger(__name__)

PARSER_ERRORS = (AttributeError, KeyError, TypeError, ValueError)
"""What botocore's parsers let out over a body that is not as modelled."""
CHUNK = 65_536
"""Bytes to read of a body at a time; what a broken connection loses is less than that."""


@dataclass(slots=True)
class _Call:
    """One call and what its log line says.

    :param model: botocore's operation model.
    :param request: the API members.
    :param sent: whether the last attempt left; it does not while its credentials cannot be had.
    :param received: the raw body that botocore parses; None where it gives the body as it is.
    :param headers: the headers that came with it.
    :param files: what of the request is read while it is sent, and where each file stood at first.
    """

    model: Any
    request: dict[str, Any]
    attempts: int = 0
    bytes_out: int = 0
    sent: bool = False
    started: float = field(default_factory=time.monotonic)
    received: bytes | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    files: list[tuple[Any, int]] = field(init=False)

    def __post_init__(self) -> None:
        self.files = [
            (value, value.tell())
            for value in self.request.values()
            if hasattr(value, "seek") and hasattr(value, "tell")
        ]

    @property
    def name(self) -> str:
        return str(self.model.name)

    @property
    def method(self) -> str:
        return str(xform_name(self.model.name))

    @property
    def target(self) -> Any:
        """The endpoint, model, guardrail or invocation: what stands in the URL."""
        labels = (
            name
            for name, shape in self.model.input_shape.members.items()
            if shape.serialization.get("location") == "uri"
        )
        return self.request.get(next(labels, ""), "-")

    @property
    def body_member(self) -> str | None:
        """The member of the answer that has to be read: bytes or an event stream."""
        member: str | None = self.model.output_shape.serialization.get("payload")
        return member

    @contextmanager
    def attempt(self, quiet: bool) -> Iterator[None]:
        self.sent, self.received = False, None
        for file, start in self.files:
            file.seek(start)  # The attempt before has read it to its end.
        token = _current.set(self)
        try:
            with quiet_libraries(quiet):
                yield
        finally:
            _current.reset(token)


_current: ContextVar[_Call | None] = ContextVar("airflow_provider_aiml_current_call", default=None)


def _note_sending(request: Any, **_: Any) -> None:
    """Count what really goes out, botocore's own retries included."""
    if call := _current.get():
        call.sent = True
        call.attempts += 1
        call.bytes_out = len(request.body) if isinstance(request.body, bytes | bytearray | str) else 0


def _note_answer(response_dict: Mapping[str, Any], **_: Any) -> None:
    """Keep the body that botocore is about to parse, for it was paid for whatever the parser says."""
    if call := _current.get():
        body = response_dict["body"]
        call.received = body if isinstance(body, bytes) else None
        call.headers = response_dict["headers"]


class InferenceCallsMixin(AwsClientMixin):
    """Calls that cost money, sync and async, for a hook of one runtime service.

    :param aws_conn_id: the Airflow connection of type ``aws``; None takes boto3's default chain. Default:
        ``aws_default``, the only one that may be missing.
    :param region_name: the AWS region; default: the connection's, else the environment's.
    :param verify: False, or the path of a CA bundle, for TLS; default: the connection's.
    :param config: the operator's ``botocore_config``. ``retries`` in it hands retrying back to botocore;
        ``parameter_validation`` False turns ``validate`` off, too.
    :param validate: check requests against botocore's service model. True, False, or the limits to check, of
        ``min``, ``max``, ``pattern`` and ``enum``. Default: True.
    :param retry_args: ``attempts`` (number, 5), ``base`` (1 s) and ``cap`` (20 s) of
        :class:`~airflow_provider_aiml.inference.retry.RetryPolicy`.
    :param log_payloads: let AWS's libraries write payloads to DEBUG logs, and quote the service's messages
        that may repeat some of one. Default: False.
    :param quote_model_errors: put the model's own failure message, at most 2 KB, into errors. Default: True.
    :raises RequestError: ``retry_args`` or ``config`` cannot be used.
    """

    default_read_timeout: ClassVar[float]

    def __init__(
        self,
        aws_conn_id: str | None = AwsClientMixin.default_conn_name,
        *,
        region_name: str | None = None,
        verify: bool | str | None = None,
        config: Mapping[str, Any] | Config | None = None,
        validate: Validate = True,
        retry_args: Mapping[str, Any] | None = None,
        log_payloads: bool = False,
        quote_model_errors: bool = True,
    ) -> None:
        super().__init__(aws_conn_id, region_name=region_name, verify=verify, config=config)
        RetryPolicy.from_args(retry_args)
        self.validate = validate
        self.retry_args = retry_args
        self.log_payloads = log_payloads
        self.quote_model_errors = quote_model_errors

    @cached_property
    def conn(self) -> Any:
        """The boto3 client."""
        client = super().conn
        self._adopt(client)
        return client

    @cached_property
    def client_config(self) -> ClientConfig:
        """The settings of this hook's clients, merged; says once when botocore retries instead of us."""
        settings = ClientConfig.of_paid_calls(
            self.default_read_timeout, self.conn_config.botocore_config, self._operator_config
        )
        if settings.botocore_attempts not in (None, 1):
            log.warning(
                "botocore_config sets retries, so botocore retries instead of this provider: after a read "
                "time-out, a lost connection or a server fault it sends the request again, and each "
                "inference that did run is paid for. Leave retries out, and set retry_args, to send again "
                "only what did not run."
            )
        return settings

    @cached_property
    def retry_policy(self) -> RetryPolicy:
        """How often and how fast this hook sends again what surely did not run."""
        settings = self.client_config
        if settings.botocore_attempts is not None:
            return RetryPolicy(attempts=1)
        return RetryPolicy.from_args(self.retry_args, settings.attempts_bound)

    def s3_client(self) -> Any:
        """Give a boto3 S3 client with this hook's connection, region and settings; always the same one."""
        return self._s3_hook.conn

    @cached_property
    def _s3_hook(self) -> S3Hook:
        return S3Hook.beside(self)

    def aopen_s3_client(self) -> AbstractAsyncContextManager[Any]:
        """Open an aiobotocore S3 client with this hook's connection, region and settings."""
        return S3Hook.beside(self).aclient()

    def _adopt(self, client: Any) -> None:
        client.meta.events.register_first("before-send", _note_sending)
        client.meta.events.register_last("before-parse", _note_answer)

    def _prepare(self, client: Any, operation: str, members: Mapping[str, Any]) -> _Call:
        model = client.meta.service_model.operation_model(operation)
        validate = self.validate if self.client_config.validates else False
        return _Call(model, check_request(model, members, validate=validate))

    def check(self, operation: str, members: Mapping[str, Any]) -> None:
        """Do all that comes before a request is sent, and send nothing.

        :param operation: the API's name: ``InvokeEndpoint``.
        :param members: its members in snake_case.
        :raises RequestError: the connection, the region or the request cannot be used.
        """
        self._prepare(self.conn, operation, members)

    def _call(self, operation: str, members: Mapping[str, Any]) -> dict[str, Any]:
        """Make a call.

        :param operation: the API's name.
        :param members: its members in snake_case.
        """
        call = self._prepare(self.conn, operation, members)
        return call_with_retries(lambda: self._send(call), self.retry_policy)

    async def _acall(self, operation: str, members: Mapping[str, Any]) -> dict[str, Any]:
        """Make a call on the running event loop; it can be cancelled."""
        async with AsyncExitStack() as held:
            client = await held.enter_async_context(self.aclient())
            call = self._prepare(client, operation, members)
            response = await acall_with_retries(lambda: self._asend(client, call), self.retry_policy)
            if call.model.has_event_stream_output:
                # The stream outlives this call, and its client with it.
                member = str(call.body_member)
                response[member] = AsyncEventStream(
                    response[member], self._explainer(call), not self.log_payloads, held.pop_all()
                )
            return response

    def _send(self, call: _Call) -> dict[str, Any]:
        try:
            with call.attempt(not self.log_payloads):
                response: dict[str, Any] = getattr(self.conn, call.method)(**call.request)
                if call.model.has_streaming_output and not call.model.has_event_stream_output:
                    member = str(call.body_member)
                    response[member] = self._read(response, member, call)
        except CALL_ERRORS as error:
            failure = self._explain(error, call)
        except PARSER_ERRORS as error:
            if call.received is None:
                raise
            failure = _spoiled(call, "the answer is malformed", type(error).__name__)
        else:
            if call.model.has_event_stream_output:
                member = str(call.body_member)
                stream = EventStream(response[member], self._explainer(call), not self.log_payloads)
                response[member] = stream
            return self._done(call, response)
        raise failure

    async def _asend(self, client: Any, call: _Call) -> dict[str, Any]:
        try:
            with call.attempt(not self.log_payloads):
                response: dict[str, Any] = await getattr(client, call.method)(**call.request)
                if call.model.has_streaming_output and not call.model.has_event_stream_output:
                    member = str(call.body_member)
                    response[member] = await self._aread(response, member, call)
        except async_call_errors() as error:
            failure = self._explain(error, call)
        except PARSER_ERRORS as error:
            if call.received is None:
                raise
            failure = _spoiled(call, "the answer is malformed", type(error).__name__)
        else:
            return self._done(call, response)
        raise failure

    def _read(self, response: Mapping[str, Any], member: str, call: _Call) -> bytes:
        body, parts = response[member], []
        try:
            while part := body.read(CHUNK):
                parts.append(part)
        except CALL_ERRORS as error:
            failure = _cut_off(call, response, parts, error)
        else:
            return b"".join(parts)
        body.close()
        raise failure

    async def _aread(self, response: Mapping[str, Any], member: str, call: _Call) -> bytes:
        body, parts = response[member], []
        try:
            while part := await body.read(CHUNK):
                parts.append(part)
        except async_call_errors() as error:
            failure = _cut_off(call, response, parts, error)
        except asyncio.CancelledError:
            body.close()
            raise
        else:
            return b"".join(parts)
        body.close()
        raise failure

    def _explain(self, error: Exception, call: _Call) -> InferenceError:
        failure = translate(
            error,
            operation=call.name,
            service=self.service_name,
            quote_model_errors=self.quote_model_errors,
            quote_service_messages=self.log_payloads,
        )
        if call.received is not None and isinstance(failure, ResponseError):
            return _spoiled(call, "the answer is malformed", failure.code)
        return failure if call.sent or not failure.may_have_been_billed else not_sent(failure)

    def _explainer(self, call: _Call) -> Any:
        return lambda error: self._explain(error, call)

    def _done(self, call: _Call, response: dict[str, Any]) -> dict[str, Any]:
        """Write the call's line, and refuse an answer that lacks what every answer has."""
        metadata = response.get("ResponseMetadata") or {}
        headers = metadata.get("HTTPHeaders") or {}
        body = response.get(call.body_member) if call.body_member else None
        usage = response.get("usage") or {}
        log.info(
            "%s on %s: status %s after %.3f s, attempt %d, %d bytes out, %s bytes in, content type %s%s, "
            "request id %s",
            call.name,
            call.target,
            metadata.get("HTTPStatusCode"),
            time.monotonic() - call.started,
            call.attempts,
            call.bytes_out,
            len(body) if isinstance(body, bytes) else headers.get("content-length", "streamed"),
            headers.get("content-type", "-"),
            f", tokens {usage.get('inputTokens')} in, {usage.get('outputTokens')} out" if usage else "",
            metadata.get("RequestId"),
        )
        if missing := [name for name in _certain_members(call.model) if name not in response]:
            raise _spoiled(call, f"the answer lacks {', '.join(missing)}", None)
        return response


def _certain_members(model: Any) -> Iterator[str]:
    """Name the members that the body of every answer holds; headers may be missing."""
    shape = model.output_shape
    for name in shape.required_members:
        if "location" not in shape.members[name].serialization:
            yield name


def _spoiled(call: _Call, what: str, code: str | None) -> ResponseError:
    """Say what is wrong with a body that came, and keep it."""
    received = call.received or b""
    promised = str(call.headers.get("content-length", ""))
    short = promised.isdecimal() and len(received) < int(promised)
    if short:
        what = f"the answer broke off after {len(received)} of {promised} bytes"
    return ResponseError(
        f"{call.name}: {what}",
        code=code,
        request_id=call.headers.get("x-amzn-requestid"),
        partial_body=received or None,
        retryable=short,
    )


def _cut_off(call: _Call, response: Mapping[str, Any], parts: list[bytes], error: Exception) -> ResponseError:
    received = b"".join(parts)
    metadata = response.get("ResponseMetadata") or {}
    return ResponseError(
        f"{call.name}: the answer broke off after {len(received)} bytes",
        code=type(error).__name__,
        request_id=metadata.get("RequestId"),
        partial_body=received,
        retryable=True,
    )
