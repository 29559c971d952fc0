"""Frames messages as ``application/vnd.amazon.eventstream``, with the checksums that clients verify.

A message is a prelude (total length, headers length, CRC32 of both), headers, payload, and the CRC32 of all
before. Header values are strings here, type 7, as AWS's services send them.

https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html#streaming-event-stream
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import struct
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "CONTENT_TYPE",
    "encode_event",
    "encode_stream",
    "event_message",
    "exception_message",
    "json_payload",
]

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"
_STRING = 7
_MOST_NAME = 255
_MOST_VALUE = 32_767
_MOST_HEADERS = 128 * 1024
_MOST_PAYLOAD = 24 * 1024 * 1024


def encode_event(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Frame one message.

    :param headers: names of 1 to 255 bytes, values of at most 32,767, at most 128 KiB together.
    :param payload: at most 24 MiB, which is what clients take.
    :raises ValueError: if something is larger.
    """
    encoded = b"".join(_header(name, value) for name, value in headers.items())
    if len(encoded) > _MOST_HEADERS or len(payload) > _MOST_PAYLOAD:
        raise ValueError("An event holds at most 128 KiB of headers and 24 MiB of payload.")
    prelude = struct.pack(">II", len(encoded) + len(payload) + 16, len(encoded))
    message = prelude + struct.pack(">I", crc32(prelude)) + encoded + payload
    return message + struct.pack(">I", crc32(message))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    if not 1 <= len(key) <= _MOST_NAME or len(text) > _MOST_VALUE:
        raise ValueError(f"The header {name!r} is empty or too long.")
    return struct.pack(">B", len(key)) + key + struct.pack(">BH", _STRING, len(text)) + text


def event_message(name: str, payload: bytes, content_type: str = "application/json") -> bytes:
    """Frame an event.

    :param name: the event's name, for example ``chunk`` or ``PayloadPart``.
    :param payload: its payload.
    :param content_type: the payload's type.
    """
    headers = {":event-type": name, ":content-type": content_type, ":message-type": "event"}
    return encode_event(headers, payload)


def exception_message(name: str, payload: bytes) -> bytes:
    """Frame a modelled exception, for example ``modelStreamErrorException`` or ``ModelStreamError``.

    :param name: the exception's name.
    :param payload: its members as JSON.
    """
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return encode_event(headers, payload)


def json_payload(members: Mapping[str, Any]) -> bytes:
    """Encode the members of an event as JSON, bytes in base64, times as seconds."""
    return json.dumps(members, default=_json_value).encode()


def _json_value(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, dt.datetime):
        return value.timestamp()
    raise TypeError(f"An event cannot hold a {type(value).__name__}.")


def encode_stream(events: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[bytes]:
    """Frame the events of a Bedrock stream; those whose name ends in ``Exception`` become exceptions.

    :param events: names and members.
    """
    for name, members in events:
        frame = exception_message if name.endswith("Exception") else event_message
        yield frame(name, json_payload(members))
