"""The tests of one's own DAG that docs/local-aws.md shows, with examples in the place of that DAG."""

from __future__ import annotations

import runpy

import pytest
from tests.integration.conftest import EXAMPLE_DAGS

DAG_FILES = EXAMPLE_DAGS


@pytest.fixture(autouse=True)
def _endpoints(demo):
    """What the page shows of the fixture ``demo``."""


# [START own_dag]
def run_dag(name, **params):
    return runpy.run_path(DAG_FILES / f"{name}.py")["dag"].test(run_conf=params)


def test_a_throttled_call_is_sent_again_and_paid_once(aws):
    aws.add_fault("sagemaker:InvokeEndpoint", code="ThrottlingException", count=2)

    run = run_dag("aiml_realtime_scoring")

    assert run.state == "success"
    assert len(aws.invocations("demo-tabular")) == 1


def test_one_failed_inference_does_not_fail_the_run(aws):
    aws.add_fault("sagemaker:AsyncInference", "model_error", message="no GPU", count=1)

    run = run_dag("aiml_async_scoring", inputs=2, spoil_one=False)

    waits = [task.state for task in run.get_task_instances() if task.task_id == "wait"]
    assert run.state == "success"
    assert sorted(waits) == ["failed", "success"]


# [END own_dag]
# [START held]
def test_what_is_submitted_is_pending(aws):
    from airflow_provider_aiml.hooks.sagemaker_runtime import SageMakerRuntimeHook

    with aws.held():
        SageMakerRuntimeHook().invoke_endpoint_async(
            endpoint_name="demo-tabular-async",
            input_location="s3://demo-inference/rows.json",
            content_type="application/json",
        )
        assert aws.pending() == 1


# [END held]
