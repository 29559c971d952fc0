"""Let a model use a Python function while it answers."""

from __future__ import annotations

from datetime import date, datetime

from airflow.sdk import DAG, Param
from airflow_provider_aiml.operators.bedrock import BedrockConverseOperator

DOC = """
### A model that calls a function

The task gives the model a Python function as a tool. Its parameters and their descriptions come from the
signature and the docstring. When the model asks for it, the function runs here, in the worker, and its result
goes back, until the model answers or `max_turns` is reached. With `output_uri` each finished turn is kept, so
a retry goes on where the last try stopped and pays for no turn twice.

It needs the connection `aws_default` and access to a model that can use tools.
"""


# [START tool_use]
def days_between(start: str, end: str) -> int:
    """Count the days from one date to another.

    :param start: the first date, as YYYY-MM-DD.
    :param end: the last date, as YYYY-MM-DD.
    """
    return (date.fromisoformat(end) - date.fromisoformat(start)).days


# [END tool_use]


with DAG(
    dag_id="aiml_tool_use",
    description="Converse with a Python function as a tool",
    doc_md=DOC,
    schedule=None,
    start_date=datetime(2025, 1, 1),
    catchup=False,
    tags=["aiml", "bedrock", "tools"],
    params={
        "model_id": Param(
            "amazon.nova-lite-v1:0",
            type="string",
            title="Model",
            description="A model that can use tools.",
            minLength=1,
        ),
        "bucket": Param(
            "demo-inference",
            type="string",
            title="Bucket",
            description="An S3 bucket that the connection may read and write.",
            pattern="^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        ),
        "question": Param(
            'How many days? Use tool days_between with {"start": "2026-02-27", "end": "2026-03-02"}',
            type="string",
            title="Question",
            description="A question for which a number of days is needed.",
            minLength=1,
        ),
    },
) as dag:
    # [START tool_task]
    BedrockConverseOperator(
        task_id="ask",
        model_id="{{ params.model_id }}",
        message="{{ params.question }}",
        tools=[days_between],
        max_turns=5,
        max_tokens=300,
        output_uri="s3://{{ params.bucket }}/tool-use/",
        result_expression="{answer: text, turns: turns, tokens: usage.totalTokens}",
    )
    # [END tool_task]
