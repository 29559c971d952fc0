from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

JSON = "application/json"


def refusal(call, **members):
    with pytest.raises(ClientError) as caught:
        call(**members)
    return caught.value.response


def test_the_model_sees_what_the_container_contract_lets_it_see(aws, runtime):
    aws.add_endpoint("echo")

    answer = runtime.invoke_endpoint(
        EndpointName="echo",
        Body=b"{}",
        ContentType=JSON,
        Accept="text/csv",
        CustomAttributes="headers",
        InferenceId="one",
        TargetModel="model.tar.gz",
        SessionId="NEW_SESSION",
        TargetVariant="AllTraffic",
    )

    seen = json.loads(answer["Body"].read())
    assert seen["content-type"] == JSON
    assert seen["accept"] == "text/csv"
    assert seen["x-amzn-sagemaker-custom-attributes"] == "headers"
    assert seen["x-amzn-sagemaker-inference-id"] == "one"
    assert seen["x-amzn-sagemaker-target-model"] == "model.tar.gz"
    assert seen["x-amzn-sagemaker-session-id"] == "NEW_SESSION"
    assert "authorization" not in seen
    assert answer["CustomAttributes"] == "headers"
    assert answer["NewSessionId"] == "session-1; Expires=2030-01-01T00:00:00Z"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["ResponseMetadata"]["RequestId"]


def test_the_record_holds_what_the_model_received(aws, runtime):
    aws.add_endpoint("echo")

    runtime.invoke_endpoint(EndpointName="echo", Body=b"\x00\xff", ContentType="image/png", InferenceId="one")

    (invocation,) = aws.invocations("echo")
    assert invocation.body == b"\x00\xff"
    assert invocation.operation == "InvokeEndpoint"
    assert invocation.inference_id == "one"
    assert invocation.headers["content-type"] == "image/png"
    assert invocation.status == 200
    assert invocation.time > 1_700_000_000
    assert aws.request_counts() == {"sagemaker:InvokeEndpoint": 1}


def test_a_container_error_is_a_model_error_in_the_models_own_words(aws, runtime):
    aws.add_endpoint("failing", "failing")

    response = refusal(runtime.invoke_endpoint, EndpointName="failing", Body=b"123", ContentType=JSON)

    assert response["Error"]["Code"] == "ModelError"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == 400
    assert response["OriginalMessage"] == "rejected 3 bytes"
    assert response["LogStreamArn"].startswith(
        "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/"
    )
    assert response["Error"]["Message"].startswith(
        'Received client error (400) from primary with message "rejected 3 bytes".'
    )


def test_a_container_that_is_too_slow_is_a_model_error_without_a_status(aws, runtime):
    aws.add_endpoint("slow", model_timeout=0.05)

    response = refusal(
        runtime.invoke_endpoint, EndpointName="slow", Body=b"1", CustomAttributes="delay=5", ContentType=JSON
    )

    assert response["Error"]["Code"] == "ModelError"
    assert response["OriginalStatusCode"] == 0
    assert "timed out" in response["OriginalMessage"]
    assert [invocation.status for invocation in aws.invocations("slow")] == [None]


def test_a_container_that_dies_is_a_model_error_and_the_next_call_gets_a_new_one(aws, runtime):
    aws.add_endpoint("echo")
    runtime.invoke_endpoint(EndpointName="echo", Body=b"1")
    before = aws.model_pids()

    response = refusal(runtime.invoke_endpoint, EndpointName="echo", Body=b"1", CustomAttributes="exit=1")
    answer = runtime.invoke_endpoint(EndpointName="echo", Body=b"2")

    assert response["Error"]["Code"] == "ModelError"
    assert answer["Body"].read() == b"2"
    assert aws.model_pids().keys() == before.keys()
    assert aws.model_pids() != before
    assert len(aws.invocations("echo")) == 3


def test_a_model_that_cannot_be_loaded_is_a_model_error_and_was_never_invoked(aws, runtime):
    aws.add_endpoint("absent", "no.such.module:model")

    response = refusal(runtime.invoke_endpoint, EndpointName="absent", Body=b"1")

    assert response["Error"]["Code"] == "ModelError"
    assert aws.invocations("absent") == []


def test_an_endpoint_that_there_is_not_is_a_validation_error(aws, runtime):
    response = refusal(runtime.invoke_endpoint, EndpointName="absent", Body=b"1")

    assert response["Error"] == {
        "Code": "ValidationError",
        "Message": "Endpoint absent of account 123456789012 not found.",
    }
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_an_endpoint_lives_in_its_region_only(aws, client):
    aws.add_endpoint("echo", region="eu-west-1")

    answer = client("sagemaker-runtime", "eu-west-1").invoke_endpoint(EndpointName="echo", Body=b"1")
    response = refusal(client("sagemaker-runtime").invoke_endpoint, EndpointName="echo", Body=b"1")

    assert answer["Body"].read() == b"1"
    assert "not found" in response["Error"]["Message"]


def test_a_variant_that_there_is_not_is_a_validation_error(aws, runtime):
    aws.add_endpoint("echo", variant="blue")

    response = refusal(runtime.invoke_endpoint, EndpointName="echo", Body=b"1", TargetVariant="green")

    assert response["Error"]["Code"] == "ValidationError"
    assert "green" in response["Error"]["Message"]
    assert runtime.invoke_endpoint(EndpointName="echo", Body=b"1")["InvokedProductionVariant"] == "blue"


def test_every_violation_is_named_in_one_validation_error(aws, runtime):
    response = refusal(
        runtime.invoke_endpoint, EndpointName="-" * 64, Body=b"1", InferenceId="", CustomAttributes="a\xe9"
    )

    message = response["Error"]["Message"]
    assert message.startswith("5 validation errors detected: Value at 'endpointName' failed to satisfy")
    assert "Member must have length less than or equal to 63" in message
    assert "Value at 'customAttributes'" in message
    assert "a\xe9" not in message


def test_a_body_over_the_limit_is_refused(aws, runtime):
    aws.add_endpoint("echo")

    response = refusal(runtime.invoke_endpoint, EndpointName="echo", Body=b"x" * 6_291_457)

    assert "Value at 'body'" in response["Error"]["Message"]
    assert aws.invocations("echo") == []


def test_real_time_and_asynchronous_endpoints_do_not_take_each_others_calls(aws, runtime):
    aws.add_endpoint("real-time")
    aws.add_endpoint("queued", asynchronous=True)

    sync_refused = refusal(runtime.invoke_endpoint, EndpointName="queued", Body=b"1")
    async_refused = refusal(runtime.invoke_endpoint_async, EndpointName="real-time", Body=b"1")

    assert sync_refused["Error"]["Code"] == async_refused["Error"]["Code"] == "ValidationError"
    assert "asynchronous" in sync_refused["Error"]["Message"]
    assert "not an asynchronous" in async_refused["Error"]["Message"]


def test_an_unsigned_request_is_refused(aws):
    aws.add_endpoint("echo")
    request = urllib.request.Request(f"{aws.endpoint_url}/endpoints/echo/invocations", b"1", method="POST")

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)

    assert caught.value.code == 403
    assert caught.value.headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"
    caught.value.close()


def test_a_bucket_may_hold_objects_under_the_path_of_an_operation(s3):
    s3.create_bucket(Bucket="endpoints")

    s3.put_object(Bucket="endpoints", Key="echo/invocations", Body=b"mine")

    assert s3.get_object(Bucket="endpoints", Key="echo/invocations")["Body"].read() == b"mine"


def test_a_stream_is_sent_on_in_the_models_pieces(aws, runtime):
    aws.add_endpoint("stream", "text_stream")

    answer = runtime.invoke_endpoint_with_response_stream(
        EndpointName="stream", Body="zwölf Wörter".encode(), ContentType="text/plain"
    )
    pieces = [event["PayloadPart"]["Bytes"] for event in answer["Body"]]

    assert answer["ContentType"] == "application/jsonlines"
    assert len(pieces) > 1
    lines = [json.loads(line) for line in b"".join(pieces).splitlines()]
    assert lines == [{"token": "zwölf"}, {"token": "Wörter"}, {"done": True, "tokens": 2}]
    assert [invocation.operation for invocation in aws.invocations("stream")] == [
        "InvokeEndpointWithResponseStream"
    ]


def test_a_stream_whose_model_refuses_is_a_model_error(aws, runtime):
    aws.add_endpoint("failing", "failing")

    response = refusal(
        runtime.invoke_endpoint_with_response_stream, EndpointName="failing", Body=b"1", ContentType=JSON
    )

    assert response["OriginalMessage"] == "rejected 1 bytes"


def test_a_stream_whose_model_dies_before_it_is_a_model_error(aws, runtime):
    aws.add_endpoint("echo")

    response = refusal(
        runtime.invoke_endpoint_with_response_stream,
        EndpointName="echo",
        Body=b"1",
        CustomAttributes="exit=1",
    )

    assert response["Error"]["Code"] == "ModelError"


def test_a_stream_whose_model_dies_in_the_middle_ends_in_a_stream_error(aws, runtime):
    aws.add_endpoint("broken", "tests.unit.local_aws.broken_stream:model")

    answer = runtime.invoke_endpoint_with_response_stream(EndpointName="broken", Body=b"1")

    with pytest.raises(ClientError) as caught:
        list(answer["Body"])
    assert caught.value.response["Error"]["Code"] == "ModelStreamError"


def test_a_stream_can_be_made_to_fail(aws, runtime):
    aws.add_endpoint("stream", "text_stream")
    aws.add_fault("InvokeEndpointWithResponseStream", "model_error", status=503, message="busy")

    response = refusal(runtime.invoke_endpoint_with_response_stream, EndpointName="stream", Body=b"1")

    assert response["OriginalStatusCode"] == 503
    assert aws.invocations("stream") == []


def test_a_client_that_leaves_before_its_body_is_complete_harms_nobody(aws, runtime):
    aws.add_endpoint("echo")
    host, port = aws.endpoint_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /endpoints/echo/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"
        )

    assert runtime.invoke_endpoint(EndpointName="echo", Body=b"1")["Body"].read() == b"1"
    assert len(aws.invocations("echo")) == 1
