"""Cuts the bytes of a connection into the messages of an event stream, and sees to it that none is lost.

botocore passes over events that its service model does not know, and ends without a word where the
connection closes within a message; neither happens here. Messages are read by botocore's own buffer, each on
its own. The many that only carry bytes, under the same headers as one before them, are read without it: their
checksum is verified and their payload taken as it is, at a third of the cost.

https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any
from zlib import crc32

from botocore.eventstream import EventStreamBuffer

from airflow_provider_aiml.exceptions import ResponseError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EventFrames", "cut_off"]

_PRELUDE = Struct("!III")
"""Total length, length of the headers, checksum of both."""
_CHECKSUM = Struct("!I")
_LARGEST = 32 * 1024 * 1024
"""More than any message may have; botocore refuses such a one as soon as it has read its prelude."""
_UNREAD = frozenset({"initial-response"})
"""Events of the protocol, which say nothing of the answer."""
_EVENT = ":event-type"


class EventFrames:
    """The messages of one stream.

    :param shape: botocore's shape of the stream's events.
    """

    def __init__(self, shape: Any) -> None:
        self._shape = shape
        self._pending = b""
        self._blobs: dict[bytes, tuple[str, str]] = {}

    def feed(self, chunk: bytes) -> Iterator[tuple[dict[str, Any] | None, Any]]:
        """Give the messages that are whole by now: as an event, or as botocore's message to be parsed.

        :param chunk: the next bytes of the connection.
        :raises ParserError: a message is damaged.
        :raises ResponseError: one is of a kind that botocore's service model does not have.
        """
        view = memoryview(self._pending + chunk if self._pending else chunk)
        while len(view) >= _PRELUDE.size:
            total, headers, checksum = _PRELUDE.unpack_from(view)
            sound = crc32(view[:8]) == checksum and total <= _LARGEST
            if sound and len(view) < total:
                break
            message = view[: total if sound else _PRELUDE.size]
            view = view[len(message) :]
            if (event := self._blob_event(message, headers)) is not None:
                yield event, None
            elif (parsed := self._parsed(message)) is not None:
                yield None, parsed
        self._pending = bytes(view)

    def end(self, missing: int | None = None) -> None:
        """Take it that the connection is closed.

        :param missing: the bytes that its Content-Length promised and that did not come, which botocore does
            not mind; None where there was none.
        :raises ResponseError: it closed early.
        """
        if missing or self._pending:
            raise cut_off("StreamCut")

    def _blob_event(self, message: memoryview, headers: int) -> dict[str, Any] | None:
        known = self._blobs.get(bytes(message[_PRELUDE.size : _PRELUDE.size + headers]))
        if known is None or crc32(message[:-4]) != _CHECKSUM.unpack_from(message, len(message) - 4)[0]:
            return None
        name, member = known
        return {name: {member: bytes(message[_PRELUDE.size + headers : -4])}}

    def _parsed(self, raw: memoryview) -> Any:
        buffer: Any = EventStreamBuffer()
        buffer.add_data(bytes(raw))
        message = buffer.next()
        kind = message.headers.get(_EVENT)
        if message.headers.get(":message-type") != "event":
            return message
        if kind in self._shape.members:
            self._learn(kind, message, raw)
            return message
        if kind in _UNREAD:
            return None
        raise ResponseError(
            f"The stream holds an event that botocore does not know: {kind}",
            code="UnknownEvent",
            hint="upgrade botocore, or go without a stream",
        )

    def _learn(self, kind: str, message: Any, raw: memoryview) -> None:
        """Remember the headers of an event that is nothing but bytes."""
        members = self._shape.members[kind].members
        if len(members) != 1:
            return
        ((name, member),) = members.items()
        if member.type_name == "blob" and member.serialization.get("eventpayload"):
            end = _PRELUDE.size + message.prelude.headers_length
            self._blobs[bytes(raw[_PRELUDE.size : end])] = (kind, name)


def cut_off(code: str) -> ResponseError:
    """Say that an answer was cut off.

    :param code: the name of what happened to the connection.
    """
    return ResponseError("The stream broke off before its end", code=code, retryable=True)
