from __future__ import annotations

import base64
import json
import time
import uuid

import pytest
from botocore.exceptions import ClientError

JSON = "application/json"


def split(uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def finished(aws):
    """Wait until nothing is queued or running any more."""
    deadline = time.monotonic() + 90
    while aws.pending():
        assert time.monotonic() < deadline, "the queue does not drain"
        time.sleep(0.01)


def read(s3, uri):
    bucket, key = split(uri)
    stored = s3.get_object(Bucket=bucket, Key=key)
    return stored["Body"].read(), stored["ContentType"]


def is_there(s3, uri):
    bucket, key = split(uri)
    return s3.list_objects_v2(Bucket=bucket, Prefix=key)["KeyCount"] == 1


@pytest.fixture
def endpoint(aws):
    aws.add_endpoint(
        "queued",
        s3_output_path="s3://queued-out/a/b/",
        s3_failure_path="s3://queued-failed/c",
        asynchronous=True,
    )
    return "queued"


def test_an_inline_body_is_inferred_and_its_output_written(aws, runtime, s3, endpoint):
    answer = runtime.invoke_endpoint_async(EndpointName=endpoint, Body=b'{"a": 1}', ContentType=JSON)
    finished(aws)

    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert read(s3, answer["OutputLocation"]) == (b'{"a": 1}', JSON)
    assert not is_there(s3, answer["FailureLocation"])
    (invocation,) = aws.invocations(endpoint)
    assert invocation.operation == "InvokeEndpointAsync"
    assert invocation.inference_id == answer["InferenceId"]
    assert invocation.headers["x-amzn-sagemaker-inference-id"] == answer["InferenceId"]


def test_none_ends_while_they_are_held(aws, runtime, s3, endpoint):
    with aws.held():
        answer = runtime.invoke_endpoint_async(EndpointName=endpoint, Body=b"1")
        time.sleep(0.3)
        assert aws.pending() == 1
        assert not is_there(s3, answer["OutputLocation"])
    finished(aws)

    assert is_there(s3, answer["OutputLocation"])


def test_a_reset_ends_the_hold(aws, runtime, s3, endpoint):
    with aws.held():
        aws.reset()
        aws.add_endpoint("queued", asynchronous=True)
        answer = runtime.invoke_endpoint_async(EndpointName=endpoint, Body=b"1")
        finished(aws)
        assert is_there(s3, answer["OutputLocation"])


def test_the_names_of_outputs_are_not_to_be_guessed_from_the_inference_id(aws, runtime, endpoint):
    first, second = (
        runtime.invoke_endpoint_async(EndpointName=endpoint, Body=b"1", InferenceId="mine") for _ in range(2)
    )

    assert first["InferenceId"] == second["InferenceId"] == "mine"
    assert first["OutputLocation"] != second["OutputLocation"]
    assert "mine" not in first["OutputLocation"]


def test_an_output_is_named_by_its_path_extension_and_filename(aws, runtime, s3, endpoint):
    answer = runtime.invoke_endpoint_async(
        EndpointName=endpoint, Body=b"1", S3OutputPathExtension="run/1", Filename="row.json"
    )
    finished(aws)

    assert answer["OutputLocation"] == "s3://queued-out/a/b/run/1/row.json"
    assert read(s3, answer["OutputLocation"])[0] == b"1"


def test_an_endpoint_without_a_failure_path_names_none_and_leaves_no_trace(aws, runtime, s3):
    aws.add_endpoint("queued", "failing", asynchronous=True)

    answer = runtime.invoke_endpoint_async(EndpointName="queued", Body=b"1")
    finished(aws)

    assert "FailureLocation" not in answer
    assert not is_there(s3, answer["OutputLocation"])


@pytest.mark.parametrize(
    "location",
    [
        "s3://inputs/a%20b.csv",
        "https://inputs.s3.us-east-1.amazonaws.com/a%20b.csv",
        "https://s3.us-east-1.amazonaws.com/inputs/a%20b.csv",
    ],
)
def test_the_input_is_read_from_s3(aws, runtime, s3, endpoint, location):
    s3.create_bucket(Bucket="inputs")
    s3.put_object(Bucket="inputs", Key="a b.csv", Body=b"1,2", ContentType="text/csv")

    answer = runtime.invoke_endpoint_async(EndpointName=endpoint, InputLocation=location)
    finished(aws)

    assert read(s3, answer["OutputLocation"]) == (b"1,2", "text/csv")


def test_the_requests_content_type_goes_before_the_objects(aws, runtime, s3, endpoint):
    s3.create_bucket(Bucket="inputs")
    s3.put_object(Bucket="inputs", Key="a", Body=b"1,2", ContentType="text/plain")

    runtime.invoke_endpoint_async(
        EndpointName=endpoint, InputLocation="s3://inputs/a", ContentType="text/csv"
    )
    finished(aws)

    assert aws.invocations(endpoint)[0].headers["content-type"] == "text/csv"


@pytest.mark.parametrize("location", ["s3://inputs/absent", "s3://no-bucket/a", "s3://no-key"])
def test_an_input_that_cannot_be_read_is_a_failure(aws, runtime, s3, endpoint, location):
    s3.create_bucket(Bucket="inputs")

    answer = runtime.invoke_endpoint_async(EndpointName=endpoint, InputLocation=location)
    finished(aws)

    assert location in read(s3, answer["FailureLocation"])[0].decode()
    assert aws.invocations(endpoint) == []


@pytest.mark.parametrize("members", [{}, {"Body": b"1", "InputLocation": "s3://inputs/a"}])
def test_exactly_one_of_input_location_and_body_is_taken(aws, runtime, endpoint, members):
    with pytest.raises(ClientError) as caught:
        runtime.invoke_endpoint_async(EndpointName=endpoint, **members)

    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert "Exactly one of InputLocation and Body" in caught.value.response["Error"]["Message"]


@pytest.mark.parametrize(
    "members",
    [
        {"Body": b"x" * 128_001},
        {"RequestTTLSeconds": 59, "Body": b"1"},
        {"InvocationTimeoutSeconds": 3601, "Body": b"1"},
        {"Filename": "two.dots.txt", "Body": b"1"},
        {"S3OutputPathExtension": "s3://other", "Body": b"1"},
        {"InputLocation": "ftp://host/key"},
    ],
)
def test_limits_of_the_service_model_hold(aws, runtime, endpoint, members):
    with pytest.raises(ClientError) as caught:
        runtime.invoke_endpoint_async(EndpointName=endpoint, **members)

    assert caught.value.response["Error"]["Message"].startswith("1 validation error detected: Value at '")


def test_the_failure_object_holds_the_models_own_words(aws, runtime, s3):
    aws.add_endpoint("queued", "failing", asynchronous=True, s3_failure_path="s3://queued-failed/c")

    answer = runtime.invoke_endpoint_async(EndpointName="queued", Body=b"123")
    finished(aws)

    assert answer["FailureLocation"].startswith("s3://queued-failed/c/")
    assert answer["FailureLocation"].endswith("-error.out")
    assert read(s3, answer["FailureLocation"]) == (b"rejected 3 bytes", "text/plain")
    assert not is_there(s3, answer["OutputLocation"])


def test_a_failure_can_be_asked_for_at_the_submission(aws, runtime, s3, endpoint):
    aws.add_fault("InvokeEndpointAsync", "model_error", status=500, message="broke")

    failed, good = (runtime.invoke_endpoint_async(EndpointName=endpoint, Body=b"1") for _ in range(2))
    finished(aws)

    assert read(s3, failed["FailureLocation"])[0] == b"broke"
    assert is_there(s3, good["OutputLocation"])


def test_an_inference_can_be_made_to_fail_while_it_is_queued(aws, runtime, s3, endpoint):
    aws.add_fault("sagemaker:AsyncInference", "model_error", resource=endpoint)

    answer = runtime.invoke_endpoint_async(EndpointName=endpoint, Body=b"1")
    finished(aws)

    assert read(s3, answer["FailureLocation"])[0] == b"the model failed on demand"
    assert aws.invocations(endpoint) == []


def test_an_expired_inference_is_a_failure_that_never_ran(aws, runtime, s3, endpoint):
    aws.add_fault("AsyncInference", "expire")

    answer = runtime.invoke_endpoint_async(EndpointName=endpoint, Body=b"1")
    finished(aws)

    assert b"expired" in read(s3, answer["FailureLocation"])[0]
    assert aws.invocations(endpoint) == []


@pytest.mark.parametrize(("kind", "ran"), [("drop", 0), ("lose_answer", 1)])
def test_an_inference_can_vanish(aws, runtime, s3, endpoint, kind, ran):
    aws.add_fault("AsyncInference", kind)

    answer = runtime.invoke_endpoint_async(EndpointName=endpoint, Body=b"1")
    finished(aws)

    assert not is_there(s3, answer["OutputLocation"])
    assert not is_there(s3, answer["FailureLocation"])
    assert len(aws.invocations(endpoint)) == ran


def test_a_failure_can_vanish(aws, runtime, s3):
    aws.add_endpoint("queued", "failing", asynchronous=True, s3_failure_path="s3://queued-failed/c")
    aws.add_fault("AsyncInference", "lose_answer")

    answer = runtime.invoke_endpoint_async(EndpointName="queued", Body=b"1")
    finished(aws)

    assert not is_there(s3, answer["FailureLocation"])


def test_an_invocation_that_takes_too_long_is_a_failure(aws, runtime, s3, endpoint):
    answer = runtime.invoke_endpoint_async(
        EndpointName=endpoint, Body=b"1", CustomAttributes="delay=30", InvocationTimeoutSeconds=1
    )
    finished(aws)

    assert b"timed out" in read(s3, answer["FailureLocation"])[0]


def test_an_inference_waits_as_long_as_its_endpoint_or_a_fault_says(aws, runtime, s3):
    aws.add_endpoint("queued", asynchronous=True, delay=600)
    aws.add_fault("AsyncInference", "delay", seconds=0)

    quick = runtime.invoke_endpoint_async(EndpointName="queued", Body=b"1")
    while aws.pending():
        time.sleep(0.01)
    slow = runtime.invoke_endpoint_async(EndpointName="queued", Body=b"2")

    assert is_there(s3, quick["OutputLocation"])
    assert aws.pending() == 1
    assert not is_there(s3, slow["OutputLocation"])


def test_no_more_inferences_run_at_once_than_the_endpoint_allows(aws, runtime):
    aws.add_endpoint("queued", asynchronous=True, max_concurrent=1)
    runtime.invoke_endpoint_async(EndpointName="queued", Body=b"1", CustomAttributes="delay=0.3")
    runtime.invoke_endpoint_async(EndpointName="queued", Body=b"2")

    finished(aws)

    first, second = aws.invocations("queued")
    assert second.time - first.time >= 0.3


def test_a_reset_forgets_what_is_queued(aws, runtime):
    aws.add_endpoint("queued", asynchronous=True, delay=600)
    runtime.invoke_endpoint_async(EndpointName="queued", Body=b"1")

    aws.reset()

    assert aws.pending() == 0
    assert aws.invocations("queued") == []


@pytest.fixture
def notices(aws, client):
    """Give a function that makes a topic and one that reads what was published to it."""

    def subscribed():
        name = uuid.uuid4().hex
        topic = client("sns").create_topic(Name=name)["TopicArn"]
        queue = client("sqs").create_queue(QueueName=name)["QueueUrl"]
        arn = client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
        client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["QueueArn"])

        def messages():
            received = client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
            return [json.loads(json.loads(one["Body"])["Message"]) for one in received.get("Messages", [])]

        return topic, messages

    return subscribed


def test_success_and_failure_are_told_to_their_topics(aws, runtime, s3, notices):
    good, good_messages = notices()
    bad, bad_messages = notices()
    aws.add_endpoint(
        "queued",
        asynchronous=True,
        s3_failure_path="s3://queued/failed",
        success_topic=good,
        error_topic=bad,
        include_response_in=("SUCCESS_NOTIFICATION_TOPIC",),
    )
    aws.add_fault("AsyncInference", "model_error", message="broke")
    s3.put_object(Bucket="queued", Key="in.json", Body=b"[1]", ContentType=JSON)
    failed = runtime.invoke_endpoint_async(EndpointName="queued", Body=b"1", InferenceId="bad")
    finished(aws)
    succeeded = runtime.invoke_endpoint_async(
        EndpointName="queued",
        InputLocation="s3://queued/in.json",
        InferenceId="good",
        CustomAttributes="mine",
    )
    finished(aws)

    (notice,) = good_messages()
    assert notice["awsRegion"] == "us-east-1"
    assert notice["invocationStatus"] == "Completed"
    assert notice["inferenceId"] == "good"
    assert notice["requestParameters"] == {
        "contentType": JSON,
        "customAttributes": "mine",
        "endpointName": "queued",
        "inputLocation": "s3://queued/in.json",
    }
    assert notice["responseParameters"]["outputLocation"] == succeeded["OutputLocation"]
    assert base64.b64decode(notice["responseParameters"]["responseBody"]["content"]) == b"[1]"
    assert notice["eventName"] == "InferenceResult"
    assert notice["receivedTime"] <= notice["eventTime"]
    assert notice["eventTime"].endswith("Z")
    (notice,) = bad_messages()
    assert notice["invocationStatus"] == "Failed"
    assert notice["inferenceId"] == "bad"
    assert 'with message "broke"' in notice["failureReason"]
    assert notice["responseParameters"]["outputLocation"] == failed["FailureLocation"]
    assert "responseBody" not in notice["responseParameters"]


def test_an_output_whose_bucket_is_gone_is_lost_but_harms_nobody(aws, runtime, s3, endpoint):
    s3.delete_bucket(Bucket="queued-out")
    s3.delete_bucket(Bucket="queued-failed")
    aws.add_fault("InvokeEndpointAsync", "model_error")

    runtime.invoke_endpoint_async(EndpointName=endpoint, Body=b"1")
    runtime.invoke_endpoint_async(EndpointName=endpoint, Body=b"1")
    finished(aws)

    assert len(aws.invocations(endpoint)) == 1
