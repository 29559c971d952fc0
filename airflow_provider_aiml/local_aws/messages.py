"""HTTP as the local AWS sees it: a request read whole, an answer, and ways to send it badly."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    import asyncio

__all__ = [
    "Answer",
    "ConnectionDroppedError",
    "Request",
    "connection_protocol",
    "read_request",
    "reset_connection",
    "send_answer",
]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class ConnectionDroppedError(Exception):
    """The connection is to be reset without an answer."""


@dataclass(frozen=True)
class Request:
    """A request, read whole.

    :param method: the HTTP verb, upper case.
    :param raw_path: the path as it arrived, still percent-encoded, without the query.
    :param query: the query string as it arrived.
    :param headers: by lower-case name; the last one wins.
    :param header_list: every header in its order, with the name as it arrived (lower case where the server
        did that).
    :param body: the whole body.
    """

    method: str
    raw_path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    header_list: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @cached_property
    def query_params(self) -> dict[str, str]:
        """Give the decoded query; the last value of a name wins."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @cached_property
    def credential_scope(self) -> tuple[str, str] | None:
        """Give (region, signing name) of a signed request, from its header or query; None if unsigned."""
        authorization = self.headers.get("authorization", "")
        credential = self.query_params.get("X-Amz-Credential", "")
        if authorization.startswith("AWS4-"):
            credential = authorization.partition("Credential=")[2].partition(",")[0].strip()
        parts = credential.split("/")
        return (parts[-3], parts[-2].lower()) if len(parts) >= 5 else None

    @property
    def signing_name(self) -> str | None:
        """Give the signing name, for example ``sagemaker``; None if unsigned."""
        return self.credential_scope[1] if self.credential_scope else None

    @property
    def region(self) -> str:
        """Give the region of the signature; ``us-east-1`` if unsigned."""
        return self.credential_scope[0] if self.credential_scope else "us-east-1"

    @property
    def is_authenticated(self) -> bool:
        """Tell whether any credential came along: a signature, or a bearer token (Bedrock's API keys)."""
        return self.credential_scope is not None or self.headers.get("authorization", "").startswith(
            "Bearer "
        )


@dataclass(slots=True)
class Answer:
    """What is sent back.

    :param status: the HTTP status.
    :param headers: without Content-Length, which is reckoned from a body of bytes.
    :param body: bytes, or an iterator whose pieces are sent as they come (chunked).
    :param sent_bytes: send only so many bytes of the body, under the full Content-Length, and cut the
        connection; for an iterator, cut it after so many pieces, or where it ends. None: all.
    """

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | AsyncIterator[bytes] = b""
    sent_bytes: int | None = None


async def read_request(scope: Scope, receive: Receive) -> Request:
    """Read one HTTP request from the ASGI server.

    :raises ConnectionDroppedError: if the client left before its body was complete.
    """
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionDroppedError
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    header_list = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    return Request(
        method=scope["method"],
        raw_path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers={name.lower(): value for name, value in header_list},
        header_list=header_list,
        body=b"".join(pieces),
    )


async def send_answer(answer: Answer, scope: Scope, send: Send) -> None:
    """Send ``answer``, whole or cut short as it asks."""
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in answer.headers
        if name.lower() not in {"connection", "date", "server", "transfer-encoding"}
    ]
    if not isinstance(answer.body, bytes):
        await _send_pieces(answer, headers, scope, send)
        return
    if not any(name == b"content-length" for name, _ in headers):
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if answer.sent_bytes is None:
        await send({"type": "http.response.body", "body": answer.body})
        return
    await send({"type": "http.response.body", "body": answer.body[: answer.sent_bytes], "more_body": True})
    close_connection(scope)


async def _send_pieces(answer: Answer, headers: list[tuple[bytes, bytes]], scope: Scope, send: Send) -> None:
    assert not isinstance(answer.body, bytes)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    sent = 0
    async for piece in answer.body:
        if sent == answer.sent_bytes:
            break
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        sent += 1
    if answer.sent_bytes is None:
        await send({"type": "http.response.body", "body": b""})
    else:
        close_connection(scope)  # Also of fewer pieces, for those that wait together arrive as one.


def close_connection(scope: Scope) -> None:
    """Close the connection in good order after what was written so far: the peer sees an early end."""
    scope["state"]["transport"].close()


def reset_connection(scope: Scope) -> None:
    """Reset the connection: the peer sees ECONNRESET, as when a load balancer dies."""
    transport = scope["state"]["transport"]
    raw = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def connection_protocol() -> type[asyncio.Protocol]:
    """Give uvicorn's HTTP protocol, which also tells each request what connection it came in on.

    ASGI has no way to break a connection, and breaking it is what some faults are for.
    """
    base: Any
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as base  # noqa: N813
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol as base  # noqa: N813

    class Protocol(base):  # type: ignore[misc]
        app_state: dict[str, Any]

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.app_state = {**self.app_state, "transport": transport}
            super().connection_made(transport)

    return Protocol
