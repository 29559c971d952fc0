"""An asynchronous inference that pauses at a chosen point of its first try, for a test to kill it there."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Param
from airflow_provider_aiml.operators.sagemaker import SageMakerInvokeEndpointAsyncOperator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_aiml.inference.submitter import Submitter


class PausingSubmission(SageMakerInvokeEndpointAsyncOperator):
    """Pauses once, at the point that the run's params name."""

    template_fields = (*SageMakerInvokeEndpointAsyncOperator.template_fields, "pause", "point")

    def __init__(self, *, pause: str, point: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pause = pause
        self.point = point

    def at(self, point: str) -> None:
        from pausing import pause_once

        if point == self.point:
            pause_once(self.pause)

    def plan(self) -> Any:
        self.at("started")
        planned = super().plan()
        self.at("planned")
        return planned

    def _submitter(self, context: Any) -> Submitter:
        submitter = super()._submitter(context)

        def send(members: Mapping[str, Any]) -> Mapping[str, Any]:
            self.at("written down")
            answer = submitter.send(members)
            self.at("sent")
            return answer

        return replace(submitter, send=send)

    def _tell(self, *arguments: Any, **more: Any) -> None:
        self.at("answer written down")
        super()._tell(*arguments, **more)

    def _wait(self, *arguments: Any) -> Any:
        self.at("before the deferral")
        return super()._wait(*arguments)

    def execute_complete(self, *arguments: Any, **more: Any) -> Any:
        self.at("resumed")
        return super().execute_complete(*arguments, **more)

    def conclude(self, *arguments: Any, **more: Any) -> Any:
        self.at("before the output is read")
        return super().conclude(*arguments, **more)

    def give(self, result: Any) -> Any:
        self.at("output read")
        given = super().give(result)
        self.at("before the result is pushed")
        return given


with DAG(
    dag_id="e2e_chaos",
    schedule=None,
    start_date=datetime(2025, 1, 1),
    params={
        "endpoint_name": Param("set by the test", type="string"),
        "pause": Param("set by the test", type="string"),
        "point": Param("nowhere", type="string"),
    },
) as dag:
    PausingSubmission(
        task_id="score",
        endpoint_name="{{ params.endpoint_name }}",
        payload={"paid": "once"},
        deferrable=True,
        waiter_delay=2,
        uncertain_timeout=60,
        result="body",
        pause="{{ params.pause }}",
        point="{{ params.point }}",
        retries=4,
        retry_delay=timedelta(seconds=1),
    )

with DAG(
    dag_id="e2e_many",
    schedule=None,
    start_date=datetime(2025, 1, 1),
    params={
        "endpoint_name": Param("set by the test", type="string"),
        "inferences": Param(500, type="integer"),
    },
    user_defined_macros={
        "numbered": lambda count, gate: [{"number": number, "gate": gate} for number in range(count)]
    },
    render_template_as_native_obj=True,
) as many:
    SageMakerInvokeEndpointAsyncOperator(
        task_id="score",
        endpoint_name="{{ params.endpoint_name }}",
        payloads="{{ numbered(params.inferences, params.endpoint_name) }}",
        deferrable=True,
        waiter_delay=2,
        manifest_to="s3://{{ params.endpoint_name }}/waits/",
        result_expression="length([?status=='completed'])",
        retries=2,
        retry_delay=timedelta(seconds=1),
    )
