"""A scripted HTTP service: what arrives is kept, and each request gets the next reply of the script."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Reply:
    """One answer.

    :param body: what to send.
    :param error: an AWS error code; its message is ``message``.
    :param cut: send so many bytes of the body only, then close.
    :param reset: read the request and reset the connection.
    :param hold: an event to wait for before answering.
    """

    body: bytes = b'{"ok": true}'
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    error: str | None = None
    message: str | None = None
    cut: int | None = None
    reset: bool = False
    hold: threading.Event | None = None


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Wire:
    """The service behind the connection."""

    def __init__(self):
        self.requests: list[Request] = []
        self.replies: list[Reply] = []
        self.default = Reply()
        self.arrived = threading.Event()
        self.released = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def reply(self, *replies: Reply) -> None:
        self.replies.extend(replies)

    def hang(self) -> Reply:
        """Give a reply that comes only when the test is over."""
        return Reply(hold=self.released)

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def connection(self, **extra: Any) -> str:
        """Give a connection to this service, as AIRFLOW_CONN_… wants it."""
        given = {"region_name": "eu-west-1", "endpoint_url": self.url, **extra}
        keys = {"login": "AKIATESTTESTTEST", "password": "secret-secret"}
        return json.dumps({"conn_type": "aws", **keys, "extra": given})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        return type("ScriptedHandler", (_Handler,), {"wire": self})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wire: Wire

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.wire.requests.append(Request(self.command, self.path, dict(self.headers), body))
        self.wire.arrived.set()
        reply = self.wire.replies.pop(0) if self.wire.replies else self.wire.default
        if reply.hold:
            reply.hold.wait(60)
        if reply.reset:
            self.reset()
        else:
            self.answer(reply)

    do_GET = do_PUT = do_HEAD = do_POST

    def reset(self):
        # SO_LINGER of 0 s: closing sends RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def answer(self, reply):
        body, status, headers = reply.body, reply.status, dict(reply.headers)
        if reply.error:
            status = 400 if status == 200 else status
            body = json.dumps({"message": reply.message}).encode()
            headers["x-amzn-ErrorType"] = reply.error
        self.send_response(status)
        headers |= {"x-amzn-RequestId": "request-1", "Content-Length": str(len(body))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if reply.cut is None else body[: reply.cut])
        self.close_connection = reply.cut is not None

    def log_message(self, *_):
        pass


@pytest.fixture
def wire():
    service = Wire()
    yield service
    service.close()


@pytest.fixture
def connect(wire, monkeypatch):
    """Define the connection ``aws_default`` to the scripted service, or another one."""

    def define(conn_id="aws_default", **extra):
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", wire.connection(**extra))
        return conn_id

    return define


@pytest.fixture
def reply():
    """The class of scripted replies."""
    return Reply


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that is its own authority, its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path
