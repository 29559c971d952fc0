"""Hold a conversation of two turns with a Bedrock model."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG, Param
from airflow_provider_aiml.operators.bedrock import BedrockConverseOperator

DOC = """
### A conversation over two tasks

**introduce** begins a conversation by Converse, and **remember** goes on with it: it takes the `history` that
the first turn left in XCom, so the model knows what was said before. Each answer is kept at **output_uri**,
where a retry reads it instead of paying again; XCom has only what **result_expression** picks.

It needs the connection `aws_default`, a bucket of yours, and access to the model.
"""

with DAG(
    dag_id="aiml_bedrock_converse",
    description="Two turns by Converse, with the history handed on by XCom",
    doc_md=DOC,
    schedule=None,
    start_date=datetime(2025, 1, 1),
    catchup=False,
    tags=["aiml", "bedrock", "conversation"],
    params={
        "model_id": Param(
            "amazon.nova-lite-v1:0",
            type="string",
            title="Model",
            description="A model that the account may use, by its id or its inference profile's.",
            examples=[
                "amazon.nova-lite-v1:0",
                "us.amazon.nova-pro-v1:0",
                "anthropic.claude-3-haiku-20240307-v1:0",
                "ai21.jamba-1-5-mini-v1:0",
            ],
        ),
        "bucket": Param(
            "demo-inference",
            type="string",
            title="Bucket",
            description="An S3 bucket that the connection may read and write.",
            pattern="^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        ),
        "system": Param(
            "Answer in one or two sentences.",
            type="string",
            title="System prompt",
            description="How the model shall behave.",
            minLength=1,
        ),
        "introduction": Param(
            "Good evening. My name is Ada.",
            type="string",
            title="First message",
            description="What to say in the first turn.",
            minLength=1,
        ),
        "question": Param(
            "What is my name?",
            type="string",
            title="Second message",
            description="What to ask in the second turn, in which the model knows the first.",
            minLength=1,
        ),
    },
) as dag:
    # [START bedrock_converse]
    introduce = BedrockConverseOperator(
        task_id="introduce",
        model_id="{{ params.model_id }}",
        system="{{ params.system }}",
        message="{{ params.introduction }}",
        max_tokens=200,
        temperature=0.2,
        output_uri="s3://{{ params.bucket }}/conversation/",
        result_expression="{text: text, history: history}",
        multiple_outputs=True,
    )

    BedrockConverseOperator(
        task_id="remember",
        model_id="{{ params.model_id }}",
        system="{{ params.system }}",
        history=introduce.output["history"],
        message="{{ params.question }}",
        max_tokens=200,
        temperature=0.2,
        output_uri="s3://{{ params.bucket }}/conversation/",
        result_expression="text",
    )
    # [END bedrock_converse]
