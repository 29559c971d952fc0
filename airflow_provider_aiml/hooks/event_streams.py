"""Event streams of an answer: errors in our terms, no payload in debug logs, nothing left open.

What the events mean, and how bytes become lines or text, is not decided here.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.eventstream import ParserError
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from airflow_provider_aiml.inference.quiet_logs import quiet_libraries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
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


_END = object()


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
        with self:
            events = iter(self._raw)
            while (event := self._next(events)) is not _END:
                yield event

    def _next(self, events: Iterator[Any]) -> Any:
        try:
            with quiet_libraries(self._quiet):
                return next(events, _END)
        except CALL_ERRORS as error:
            failure = self._explain(error)
        raise failure

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
        async with self:
            events = aiter(self._raw)
            while (event := await self._next(events)) is not _END:
                yield event

    async def _next(self, events: AsyncIterator[Any]) -> Any:
        try:
            with quiet_libraries(self._quiet):
                return await anext(events, _END)
        except async_call_errors() as error:
            failure = self._explain(error)
        raise failure

    async def aclose(self) -> None:
        """Give the connection and the client back; what has not been read is lost."""
        self._raw.close()
        await self._held.aclose()

    async def __aenter__(self) -> AsyncEventStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
