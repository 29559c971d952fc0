"""A canary in payloads, prompts, answers and failures is in no log record, no trigger event and no error."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import traceback

import boto3
import pytest
import structlog
from airflow_provider_aiml.endpoint_api import json_body, json_template, text
from airflow_provider_aiml.exceptions import InferenceError
from airflow_provider_aiml.hooks.api_gateway import ApiGatewaySageMakerHook
from airflow_provider_aiml.inference.quiet_logs import quiet_libraries
from airflow_provider_aiml.operators.api_gateway import (
    ApiGatewaySageMakerDeployOperator,
    ApiGatewaySageMakerInvokeOperator,
)
from airflow_provider_aiml.operators.bedrock import BedrockConverseOperator, BedrockInvokeModelOperator
from airflow_provider_aiml.operators.sagemaker import (
    SageMakerInvokeEndpointAsyncOperator,
    SageMakerInvokeEndpointOperator,
)
from airflow_provider_aiml.sensors.sagemaker import SageMakerAsyncInferenceSensor
from tests.airflow_versions import AirflowRescheduleException
from tests.unit.running import defer, event_of, resume, run

CANARY = "yellow-canary-4711"
ENCODED = base64.b64encode(CANARY.encode()).decode()
OURS = ("airflow_provider_aiml", "botocore", "aiobotocore", "boto3", "urllib3", "aiohttp", "s3fs", "fsspec")


class Everything(logging.Handler):
    """Keeps every record of this process's client side; the local AWS serves from a thread of its own."""

    def __init__(self):
        super().__init__(logging.NOTSET)
        self.lines = []

    def emit(self, record):
        of_ours = record.name.startswith(OURS)
        if record.threadName != "local-aws" and (record.levelno >= logging.INFO or of_ours):
            self.lines.append(f"{record.name} {record.levelname} {record.getMessage()} {record.__dict__}")


@pytest.fixture
def everything(aws):
    """Collect what is logged, at DEBUG and above, through logging and through structlog."""
    handler = Everything()
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in (*OURS, "root")}
    before = structlog.get_config()

    def keep(logger, method, event):
        handler.lines.append(f"structlog {method} {event!r}")
        raise structlog.DropEvent

    structlog.configure(
        processors=[keep],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        cache_logger_on_first_use=False,
    )
    root.addHandler(handler)
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield handler.lines
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    root.removeHandler(handler)
    structlog.configure(**before)


@pytest.fixture
def endpoints(aws, s3):
    paths = {"s3_output_path": "s3://bucket/out", "s3_failure_path": "s3://bucket/err"}
    aws.add_endpoint("echo")
    aws.add_endpoint("slow", **paths)
    s3.put_object(Bucket="bucket", Key="in.json", Body=json.dumps({"a": CANARY}))
    return aws


@contextlib.contextmanager
def an_error_without_the_canary():
    with pytest.raises(InferenceError) as caught:
        yield
    told = "".join(traceback.format_exception(caught.value))
    assert CANARY not in told + repr(caught.value) + json.dumps(caught.value.to_dict())


def real_time(**kwargs):
    given = {"task_id": "t", "endpoint_name": "echo", "quote_model_errors": False, **kwargs}
    return SageMakerInvokeEndpointOperator(**given)


def asynchronous(**kwargs):
    given = {
        "task_id": "t",
        "endpoint_name": "slow",
        "waiter_delay": 0.05,
        "quote_model_errors": False,
        **kwargs,
    }
    return SageMakerInvokeEndpointAsyncOperator(**given)


def invoke(**kwargs):
    body = {"messages": [{"role": "user", "content": CANARY}]}
    given = {"task_id": "t", "model_id": "ai21.jamba-instruct-v1:0", "input_data": body, **kwargs}
    return BedrockInvokeModelOperator(**given)


def converse(**kwargs):
    return BedrockConverseOperator(
        **{"task_id": "t", "model_id": "amazon.nova-pro-v1:0", "message": CANARY, **kwargs}
    )


def sensor(**kwargs):
    given = {"task_id": "t", "poke_interval": 0.05, "quote_model_errors": False, **kwargs}
    return SageMakerAsyncInferenceSensor(**given)


def real_time_answers(aws):
    assert run(real_time(payload={"a": CANARY}))["body"] == {"a": CANARY}
    run(real_time(payload={"a": CANARY}, output_uri="s3://bucket/answer.json"))
    assert (
        run(
            real_time(payload={"a": CANARY}, output_uri="s3://bucket/answer.json", result_expression="body.a")
        )
        == CANARY
    )
    run(real_time(payload_uri="s3://bucket/in.json", result_expression="body.nothing"))
    run(real_time(payload=CANARY * 100_000, content_type="text/plain"))
    run(real_time(payload=CANARY, content_type="application/x-unknown"))


def real_time_errors(aws):
    with an_error_without_the_canary():
        run(real_time(payload=CANARY))
    with an_error_without_the_canary():
        run(real_time(payload={"a": [{CANARY}]}))
    with an_error_without_the_canary():
        run(real_time(payload=f'{{"a": {CANARY}'.encode(), output_uri="s3://bucket/malformed.json"))
    with an_error_without_the_canary():
        run(real_time(payload={"a": CANARY}, custom_attributes=CANARY * 100))
    with an_error_without_the_canary():
        run(real_time(payload={"a": CANARY}, result_expression="length(`1`)"))
    aws.add_fault("sagemaker:InvokeEndpoint", "truncate", keep_bytes=20)
    with an_error_without_the_canary():
        run(real_time(payload={"a": CANARY}, output_uri="s3://bucket/truncated.json"))
    aws.add_fault("sagemaker:InvokeEndpoint", "model_error", status=400, message=CANARY)
    with an_error_without_the_canary():
        run(real_time(payload={"a": CANARY}))
    aws.add_fault("sagemaker:InvokeEndpoint", code="ValidationError", message=f"Bad input {CANARY}")
    with an_error_without_the_canary():
        run(real_time(payload={"a": CANARY}))
    aws.add_fault("s3:PUT", code="AccessDenied")
    with an_error_without_the_canary():
        run(real_time(payload={"a": CANARY}, output_uri="s3://bucket/denied.json"))


def asynchronous_answers(aws):
    large = {"a": CANARY * 8_000}
    assert run(asynchronous(payload={"a": CANARY}, result="body"))["body"] == {"a": CANARY}
    assert run(asynchronous(payload=large, upload_to="s3://bucket/in/", result="body"))["body"] == large
    run(asynchronous(payload_uri="s3://bucket/in.json", output_uri="s3://bucket/copies/"), run_id="other")
    deferral = defer(asynchronous(payload={"b": CANARY}, deferrable=True))
    assert CANARY not in json.dumps(deferral.trigger.serialize())
    event = event_of(deferral.trigger)
    assert CANARY not in json.dumps(event)
    resumed = asynchronous(payload={"b": CANARY}, result="body")
    assert resume(resumed, deferral, event)["body"] == {"b": CANARY}


def asynchronous_errors(aws):
    aws.add_fault("sagemaker:AsyncInference", "model_error", status=400, message=CANARY, count=2)
    with an_error_without_the_canary():
        run(asynchronous(payload={"c": CANARY}))
    deferral = defer(asynchronous(payload={"d": CANARY}, deferrable=True))
    event = event_of(deferral.trigger)
    assert event["status"] == "failed"
    assert CANARY not in json.dumps(event)
    with an_error_without_the_canary():
        resume(asynchronous(payload={"d": CANARY}), deferral, event)
    aws.add_fault("s3:PUT", code="AccessDenied")
    with an_error_without_the_canary():
        run(asynchronous(payload={"e": CANARY * 8_000}, upload_to="s3://bucket/in/"))
    with an_error_without_the_canary():
        run(asynchronous(payload=f"{{{CANARY}".encode(), result="body"))


def bedrock_answers(aws):
    assert CANARY in json.dumps(run(invoke()))
    run(invoke(output_uri="s3://bucket/jamba.json"))
    run(invoke(output_uri="s3://bucket/jamba.json", result_expression="body.nothing"))
    assert CANARY in run(converse())["text"]
    history = run(converse(output_uri="s3://bucket/talk.json", result_expression="history"))
    document = {"name": "notes", "format": "txt", "source": {"bytes": CANARY.encode()}}
    run(converse(history=history, message=[{"document": document}, {"text": CANARY}], system=CANARY))


def bedrock_errors(aws):
    with an_error_without_the_canary():
        run(converse(model_id="test.content-filtered-v1:0"))
    for task in (invoke, converse):
        with an_error_without_the_canary():
            run(task(model_id="test.model-error-v1:0", quote_model_errors=False))
        with an_error_without_the_canary():
            run(task(model_id="test.invalid-v1:0"))
        with an_error_without_the_canary():
            run(task(model_id="no model"))
        aws.add_fault("bedrock:*", code="ValidationException", message=f"Malformed input {CANARY}")
        with an_error_without_the_canary():
            run(task())
    with an_error_without_the_canary():
        run(invoke(input_data={"a": [{CANARY}]}))
    with an_error_without_the_canary():
        run(converse(history=[{"role": "assistant", "content": CANARY}]))
    with an_error_without_the_canary():
        run(converse(message=[{"text": CANARY, "tomorrow": CANARY}]))


def sensors_see_outputs(aws):
    submitted = run(asynchronous(payload={"f": CANARY}, wait_for_completion=False))
    with contextlib.suppress(AirflowRescheduleException):
        run(sensor(inference=submitted, result="body", mode="reschedule"))
    assert run(sensor(inference=submitted, result="body"))["body"] == {"f": CANARY}
    run(sensor(inference=[submitted], output_uri="s3://bucket/copies/"))
    run(sensor(inference=submitted, result="body", result_expression="body.nothing"))


def sensors_see_failures(aws):
    aws.add_fault("sagemaker:AsyncInference", "model_error", status=400, message=CANARY)
    submitted = run(asynchronous(payload={"g": CANARY}, wait_for_completion=False))
    with an_error_without_the_canary():
        run(sensor(inference=submitted))
    with an_error_without_the_canary():
        run(sensor(inference=CANARY))
    with an_error_without_the_canary():
        run(sensor(inference={CANARY: CANARY}))


def notices_bring_answers(aws):
    """SageMaker puts the answer into its notice, in base64, where the endpoint asks for it."""
    sqs, sns = (
        boto3.client(
            service,
            endpoint_url=aws.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )
        for service in ("sqs", "sns")
    )
    with quiet_libraries():
        url = sqs.create_queue(QueueName="notices")["QueueUrl"]
        queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        topic = sns.create_topic(Name="outcomes")["TopicArn"]
        sns.subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"}
        )
    aws.add_endpoint(
        "telling",
        delay=1.0,
        s3_output_path="s3://bucket/out",
        s3_failure_path="s3://bucket/err",
        success_topic=topic,
        include_response_in=("SUCCESS_NOTIFICATION_TOPIC",),
    )
    task = asynchronous(
        endpoint_name="telling",
        payload=CANARY,
        content_type="text/plain",
        deferrable=True,
        waiter_delay=3_600,
        sqs_queue=url,
    )
    assert event_of(defer(task).trigger)["status"] == "completed"


def front_door(**kwargs):
    """Deploy an API in front of the echo, which takes what it is given; give its URL."""
    api = {"name": "front", "endpoint_name": "echo", "resource_path": "", "method": "POST", **kwargs}
    api["request_mapping_template"] = json_template({"q": text("q"), "body": json_body()})
    task = ApiGatewaySageMakerDeployOperator(task_id="t", stack_name="front", waiter_delay=0.05, api=api)
    return run(task)["url"]


def ask(url, **kwargs):
    given = {"task_id": "t", "url": url, "method": "POST", "quote_model_errors": False, **kwargs}
    return ApiGatewaySageMakerInvokeOperator(**given)


def api_answers(aws):
    url = front_door()
    body = json.dumps({"a": CANARY}).encode()
    given = {"query": {"q": CANARY}, "payload": {"a": CANARY}, "api_key_conn_id": "key"}
    assert run(ask(url, **given))["body"] == {"q": CANARY, "body": {"a": CANARY}}
    # The hook by itself, in a task of somebody's own.
    answer = ApiGatewaySageMakerHook().invoke(
        url=url, method="POST", body=body, query={"q": CANARY}, api_key=CANARY, headers={"X-Mine": CANARY}
    )
    assert CANARY.encode() in answer["Body"]


def api_errors(aws):
    url = front_door()
    aws.add_fault("sagemaker:InvokeEndpoint", "model_error", message=CANARY)
    with an_error_without_the_canary():
        run(ask(url, query={"q": CANARY}, payload={"a": CANARY}))
    aws.add_fault("execute-api:POST", "truncate", keep_bytes=30)
    with an_error_without_the_canary():
        run(ask(url, query={"q": CANARY}, payload={"a": CANARY}, output_uri="s3://bucket/api.json"))
    for given in ({"authorization": "NONE"}, {"path": CANARY}, {"payload": [{CANARY}]}):
        with an_error_without_the_canary():
            run(ask(url, **{"query": {"q": CANARY}, "payload": CANARY, "api_key_conn_id": "key", **given}))
    aws.add_fault("execute-api:POST", "drop")
    with an_error_without_the_canary():
        ApiGatewaySageMakerHook().invoke(url=url, method="POST", query={"q": CANARY}, api_key=CANARY)


@pytest.mark.parametrize(
    "scenario",
    [
        real_time_answers,
        real_time_errors,
        asynchronous_answers,
        asynchronous_errors,
        bedrock_answers,
        bedrock_errors,
        sensors_see_outputs,
        sensors_see_failures,
        notices_bring_answers,
        api_answers,
        api_errors,
    ],
)
def test_no_word_of_a_payload_is_told(endpoints, everything, scenario, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_KEY", json.dumps({"conn_type": "generic", "password": CANARY}))
    scenario(endpoints)

    assert len(everything) > 5
    assert [line[:2_000] for line in everything if CANARY in line or ENCODED in line] == []


def test_the_canary_would_be_seen(endpoints, everything):
    """Without this the tests above could pass because nothing is collected."""
    run(real_time(payload={"a": CANARY}, log_payloads=True))

    assert any(CANARY in line for line in everything if line.startswith("botocore"))


def test_the_model_s_own_failure_message_is_told_where_it_may_be(endpoints):
    endpoints.add_fault("sagemaker:InvokeEndpoint", "model_error", status=400, message=CANARY * 1_000)

    with pytest.raises(InferenceError, match=CANARY) as caught:
        run(real_time(payload={}, quote_model_errors=True))
    assert len(str(caught.value)) < 2_500
