from __future__ import annotations

import io
import json
import time

import aiobotocore.session
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

NOVA = "us.amazon.nova-lite-v1:0"
JAMBA = "ai21.jamba-instruct-v1:0"
CLAUDE = "anthropic.claude-3-5-sonnet-20240620-v1:0"
HELLO = [{"role": "user", "content": [{"text": "Hello"}]}]
CONNECTION = {"region_name": "us-east-1", "aws_access_key_id": "local", "aws_secret_access_key": "local"}


def client_of(aws, service="bedrock-runtime"):
    config = Config(retries={"total_max_attempts": 1})
    return boto3.client(service, endpoint_url=aws.endpoint_url, config=config, **CONNECTION)


@pytest.fixture
def bedrock(aws):
    return client_of(aws)


def test_boto3_invokes_a_model_in_its_familys_shape(bedrock):
    body = {
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 100,
        "top_p": 0.8,
        "temperature": 0.7,
    }

    answer = bedrock.invoke_model(
        modelId=JAMBA, body=json.dumps(body), serviceTier="flex", performanceConfigLatency="standard"
    )

    choices = json.loads(answer["body"].read())["choices"]
    assert "local stand-in" in choices[0]["message"]["content"]
    assert answer["contentType"] == "application/json"
    assert (answer["serviceTier"], answer["performanceConfigLatency"]) == ("flex", "standard")


def test_a_conversation_goes_on_over_two_turns(bedrock):
    history = [{"role": "user", "content": [{"text": "My name is Ada."}]}]
    first = bedrock.converse(modelId=NOVA, messages=history, system=[{"text": "Be kind"}])
    history += [first["output"]["message"], {"role": "user", "content": [{"text": "What is my name?"}]}]

    second = bedrock.converse(modelId=NOVA, messages=history, inferenceConfig={"maxTokens": 200})

    assert "Your name is Ada." in second["output"]["message"]["content"][0]["text"]
    assert second["stopReason"] == "end_turn"
    assert second["usage"]["inputTokens"] > first["usage"]["inputTokens"]
    assert second["metrics"]["latencyMs"] > 0


def test_documents_and_tools_travel_both_ways(bedrock):
    document = {"name": "notes", "format": "txt", "source": {"bytes": b"first\nsecond \xc3\xa9"}}
    tools = {"tools": [{"toolSpec": {"name": "add", "inputSchema": {"json": {"type": "object"}}}}]}
    read = [{"role": "user", "content": [{"text": "line 2 of notes"}, {"document": document}]}]
    call = [{"role": "user", "content": [{"text": 'use tool add with {"a": 1.5, "b": [null, "é"]}'}]}]

    quoted = bedrock.converse(modelId=CLAUDE, messages=read)
    used = bedrock.converse(modelId=CLAUDE, messages=call, toolConfig=tools)

    assert 'Line 2 of notes reads: "second é"' in quoted["output"]["message"]["content"][0]["text"]
    assert used["output"]["message"]["content"][0]["toolUse"]["input"] == {"a": 1.5, "b": [None, "é"]}


def test_a_document_in_s3_is_read_from_there(aws, bedrock):
    s3 = client_of(aws, "s3")
    s3.create_bucket(Bucket="documents")
    s3.upload_fileobj(io.BytesIO(b"line from S3"), "documents", "a/notes.txt")
    document = {
        "name": "notes",
        "format": "txt",
        "source": {"s3Location": {"uri": "s3://documents/a/notes.txt"}},
    }
    asked = [{"role": "user", "content": [{"text": "line 1 of notes"}, {"document": document}]}]

    answer = bedrock.converse(modelId=NOVA, messages=asked)

    assert 'reads: "line from S3"' in answer["output"]["message"]["content"][0]["text"]


def test_a_conversation_is_streamed(bedrock):
    whole = bedrock.converse(modelId=NOVA, messages=HELLO)
    events = list(bedrock.converse_stream(modelId=NOVA, messages=HELLO)["stream"])

    said = "".join(
        event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event
    )
    assert said == whole["output"]["message"]["content"][0]["text"]
    assert events[-2] == {"messageStop": {"stopReason": "end_turn"}}
    assert events[-1]["metadata"]["usage"] == whole["usage"]


def test_an_invoked_model_is_streamed(bedrock):
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    answer = bedrock.invoke_model_with_response_stream(modelId=CLAUDE, body=json.dumps(body))
    chunks = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]

    assert chunks[0]["type"] == "message_start"
    assert chunks[-1]["type"] == "message_stop"
    assert answer["contentType"] == "application/json"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("stream-error", "modelStreamErrorException"),
        ("stream-throttled", "throttlingException"),
        ("stream-unavailable", "serviceUnavailableException"),
        ("stream-internal-error", "internalServerException"),
        ("stream-invalid", "validationException"),
    ],
)
def test_botocore_raises_the_exception_that_breaks_a_stream(bedrock, fault, code):
    stream = bedrock.converse_stream(
        modelId=NOVA, messages=HELLO, requestMetadata={"local-aws-fault": fault}
    )["stream"]
    seen = []

    with pytest.raises(EventStreamError) as caught:
        seen.extend(stream)

    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["Error"]["Message"]
    assert any("contentBlockDelta" in event for event in seen)


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        ("access-denied", "AccessDeniedException", 403),
        ("internal-error", "InternalServerException", 500),
        ("invalid", "ValidationException", 400),
        ("model-error", "ModelErrorException", 424),
        ("model-timeout", "ModelTimeoutException", 408),
        ("not-found", "ResourceNotFoundException", 404),
        ("not-ready", "ModelNotReadyException", 429),
        ("quota-exceeded", "ServiceQuotaExceededException", 400),
        ("throttled", "ThrottlingException", 429),
        ("unavailable", "ServiceUnavailableException", 503),
    ],
)
def test_botocore_raises_each_modelled_error(bedrock, fault, code, status):
    with pytest.raises(ClientError) as caught:
        bedrock.converse(modelId=f"test.{fault}-v1:0", messages=HELLO)

    assert type(caught.value).__name__ == code
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_a_model_error_carries_the_models_own_status(bedrock):
    with pytest.raises(bedrock.exceptions.ModelErrorException) as caught:
        bedrock.converse(modelId="test.model-error-v1:0", messages=HELLO)

    assert caught.value.response["originalStatusCode"] == 500


def test_tokens_are_counted(bedrock):
    counted = bedrock.count_tokens(modelId=CLAUDE, input={"converse": {"messages": HELLO}})

    assert counted["inputTokens"] == bedrock.converse(modelId=CLAUDE, messages=HELLO)["usage"]["inputTokens"]


def test_a_guardrail_is_applied(bedrock):
    answer = bedrock.apply_guardrail(
        guardrailIdentifier="localguardrail",
        guardrailVersion="DRAFT",
        source="OUTPUT",
        content=[{"text": {"text": "mail a@b.cd"}}],
    )

    assert answer["outputs"] == [{"text": "mail {EMAIL}"}]
    assert answer["assessments"][0]["sensitiveInformationPolicy"]["piiEntities"][0]["type"] == "EMAIL"


def wait_for_end(bedrock, arn):
    for _ in range(600):
        told = bedrock.get_async_invoke(invocationArn=arn)
        if told["status"] != "InProgress":
            return told
        time.sleep(0.05)
    raise AssertionError(arn)


def start(bedrock, model=NOVA, **members):
    answer = bedrock.start_async_invoke(
        modelId=model,
        modelInput={"messages": HELLO},
        outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://async-out/prefix"}},
        **members,
    )
    return answer["invocationArn"]


def test_an_asynchronous_invocation_writes_its_output_to_s3(aws, bedrock):
    s3 = client_of(aws, "s3")
    s3.create_bucket(Bucket="async-out")

    arn = start(bedrock, clientRequestToken="once")
    told = wait_for_end(bedrock, arn)

    assert start(bedrock, clientRequestToken="once") == arn
    assert told["status"] == "Completed"
    assert told["endTime"] >= told["submitTime"]
    key = f"prefix/{arn.rpartition('/')[2]}/output.json"
    output = json.loads(s3.get_object(Bucket="async-out", Key=key)["Body"].read())
    assert "stand-in" in output["output"]["message"]["content"][0]["text"]
    summaries = bedrock.list_async_invokes(statusEquals="Completed")["asyncInvokeSummaries"]
    assert [one["invocationArn"] for one in summaries] == [arn]


def test_an_asynchronous_invocation_that_fails_says_why(aws, bedrock):
    told = wait_for_end(bedrock, start(bedrock, "test.async-failed-v1:0"))

    assert told["status"] == "Failed"
    assert told["failureMessage"] == "The model failed, as this test asked."


async def test_aiobotocore_streams_a_conversation(aws):
    async with aiobotocore.session.get_session().create_client(
        "bedrock-runtime", endpoint_url=aws.endpoint_url, **CONNECTION
    ) as bedrock:
        answer = await bedrock.converse_stream(modelId=NOVA, messages=HELLO)
        names = [next(iter(event)) async for event in answer["stream"]]

    assert names[0] == "messageStart"
    assert names[-1] == "metadata"


def test_what_the_model_received_is_recorded(aws, bedrock):
    bedrock.converse(modelId=NOVA, messages=HELLO)

    assert [json.loads(invocation.body)["messages"] for invocation in aws.invocations(NOVA)] == [HELLO]
