"""Places on S3: they are reached with the settings of the task, as its boto3 clients are."""

from __future__ import annotations

import datetime as dt
import gc
import ipaddress
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import store
from airflow_provider_aiml.aws_task import AwsTask
from airflow_provider_aiml.exceptions import (
    AwsConfigurationError,
    OutputUnreadableError,
    PayloadError,
    StoredAnswerError,
)
from airflow_provider_aiml.inference.stored_answer import copy_object
from airflow_provider_aiml.operators.sagemaker import SageMakerInvokeEndpointOperator
from botocore import UNSIGNED
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.unit.running import run


class Task(AwsTask):
    hook_module = "airflow_provider_aiml.hooks.sagemaker_runtime"
    hook_name = "SageMakerRuntimeHook"


@pytest.fixture
def define(monkeypatch):
    # Airflow keeps what it made of a connection for as long as the process lives.
    monkeypatch.setattr(store, "_STORE_CACHE", {})

    def connection(**extra):
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", written(**extra))

    return connection


def written(**extra):
    """Give a connection to nowhere, as AIRFLOW_CONN_… wants it."""
    settings = {"region_name": "eu-west-1", "endpoint_url": "http://127.0.0.1:9", **extra}
    return json.dumps({"conn_type": "aws", "login": "key", "password": "secret", "extra": settings})


class Storage:
    """S3 with ``[]`` in every object, and a model that answers the same.

    :param tls: TLS with a certificate that vouches for itself.
    """

    def __init__(self, tls=None):
        self.requests = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Object,), {"storage": self}))
        self.server.daemon_threads = True
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class _Object(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    storage: Storage

    def do_GET(self):
        self.storage.requests.append(dict(self.headers))
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        for name, value in {
            "Content-Length": "2",
            "Content-Type": "application/json",
            "ETag": '"1"',
            "Last-Modified": "Wed, 21 Oct 2026 07:28:00 GMT",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"[]")

    do_HEAD = do_POST = do_GET

    def log_message(self, *_):
        pass


def _write_certificate(certificate_file, key_file):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a private S3")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    with open(certificate_file, "wb") as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
    with open(key_file, "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


@pytest.fixture
def storage(define):
    """A storage behind the connection, whose region is eu-west-1."""
    server = Storage()
    define(endpoint_url=server.url)
    yield server
    server.close()


@pytest.fixture
def bundle(define, tmp_path):
    """The only CA bundle that vouches for the storage behind the connection."""
    files = str(tmp_path / "ca.pem"), str(tmp_path / "key.pem")
    _write_certificate(*files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    server = Storage(context)
    define(endpoint_url=server.url)
    yield files[0]
    server.close()


def files(**settings):
    return Task(task_id="t", **settings).object_path("s3://bucket/key").fs


def test_the_task_s_settings_reach_its_places(define):
    define(verify="/theirs.pem", config_kwargs={"read_timeout": 7, "proxies": {"http": "http://theirs:1"}})

    fs = files(
        verify="/ours.pem",
        region_name="eu-central-1",
        botocore_config={"proxies": {"http": "http://ours:3128"}},
    )

    assert fs.client_kwargs["verify"] == "/ours.pem"
    assert fs.config_kwargs["proxies"] == {"http": "http://ours:3128"}
    assert fs.config_kwargs["read_timeout"] == 7
    assert set(fs.config_kwargs) == {"proxies", "read_timeout", "connect_timeout"}
    assert fs.session.get_config_variable("region") == "eu-central-1"


def test_the_connection_s_settings_hold_where_the_task_has_none(define):
    define(verify=False, service_config={"s3": {"endpoint_url": "http://s3.example"}})

    fs = files()

    assert fs.client_kwargs["verify"] is False
    assert fs.endpoint_url == "http://s3.example"
    assert fs.session.get_config_variable("region") == "eu-west-1"


def test_two_tasks_with_different_settings_do_not_share_a_file_system(define):
    define()

    assert files(verify="/a.pem") is not files(verify="/b.pem")
    assert files(verify="/a.pem") is files(verify="/a.pem")
    assert files(region_name="eu-west-3") is not files()
    assert files(botocore_config={"read_timeout": 8}) is not files()
    assert files() is not ObjectStoragePath("s3://aws_default@bucket/key").fs


def test_a_task_s_places_share_its_file_system(define):
    define()
    task = Task(task_id="t")

    path = task.object_path("s3://bucket/folder/key")

    assert path.fs is task.object_path("s3://other/key").fs
    assert (path.parent / "beside").fs is path.fs


def test_a_connection_named_in_the_place_keeps_its_own_settings(define, monkeypatch):
    define(verify="/ours.pem")
    theirs = {"region_name": "eu-north-1", "config_kwargs": {"read_timeout": 9}}
    monkeypatch.setenv("AIRFLOW_CONN_THEIRS", written(**theirs))
    task = Task(task_id="t", verify="/task.pem", region_name="eu-central-1")

    path = task.object_path("s3://theirs@bucket/key")

    assert path.path == "bucket/key"
    assert path.fs.client_kwargs["verify"] is None
    assert path.fs.config_kwargs["read_timeout"] == 9
    assert path.fs.session.get_config_variable("region") == "eu-north-1"
    assert task.object_path("s3://bucket/key").fs is not path.fs
    assert task.object_path("s3://theirs@other/key").fs is path.fs


def test_a_connection_named_in_the_place_takes_the_task_s_region_where_it_has_none(define, monkeypatch):
    define()
    monkeypatch.setenv("AIRFLOW_CONN_THEIRS", written(region_name=None))

    regions = [
        Task(task_id="t", **settings)
        .object_path("s3://theirs@bucket/key")
        .fs.session.get_config_variable("region")
        for settings in ({"region_name": "eu-central-1"}, {})
    ]

    assert regions == ["eu-central-1", "eu-west-1"]


@pytest.mark.parametrize("scheme", ["s3", "s3a", "s3n"])
@pytest.mark.parametrize(
    ("conn_id", "words"), [("nobody", "not defined"), ("half", "only the key id"), ("", "No AWS connection")]
)
@pytest.mark.parametrize("field", ["payload_uri", "output_uri"])
def test_no_other_identity_stands_in_for_a_connection_that_a_place_names(
    aws, s3, read, monkeypatch, field, scheme, conn_id, words
):
    # What the worker itself may do, which nobody asked it to.
    for name, value in {
        "ACCESS_KEY_ID": "AKIATHEWORKERSOWN",
        "SECRET_ACCESS_KEY": "secret",
        "DEFAULT_REGION": "us-east-1",
        "ENDPOINT_URL": aws.endpoint_url,
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AIRFLOW_CONN_HALF", '{"conn_type": "aws", "login": "AKIAHALF"}')
    s3.put_object(Bucket="bucket", Key="key", Body=b"[]")
    given = {"payload": [], field: f"{scheme}://{conn_id}@bucket/key"}
    if field == "payload_uri":
        del given["payload"]

    with pytest.raises(AwsConfigurationError, match=words):
        run(SageMakerInvokeEndpointOperator(task_id="t", endpoint_name="e", **given))

    assert read("key") == b"[]"


def test_what_amazon_s_file_system_alone_knows_is_left_to_it(define):
    define(service_config={"s3": {"proxy-uri": "http://storage-proxy:8181"}})

    assert files().config_kwargs["proxies"]["http"] == "http://storage-proxy:8181"


def test_without_keys_a_public_place_can_be_read():
    assert files(aws_conn_id=None, region_name="eu-west-1").anon is True


def test_a_connection_that_cannot_be_used_is_told_as_such(monkeypatch):
    extra = {"region_name": "eu-west-1", "profile_name": "nobody"}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({"conn_type": "aws", "extra": extra}))

    with pytest.raises(AwsConfigurationError, match="profile not found"):
        files()


def test_the_task_s_region_and_settings_are_seen_on_the_wire(storage):
    task = Task(task_id="t", region_name="eu-central-1", botocore_config={"user_agent_extra": "task/1"})

    assert task.read_body(None, "s3://bucket/key", "application/json") == b"[]"

    for request in storage.requests:
        assert "/eu-central-1/s3/aws4_request" in request["Authorization"]
        assert "task/1" in request["User-Agent"]


def test_unsigned_requests_stay_unsigned(storage):
    task = Task(task_id="t", botocore_config={"signature_version": "unsigned"})

    task.read_body(None, "s3://bucket/key", "application/json")

    assert task.object_path("s3://bucket/key").fs.config_kwargs["signature_version"] is UNSIGNED
    assert not [request for request in storage.requests if "Authorization" in request]


def test_a_private_ca_bundle_holds_for_the_places_as_for_the_call(bundle):
    task = SageMakerInvokeEndpointOperator(
        task_id="t", endpoint_name="e", payload_uri="s3://bucket/key", verify=bundle
    )

    assert run(task)["body"] == []


@pytest.mark.usefixtures("bundle")
def test_a_place_that_nobody_vouches_for_is_not_read():
    with pytest.raises(PayloadError, match="unreadable"):
        Task(task_id="t").read_body(None, "s3://bucket/key", "application/json")


def breaking(pieces, error):
    yield from pieces
    raise error


@pytest.mark.parametrize("size", [1_000, 60_000_000], ids=["in one piece", "in parts"])
@pytest.mark.parametrize("error", [OutputUnreadableError("The source broke"), KeyboardInterrupt()], ids=repr)
def test_a_copy_whose_source_breaks_leaves_what_was_there_before(aws, s3, read, size, error):
    s3.put_object(Bucket="bucket", Key="copy", Body=b"the copy of before")
    path = Task(task_id="t").object_path("s3://bucket/copy")

    with pytest.raises(type(error)):
        copy_object(path, "s3://bucket/copy", breaking([b"x" * (size // 10)] * 10, error))
    gc.collect()

    assert read("copy") == b"the copy of before"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="bucket")


def test_a_copy_that_fails_in_the_middle_leaves_what_was_there_before(aws, s3, read):
    s3.put_object(Bucket="bucket", Key="copy", Body=b"the copy of before")
    path = Task(task_id="t").object_path("s3://bucket/copy")
    aws.add_fault("s3:PUT", code="InvalidRequest", status=400, count=1)

    with pytest.raises(StoredAnswerError):
        copy_object(path, "s3://bucket/copy", [b"x" * 6_000_000] * 20)
    gc.collect()

    assert read("copy") == b"the copy of before"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="bucket")


def test_a_copy_that_cannot_even_be_given_up_says_so_and_keeps_its_error(aws, s3, read, caplog):
    path = Task(task_id="t").object_path("s3://bucket/copy")
    aws.add_fault("s3:DELETE", code="AccessDenied", status=403, for_seconds=60)

    with pytest.raises(OutputUnreadableError):
        copy_object(path, "s3://bucket/copy", breaking([b"x" * 60_000_000], OutputUnreadableError("Broke")))

    assert read("copy") is None
    assert "s3:AbortMultipartUpload" in caplog.text


def test_a_whole_copy_in_parts_is_whole(s3, aws, read):
    path = Task(task_id="t").object_path("s3://bucket/copy")

    copy_object(path, "s3://bucket/copy", [b"x" * 6_000_000] * 10)

    assert read("copy") == b"x" * 60_000_000
