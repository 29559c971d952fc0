"""The hooks against the local AWS: the model's own witness says what was bought."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import quote

import pytest
from airflow_provider_aiml.exceptions import (
    BusyError,
    EndpointNotReadyError,
    ModelFailedError,
    ResponseError,
    UnknownOutcomeError,
)
from airflow_provider_aiml.hooks.bedrock_runtime import BedrockRuntimeHook
from airflow_provider_aiml.hooks.sagemaker_runtime import BRIEF_TIMEOUT, SageMakerRuntimeHook

FAST = {"attempts": 3, "base": 0, "cap": 0}
INVOKE = {"endpoint_name": "echo", "body": b"[1]", "content_type": "application/json"}


@pytest.fixture(params=["sync", "async"])
def call(request):
    """Call a hook's method, or its coroutine twin."""

    def make(hook, method, **members):
        if request.param == "sync":
            return getattr(hook, method)(**members)
        return asyncio.run(getattr(hook, f"a{method}")(**members))

    return make


@pytest.fixture
def hook(aws):
    aws.add_endpoint("echo")
    return SageMakerRuntimeHook(retry_args=FAST)


def test_a_model_is_invoked_once(call, aws, hook):
    answer = call(hook, "invoke_endpoint", **INVOKE, inference_id="i-1")

    assert (answer["Body"], answer["ContentType"]) == (b"[1]", "application/json")
    assert [invocation.body for invocation in aws.invocations("echo")] == [b"[1]"]


def test_a_throttled_call_reaches_the_model_once(call, aws, hook):
    aws.add_fault("sagemaker:InvokeEndpoint", code="ThrottlingException", count=2)

    call(hook, "invoke_endpoint", **INVOKE)

    assert len(aws.invocations("echo")) == 1


def test_throttling_that_does_not_end_never_reaches_the_model(call, aws, hook):
    aws.add_fault("sagemaker:InvokeEndpoint", code="ThrottlingException", count=9)

    with pytest.raises(BusyError):
        call(hook, "invoke_endpoint", **INVOKE)
    assert not aws.invocations("echo")


def test_an_answer_that_is_lost_is_not_bought_again(call, aws, hook):
    aws.add_fault("sagemaker:InvokeEndpoint", "lose_answer", count=1)

    with pytest.raises(UnknownOutcomeError):
        call(hook, "invoke_endpoint", **INVOKE)
    assert len(aws.invocations("echo")) == 1


def test_an_answer_that_is_cut_off_is_not_bought_again(call, aws, hook):
    aws.add_fault("sagemaker:InvokeEndpoint", "truncate", keep_bytes=2, count=1)

    with pytest.raises(ResponseError) as raised:
        call(hook, "invoke_endpoint", **INVOKE)
    assert raised.value.partial_body in (b"", b"[1")
    assert len(aws.invocations("echo")) == 1


def test_a_model_that_fails_says_why(call, aws, hook):
    aws.add_fault("sagemaker:InvokeEndpoint", "model_error", status=500, message="no GPU", count=1)

    with pytest.raises(ModelFailedError) as raised:
        call(hook, "invoke_endpoint", **INVOKE)
    assert (raised.value.original_status, raised.value.retryable) == (500, True)
    assert "no GPU" in raised.value.model_message


def test_an_endpoint_that_does_not_exist_is_told_from_a_bad_payload(call, hook):
    with pytest.raises(EndpointNotReadyError):
        call(hook, "invoke_endpoint", **{**INVOKE, "endpoint_name": "absent"})


@pytest.mark.parametrize(
    ("asynchronous", "method"), [(True, "invoke_endpoint"), (False, "invoke_endpoint_async")]
)
def test_an_endpoint_of_the_other_kind_is_told_from_an_absent_one(call, aws, hook, asynchronous, method):
    aws.add_endpoint("kind", asynchronous=asynchronous)
    members = {"body": b"[1]"} if method == "invoke_endpoint" else {"input_location": "s3://bucket/key"}

    with pytest.raises(EndpointNotReadyError) as raised:
        call(hook, method, endpoint_name="kind", **members)
    assert "Operator" in raised.value.hint


def test_a_stream_is_read_to_its_end(aws):
    aws.add_endpoint("stream", "text_stream")
    hook = SageMakerRuntimeHook()
    members = {"endpoint_name": "stream", "body": json.dumps({"inputs": "hi"}).encode()}

    response = hook.invoke_endpoint_with_response_stream(**members, content_type="application/json")

    assert b"".join(event["PayloadPart"]["Bytes"] for event in response["Body"])
    assert len(aws.invocations("stream")) == 1


@pytest.mark.usefixtures("aws")
def test_bedrock_converses(call):
    messages = [{"role": "user", "content": [{"text": "hello"}]}]

    answer = call(BedrockRuntimeHook(), "converse", model_id="ai21.jamba-instruct-v1:0", messages=messages)

    assert answer["output"]["message"]["role"] == "assistant"
    assert answer["usage"]["totalTokens"] > 0


def test_a_role_that_is_assumed_may_invoke(call, aws, monkeypatch):
    aws.add_endpoint("echo")
    extra = {
        "region_name": "us-east-1",
        "endpoint_url": aws.endpoint_url,
        "role_arn": "arn:aws:iam::123456789012:role/inference",
        "service_config": {"sts": {"endpoint_url": aws.endpoint_url}},
    }
    uri = f"aws://key-of-aws:secret-of-aws@/?__extra__={quote(json.dumps(extra), safe='')}"
    monkeypatch.setenv("AIRFLOW_CONN_ROLE", uri)

    assert call(SageMakerRuntimeHook("role"), "invoke_endpoint", **INVOKE)["Body"] == b"[1]"
    assert aws.request_counts()["sts:AssumeRole"] == 1


def test_many_twins_at_once_share_one_client(aws, hook):
    async def fan_out():
        async with hook.aclient():
            return await asyncio.gather(*(hook.ainvoke_endpoint(**INVOKE) for _ in range(20)))

    answers = asyncio.run(fan_out())

    assert [answer["Body"] for answer in answers] == [b"[1]"] * 20
    assert len(aws.invocations("echo")) == 20


def test_s3_is_read_and_written_through_the_hook(hook):
    client = hook.s3_client()
    client.create_bucket(Bucket="inputs")
    client.put_object(Bucket="inputs", Key="a", Body=b"1")

    async def head():
        async with hook.aopen_s3_client() as s3:
            return await s3.head_object(Bucket="inputs", Key="a")

    assert asyncio.run(head())["ContentLength"] == 1


def test_what_can_be_done_without_is_asked_once_and_briefly(hook):
    brief, patient = (hook.control_client(brief=brief).meta.config for brief in (True, False))

    assert brief.connect_timeout == brief.read_timeout == BRIEF_TIMEOUT < patient.read_timeout
    assert brief.retries["total_max_attempts"] == 1
