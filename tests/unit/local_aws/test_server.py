from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest
from airflow.sdk import Connection
from airflow_provider_aiml.local_aws import ControlError, LocalAws, LocalAwsControl, __main__
from botocore.exceptions import ClientError


@pytest.fixture
def keep_signals():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def sagemaker(aws, service="sagemaker"):
    return boto3.client(
        service,
        endpoint_url=aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )


def test_it_can_be_steered_from_another_process(aws):
    control = LocalAwsControl(aws.endpoint_url)
    control.add_endpoint("echo")

    assert control.health()["status"] == "ok"
    assert sagemaker(aws).describe_endpoint(EndpointName="echo")["EndpointStatus"] == "InService"
    assert aws.invocations("echo") == control.invocations("echo") == []


def test_a_command_that_there_is_not_is_refused(aws):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{aws.endpoint_url}/_local_aws/explode")

    assert caught.value.code == 404
    caught.value.close()


@pytest.mark.parametrize("body", [b"[", b'{"unknown": 1}', b"{}"])
def test_a_command_with_arguments_that_do_not_fit_is_refused(aws, body):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{aws.endpoint_url}/_local_aws/add_endpoint", data=body)

    assert caught.value.code == 400
    caught.value.close()


def test_the_health_can_be_asked_for_with_a_plain_get(aws):
    with urllib.request.urlopen(f"{aws.endpoint_url}/_local_aws/health") as answer:
        assert b'"status": "ok"' in answer.read()


def test_removing_an_endpoint_that_there_is_not_is_refused(aws):
    with pytest.raises(ControlError, match="DeleteEndpoint"):
        aws.remove_endpoint("absent")


def test_a_reset_empties_everything_but_keeps_the_containers(aws, runtime, s3):
    aws.add_endpoint("echo")
    runtime.invoke_endpoint(EndpointName="echo", Body=b"1")
    s3.create_bucket(Bucket="some-bucket")
    pids = aws.model_pids()

    aws.reset()

    assert aws.invocations("echo") == []
    assert aws.request_counts() == {}
    assert s3.list_buckets()["Buckets"] == []
    assert aws.model_pids() == pids


def test_the_connection_leads_here_for_every_service_even_to_assume_a_role(aws):
    connection = Connection.from_uri(aws.connection_uri, conn_id="aws_default")

    assert connection.conn_type == "aws"
    assert connection.login
    assert connection.password
    extra = connection.extra_dejson
    assert extra["region_name"] == "us-east-1"
    assert extra["endpoint_url"] == aws.endpoint_url
    assert extra["service_config"]["sts"]["endpoint_url"] == aws.endpoint_url


def test_the_connection_can_name_another_address_than_the_one_listened_on():
    named = LocalAws(public_url="http://aws.test:4566")

    extra = Connection.from_uri(named.connection_uri, conn_id="aws_default").extra_dejson
    assert extra["endpoint_url"] == "http://aws.test:4566"


def test_a_port_that_is_taken_is_an_error(aws):
    port = int(aws.endpoint_url.rpartition(":")[2])

    with pytest.raises(OSError, match="in use"), LocalAws(port):
        raise AssertionError("two servers on one port")


def test_a_server_that_cannot_start_says_why(monkeypatch):
    def broken(**_):
        raise RuntimeError("no cloud today")

    monkeypatch.setattr("airflow_provider_aiml.local_aws.server.Cloud", broken)

    with pytest.raises(RuntimeError, match="no cloud today"), LocalAws():
        raise AssertionError("started without a cloud")


def test_the_demo_starts_with_its_endpoints_and_again_after_a_reset():
    with LocalAws(host="0.0.0.0") as demo:
        assert demo.endpoint_url.startswith("http://127.0.0.1:")
        demo.wait_until_loaded()
        demo.reset()
        endpoints = sagemaker(demo).list_endpoints()["Endpoints"]
        config = sagemaker(demo).describe_endpoint_config(EndpointConfigName="demo-tabular-async")
        containers = demo.health()["containers"]

    assert {endpoint["EndpointName"] for endpoint in endpoints} == {
        "demo-tabular",
        "demo-tabular-async",
        "demo-text-stream",
        "demo-throttled",
    }
    assert config["AsyncInferenceConfig"]["OutputConfig"] == {
        "S3OutputPath": "s3://demo-inference/output",
        "S3FailurePath": "s3://demo-inference/failure",
    }
    assert len(containers) == 2


def test_one_endpoint_of_the_demo_is_throttled_for_good():
    with LocalAws() as demo:
        runtime = sagemaker(demo, "sagemaker-runtime")
        for name in ("invoke_endpoint", "invoke_endpoint_with_response_stream"):
            with pytest.raises(ClientError) as caught:
                getattr(runtime, name)(EndpointName="demo-throttled", Body=b"{}")
            assert caught.value.response["Error"] == {"Code": "ThrottlingException", "Message": None}
        assert demo.invocations("demo-throttled") == []


def test_the_demo_can_be_left_while_its_models_still_load():
    with LocalAws() as demo:
        assert demo.endpoint_url

    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(demo.endpoint_url.rpartition(":")[2]))) != 0


def test_the_containers_end_with_the_local_aws():
    with LocalAws(demo=False) as aws:
        aws.add_endpoint("echo")
        client = boto3.client(
            "sagemaker-runtime",
            endpoint_url=aws.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )
        client.invoke_endpoint(EndpointName="echo", Body=b"1")
        (pid,) = aws.model_pids().values()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_command_prints_one_line_to_paste_and_ends_on_a_signal(capsys, monkeypatch, keep_signals):
    monkeypatch.setattr(signal, "sigwait", lambda endings: signal.SIGTERM)

    code = __main__.main(["--port", "0", "--no-demo", "--public-url", "http://aws.test:1"])

    (line,) = capsys.readouterr().out.splitlines()
    assert code == 0
    assert line.startswith("Local AWS ready at http://127.0.0.1:")
    assert "AIRFLOW_CONN_AWS_DEFAULT='aws://" in line
    assert "aws.test" in line


def test_the_command_says_that_its_port_is_taken(aws, capsys, keep_signals):
    port = aws.endpoint_url.rpartition(":")[2]

    code = __main__.main(["--port", port])

    assert code == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in capsys.readouterr().err


def test_a_killed_local_aws_leaves_no_container_behind(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_aiml.local_aws", "--port", "0", "--no-demo"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    line = process.stdout.readline()
    control = LocalAwsControl(line.split()[4].rstrip(";"))
    control.add_endpoint("echo")
    boto3.client(
        "sagemaker-runtime",
        endpoint_url=control.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    ).invoke_endpoint(EndpointName="echo", Body=b"1")
    (pid,) = control.model_pids().values()

    process.kill()
    process.wait()
    process.stdout.close()
    watchdog.cancel()

    deadline = time.monotonic() + 30
    # An adopted process that nobody has waited for yet is still listed, but has no command line any more.
    cmdline = Path(f"/proc/{pid}/cmdline")
    while cmdline.exists() and cmdline.read_bytes():
        assert time.monotonic() < deadline, "the container outlived its local AWS"
        time.sleep(0.05)


def test_connections_can_be_broken_without_the_compiled_parser_too(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn.protocols.http.httptools_impl", None)

    with LocalAws(demo=False) as aws:
        aws.add_fault("s3:GET", "drop")
        with pytest.raises(ConnectionResetError):
            urllib.request.urlopen(f"{aws.endpoint_url}/some-bucket/key")


def test_a_chunked_body_and_odd_header_names_arrive_as_they_are(aws, s3):
    s3.create_bucket(Bucket="some-bucket")
    host, port = aws.endpoint_url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port))
    headers = {"x-amz-meta-my_key": "v", "Content-Type": "text/plain"}

    connection.request("PUT", "/some-bucket/a%2Fb", iter([b"1", b"2"]), headers, encode_chunked=True)
    status = connection.getresponse().status
    connection.close()

    stored = s3.get_object(Bucket="some-bucket", Key="a/b")
    assert status == 200
    assert stored["Body"].read() == b"12"
    assert stored["Metadata"] == {"my_key": "v"}


def test_what_moto_has_not_got_is_an_internal_failure_that_says_so(aws, client):
    with pytest.raises(ClientError) as caught:
        client("bedrock").list_guardrails()

    assert caught.value.response["Error"]["Code"] == "InternalFailure"
    assert "list_guardrails" in caught.value.response["Error"]["Message"]
