"""Score each night what the day has left in S3, one inference for each object."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from airflow.sdk import DAG, ObjectStoragePath, Param, task
from airflow_provider_aiml.operators.sagemaker import SageMakerInvokeEndpointAsyncOperator

DOC = """
### A day's inputs, every night

1. **deliver** stands for the system that leaves its tables in `s3://{bucket}/daily/{day}/`. Set
   `deliver_samples` to false when a system of yours does.
2. **list_inputs** finds the objects of the day that the run's data interval covers.
3. **score** submits each of them to an asynchronous SageMaker endpoint and waits in the triggerer. It gives
   XCom only the number of malignant rows; the whole output is copied to `s3://{bucket}/daily-scores/{day}/`.
4. **report** adds them up.

It needs the connection `aws_default`, a bucket of yours, and an asynchronous endpoint; for the samples
scikit-learn on the workers. It is backfilled as any daily DAG is: `airflow backfill create`.
"""

with DAG(
    dag_id="aiml_daily_batch",
    description="Every object of the day -> asynchronous endpoint -> one report",
    doc_md=DOC,
    schedule="@daily",
    start_date=datetime(2025, 1, 1),
    catchup=False,
    max_active_runs=1,
    # Short pauses, for a demo: leave them out where each look and each try counts.
    default_args={"waiter_delay": 2, "retry_delay": timedelta(seconds=5)},
    tags=["aiml", "sagemaker", "async", "daily"],
    params={
        "endpoint_name": Param(
            "demo-tabular-async",
            type="string",
            title="Endpoint",
            description="A SageMaker endpoint with an asynchronous configuration.",
            pattern="^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$",
        ),
        "bucket": Param(
            "demo-inference",
            type="string",
            title="Bucket",
            description="An S3 bucket that the connection may read and write.",
            pattern="^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        ),
        "deliver_samples": Param(
            True,
            type="boolean",
            title="Deliver samples",
            description="Put three tables of breast-cancer rows into the day's folder first.",
        ),
    },
) as dag:

    @task
    def deliver(params=None, data_interval_end=None, dag_run=None) -> str:
        """Name the day's folder, and put samples there if they are wanted."""
        # The day that ends with the interval: the same whether [scheduler] create_cron_data_intervals gives
        # the run a whole day or only the moment of its schedule. A run triggered without a date has none.
        day = ((data_interval_end or dag_run.run_after) - timedelta(days=1)).strftime("%Y-%m-%d")
        folder = ObjectStoragePath(f"s3://{params['bucket']}/daily/{day}", conn_id="aws_default")
        if params["deliver_samples"]:
            from sklearn.datasets import load_breast_cancer

            rows = load_breast_cancer().data.tolist()
            for part, start in enumerate((0, 150, 300)):
                (folder / f"part-{part}.json").write_text(json.dumps({"instances": rows[start : start + 50]}))
        return day

    @task
    def list_inputs(day: str, params=None) -> list[str]:
        """List the day's objects; without any, scoring and report are skipped."""
        location = f"s3://{params['bucket']}/daily/{day}"
        folder = ObjectStoragePath(location, conn_id="aws_default")
        return sorted(f"{location}/{place.name}" for place in folder.iterdir()) if folder.is_dir() else []

    day = deliver()

    # [START daily]
    score = SageMakerInvokeEndpointAsyncOperator.partial(
        task_id="score",
        endpoint_name="{{ params.endpoint_name }}",
        deferrable=True,
        retries=2,
        result="body",
        result_expression="length(body.predictions[?label=='malignant'])",
        output_uri="s3://{{ params.bucket }}/daily-scores/{{ ti.xcom_pull(task_ids='deliver') }}/",
        map_index_template="{{ task.input_location.rpartition('/')[2] }}",
    ).expand(input_location=list_inputs(day))
    # [END daily]

    @task
    def report(day: str, malignant: list[int]) -> dict[str, object]:
        """Add up what the tables gave."""
        return {"day": day, "tables": len(malignant), "malignant": sum(malignant)}

    report(day, score.output)
