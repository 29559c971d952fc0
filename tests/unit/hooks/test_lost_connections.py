"""Connections that end early, behind a proxy and over TLS: what surely did not run is sent again, and nothing
that may have run.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from contextlib import suppress
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest
from airflow_provider_aiml.exceptions import AwsConfigurationError, BusyError, UnknownOutcomeError
from airflow_provider_aiml.hooks.api_gateway import ApiGatewaySageMakerHook
from airflow_provider_aiml.hooks.sagemaker_runtime import SageMakerRuntimeHook

ATTEMPTS = 3
FAST = {"attempts": ATTEMPTS, "base": 0, "cap": 0}
NOWHERE = "http://runtime.example.invalid"


def end(connection):
    """Close as a far side does that is done."""


def reset(connection):
    # SO_LINGER of 0 s: closing sends RST instead of FIN.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def no_tls(connection):
    """Answer plainly though TLS was spoken."""
    with socket.socket(fileno=connection.detach()) as plain:
        plain.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        plain.shutdown(socket.SHUT_WR)
        plain.recv(65_536)


class FarSide(ThreadingTCPServer):
    """A forward proxy and, in its tunnels, the service behind it; nothing that it is asked gets an answer.

    :param tls: the service's; without a proxy, it is spoken at once.
    :param then: how a connection ends whose request was read.
    """

    daemon_threads = True

    def __init__(self, tls=None, then=end):
        self.requests, self.tunnels = [], []
        self.tls, self.then = tls, then
        self.tunnel_answer = b"HTTP/1.1 200 OK\r\n\r\n"
        self.direct = False
        super().__init__(("127.0.0.1", 0), _Connection)

    @property
    def place(self):
        return f"127.0.0.1:{self.server_address[1]}"


class _Connection(StreamRequestHandler):
    server: FarSide
    timeout = 30

    def handle(self):
        # A client that turns away in the handshake is what some tests are about.
        with suppress(OSError):
            self.serve()

    def serve(self):
        if self.server.direct:
            self.encrypt()
        elif self.connection.recv(7, socket.MSG_PEEK) == b"CONNECT":
            self.server.tunnels.append(self.read())
            self.connection.sendall(self.server.tunnel_answer)
            if b" 200 " not in self.server.tunnel_answer:
                return
            self.encrypt()
        if request := self.read():
            self.server.requests.append(request)
            self.server.then(self.connection)

    def encrypt(self):
        self.request = self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")

    def read(self):
        first, size = self.rfile.readline(), 0
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            size = int(value) if name.lower() == b"content-length" else size
        self.rfile.read(size)
        return first

    def finish(self):
        self.connection.close()


@pytest.fixture
def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def far_side(tls):
    with FarSide(tls) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def endpoint(conn_id):
    SageMakerRuntimeHook(conn_id, retry_args=FAST).invoke_endpoint(endpoint_name="e", body=b"x")


def endpoint_on_a_loop(conn_id):
    asyncio.run(SageMakerRuntimeHook(conn_id, retry_args=FAST).ainvoke_endpoint(endpoint_name="e", body=b"x"))


def submission(conn_id):
    hook = SageMakerRuntimeHook(conn_id, retry_args=FAST)
    hook.invoke_endpoint_async(endpoint_name="e", input_location="s3://b/in")


def api(conn_id):
    hook = ApiGatewaySageMakerHook(conn_id, retry_args=FAST)
    # The connection's endpoint_url takes the place of the host.
    hook.invoke(url="https://abc.execute-api.eu-west-1.amazonaws.com/prod", method="POST", body=b"x")


@pytest.fixture(params=[endpoint, endpoint_on_a_loop, submission, api])
def call(request, connect, certificate):
    """Call through a proxy, or the far side itself."""

    def through(url, proxy=None):
        proxies = {"http": f"http://{proxy}", "https": f"http://{proxy}"} if proxy else {}
        request.param(
            connect(endpoint_url=url, verify=str(certificate), config_kwargs={"proxies": proxies}),
        )

    return through


@pytest.mark.parametrize("then", [end, reset])
def test_what_is_lost_behind_a_proxy_after_the_request_is_sent_once(call, far_side, then):
    far_side.then = then

    with pytest.raises(UnknownOutcomeError):
        call(NOWHERE, proxy=far_side.place)

    assert len(far_side.requests) == 1


@pytest.mark.parametrize("then", [end, reset, no_tls])
def test_what_is_lost_in_a_proxy_s_tunnel_after_the_request_is_sent_once(call, far_side, then):
    far_side.then = then

    with pytest.raises(UnknownOutcomeError):
        call("https://127.0.0.1:9", proxy=far_side.place)

    assert (len(far_side.tunnels), len(far_side.requests)) == (1, 1)


def test_a_proxy_that_refuses_its_tunnel_is_asked_again(call, far_side):
    far_side.tunnel_answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"

    with pytest.raises(BusyError):
        call("https://127.0.0.1:9", proxy=far_side.place)

    assert len(far_side.tunnels) == ATTEMPTS


@pytest.mark.parametrize("url", [NOWHERE, "https://127.0.0.1:9"])
@pytest.mark.parametrize("proxy", ["127.0.0.1:9", "nowhere.invalid:3128"])
def test_a_proxy_that_cannot_be_reached_is_tried_again(call, url, proxy, caplog):
    with pytest.raises(BusyError):
        call(url, proxy=proxy)

    assert sum("did not run" in record.message for record in caplog.records) == ATTEMPTS - 1


@pytest.mark.parametrize("then", [end, reset, no_tls])
def test_tls_that_breaks_after_the_request_leaves_the_outcome_unknown(call, far_side, then):
    far_side.direct, far_side.then = True, then

    with pytest.raises(UnknownOutcomeError):
        call(f"https://{far_side.place}")

    assert len(far_side.requests) == 1


def test_a_service_that_speaks_no_tls_is_a_setting_to_correct(call, wire):
    with pytest.raises(AwsConfigurationError, match="endpoint_url"):
        call(wire.url.replace("http:", "https:"))


@pytest.mark.parametrize("proxied", [True, False])
def test_a_certificate_for_another_name_is_a_setting_to_correct(call, far_side, proxied):
    far_side.direct = not proxied
    host = f"localhost:{far_side.server_address[1]}"

    with pytest.raises(AwsConfigurationError, match="no trusted TLS"):
        call(f"https://{host}", proxy=far_side.place if proxied else None)

    assert far_side.requests == []


def test_a_client_without_the_certificate_that_is_wanted_is_a_setting_to_correct(
    call, far_side, tls, certificate
):
    far_side.direct = True
    # With TLS 1.3 it depends on who is faster whether the client hears why.
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    tls.load_verify_locations(certificate)
    tls.verify_mode = ssl.CERT_REQUIRED

    with pytest.raises(AwsConfigurationError, match="no trusted TLS"):
        call(f"https://{far_side.place}")

    assert far_side.requests == []
