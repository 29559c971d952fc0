"""Event streams of an answer: nothing lost, errors in our terms, no payload in debug logs, nothing left open.

botocore's own iterator loses events (see :mod:`airflow_provider_aiml.hooks.event_frames`), and keeps only
code and message of an error event. So the connection is read here. Its streams have no public name for their
connection, shape and parser: ``_raw_stream``, ``_output_shape`` and ``_parse_event`` are as seen with
botocore 1.43 and aiobotocore 3.10.

What the events mean, and how bytes become lines or text, is not decided here.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.eventstream import ParserError
from botocore.exceptions import BotoCoreError, ClientError, EventStreamError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from airflow_provider_aiml.exceptions import ResponseError, ServiceRefusedError, UnknownOutcomeError
from airflow_provider_aiml.hooks.event_frames import EventFrames, cut_off
from airflow_provider_aiml.inference.quiet_logs import quiet_libraries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from contextlib import AsyncExitStack

    from airflow_provider_aiml.exceptions import InferenceError

__all__ = ["CALL_ERRORS", "AsyncEventStream", "EventStream", "async_call_errors"]

CALL_ERRORS: tuple[type[Exception], ...] = (
    BotoCoreError,
    ClientError,
    ResponseParserError,
    ParserError,
    HTTPError,
    json.JSONDecodeError,
    OSError,
)
"""What a call or the reading of its answer may raise; TimeoutError and ssl.SSLError are OSErrors."""


@cache
def async_call_errors() -> tuple[type[Exception], ...]:
    """Give the same for aiobotocore, which lets some errors of aiohttp through; imported where needed."""
    import aiohttp

    return (*CALL_ERRORS, aiohttp.ClientError)


EVENT_ERRORS = (EventStreamError, AttributeError, KeyError, TypeError, ValueError)
"""What botocore's parser raises over an event: one that is an error, or a payload that is not as modelled."""


def _event_error(error: Exception, message: Any) -> Exception:
    """Give an error event what botocore leaves out: the other members, and a name that it does not know."""
    if not isinstance(error, EventStreamError):
        return ResponseError("The stream holds an event that is malformed", code=type(error).__name__)
    try:
        members = json.loads(message.payload)
    except ValueError:
        members = {}
    response: Any = error.response
    response.update({name: value for name, value in members.items() if name != "Error"})
    told = response["Error"]
    told["Code"] = told.get("Code") or message.headers.get(":exception-type") or "Unknown"
    return error


def _explained(
    error: Exception, explain: Callable[[Exception], InferenceError], begun: bool
) -> InferenceError:
    """Say what an error means within a stream: a connection that ends is a cut answer.

    A refusal is one only as the first event, where Bedrock tells of a request that the model does not take.

    :param begun: whether an event came before it.
    """
    failure = explain(error)
    if isinstance(failure, UnknownOutcomeError) and not isinstance(error, ClientError):
        return cut_off(type(error).__name__)
    if begun and isinstance(failure, ServiceRefusedError):
        told: dict[str, Any] = {"code": failure.code, "request_id": failure.request_id, "hint": failure.hint}
        return UnknownOutcomeError(
            f"{failure.message}, after the answer had begun", retryable=failure.retryable, **told
        )
    return failure


class EventStream:
    """The events of one answer, as botocore gives them: ``{"PayloadPart": {"Bytes": b"…"}}``.

    Iterate over it once. It closes at its end and on an error; leave it early through ``with`` or
    :meth:`close`.

    :param raw: botocore's event stream.
    :param explain: turns an exception into one of ours.
    :param quiet: keep payloads out of debug logs.
    """

    def __init__(self, raw: Any, explain: Callable[[Exception], InferenceError], quiet: bool) -> None:
        self._raw = raw
        self._explain = explain
        self._quiet = quiet

    def __iter__(self) -> Iterator[dict[str, Any]]:
        begun = False
        with self:
            try:
                for event in self._events():
                    begun = True
                    yield event
            except CALL_ERRORS as error:
                failure = _explained(error, self._explain, begun)
            else:
                return
            raise failure

    def _events(self) -> Iterator[dict[str, Any]]:
        connection = self._raw._raw_stream
        frames, chunks = EventFrames(self._raw._output_shape), iter(connection.stream())
        while (chunk := self._quietly(next, chunks, None)) is not None:
            for event, message in frames.feed(chunk):
                if event is None:
                    try:
                        event = self._quietly(self._raw._parse_event, message)
                    except EVENT_ERRORS as error:
                        raise _event_error(error, message) from None
                yield event
        frames.end(getattr(connection, "length_remaining", None))

    def _quietly(self, call: Callable[..., Any], *arguments: Any) -> Any:
        with quiet_libraries(self._quiet):
            return call(*arguments)

    def close(self) -> None:
        """Give the connection back; what has not been read is lost."""
        self._raw.close()

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncEventStream:
    """Do as :class:`EventStream` on an event loop; until it is closed it holds the hook's client.

    :param raw: aiobotocore's event stream.
    :param explain: turns an exception into one of ours.
    :param quiet: keep payloads out of debug logs.
    :param held: what to give back when the stream closes.
    """

    def __init__(
        self, raw: Any, explain: Callable[[Exception], InferenceError], quiet: bool, held: AsyncExitStack
    ) -> None:
        self._raw = raw
        self._explain = explain
        self._quiet = quiet
        self._held = held

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        begun = False
        async with self:
            try:
                async for event in self._events():
                    begun = True
                    yield event
            except async_call_errors() as error:
                failure = _explained(error, self._explain, begun)
            else:
                return
            raise failure

    async def _events(self) -> AsyncIterator[dict[str, Any]]:
        frames = EventFrames(self._raw._output_shape)
        chunks = aiter(self._raw._raw_stream.content.iter_chunks())
        while (chunk := await self._quietly(anext(chunks, None))) is not None:
            for event, message in frames.feed(chunk[0]):
                if event is None:
                    try:
                        event = await self._quietly(self._raw._parse_event(message))
                    except EVENT_ERRORS as error:
                        raise _event_error(error, message) from None
                yield event
        frames.end()

    async def _quietly(self, call: Awaitable[Any]) -> Any:
        with quiet_libraries(self._quiet):
            return await call

    async def aclose(self) -> None:
        """Give the connection and the client back; what has not been read is lost."""
        self._raw.close()
        await self._held.aclose()

    async def __aenter__(self) -> AsyncEventStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
