"""Submit several inputs at once, wait for them without a worker, and live with one that the model rejects."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from airflow.sdk import DAG, ObjectStoragePath, Param, task
from airflow_provider_aiml.operators.sagemaker import SageMakerInvokeEndpointAsyncOperator
from airflow_provider_aiml.sensors.sagemaker import SageMakerAsyncInferenceSensor

DOC = """
### Asynchronous scoring, with a failure that is seen

1. **put_inputs** puts tables of breast-cancer rows into S3. With `spoil_one`, one of them lacks a column.
2. **submit** hands each of them to an asynchronous SageMaker endpoint and goes.
3. **wait** defers to the triggerer, one for each input, and holds no worker slot. It watches the output *and*
   the failure location: the wait for the spoiled table fails with the model's own reason within one look, and
   it is not retried, for looking again cannot change it.
4. **summarize** runs when all waits are over and says what became of each input. It decides how the run ends:
   it fails only when more than `failures_allowed` inputs failed.

It needs the connection `aws_default`, a bucket of yours, scikit-learn on the workers, and an endpoint with an
asynchronous configuration that has an `S3FailurePath`.
"""

with DAG(
    dag_id="aiml_async_scoring",
    description="Several inputs -> asynchronous endpoint -> deferred waits, one of which fails",
    doc_md=DOC,
    schedule=None,
    start_date=datetime(2025, 1, 1),
    catchup=False,
    # Short pauses, for a demo: leave them out where each look and each try counts.
    default_args={"poke_interval": 2, "retry_delay": timedelta(seconds=5)},
    tags=["aiml", "sagemaker", "async"],
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
        "inputs": Param(
            4,
            type="integer",
            title="Inputs",
            description="How many tables to submit.",
            minimum=1,
            maximum=50,
        ),
        "spoil_one": Param(
            True,
            type="boolean",
            title="Spoil one",
            description="Leave a column out of the second table, so that the model rejects it.",
        ),
        "failures_allowed": Param(
            1,
            type="integer",
            title="Failures allowed",
            description="The run fails when more inputs than this fail.",
            minimum=0,
        ),
    },
) as dag:

    @task
    def put_inputs(params=None, run_id=None) -> list[str]:
        """Put the tables into S3 and give their locations."""
        from sklearn.datasets import load_breast_cancer

        rows = load_breast_cancer().data.tolist()
        folder = f"s3://{params['bucket']}/async-inputs/{run_id}"
        locations = []
        for number in range(params["inputs"]):
            table = rows[number * 10 : number * 10 + 10]
            if params["spoil_one"] and number == min(1, params["inputs"] - 1):
                table = [row[:-1] for row in table]
            location = f"{folder}/table-{number}.json"
            ObjectStoragePath(location, conn_id="aws_default").write_text(json.dumps({"instances": table}))
            locations.append(location)
        return locations

    # [START async]
    submit = SageMakerInvokeEndpointAsyncOperator.partial(
        task_id="submit",
        endpoint_name="{{ params.endpoint_name }}",
        wait_for_completion=False,
    ).expand(input_location=put_inputs())

    wait = SageMakerAsyncInferenceSensor.partial(
        task_id="wait",
        deferrable=True,
        timeout=3600,
        retries=2,
    ).expand(inference=submit.output)
    # [END async]

    # [START async_failures]
    @task(trigger_rule="all_done")
    def summarize(submissions, params=None) -> dict[str, object]:
        """Say what became of each input, and fail when too many failed."""
        failures = {}
        submissions = list(submissions)
        for number, submission in enumerate(submissions):
            failure = ObjectStoragePath(submission["failure_location"], conn_id="aws_default")
            if failure.exists():
                failures[f"table {number}"] = failure.read_text()[:500]
        if len(failures) > params["failures_allowed"]:
            raise ValueError(f"{len(failures)} of {len(submissions)} inputs failed: {failures}")
        return {"completed": len(submissions) - len(failures), "failed": failures}

    # [END async_failures]

    wait >> summarize(submit.output)
