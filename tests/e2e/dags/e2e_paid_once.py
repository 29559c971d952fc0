"""A real-time call that keeps its answer, then pauses so that a test can kill it, then reads the answer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Param
from airflow_provider_aiml.operators.sagemaker import SageMakerInvokeEndpointOperator

if TYPE_CHECKING:
    from airflow_provider_aiml.inference.stored_answer import Answer


class PausingOperator(SageMakerInvokeEndpointOperator):
    """Pauses in its first try, after the answer was kept and before anything is done with it."""

    template_fields = (*SageMakerInvokeEndpointOperator.template_fields, "pause")

    def __init__(self, *, pause: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pause = pause

    def read_answer(self, answer: Answer) -> dict[str, Any]:
        from pausing import pause_once

        pause_once(self.pause)
        return super().read_answer(answer)


with DAG(
    dag_id="e2e_paid_once",
    schedule=None,
    start_date=datetime(2025, 1, 1),
    params={
        "endpoint_name": Param("set by the test", type="string"),
        "pause": Param("set by the test", type="string"),
    },
) as dag:
    PausingOperator(
        task_id="score",
        endpoint_name="{{ params.endpoint_name }}",
        payload={"paid": "once"},
        output_uri="s3://demo-inference/paid-once/{{ params.pause }}/",
        result_expression="{answer: body, place: output_uri}",
        pause="{{ params.pause }}",
        retries=1,
        retry_delay=timedelta(seconds=1),
    )
