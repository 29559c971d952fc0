"""Ask a Bedrock model in its own format, and keep only what it said."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG, Param, task
from airflow_provider_aiml.operators.bedrock import BedrockInvokeModelOperator

DOC = """
### A Bedrock model in its own format

**ask** calls InvokeModel with a body in AI21 Jamba's format, and **result_expression** takes the text of the
first choice out of the answer, so that XCom holds a sentence and not a document. The raw answer is kept at
**output_uri**, where a retry reads it instead of paying again.

It needs the connection `aws_default`, a bucket of yours, and access to the model. What is asked appears in
the task's rendered fields; `input_data_uri` keeps it out of them.
"""

with DAG(
    dag_id="aiml_bedrock_invoke",
    description="One question to AI21 Jamba by InvokeModel",
    doc_md=DOC,
    schedule=None,
    start_date=datetime(2025, 1, 1),
    catchup=False,
    tags=["aiml", "bedrock"],
    params={
        "model_id": Param(
            "ai21.jamba-instruct-v1:0",
            type="string",
            title="Model",
            description="A model of the Jamba family that the account may use.",
            enum=["ai21.jamba-instruct-v1:0", "ai21.jamba-1-5-mini-v1:0", "ai21.jamba-1-5-large-v1:0"],
        ),
        "bucket": Param(
            "demo-inference",
            type="string",
            title="Bucket",
            description="An S3 bucket that the connection may read and write.",
            pattern="^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        ),
        "question": Param(
            "What is an idempotent task?",
            type="string",
            format="multiline",
            title="Question",
            description="What to ask.",
            minLength=1,
        ),
        "max_tokens": Param(
            200,
            type="integer",
            title="Longest answer",
            description="In tokens.",
            minimum=1,
            maximum=4096,
        ),
        "temperature": Param(
            0.4,
            type="number",
            title="Temperature",
            description="0 gives the likeliest answer, more gives more variety.",
            minimum=0,
            maximum=2,
        ),
        "top_p": Param(
            0.9,
            type="number",
            title="Top p",
            description="The share of likely words to choose from.",
            minimum=0.01,
            maximum=1,
        ),
    },
) as dag:
    # [START bedrock_invoke]
    @task
    def make_body(params=None) -> dict[str, object]:
        """Write the request as the Jamba family wants it."""
        return {
            "messages": [{"role": "user", "content": params["question"]}],
            "max_tokens": params["max_tokens"],
            "temperature": params["temperature"],
            "top_p": params["top_p"],
        }

    BedrockInvokeModelOperator(
        task_id="ask",
        model_id="{{ params.model_id }}",
        input_data=make_body(),
        output_uri="s3://{{ params.bucket }}/jamba/",
        result_expression="body.choices[0].message.content",
    )
    # [END bedrock_invoke]
