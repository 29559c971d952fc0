"""Write a model's long answer to S3 while it arrives."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG, ObjectStoragePath, Param, task
from airflow_provider_aiml.operators.sagemaker import SageMakerInvokeEndpointOperator

DOC = """
### A long answer, streamed to S3

1. **write** asks an endpoint that streams. What arrives goes to S3 while it arrives, in constant memory, and
   appears there as a whole when it is complete. The log counts chunks and bytes, never content.
2. **measure** reads its size, to show that it is there.

It needs the connection `aws_default`, a bucket of yours, and an endpoint whose container streams.
"""

with DAG(
    dag_id="aiml_streamed_answer",
    description="A streaming endpoint -> an object in S3",
    doc_md=DOC,
    schedule=None,
    start_date=datetime(2025, 1, 1),
    catchup=False,
    tags=["aiml", "sagemaker", "streaming"],
    params={
        "endpoint_name": Param(
            "demo-text-stream",
            type="string",
            title="Endpoint",
            description="A SageMaker endpoint whose container streams.",
            pattern="^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$",
        ),
        "bucket": Param(
            "demo-inference",
            type="string",
            title="Bucket",
            description="An S3 bucket that the connection may read and write.",
            pattern="^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        ),
        "prompt": Param(
            "Tell a long story of a river, of its springs, of its towns, and of the sea.",
            type="string",
            title="Prompt",
            description="What to ask for.",
            minLength=1,
        ),
    },
) as dag:
    # [START stream]
    write = SageMakerInvokeEndpointOperator(
        task_id="write",
        endpoint_name="{{ params.endpoint_name }}",
        payload={"inputs": "{{ params.prompt }}"},
        stream=True,
        output_uri="s3://{{ params.bucket }}/streamed/{{ run_id }}.txt",
        result_expression="output_uri",
    )
    # [END stream]

    @task
    def measure(uri: str) -> dict[str, object]:
        """Read how much arrived."""
        place = ObjectStoragePath(uri, conn_id="aws_default")
        return {"uri": uri, "bytes": len(place.read_bytes())}

    measure(write.output)
