"""How a call of an API leaves: through which proxy, verified by what, how often. As botocore's clients do."""

from __future__ import annotations

import json
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from airflow_provider_aiml.exceptions import BusyError, InferenceError, RequestError
from airflow_provider_aiml.hooks.api_gateway import ApiGatewaySageMakerHook

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

API = "http://abc.execute-api.eu-west-1.amazonaws.com/prod"


class Server(ThreadingHTTPServer):
    """Answers each GET, as a proxy or as an API, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200
        super().__init__(("127.0.0.1", 0), _Answers)

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server()
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    def to(config: dict[str, Any] | None = None, **extra: Any) -> None:
        extra |= {"region_name": "eu-west-1", "config_kwargs": config or {}}
        connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": json.dumps(extra)}
        monkeypatch.setenv("AIRFLOW_CONN_PLAIN", json.dumps(connection))

    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    to()
    return to


def invoke(url: str, **given: Any) -> Any:
    return ApiGatewaySageMakerHook("plain", **{"retry_args": {"attempts": 1}, **given}).invoke(url=url)


def test_a_call_goes_through_the_proxy_of_the_environment(connect, server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://{server.place}")
    assert invoke(API)["StatusCode"] == 200
    assert server.asked == [API]


def test_a_host_that_needs_no_proxy_is_called_directly(connect, server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert invoke(f"http://{server.place}/prod")["StatusCode"] == 200
    assert server.asked == ["/prod"]


def test_the_connections_proxies_go_before_the_environments(connect, server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    connect({"proxies": {"http": f"http://{server.place}"}})
    assert invoke(API)["StatusCode"] == 200
    with pytest.raises(BusyError):
        invoke(API, config={"proxies": {"http": "http://127.0.0.1:9"}})


def test_the_merged_settings_reach_the_session(connect):
    connect({"connect_timeout": 3, "proxies_config": {"proxy_use_forwarding_for_https": True}})
    session = ApiGatewaySageMakerHook("plain")._http(API, 40)
    assert (session._timeout.connect_timeout, session._timeout.read_timeout) == (3, 40)
    assert session._proxy_config.settings == {"proxy_use_forwarding_for_https": True}
    plain = ApiGatewaySageMakerHook("plain", config={"connect_timeout": 4})._http(API, 40)
    assert plain._timeout.connect_timeout == 4


@pytest.mark.parametrize(
    ("connection", "operator", "attempts"),
    [
        (None, None, 3),
        ({"retries": {"max_attempts": 1}}, None, 2),
        ({"retries": {"total_max_attempts": 9}}, None, 3),
        ({"retries": {"total_max_attempts": 2}}, {"retries": {"total_max_attempts": 1}}, 1),
        (None, {"retries": {"mode": "standard"}}, 3),
    ],
    ids=str,
)
def test_retries_of_the_settings_bound_our_attempts(connect, server, connection, operator, attempts):
    connect(connection)
    server.status = 429
    with pytest.raises(BusyError):
        invoke(f"http://{server.place}/prod", config=operator, retry_args={"attempts": 3, "base": 0.0})
    assert len(server.asked) == attempts


def test_retry_args_that_cannot_be_used_are_refused_at_once():
    with pytest.raises(RequestError, match="retry_args"):
        ApiGatewaySageMakerHook("plain", retry_args={"attempts": 0})


@pytest.fixture
def secure(certificate: Path) -> Iterator[str]:
    """An API over TLS that wants a certificate of its callers, too."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    tls.load_verify_locations(certificate)
    tls.verify_mode = ssl.CERT_REQUIRED
    with serving(tls) as running:
        yield f"https://{running.place}/prod"


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_tls_is_verified_by_the_bundle_of_the_environment(
    connect, secure, certificate, monkeypatch, variable
):
    connect({"client_cert": str(certificate)})
    with pytest.raises(InferenceError):
        invoke(secure)
    monkeypatch.setenv(variable, str(certificate))
    assert invoke(secure)["StatusCode"] == 200


def test_the_hooks_own_verify_goes_before_the_environment(connect, secure, certificate, monkeypatch):
    connect({"client_cert": str(certificate)})
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere.pem")
    assert invoke(secure, verify=str(certificate))["StatusCode"] == 200


def test_a_caller_without_its_certificate_is_turned_away(connect, secure, certificate):
    with pytest.raises(InferenceError):
        invoke(secure, verify=str(certificate))
