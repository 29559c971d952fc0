"""Several asynchronous inferences at once, each awaited in the triggerer."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param
from airflow_provider_aiml.operators.sagemaker import SageMakerInvokeEndpointAsyncOperator

with DAG(
    dag_id="e2e_waits",
    schedule=None,
    start_date=datetime(2025, 1, 1),
    params={"endpoint_name": Param("set by the test", type="string")},
) as dag:
    SageMakerInvokeEndpointAsyncOperator.partial(
        task_id="score",
        endpoint_name="{{ params.endpoint_name }}",
        deferrable=True,
        # Airflow 3.3.2 may mark a resumed task as failed, when the executor's word that its first process
        # ended comes after the second one began (seen on 2026-11-20). The retry finds what was paid for.
        retries=2,
        retry_delay=timedelta(seconds=1),
        waiter_delay=1,
        result="body",
    ).expand(payload=[{"number": number, "gate": "{{ params.endpoint_name }}"} for number in range(3)])
