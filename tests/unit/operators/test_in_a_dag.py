"""The tasks inside real DAGs: defaults, templates, mapping, XComArgs, serialization."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import structlog
from airflow.sdk import DAG, task
from airflow.sdk.execution_time import task_runner
from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.operators.bedrock import BedrockConverseOperator, BedrockInvokeModelOperator
from airflow_provider_aiml.operators.sagemaker import (
    SageMakerInvokeEndpointAsyncOperator,
    SageMakerInvokeEndpointOperator,
)
from airflow_provider_aiml.sensors.sagemaker import SageMakerAsyncInferenceSensor
from tests.airflow_versions import DagSerialization
from tests.unit.running import defer, event_of, resume, run

TASKS = {
    SageMakerInvokeEndpointOperator: {"endpoint_name": "{{ params.name }}", "payload": {"a": ["{{ ds }}"]}},
    SageMakerInvokeEndpointAsyncOperator: {"endpoint_name": "e", "input_location": "s3://b/{{ ds }}"},
    BedrockInvokeModelOperator: {"model_id": "{{ params.name }}", "input_data": {"prompt": "{{ ds }}"}},
    BedrockConverseOperator: {"model_id": "m", "message": "{{ ds }}", "system": "{{ params.name }}"},
    SageMakerAsyncInferenceSensor: {"output_location": "s3://b/{{ ds }}", "mode": "reschedule"},
}
EVERY = pytest.mark.parametrize("operator", TASKS)
DEFAULTS = {
    "aws_conn_id": "mine",
    "region_name": "eu-west-1",
    "verify": False,
    "botocore_config": {"read_timeout": 5},
    "retry_args": {"attempts": 2},
    "validate": False,
    "log_payloads": True,
    "quote_model_errors": False,
    "output_uri": "s3://bucket/{{ ds }}/",
    "result_expression": "body",
}
CONTEXT = {"ds": "2026-11-20", "params": {"name": "e-1"}}


@pytest.fixture
def dag():
    with DAG("inference", schedule=None, default_args=DEFAULTS) as dag:
        yield dag


@EVERY
def test_default_args_reach_every_task(dag, operator):
    made = operator(task_id="t", **TASKS[operator])

    assert {name: getattr(made, name) for name in DEFAULTS} == DEFAULTS


@EVERY
def test_a_task_s_own_argument_wins_over_the_default(dag, operator):
    made = operator(task_id="t", aws_conn_id=None, region_name="us-east-1", **TASKS[operator])

    assert (made.aws_conn_id, made.region_name) == (None, "us-east-1")


@EVERY
def test_templates_are_rendered(dag, operator):
    made = operator(task_id="t", **TASKS[operator])
    made.render_template_fields(CONTEXT)

    rendered = json.dumps([getattr(made, field) for field in made.template_fields], default=str)
    assert "{{" not in rendered
    assert "2026-11-20" in rendered
    assert made.output_uri == "s3://bucket/2026-11-20/"


@EVERY
def test_a_dag_with_the_task_survives_airflow_s_serialization(dag, operator):
    operator(task_id="t", **TASKS[operator])

    kept = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    again = DagSerialization.from_dict(kept)

    assert again.get_task("t").task_type == operator.__name__
    assert set(again.get_task("t").template_fields) == set(operator.template_fields)


def test_the_sensor_stays_a_sensor_that_reschedules(dag):
    SageMakerAsyncInferenceSensor(task_id="t", **TASKS[SageMakerAsyncInferenceSensor])

    kept = json.loads(json.dumps(DagSerialization.to_dict(dag)))["dag"]["tasks"][0]["__var"]
    assert kept["_is_sensor"]
    assert kept["reschedule"]


def test_a_payload_may_be_a_template_file(dag, tmp_path, aws):
    (tmp_path / "ask.json.j2").write_text('{"day": "{{ ds }}"}')
    dag.template_searchpath = [str(tmp_path)]
    made = SageMakerInvokeEndpointOperator(
        task_id="t", endpoint_name="echo", payload="ask.json.j2", aws_conn_id="aws_default", region_name=None
    )
    made.output_uri = None
    made.resolve_template_files()
    made.render_template_fields(CONTEXT)
    aws.add_endpoint("echo")

    assert run(made) == {"day": "2026-11-20"}


def test_a_request_may_be_a_template_file_of_each_kind(dag, tmp_path):
    dag.template_searchpath = [str(tmp_path)]
    kinds = {
        (SageMakerInvokeEndpointOperator, "payload"): ("json", "jsonl", "csv", "txt"),
        (SageMakerInvokeEndpointAsyncOperator, "payload"): ("json", "jsonl", "csv", "txt"),
        (BedrockInvokeModelOperator, "input_data"): ("json", "txt"),
        (BedrockConverseOperator, "message"): ("json", "txt"),
    }
    for (operator, field), endings in kinds.items():
        for ending in endings:
            (tmp_path / f"ask.{ending}.j2").write_text("{{ ds }}!")
            given = {"endpoint_name": "e"} if operator.__name__.startswith("SageMaker") else {"model_id": "m"}
            made = operator(task_id=f"t-{operator.__name__}-{ending}", **given, **{field: f"ask.{ending}.j2"})
            made.resolve_template_files()
            made.render_template_fields(CONTEXT)

            assert getattr(made, field) == "2026-11-20!"


def test_native_rendering_gives_structures(aws):
    with DAG("native", schedule=None, render_template_as_native_obj=True) as dag:
        made = BedrockConverseOperator(
            task_id="t",
            model_id="amazon.nova-pro-v1:0",
            message="Hello",
            inference_config="{{ params.config }}",
            max_tokens="{{ params.most }}",
        )
    made.render_template_fields(
        {"params": {"config": {"temperature": 0.5}, "most": 700}}, dag.get_template_env()
    )
    run(made)

    (seen,) = aws.invocations("amazon.nova-pro-v1:0")
    assert json.loads(seen.body)["inferenceConfig"] == {"temperature": 0.5, "maxTokens": 700}


def test_an_expanded_argument_gives_a_task_each(dag, aws):
    aws.add_endpoint("echo")
    mapped = SageMakerInvokeEndpointOperator.partial(
        task_id="t",
        endpoint_name="echo",
        aws_conn_id="aws_default",
        region_name="us-east-1",
        verify=None,
        botocore_config=None,
        output_uri=None,
        validate=True,
    ).expand(payload=[{"a": 1}, {"a": 2}])

    results = [run(mapped.unmap({"payload": {"a": number}}), map_index=number) for number in (1, 2)]

    assert results == [{"a": 1}, {"a": 2}]


def test_a_sensor_can_be_expanded_over_submissions(dag):
    submit = SageMakerInvokeEndpointAsyncOperator.partial(
        task_id="submit", endpoint_name="e", wait_for_completion=False, output_uri=None
    ).expand(input_location=["s3://b/1", "s3://b/2"])
    each = SageMakerAsyncInferenceSensor.partial(task_id="each").expand(inference=submit.output)
    all_of_them = SageMakerAsyncInferenceSensor(task_id="all", inference=submit.output)

    assert each.upstream_task_ids == all_of_them.upstream_task_ids == {"submit"}
    json.dumps(DagSerialization.to_dict(dag))


def test_an_expanded_task_without_a_source_is_refused_when_it_is_unmapped(dag):
    mapped = SageMakerInvokeEndpointOperator.partial(task_id="t", endpoint_name="e").expand_kwargs(
        [{"payload": 1}, {"accept": "text/csv"}]
    )

    with pytest.raises(RequestError, match="payload / payload_uri: is none of them"):
        mapped.unmap({"accept": "text/csv"})


@pytest.mark.parametrize(
    ("operator", "given", "fields"),
    [
        (SageMakerInvokeEndpointOperator, {"endpoint_name": "e"}, ["payload", "payload_uri"]),
        (
            SageMakerInvokeEndpointAsyncOperator,
            {"endpoint_name": "e"},
            ["payload", "payload_uri", "input_location"],
        ),
        (BedrockInvokeModelOperator, {"model_id": "m"}, ["input_data", "input_data_uri"]),
        (BedrockConverseOperator, {"model_id": "m"}, ["message"]),
        (SageMakerAsyncInferenceSensor, {}, ["inference", "output_location"]),
    ],
)
def test_the_output_of_another_task_can_be_any_input(dag, operator, given, fields):
    @task
    def upstream():
        return "x"

    for field in fields:
        made = operator(task_id=f"by-{field}", **given, **{field: upstream()})

        assert len(made.upstream_task_ids) == 1


def test_a_turn_of_a_conversation_takes_the_history_of_the_one_before(dag):
    first = BedrockConverseOperator(
        task_id="first", model_id="m", message="a", multiple_outputs=True, result_expression=None
    )
    second = BedrockConverseOperator(
        task_id="second", model_id="m", message="b", history=first.output["history"]
    )

    assert second.upstream_task_ids == {"first"}


@pytest.fixture
def pushed(monkeypatch):
    """Let Airflow's task runner push a result, and collect the XComs instead of sending them."""
    xcoms = {}
    monkeypatch.setattr(task_runner, "_xcom_push", lambda *_, **__: None)

    def push(made, result):
        made.multiple_outputs = True
        made.dag = DAG("pushing", schedule=None)
        instance = SimpleNamespace(task=made, is_mapped=False, xcom_push=xcoms.__setitem__)
        task_runner._push_xcom_if_needed(result, instance, structlog.get_logger())
        return xcoms

    return push


def test_multiple_outputs_give_one_xcom_per_key(aws, s3, pushed):
    aws.add_endpoint("echo")
    made = SageMakerInvokeEndpointOperator(task_id="t", endpoint_name="echo", payload={"a": 1})

    xcoms = pushed(made, run(made))

    assert xcoms["body"] == {"a": 1}
    assert xcoms["content_type"] == "application/json"


def test_multiple_outputs_give_one_xcom_per_key_after_a_deferral_too(aws, s3, pushed):
    def make():
        return SageMakerAsyncInferenceSensor(
            task_id="t", output_location="s3://bucket/out/1", deferrable=True
        )

    deferral = defer(make())
    s3.put_object(Bucket="bucket", Key="out/1", Body=b"{}")
    made = make()

    xcoms = pushed(made, resume(made, deferral, event_of(deferral.trigger)))

    assert xcoms["output_location"] == "s3://bucket/out/1"
    assert xcoms["status"] == "completed"
