"""boto3, unchanged but for its endpoint, against the local AWS."""

from __future__ import annotations

import json

import boto3
import pytest
from sklearn.datasets import load_breast_cancer

ROWS = load_breast_cancer().data[:3].tolist()


@pytest.fixture
def client(demo, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", demo.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return boto3.Session().client


def test_demo_tabular_predicts(client):
    answer = client("sagemaker-runtime").invoke_endpoint(
        EndpointName="demo-tabular",
        Body=json.dumps({"instances": ROWS}),
        ContentType="application/json",
    )

    predictions = json.loads(answer["Body"].read())["predictions"]
    assert [prediction["label"] for prediction in predictions] == ["malignant"] * 3
    assert all(0.5 < prediction["probability"] <= 1 for prediction in predictions)


def test_demo_tabular_async_writes_its_output_and_its_waiter_sees_it(client):
    client("s3").put_object(
        Bucket="demo-inference",
        Key="input.csv",
        Body="\n".join(",".join(map(str, row)) for row in ROWS),
        ContentType="text/csv",
    )

    answer = client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName="demo-tabular-async", InputLocation="s3://demo-inference/input.csv", Accept="text/csv"
    )
    bucket, _, key = answer["OutputLocation"].removeprefix("s3://").partition("/")
    client("s3").get_waiter("object_exists").wait(
        Bucket=bucket, Key=key, WaiterConfig={"Delay": 0.1, "MaxAttempts": 600}
    )

    output = client("s3").get_object(Bucket=bucket, Key=key)
    assert output["ContentType"] == "text/csv"
    assert output["Body"].read().decode().count("malignant") == 3


def test_demo_text_stream_streams(client):
    answer = client("sagemaker-runtime").invoke_endpoint_with_response_stream(
        EndpointName="demo-text-stream",
        Body=json.dumps({"inputs": "one two"}),
        ContentType="application/json",
    )

    body = b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"])
    assert [json.loads(line).get("token") for line in body.splitlines()] == ["one", "two", None]


def test_bedrock_invokes_and_converses(client):
    bedrock = client("bedrock-runtime")

    invoked = bedrock.invoke_model(
        modelId="ai21.jamba-instruct-v1:0",
        body=json.dumps({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 40}),
    )
    conversed = bedrock.converse(
        modelId="ai21.jamba-1-5-mini-v1:0", messages=[{"role": "user", "content": [{"text": "hi"}]}]
    )

    assert "stand-in" in json.loads(invoked["body"].read())["choices"][0]["message"]["content"]
    assert conversed["stopReason"] == "end_turn"
    assert "stand-in" in conversed["output"]["message"]["content"][0]["text"]


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("s3", "list_buckets"),
        ("sns", "list_topics"),
        ("sqs", "list_queues"),
        ("iam", "list_roles"),
        ("sts", "get_caller_identity"),
        ("logs", "describe_log_groups"),
        ("apigateway", "get_rest_apis"),
        ("sagemaker", "list_endpoints"),
        ("bedrock", "list_custom_models"),
    ],
)
def test_the_services_around_it_answer(client, service, call):
    answer = getattr(client(service), call)()

    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_large_object_goes_up_in_parts_and_comes_back_whole(client, tmp_path):
    sent = tmp_path / "sent"
    sent.write_bytes(bytes(range(256)) * 40_000)

    client("s3").upload_file(str(sent), "demo-inference", "large")
    client("s3").download_file("demo-inference", "large", str(tmp_path / "received"))

    assert (tmp_path / "received").read_bytes() == sent.read_bytes()


def test_a_role_can_be_assumed(client):
    role = client("sts").assume_role(RoleArn="arn:aws:iam::123456789012:role/any", RoleSessionName="session")

    assert role["AssumedRoleUser"]["Arn"] == "arn:aws:sts::123456789012:assumed-role/any/session"
