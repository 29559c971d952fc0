from __future__ import annotations

import asyncio

import pytest
from airflow_provider_aiml.local_aws import ControlError
from airflow_provider_aiml.local_aws.faults import Fault, Faults, Target
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError, ResponseStreamingError
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import ProtocolError

MESSAGES = [{"role": "user", "content": [{"text": "hello"}]}]
JAMBA = "ai21.jamba-instruct-v1:0"


def invoke(runtime, endpoint="echo"):
    return runtime.invoke_endpoint(EndpointName=endpoint, Body=b"0123456789")["Body"].read()


def test_the_next_n_calls_are_throttled_as_sagemaker_does(aws, runtime):
    aws.add_endpoint("echo")
    aws.add_fault("InvokeEndpoint", code="ThrottlingException", count=2)

    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            invoke(runtime)
        assert caught.value.response["Error"] == {"Code": "ThrottlingException", "Message": None}
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400

    assert invoke(runtime) == b"0123456789"
    assert len(aws.invocations("echo")) == 1


def test_bedrock_throttles_with_429(aws, client):
    aws.add_fault("bedrock:Converse", code="ThrottlingException")

    with pytest.raises(ClientError) as caught:
        client("bedrock-runtime").converse(modelId=JAMBA, messages=MESSAGES)

    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert aws.invocations(JAMBA) == []


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ServiceUnavailable", 503),
        ("InternalFailure", 500),
        ("InternalDependencyException", 530),
        ("AccessDeniedException", 403),
        ("ModelNotReadyException", 429),
        ("ValidationError", 400),
    ],
)
def test_an_error_comes_with_the_status_that_aws_gives_it(aws, runtime, code, status):
    aws.add_endpoint("echo")
    aws.add_fault("sagemaker:InvokeEndpoint", code=code)

    with pytest.raises(ClientError) as caught:
        invoke(runtime)

    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_an_error_can_have_any_status_message_and_members(aws, runtime):
    aws.add_endpoint("echo")
    aws.add_fault(
        "*",
        code="ModelError",
        status=424,
        message="told",
        fields={"OriginalStatusCode": 507},
        resource="echo",
    )

    with pytest.raises(ClientError) as caught:
        invoke(runtime)

    assert caught.value.response["Error"]["Message"] == "told"
    assert caught.value.response["OriginalStatusCode"] == 507


def test_a_fault_hits_only_what_it_is_for(aws, runtime):
    aws.add_endpoint("echo")
    aws.add_endpoint("other")
    aws.add_fault("InvokeEndpoint", resource="oth*")

    assert invoke(runtime) == b"0123456789"
    with pytest.raises(ClientError):
        invoke(runtime, "other")


def test_a_dropped_request_never_reaches_the_model(aws, runtime):
    aws.add_endpoint("echo")
    aws.add_fault("InvokeEndpoint", "drop")

    with pytest.raises(ConnectionClosedError):
        invoke(runtime)

    assert aws.invocations("echo") == []


def test_a_lost_answer_was_paid_for(aws, runtime):
    aws.add_endpoint("echo")
    aws.add_fault("InvokeEndpoint", "lose_answer")

    with pytest.raises(ConnectionClosedError):
        invoke(runtime)

    assert len(aws.invocations("echo")) == 1


@pytest.mark.parametrize("keep_bytes", [None, 0, 3])
def test_a_truncated_body_ends_before_its_content_length(aws, runtime, keep_bytes):
    aws.add_endpoint("echo")
    aws.add_fault("InvokeEndpoint", "truncate", keep_bytes=keep_bytes)

    with pytest.raises(ResponseStreamingError) as caught:
        invoke(runtime)

    assert f"{5 if keep_bytes is None else keep_bytes} bytes read" in str(caught.value)


@pytest.mark.parametrize("pieces", [2, 999])
def test_a_truncated_stream_ends_early_however_few_pieces_it_has(aws, client, pieces):
    aws.add_fault("ConverseStream", "truncate", keep_bytes=pieces)

    answer = client("bedrock-runtime").converse_stream(modelId=JAMBA, messages=MESSAGES)

    with pytest.raises(ProtocolError, match="ended prematurely"):
        list(answer["stream"])


def test_a_model_error_on_demand_does_not_ask_the_model(aws, runtime):
    aws.add_endpoint("echo")
    aws.add_fault("InvokeEndpoint", "model_error", status=507, message="out of memory")

    with pytest.raises(ClientError) as caught:
        invoke(runtime)

    assert caught.value.response["OriginalStatusCode"] == 507
    assert caught.value.response["OriginalMessage"] == "out of memory"
    assert aws.invocations("echo") == []


def test_a_bedrock_model_error_on_demand_was_paid_for(aws, client):
    aws.add_fault("Converse", "model_error")

    with pytest.raises(ClientError) as caught:
        client("bedrock-runtime").converse(modelId=JAMBA, messages=MESSAGES)

    assert caught.value.response["Error"]["Code"] == "ModelErrorException"
    assert [invocation.status for invocation in aws.invocations(JAMBA)] == [424]


def test_a_slow_answer_holds_up_nobody_else(aws, runtime, client, local_aws):
    import boto3
    from botocore.config import Config

    aws.add_endpoint("echo")
    aws.add_endpoint("slow")
    aws.add_fault("InvokeEndpoint", "delay", seconds=30, resource="slow")
    impatient = boto3.client(
        "sagemaker-runtime",
        endpoint_url=local_aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=Config(read_timeout=0.2, retries={"total_max_attempts": 1}),
    )

    with pytest.raises(ReadTimeoutError):
        impatient.invoke_endpoint(EndpointName="slow", Body=b"1")

    assert invoke(runtime) == b"0123456789"


@pytest.mark.parametrize(
    ("code", "status"), [("AccessDenied", 403), ("SlowDown", 503), ("InternalError", 500)]
)
def test_s3_says_no_in_its_own_words(aws, s3, code, status):
    s3.create_bucket(Bucket="some-bucket")
    s3.put_object(Bucket="some-bucket", Key="some/key", Body=b"1")
    aws.add_fault("s3:GET", code=code, resource="some-bucket", key_prefix="some/")
    aws.add_fault("s3:HEAD", code=code)
    aws.add_fault("s3:LIST", code=code)

    with pytest.raises(ClientError) as get:
        s3.get_object(Bucket="some-bucket", Key="some/key")
    with pytest.raises(ClientError) as head:
        s3.head_object(Bucket="some-bucket", Key="some/key")
    with pytest.raises(ClientError) as listing:
        s3.list_objects_v2(Bucket="some-bucket", Prefix="some/")

    assert get.value.response["Error"]["Code"] == listing.value.response["Error"]["Code"] == code
    assert head.value.response["Error"]["Code"] == str(status)
    assert s3.get_object(Bucket="some-bucket", Key="some/key")["Body"].read() == b"1"


def test_s3_resets_the_connection(aws, s3):
    s3.create_bucket(Bucket="some-bucket")
    aws.add_fault("s3:*", "drop", count=1)

    with pytest.raises(ConnectionClosedError):
        s3.list_objects_v2(Bucket="some-bucket")

    assert s3.list_objects_v2(Bucket="some-bucket")["KeyCount"] == 0


def test_a_fault_of_s3_hits_only_keys_with_its_prefix(aws, s3):
    s3.create_bucket(Bucket="some-bucket")
    s3.put_object(Bucket="some-bucket", Key="safe/key", Body=b"1")
    aws.add_fault("s3:GET", code="SlowDown", key_prefix="some/")

    assert s3.get_object(Bucket="some-bucket", Key="safe/key")["Body"].read() == b"1"


@pytest.mark.parametrize(
    ("service", "call", "members", "operation"),
    [
        ("sts", "get_caller_identity", {}, "sts:GetCallerIdentity"),
        ("sagemaker", "describe_endpoint", {"EndpointName": "echo"}, "sagemaker:DescribeEndpoint"),
        ("sqs", "list_queues", {}, "sqs:ListQueues"),
    ],
)
def test_every_other_service_can_be_made_to_fail_in_its_own_protocol(
    aws, client, service, call, members, operation
):
    aws.add_fault(operation, code="AccessDenied", message="no <right>")

    with pytest.raises(ClientError) as caught:
        getattr(client(service), call)(**members)

    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    assert caught.value.response["Error"]["Message"] == "no <right>"
    assert aws.request_counts() == {operation: 1}


def test_a_fault_can_be_taken_back(aws, runtime):
    aws.add_endpoint("echo")
    fault = aws.add_fault("InvokeEndpoint", count=5)

    assert aws.remove_fault(fault) is True
    assert aws.remove_fault(fault) is False
    assert invoke(runtime) == b"0123456789"


def test_clearing_the_faults_ends_all_of_them(aws, runtime):
    aws.add_endpoint("echo")
    aws.add_fault("*", for_seconds=600)
    aws.clear_faults()

    assert invoke(runtime) == b"0123456789"


def test_an_unknown_kind_of_fault_is_refused(aws):
    with pytest.raises(ControlError, match="kind is one of error, delay"):
        aws.add_fault("InvokeEndpoint", "explode")


def test_a_fault_without_a_count_lasts_as_long_as_it_was_given():
    now = [100.0]
    faults = Faults(clock=lambda: now[0])
    faults.add(Fault("s3:HEAD", for_seconds=10))
    target = Target("s3:HEAD", "bucket", "key")

    assert [faults.take(target, "error") is not None for _ in range(3)] == [True, True, True]
    now[0] = 110.0
    assert faults.take(target, "error") is None


def test_a_fault_is_taken_only_as_the_kind_that_it_is():
    faults = Faults()
    faults.add(Fault("InvokeEndpoint", "delay"))

    assert faults.take(Target("sagemaker:InvokeEndpoint"), "error", "drop") is None
    assert faults.take(Target("sagemaker:InvokeEndpoint"), "error", "delay") is not None


@given(st.integers(1, 20), st.integers(0, 30))
def test_a_fault_happens_exactly_as_often_as_it_was_told(count, requests):
    faults = Faults()
    faults.add(Fault("s3:GET", count=count))

    taken = [faults.take(Target("s3:GET", "b", "k"), "error") for _ in range(requests)]

    assert sum(fault is not None for fault in taken) == min(count, requests)


@given(st.text(), st.text(), st.text())
def test_a_fault_for_one_resource_and_prefix_hits_no_other(resource, prefix, key):
    fault = Fault("s3:GET", resource="the-bucket", key_prefix=prefix)

    hit = fault.matches(Target("s3:GET", resource, key))

    assert hit == (resource == "the-bucket" and key.startswith(prefix))


@pytest.mark.parametrize("end", [lambda faults, it: faults.remove(it), lambda faults, it: faults.clear()])
def test_delays_that_are_under_way_end_with_their_fault(end):
    async def delayed() -> list[bool]:
        faults = Faults()
        fault_id = faults.add(Fault("s3:GET", "delay", seconds=3600, count=2))
        waiting = [asyncio.create_task(faults.delay(Target("s3:GET"))) for _ in range(2)]
        await asyncio.sleep(0)
        assert not any(one.done() for one in waiting)
        end(faults, fault_id)
        return await asyncio.gather(*waiting, faults.delay(Target("s3:GET")))

    assert asyncio.run(delayed()) == [True, True, False]


def test_a_removal_tells_whether_a_delay_was_under_way():
    async def removed(seconds: float) -> bool:
        faults = Faults()
        fault_id = faults.add(Fault("s3:GET", "delay", seconds=seconds))
        waiting = asyncio.create_task(faults.delay(Target("s3:GET")))
        await asyncio.wait([waiting], timeout=None if seconds < 1 else 0)
        return faults.remove(fault_id)

    assert [asyncio.run(removed(seconds)) for seconds in (3600, 0.001)] == [True, False]
