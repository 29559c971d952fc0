"""Score a table in real time, and fail when the model has become worse than it may be."""

from __future__ import annotations

import json
from datetime import datetime

from airflow.sdk import DAG, ObjectStoragePath, Param, task
from airflow_provider_aiml.operators.sagemaker import SageMakerInvokeEndpointOperator

DOC = """
### Real-time scoring with a quality gate

1. **put_rows** puts rows of scikit-learn's breast-cancer data, and what they really are, into S3. In a DAG of
   your own this is the task that exports your table.
2. **score** sends the object to a SageMaker endpoint. The rows go from S3 to the endpoint and the answer goes
   back to S3; neither touches Airflow's database. A retry finds the answer there and pays for nothing.
3. **check_accuracy** compares both and fails below `minimum_accuracy`.

It needs the connection `aws_default`, a bucket of yours, scikit-learn on the workers, and an endpoint that
takes 30 features a row and answers `{"predictions": [{"label": "malignant" | "benign"}, ...]}`.
"""

with DAG(
    dag_id="aiml_realtime_scoring",
    description="Rows in S3 -> SageMaker endpoint -> accuracy check",
    doc_md=DOC,
    schedule=None,
    start_date=datetime(2025, 1, 1),
    catchup=False,
    tags=["aiml", "sagemaker", "real-time"],
    params={
        "endpoint_name": Param(
            "demo-tabular",
            type="string",
            title="Endpoint",
            description="The SageMaker endpoint that classifies the rows.",
            pattern="^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$",
        ),
        "bucket": Param(
            "demo-inference",
            type="string",
            title="Bucket",
            description="An S3 bucket that the connection may read and write.",
            pattern="^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        ),
        "prefix": Param(
            "realtime",
            type="string",
            title="Folder",
            description="Where in the bucket, without slashes around it.",
            pattern="^[A-Za-z0-9!_.*'()/-]*[A-Za-z0-9!_.*'()-]$",
        ),
        "content_type": Param(
            "application/json",
            type="string",
            title="Format",
            description="How the rows are sent.",
            enum=["application/json", "text/csv"],
        ),
        "rows": Param(
            100,
            type="integer",
            title="Rows",
            description="How many rows to score.",
            minimum=1,
            maximum=569,
        ),
        "minimum_accuracy": Param(
            0.95,
            type="number",
            title="Minimum accuracy",
            description="The run fails when a smaller share of the rows is classified right.",
            minimum=0,
            maximum=1,
        ),
    },
) as dag:

    @task(multiple_outputs=True)
    def put_rows(params=None, run_id=None) -> dict[str, str]:
        """Put the rows, and what they really are, into S3."""
        from sklearn.datasets import load_breast_cancer

        data = load_breast_cancer()
        rows = data.data[-params["rows"] :].tolist()
        labels = [str(data.target_names[target]) for target in data.target[-params["rows"] :]]
        if params["content_type"] == "text/csv":
            body = "\n".join(",".join(map(str, row)) for row in rows)
        else:
            body = json.dumps({"instances": rows})
        folder = f"s3://{params['bucket']}/{params['prefix']}/{run_id}"
        places = {"rows": f"{folder}/rows", "labels": f"{folder}/labels.json"}
        ObjectStoragePath(places["rows"], conn_id="aws_default").write_text(body)
        ObjectStoragePath(places["labels"], conn_id="aws_default").write_text(json.dumps(labels))
        return places

    table = put_rows()

    # [START realtime]
    score = SageMakerInvokeEndpointOperator(
        task_id="score",
        endpoint_name="{{ params.endpoint_name }}",
        payload_uri=table["rows"],
        content_type="{{ params.content_type }}",
        output_uri="s3://{{ params.bucket }}/{{ params.prefix }}/scores/",
        multiple_outputs=True,
    )
    # [END realtime]

    @task
    def check_accuracy(answer_uri: str, labels_uri: str, params=None) -> dict[str, float]:
        """Fail when too many rows are classified wrong."""
        answer = json.loads(ObjectStoragePath(answer_uri, conn_id="aws_default").read_text())
        labels = json.loads(ObjectStoragePath(labels_uri, conn_id="aws_default").read_text())
        scored = [prediction["label"] for prediction in answer["predictions"]]
        right = sum(found == label for found, label in zip(scored, labels, strict=True))
        accuracy = round(right / len(labels), 4)
        if accuracy < params["minimum_accuracy"]:
            raise ValueError(f"The accuracy is {accuracy}, below {params['minimum_accuracy']}")
        return {"rows": len(labels), "accuracy": accuracy}

    check_accuracy(score.output["output_uri"], table["labels"])
