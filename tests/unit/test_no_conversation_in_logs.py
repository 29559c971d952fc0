"""A canary in documents, tools, schemas, histories and guarded content is in no record, event or error."""

from __future__ import annotations

import json

import pytest
from airflow_provider_aiml.operators.bedrock import (
    BedrockApplyGuardrailOperator,
    BedrockConverseOperator,
    BedrockCountTokensOperator,
    BedrockStartAsyncInvokeOperator,
)
from airflow_provider_aiml.sensors.bedrock import BedrockAsyncInvokeSensor
from tests.unit.running import defer, event_of, run
from tests.unit.test_no_payload_in_logs import CANARY, an_error_without_the_canary, everything

__all__ = ["everything"]

CLAUDE = "anthropic.claude-3-5-sonnet-20240620-v1:0"
NOVA = "amazon.nova-pro-v1:0"
SAID = {"messages": [{"role": "user", "content": [{"text": CANARY}]}]}
SHAPE = {"type": "object", "properties": {"word": {"type": "string", "maxLength": 3}}, "required": ["word"]}


def echo(word: str) -> str:
    """Say it again."""
    return f"{word} {CANARY}"


def fail(word: str) -> str:
    """Fail."""
    raise RuntimeError(word)


def converse(**kwargs):
    return BedrockConverseOperator(task_id="t", **{"model_id": CLAUDE, "message": CANARY, **kwargs})


@pytest.fixture
def bucket(aws, s3):
    s3.put_object(Bucket="bucket", Key="notes.txt", Body=CANARY.encode())
    return aws


@pytest.mark.parametrize("output_uri", [None, "s3://bucket/answers/"])
def test_a_conversation_with_all_that_it_has_leaves_no_word(bucket, everything, output_uri):
    question = f'use tool echo with {{"word": "{CANARY}"}} and use tool fail with {{"word": "{CANARY}"}}'
    place = "s3://bucket/notes.txt"
    for model, history in ((CLAUDE, "s3://bucket/one.json"), (NOVA, "s3://bucket/two.json")):
        run(
            converse(
                model_id=model,
                message=question,
                documents=[{"uri": place, "context": CANARY}],
                document_names="own",
                tools=[echo, fail],
                history_uri=history,
                output_uri=output_uri,
                max_input_tokens=100_000,
                system=CANARY,
            )
        )
    assert any("The tool fail failed" in line for line in everything)
    assert CANARY not in "\n".join(everything)


def test_what_fails_says_nothing_of_what_was_said(bucket, everything):
    with an_error_without_the_canary():
        run(converse(message=f'Write "{CANARY}" 50 words', max_tokens=2))
    with an_error_without_the_canary():
        run(converse(output_schema=SHAPE, schema_retries=0, fail_on=[], max_tokens=2))
    with an_error_without_the_canary():
        run(converse(message=f'use tool echo with {{"word": "{CANARY}"}} forever', tools=[echo], max_turns=2))
    with an_error_without_the_canary():
        run(converse(message=[{"text": CANARY, "odd": CANARY}]))
    with an_error_without_the_canary():
        run(converse(history=[{"role": "assistant", "content": CANARY}]))
    assert CANARY not in "\n".join(everything)


def test_guardrails_counts_and_asynchronous_invocations_leave_no_word(bucket, everything):
    guard = {"guardrail_identifier": "localguardrail", "guardrail_version": "1", "source": "INPUT"}
    run(BedrockApplyGuardrailOperator(task_id="g", content=CANARY, **guard))
    with an_error_without_the_canary():
        run(
            BedrockApplyGuardrailOperator(
                task_id="f", content=f"BLOCKED {CANARY}", fail_on_intervention=True, **guard
            )
        )
    run(BedrockCountTokensOperator(task_id="c", model_id=CLAUDE, message=CANARY))
    started = run(
        BedrockStartAsyncInvokeOperator(
            task_id="s",
            model_id=NOVA,
            model_input=SAID,
            output_data_config="s3://bucket/out",
            wait_for_completion=False,
        )
    )
    # The first question finds nothing out, so that there is something to defer for.
    bucket.add_fault("GetAsyncInvoke", code="ThrottlingException", status=429, count=1)
    settings = {"deferrable": True, "poke_interval": 0.05, "retry_args": {"attempts": 1}}
    event = event_of(defer(BedrockAsyncInvokeSensor(task_id="w", invocation=started, **settings)).trigger)

    assert event["status"] == "completed"
    assert CANARY not in json.dumps(event) + "\n".join(everything)
