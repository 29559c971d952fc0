"""The bytes of a stream as text, lines, JSON values and server-sent events, wherever the pieces are cut.

A model's container sends its answer as it comes: a piece may end within a character, a line or a JSON text.
What is read here does not depend on where. Each reader is fed piece by piece, on an event loop or off it, and
told of the end; :func:`read_pieces` does both for who has an iterable::

    with hook.invoke_endpoint_with_response_stream(...)["Body"] as events:
        for record in read_pieces(JsonLines(), payload_parts(events)):
            ...

:class:`Text`, :class:`Lines`, :class:`JsonLines`, :class:`ServerSentEvents` and :func:`read_pieces` are for
your own code, as ``docs/streams.md`` shows; :func:`join_text` serves the other modules here.

No error holds a word of the answer; its ``partial_body`` has the bytes that could not be read.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow_provider_aiml.exceptions import RequestError, ResponseError
from airflow_provider_aiml.inference.json_text import MalformedError, from_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "JsonLines",
    "Lines",
    "ServerSentEvent",
    "ServerSentEvents",
    "StreamReader",
    "Text",
    "join_text",
    "read_pieces",
]

T = TypeVar("T")
_BOM = "\ufeff"


class StreamReader(Protocol[T]):
    """Something that is fed with pieces and gives what is whole by then."""

    def feed(self, piece: bytes) -> list[T]:
        """Take the next piece of the stream."""
        ...

    def end(self) -> list[T]:
        """Take it that the stream is over."""
        ...


def read_pieces(reader: StreamReader[T], pieces: Iterable[bytes]) -> Iterator[T]:
    """Read a stream to its end.

    :param reader: a new :class:`Text`, :class:`Lines`, :class:`JsonLines` or :class:`ServerSentEvents`.
    :param pieces: the stream's bytes, cut anywhere.
    :raises ResponseError: the stream is not what the reader reads, or is cut off.
    """
    for piece in pieces:
        yield from reader.feed(piece)
    yield from reader.end()


def join_text(pieces: Iterable[str]) -> str:
    """Join pieces of text, also where a character is cut into the two halves of its surrogate pair.

    A half that has lost the other becomes U+FFFD.
    """
    text = "".join(pieces)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class Text:
    """Text, given as soon as its characters are whole; a byte order mark at its begin is left out.

    :param charset: the text's encoding. Default: UTF-8.
    :raises RequestError: there is no such charset.
    """

    def __init__(self, charset: str = "utf-8") -> None:
        try:
            "a".encode(charset)
            self._decoder = codecs.getincrementaldecoder(charset)()
        except (LookupError, ValueError):
            raise RequestError("The charset is not known", hint="leave it out for UTF-8") from None
        self._begun = False

    def feed(self, piece: bytes) -> list[str]:
        """Give the text that is whole by now, if there is any.

        :raises ResponseError: the bytes are not text in the charset.
        """
        return self._decode(piece, final=False)

    def end(self) -> list[str]:
        """Give what is left.

        :raises ResponseError: the stream ends within a character.
        """
        return self._decode(b"", final=True)

    def _decode(self, piece: bytes, *, final: bool) -> list[str]:
        waiting = bytes(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(piece, final)
        except UnicodeError:
            what = "ends within a character" if final else "is not text in its charset"
            raise ResponseError(f"The stream {what}", partial_body=waiting + piece) from None
        if not text:
            return []
        if not self._begun:
            self._begun = True
            text = text.removeprefix(_BOM)
        return [text] if text else []


class Lines:
    """Lines without their ends, which are ``\\n`` and ``\\r\\n``; the last one needs none.

    :param charset: the text's encoding. Default: UTF-8.
    """

    def __init__(self, charset: str = "utf-8") -> None:
        self._text = Text(charset)
        self._open: list[str] = []

    def feed(self, piece: bytes) -> list[str]:
        """Give the lines that this piece ends.

        :raises ResponseError: the bytes are not text in the charset.
        """
        return self._take(self._text.feed(piece))

    def end(self) -> list[str]:
        """Give the last line, if it has no end.

        :raises ResponseError: the stream ends within a character.
        """
        lines = self._take(self._text.end())
        rest = "".join(self._open)
        self._open.clear()
        return [*lines, rest] if rest else lines

    def _take(self, texts: list[str]) -> list[str]:
        lines: list[str] = []
        for text in texts:
            first, *more = text.split("\n")
            self._open.append(first)
            for line in more:
                lines.append("".join(self._open).removesuffix("\r"))
                self._open = [line]
        return lines


class JsonLines:
    """JSON values, one a line; blank lines are skipped.

    :param charset: the text's encoding. Default: UTF-8.
    """

    def __init__(self, charset: str = "utf-8") -> None:
        self._lines = Lines(charset)
        self._number = 0

    def feed(self, piece: bytes) -> list[Any]:
        """Give the values of the lines that this piece ends.

        :raises ResponseError: a line is not JSON, or the bytes are not text.
        """
        return self._values(self._lines.feed(piece))

    def end(self) -> list[Any]:
        """Give the value of the last line, if it has no end.

        :raises ResponseError: it is not JSON, as one that is cut off.
        """
        return self._values(self._lines.end())

    def _values(self, lines: list[str]) -> list[Any]:
        values = []
        for line in lines:
            self._number += 1
            if not line.strip():
                continue
            try:
                values.append(from_json(line))
            except MalformedError as error:
                message = f"Line {self._number} of the stream is {error}"
                raise ResponseError(message, partial_body=line.encode("utf-8", "replace")) from None
        return values


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event.

    :param data: its data; several ``data`` lines are joined by line feeds.
    :param event: its type. Default: ``message``.
    :param id: the last id that the stream gave.
    """

    data: str
    event: str = "message"
    id: str = ""


class _AnyLines:
    """Lines that end in ``\\n``, ``\\r\\n`` or ``\\r``, as server-sent events have them."""

    def __init__(self) -> None:
        self._text = Text()
        self._open: list[str] = []
        self._after_return = False

    def feed(self, piece: bytes) -> list[str]:
        lines: list[str] = []
        for text in self._text.feed(piece):
            rest = text.removeprefix("\n") if self._after_return else text
            self._after_return = rest.endswith("\r")
            first, *more = rest.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            self._open.append(first)
            for line in more:
                lines.append("".join(self._open))
                self._open = [line]
        return lines

    def end(self) -> str:
        self._text.end()
        return "".join(self._open)


class ServerSentEvents:
    """Server-sent events: ``event:``, ``data:`` and ``id:`` lines up to an empty one. ``retry:`` is ignored.

    https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

    Other than a browser it does not drop what stands at the end without its empty line: an event whose lines
    are whole is given, and a line that is cut off is an error.
    """

    def __init__(self) -> None:
        self._lines = _AnyLines()
        self._data: list[str] = []
        self._event = ""
        self._id = ""

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """Give the events that this piece ends.

        :raises ResponseError: the bytes are not UTF-8.
        """
        return [event for line in self._lines.feed(piece) for event in self._line(line)]

    def end(self) -> list[ServerSentEvent]:
        """Give the last event, if no empty line follows it.

        :raises ResponseError: the stream ends within a line, or within a character.
        """
        rest = self._lines.end()
        if rest:
            cut = "\n".join([*self._data, rest]).encode()
            raise ResponseError("The stream ends within a line of an event", partial_body=cut)
        return self._dispatch()

    def _line(self, line: str) -> list[ServerSentEvent]:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return []

    def _dispatch(self) -> list[ServerSentEvent]:
        data, event = self._data, self._event or "message"
        self._data, self._event = [], ""
        return [ServerSentEvent("\n".join(data), event, self._id)] if data else []
