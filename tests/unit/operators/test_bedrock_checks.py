"""Guardrails and token counts over HTTP."""

from __future__ import annotations

import json

import pytest
from airflow_provider_aiml.exceptions import (
    AnswerStoppedError,
    EndpointNotReadyError,
    RequestError,
    ResponseError,
    ServiceRefusedError,
)
from airflow_provider_aiml.inference.stored_answer import Answer
from airflow_provider_aiml.operators.bedrock import BedrockApplyGuardrailOperator, BedrockCountTokensOperator
from tests.airflow_versions import AirflowFailException
from tests.unit.running import run

CLAUDE = "anthropic.claude-3-5-sonnet-20240620-v1:0"
CANARY = "CANARY-d00d"


def guard(**kwargs):
    given = {
        "task_id": "guard",
        "guardrail_identifier": "localguardrail",
        "guardrail_version": "1",
        "source": "OUTPUT",
        "content": "mail ada@example.com",
        "retry_args": {"attempts": 1},
    }
    return BedrockApplyGuardrailOperator(**{**given, **kwargs})


def count(**kwargs):
    return BedrockCountTokensOperator(task_id="count", **{"model_id": CLAUDE, **kwargs})


class TestApplyGuardrail:
    def test_what_it_masks_is_the_text_to_go_on_with(self, aws):
        result = run(guard())

        assert (result["action"], result["intervened"]) == ("GUARDRAIL_INTERVENED", True)
        assert result["text"] == "mail {EMAIL}"
        assert result["action_reason"] == "Guardrail masked."
        assert result["assessments"][0]["sensitiveInformationPolicy"]
        assert result["usage"]["wordPolicyUnits"] == 1
        assert result["guardrail_coverage"]
        assert json.loads(json.dumps(result)) == result

    def test_what_it_lets_pass_is_the_contents_own_text(self, aws):
        result = run(guard(content=["one", {"text": {"text": "two", "qualifiers": ["query"]}}]))

        assert (result["intervened"], result["text"]) == (False, "one\ntwo")
        assert result["outputs"] == []

    def test_an_intervention_may_fail_the_task_without_a_word_in_the_error(self, aws, told):
        with pytest.raises(AnswerStoppedError, match="The guardrail intervened") as caught:
            run(guard(content=f"BLOCKED {CANARY}", source="INPUT", fail_on_intervention=True))

        assert isinstance(caught.value, AirflowFailException)
        assert "Sorry" in caught.value.result["text"]
        assert CANARY not in str(caught.value) + told.text

    def test_the_scope_of_the_assessments_can_be_set(self, aws):
        result = run(guard(content="fine", output_scope="FULL"))

        assert result["action"] == "NONE"

    def test_a_verdict_that_is_kept_is_not_paid_for_again(self, aws, s3):
        results = [run(guard(output_uri="s3://bucket/verdict.json"), try_number=number) for number in (1, 2)]

        assert results[0] == results[1]
        assert set(results[0]) == {
            "action",
            "action_reason",
            "guardrail_coverage",
            "intervened",
            "output_uri",
            "usage",
        }
        assert aws.request_counts()["bedrock:ApplyGuardrail"] == 1

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ({"content": 3}, "content: is a list with something else"),
            ({"content": [{"odd": 1}]}, r"content\[0\]"),
            ({"source": "BOTH"}, "source"),
            ({"guardrail_version": "latest"}, "guardrail_version"),
            ({"output_scope": "SOME"}, "output_scope"),
        ],
    )
    def test_bad_input_is_refused_before_the_call(self, aws, arguments, problem):
        with pytest.raises(RequestError, match=problem):
            run(guard(**arguments))
        assert "bedrock:ApplyGuardrail" not in aws.request_counts()

    def test_a_guardrail_that_is_not_there_says_so(self, aws):
        with pytest.raises(EndpointNotReadyError):
            run(guard(guardrail_identifier="other"))

    def test_a_kept_answer_that_is_no_json_is_an_error(self):
        with pytest.raises(ResponseError, match="not a JSON object"):
            guard().read_answer(Answer(b"{cut"))


class TestCountTokens:
    def test_a_message_is_counted_with_what_belongs_to_it(self, aws):
        alone = run(count(message="Hello there"))
        history = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
        tools = {"tools": [{"toolSpec": {"name": "add", "inputSchema": {"json": {"type": "object"}}}}]}
        more = {"history": history, "system": "Be brief", "tool_config": tools}

        whole = run(count(message="Hello there", additional_model_request_fields={"top_k": 3}, **more))

        assert 0 < alone["input_tokens"] < whole["input_tokens"]

    def test_a_body_in_the_models_own_format_is_counted(self, aws):
        body = {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 5,
            "messages": [{"role": "user", "content": "Hello there"}],
        }

        assert run(count(input_data=body))["input_tokens"] > 0

    def test_the_apis_own_input_passes(self, aws):
        said = {"converse": {"messages": [{"role": "user", "content": [{"text": "Hello there"}]}]}}

        assert run(count(input=said)) == run(count(message="Hello there"))

    @pytest.mark.parametrize("sources", [{}, {"message": "a", "input": {"converse": {}}}])
    def test_exactly_one_thing_is_counted(self, sources):
        with pytest.raises(RequestError, match="message / input_data / input"):
            count(**sources)

    def test_a_model_that_cannot_count_says_so(self, aws):
        with pytest.raises(ServiceRefusedError):
            run(count(model_id="amazon.nova-pro-v1:0", message="x"))
