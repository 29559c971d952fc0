"""Hold a user's text against a guardrail and count its tokens before a video is made of it."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param
from airflow_provider_aiml.operators.bedrock import (
    BedrockApplyGuardrailOperator,
    BedrockCountTokensOperator,
    BedrockStartAsyncInvokeOperator,
)
from airflow_provider_aiml.sensors.bedrock import BedrockAsyncInvokeSensor

DOC = """
### A user's text, checked and counted before it becomes a video

1. **check** holds the text against a guardrail. Where that intervenes, the task fails for good, and nothing
   that costs more is started.
2. **count** says how many tokens a language model would read, were it asked about the text. No model runs.
3. **start** starts the video, once: a retry goes on with the same invocation.
4. **wait** defers to the triggerer until the video is in S3, and says where.

It needs the connection `aws_default`, a bucket of yours, a guardrail, and access to both models. The
local AWS makes no video: it writes a note of what the video should show.
"""

with DAG(
    dag_id="aiml_checked_video",
    description="A text -> guardrail -> token count -> asynchronous invocation -> a deferred wait",
    doc_md=DOC,
    schedule=None,
    start_date=datetime(2025, 1, 1),
    catchup=False,
    # Short pauses, for a demo: leave them out where each look and each try counts.
    default_args={"poke_interval": 2, "retry_delay": timedelta(seconds=5)},
    tags=["aiml", "bedrock", "async"],
    params={
        "text": Param(
            "A red bicycle leans on a wall in the rain. The camera moves slowly towards it.",
            type="string",
            format="multiline",
            title="Text",
            description="What the video should show.",
            minLength=1,
            maxLength=512,
        ),
        "guardrail": Param(
            "localguardrail",
            type="string",
            title="Guardrail",
            description="The guardrail's id or ARN.",
            minLength=1,
        ),
        "guardrail_version": Param(
            "1",
            type="string",
            title="Version of the guardrail",
            description="A number, or DRAFT.",
            pattern="^([1-9][0-9]{0,7}|DRAFT)$",
        ),
        "text_model_id": Param(
            "anthropic.claude-haiku-4-5-20251001-v1:0",
            type="string",
            title="Language model",
            description="A model that can count tokens.",
            minLength=1,
        ),
        "video_model_id": Param(
            "amazon.nova-reel-v1:1",
            type="string",
            title="Video model",
            description="A model of the Nova Reel family that the account may use.",
            enum=["amazon.nova-reel-v1:0", "amazon.nova-reel-v1:1"],
        ),
        "bucket": Param(
            "demo-inference",
            type="string",
            title="Bucket",
            description="An S3 bucket that the connection may read and write.",
            pattern="^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        ),
    },
) as dag:
    # [START checks]
    check = BedrockApplyGuardrailOperator(
        task_id="check",
        guardrail_identifier="{{ params.guardrail }}",
        guardrail_version="{{ params.guardrail_version }}",
        source="INPUT",
        content="{{ params.text }}",
        fail_on_intervention=True,
        result_expression="text",
    )
    count = BedrockCountTokensOperator(
        task_id="count", model_id="{{ params.text_model_id }}", message=check.output
    )
    # [END checks]

    # [START async_invoke]
    start = BedrockStartAsyncInvokeOperator(
        task_id="start",
        model_id="{{ params.video_model_id }}",
        model_input={
            "taskType": "TEXT_VIDEO",
            "textToVideoParams": {"text": check.output},
            "videoGenerationConfig": {"durationSeconds": 6, "fps": 24, "dimension": "1280x720"},
        },
        output_data_config="s3://{{ params.bucket }}/videos/",
        wait_for_completion=False,
    )
    BedrockAsyncInvokeSensor(
        task_id="wait", invocation=start.output, deferrable=True, timeout=3600, retries=2
    )
    # [END async_invoke]

    count >> start
