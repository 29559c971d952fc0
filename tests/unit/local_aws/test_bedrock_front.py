from __future__ import annotations

import json
import time

import pytest
from botocore.exceptions import ClientError

JAMBA = "ai21.jamba-instruct-v1:0"
CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
BODY = json.dumps({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 50}).encode()
MESSAGES = [{"role": "user", "content": [{"text": "hello"}]}]


@pytest.fixture
def bedrock(aws, client):
    return client("bedrock-runtime")


def test_a_model_is_invoked_and_recorded(aws, bedrock):
    answer = bedrock.invoke_model(modelId=JAMBA, body=BODY, contentType="application/json")

    assert "stand-in" in json.loads(answer["body"].read())["choices"][0]["message"]["content"]
    assert answer["contentType"] == "application/json"
    (invocation,) = aws.invocations(JAMBA)
    assert (invocation.operation, invocation.body, invocation.status) == ("InvokeModel", BODY, 200)


def test_streams_are_framed_so_that_boto3_reads_them(aws, bedrock):
    conversation = bedrock.converse_stream(modelId=CLAUDE, messages=MESSAGES)
    events = [next(iter(event)) for event in conversation["stream"]]
    chunks = bedrock.invoke_model_with_response_stream(modelId=JAMBA, body=BODY)["body"]

    assert events[0] == "messageStart"
    assert events[-1] == "metadata"
    assert all(json.loads(chunk["chunk"]["bytes"]) for chunk in chunks)
    assert [invocation.operation for invocation in aws.invocations(CLAUDE)] == ["ConverseStream"]


def test_what_bedrock_refuses_was_never_run(aws, bedrock):
    with pytest.raises(ClientError) as caught:
        bedrock.converse(modelId=CLAUDE, messages=[{"role": "nobody", "content": []}])

    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert "1 validation error detected" in caught.value.response["Error"]["Message"]
    with pytest.raises(ClientError, match="model identifier is invalid"):
        bedrock.converse(modelId="absent", messages=MESSAGES)
    assert aws.invocations(CLAUDE) == aws.invocations("absent") == []


def test_counting_tokens_invokes_no_model(aws, bedrock):
    counted = bedrock.count_tokens(modelId=CLAUDE, input={"converse": {"messages": MESSAGES}})

    assert counted["inputTokens"] > 0
    assert aws.invocations(CLAUDE) == []


def test_an_asynchronous_invocation_writes_its_output_unasked(aws, bedrock, s3):
    s3.create_bucket(Bucket="outputs")

    started = bedrock.start_async_invoke(
        modelId=JAMBA,
        modelInput=json.loads(BODY),
        outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://outputs/run"}},
    )
    deadline = time.monotonic() + 90
    while not s3.list_objects_v2(Bucket="outputs")["KeyCount"]:
        assert time.monotonic() < deadline, "no output appears"
        time.sleep(0.05)

    assert bedrock.get_async_invoke(invocationArn=started["invocationArn"])["status"] == "Completed"
    assert [invocation.operation for invocation in aws.invocations(JAMBA)] == ["StartAsyncInvoke"]


def test_a_reset_forgets_asynchronous_invocations(aws, bedrock):
    started = bedrock.start_async_invoke(
        modelId=JAMBA,
        modelInput=json.loads(BODY),
        outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://outputs/run"}},
    )

    aws.reset()

    with pytest.raises(ClientError, match="no such invocation"):
        bedrock.get_async_invoke(invocationArn=started["invocationArn"])


def test_a_document_is_read_from_s3(aws, bedrock, s3):
    s3.create_bucket(Bucket="documents")
    s3.put_object(Bucket="documents", Key="a.txt", Body=b"first line\nsecond line\n")
    document = {"format": "txt", "name": "doc", "source": {"s3Location": {"uri": "s3://documents/a.txt"}}}
    messages = [{"role": "user", "content": [{"document": document}, {"text": "line 2 of doc"}]}]

    answer = bedrock.converse(modelId="amazon.nova-lite-v1:0", messages=messages)

    assert "second line" in answer["output"]["message"]["content"][0]["text"]


def test_a_bearer_token_is_taken_in_the_place_of_a_signature(aws):
    import urllib.request

    request = urllib.request.Request(
        f"{aws.endpoint_url}/model/{JAMBA.replace(':', '%3A')}/invoke",
        BODY,
        {"Authorization": "Bearer bedrock-api-key-local", "Content-Type": "application/json"},
    )

    with urllib.request.urlopen(request) as answer:
        assert "choices" in json.loads(answer.read())
