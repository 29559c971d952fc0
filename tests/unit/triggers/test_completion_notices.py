"""Waits that a notice ends, through the local AWS: SageMaker's stand-in, SNS, SQS and S3 over HTTP."""

from __future__ import annotations

import asyncio
import json

import boto3
import pytest
from airflow_provider_aiml.exceptions import ModelFailedError, NoticeQueueError, RequestError
from airflow_provider_aiml.inference import completion_notices, output_watch
from airflow_provider_aiml.operators.sagemaker import SageMakerInvokeEndpointAsyncOperator
from airflow_provider_aiml.sensors.sagemaker import SageMakerAsyncInferenceSensor
from airflow_provider_aiml.triggers.sagemaker import SageMakerAsyncInferenceTrigger
from tests.airflow_versions import AirflowFailException
from tests.unit.running import StateStore, again, defer, event_of, resume, run, through_triggerer

NAME = "notices"
ARN = f"arn:aws:sqs:us-east-1:123456789012:{NAME}"
SLOW = {"poll_interval": 3_600.0}


def client(aws, service):
    return boto3.client(
        service,
        endpoint_url=aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )


@pytest.fixture
def sqs(aws):
    return client(aws, "sqs")


@pytest.fixture
def url(sqs):
    return sqs.create_queue(QueueName=NAME)["QueueUrl"]


@pytest.fixture(params=["false", "true"], ids=["in SNS's envelope", "raw"])
def fed(request, aws, url, s3):
    """A queue that is fed by the topics of two endpoints, one that echoes and one that fails."""
    sns = client(aws, "sns")
    topics = {}
    for outcome in ("success", "error"):
        topics[f"{outcome}_topic"] = topic = sns.create_topic(Name=outcome)["TopicArn"]
        raw = {"RawMessageDelivery": request.param}
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=ARN, Attributes=raw)
    paths = {"s3_output_path": "s3://bucket/out", "s3_failure_path": "s3://bucket/err"}
    aws.add_endpoint("slow", delay=1.0, **paths, **topics)
    aws.add_endpoint("failing", "failing", delay=1.0, **paths, **topics)
    return url


def wait_for(inference, **kwargs):
    return SageMakerAsyncInferenceTrigger(**{"inferences": [inference], **SLOW, **kwargs})


def place(name):
    return {
        "inference_id": f"id-{name}",
        "output_location": f"s3://bucket/out/{name}",
        "failure_location": f"s3://bucket/err/{name}",
    }


def messages_in(sqs, url):
    counts = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=counts)["Attributes"]
    return [int(told[name]) for name in counts]


def submit(endpoint, **kwargs):
    return SageMakerInvokeEndpointAsyncOperator(
        task_id="submit",
        endpoint_name=endpoint,
        payload={"a": 1},
        deferrable=True,
        waiter_delay=3_600,
        **kwargs,
    )


def test_the_operator_goes_on_at_the_notice_of_its_inference(fed, sqs):
    result = through_triggerer(lambda: submit("slow", sqs_queue=fed, result="body"))

    assert result["body"] == {"a": 1}
    assert messages_in(sqs, fed) == [0, 0]


def test_the_operator_fails_at_the_notice_of_failure_with_the_models_words(fed):
    with pytest.raises(ModelFailedError) as caught:
        through_triggerer(lambda: submit("failing", sqs_queue=NAME))

    assert caught.value.model_message


def test_the_sensor_goes_on_at_the_notices_of_many(aws, fed, sqs):
    submission = SageMakerInvokeEndpointAsyncOperator(
        task_id="submit",
        endpoint_name="slow",
        payloads=[{"a": number} for number in range(12)],
        wait_for_completion=False,
    )
    with aws.held():
        sensor = SageMakerAsyncInferenceSensor(
            task_id="wait", inference=run(submission), sqs_queue=ARN, poke_interval=3_600, deferrable=True
        )
        deferral = defer(sensor)
    result = resume(sensor, deferral, event_of(deferral.trigger))

    assert {one["status"] for one in result} == {"completed"}
    assert messages_in(sqs, fed) == [0, 0]


@pytest.mark.parametrize("named", [NAME, ARN, "http://127.0.0.1:1/123456789012/absent", "absent"])
def test_a_queue_that_does_not_exist_ends_the_wait_by_name(aws, s3, named):
    named = named.replace("http://127.0.0.1:1", aws.endpoint_url)
    event = event_of(wait_for(place("a"), sqs_queue=named))

    assert (event["status"], event["index"]) == ("unreadable", 0)
    assert event["error"]["type"] == "NoticeQueueError"
    assert f"{named} does not exist in region us-east-1" in event["error"]["message"]


def test_a_queue_of_another_region_ends_the_task_for_good(aws, s3):
    queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/notices"
    sensor = SageMakerAsyncInferenceSensor(
        task_id="wait", output_location="s3://bucket/out/a", deferrable=True, sqs_queue=queue
    )
    deferral = defer(sensor)

    with pytest.raises(NoticeQueueError, match="eu-west-1, the connection in us-east-1") as caught:
        resume(sensor, deferral, event_of(deferral.trigger))
    assert isinstance(caught.value, AirflowFailException)


def test_a_queue_that_is_deleted_in_mid_wait_ends_the_wait(aws, s3, sqs, url):
    async def scenario():
        short = {"read_timeout": 3}  # so that the long polls are short
        trigger = wait_for(place("a"), sqs_queue=url, botocore_config=short)
        waiting = asyncio.ensure_future(anext(trigger.run()))
        while not aws.request_counts().get("sqs:ReceiveMessage"):
            await asyncio.sleep(0.05)
        await asyncio.to_thread(sqs.delete_queue, QueueUrl=url)
        return (await asyncio.wait_for(waiting, 60)).payload

    event = asyncio.run(scenario())
    assert event["error"]["code"] == "AWS.SimpleQueueService.NonExistentQueue"


def test_a_notice_for_others_is_still_there_after_the_wait(aws, s3, sqs, url):
    foreign = json.dumps({"inferenceId": "another's"})

    async def scenario():
        waiting = asyncio.ensure_future(anext(wait_for(place("a"), sqs_queue=url).run()))
        await asyncio.to_thread(sqs.send_message, QueueUrl=url, MessageBody=foreign)
        await asyncio.to_thread(sqs.send_message, QueueUrl=url, MessageBody="rubbish")
        while not aws.request_counts().get("s3:LIST"):  # the look at its start, which must find nothing
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        await asyncio.to_thread(s3.put_object, Bucket="bucket", Key="out/a", Body=b"")
        own = json.dumps({"inferenceId": "id-a"})
        await asyncio.to_thread(sqs.send_message, QueueUrl=url, MessageBody=own)
        return (await asyncio.wait_for(waiting, 60)).payload

    assert asyncio.run(scenario())["status"] == "completed"
    assert sum(messages_in(sqs, url)) == 2


def test_a_trigger_that_is_cancelled_and_restarted_leaves_no_receiver(aws, s3, sqs, url):
    async def scenario():
        trigger = wait_for(place("a"), sqs_queue=url)
        waiting = asyncio.ensure_future(anext(trigger.run()))
        loop = asyncio.get_running_loop()
        while not {"s3:LIST", "sqs:ReceiveMessage"} <= aws.request_counts().keys():
            await asyncio.sleep(0.05)
        assert completion_notices._receivers[loop]
        assert output_watch._watchers[loop]
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert not completion_notices._receivers[loop]
        assert not output_watch._watchers[loop]
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.to_thread(s3.put_object, Bucket="bucket", Key="out/a", Body=b"")
        return (await asyncio.wait_for(anext(again(trigger).run()), 60)).payload

    assert asyncio.run(scenario())["status"] == "completed"


@pytest.mark.parametrize(
    "make",
    [
        submit,
        lambda _, **kwargs: SageMakerAsyncInferenceSensor(
            task_id="wait", output_location="s3://bucket/out/a", **kwargs
        ),
    ],
    ids=["the operator", "the sensor"],
)
def test_what_is_no_queue_is_refused_before_anything_is_sent(aws, s3, make):
    with pytest.raises(RequestError, match="sqs_queue"):
        make("slow", sqs_queue="no queue")
    task = make("slow", sqs_queue="{{ var.value.queue }}")
    task.sqs_queue = "no queue either"  # as rendered
    with pytest.raises(RequestError, match="sqs_queue"):
        run(task)
    assert "sqs_queue" in task.template_fields


def test_a_wait_in_a_worker_says_that_it_does_not_use_the_queue(aws, s3, told):
    s3.put_object(Bucket="bucket", Key="out/a", Body=b"")
    sensor = SageMakerAsyncInferenceSensor(
        task_id="wait", output_location="s3://bucket/out/a", deferrable=False, sqs_queue=NAME
    )

    assert run(sensor)["status"] == "completed"
    assert any("sqs_queue serves waits in the triggerer" in line for line in told.lines)


def test_a_wait_for_what_may_have_been_sent_does_not_use_the_queue(aws, s3):
    aws.add_endpoint("slow", s3_output_path="s3://bucket/out", delay=3_600.0)
    store = StateStore()
    run(submit("slow", wait_for_completion=False), state_store=store)
    for name, page in store.values.items():  # as if it was killed between its intent and SageMaker's answer
        kept = ("ordinal", "asked_at")
        asked = {
            key: {"state": "asked", **{name: one[name] for name in kept}}
            for key, one in json.loads(page).items()
        }
        store.values[name] = json.dumps(asked)
    deferral = defer(submit("slow", sqs_queue=NAME), state_store=store, try_number=2)

    assert deferral.method_name == "look_again"
    assert deferral.trigger.sqs_queue is None
