from __future__ import annotations

import json

import pytest

GUARD = {"guardrailIdentifier": "localguardrail", "guardrailVersion": "DRAFT"}
JAMBA = "ai21.jamba-1-5-mini-v1:0"


def text(answer):
    return answer["output"]["message"]["content"][0]["text"]


def test_a_question_with_the_banned_word_is_blocked_and_costs_nothing(ask):
    answer = ask.converse("this is BLOCKED", guardrailConfig=GUARD)

    assert answer["stopReason"] == "guardrail_intervened"
    assert text(answer) == "Sorry, the local guardrail blocks this question."
    assert answer["usage"]["totalTokens"] == 0
    assert "trace" not in answer


def test_an_answer_with_a_banned_word_is_blocked(ask):
    answer = ask.converse("say LEAKED", guardrailConfig=GUARD)

    assert answer["stopReason"] == "guardrail_intervened"
    assert text(answer) == "Sorry, the local guardrail blocks this answer."
    assert answer["usage"]["outputTokens"] > 0


def test_addresses_in_an_answer_are_masked_and_the_rest_is_kept(ask):
    tools = {"thinking": {"type": "enabled"}}
    answer = ask.converse("I am ada@example.org", guardrailConfig=GUARD, additionalModelRequestFields=tools)
    blocks = answer["output"]["message"]["content"]

    assert "reasoningContent" in blocks[0]
    assert "I am {EMAIL}" in blocks[1]["text"]
    assert answer["stopReason"] == "guardrail_intervened"


def test_harmless_words_pass(ask):
    assert ask.converse("Hello", guardrailConfig=GUARD)["stopReason"] == "end_turn"


def test_without_a_guardrail_nothing_is_blocked(ask):
    assert ask.converse("this is BLOCKED")["stopReason"] == "end_turn"
    assert ask.converse("this is BLOCKED", guardrailConfig={"trace": "enabled"})["stopReason"] == "end_turn"


def test_with_guarded_blocks_only_these_are_looked_at(ask):
    guarded = {"guardContent": {"text": {"text": "fine"}}}
    image = {
        "image": {"format": "png", "source": {"bytes": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01"}}
    }

    answer = ask.converse([{"text": "BLOCKED but not guarded"}, guarded, image], guardrailConfig=GUARD)

    assert text(answer) == "Sorry, the local guardrail blocks this answer."
    assert ask.converse([{"text": "x"}, image], guardrailConfig=GUARD)["stopReason"] == "end_turn"


def test_the_trace_tells_what_was_found_in_the_question(ask):
    trace = ask.converse("BLOCKED", guardrailConfig={**GUARD, "trace": "enabled"})["trace"]["guardrail"]

    words = trace["inputAssessment"]["localguardrail"]["wordPolicy"]["customWords"]
    assert words == [{"match": "BLOCKED", "action": "BLOCKED", "detected": True}]
    assert trace["actionReason"] == "Guardrail blocked."


def test_the_trace_tells_what_was_found_in_the_answer(ask):
    trace = ask.converse("a@b.cd", guardrailConfig={**GUARD, "trace": "enabled_full"})["trace"]["guardrail"]

    entities = trace["outputAssessments"]["localguardrail"][0]["sensitiveInformationPolicy"]["piiEntities"]
    assert (entities[0]["type"], entities[0]["match"]) == ("EMAIL", "a@b.cd")
    assert "a@b.cd" in trace["modelOutput"][0]


def test_a_streamed_answer_carries_the_trace_in_its_metadata(ask):
    messages = [{"role": "user", "content": [{"text": "BLOCKED"}]}]
    stream = ask(
        "ConverseStream",
        modelId="amazon.nova-lite-v1:0",
        messages=messages,
        guardrailConfig={**GUARD, "trace": "enabled"},
    )["stream"]

    assert "guardrail" in stream[-1][1]["trace"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"guardrailIdentifier": "localguardrail"}, "Both the guardrail identifier and"),
        ({**GUARD, "guardrailVersion": "9"}, "does not exist"),
        ({**GUARD, "guardrailIdentifier": "other"}, "does not exist"),
    ],
)
def test_a_guardrail_that_there_is_not_is_refused(ask, config, said):
    assert said in ask.converse_refused("Hello", guardrailConfig=config)


def test_a_guardrail_may_be_named_by_its_arn(ask):
    arn = "arn:aws:bedrock:us-east-1:123456789012:guardrail/localguardrail"

    assert (
        ask.converse("BLOCKED", guardrailConfig={**GUARD, "guardrailIdentifier": arn})["stopReason"]
        != "end_turn"
    )


@pytest.mark.parametrize(("said", "action"), [("BLOCKED", "INTERVENED"), ("Hello", "NONE")])
def test_an_invoked_model_is_guarded_too(ask, said, action):
    body = {"messages": [{"role": "user", "content": said}]}

    assert ask.invoke(JAMBA, body, **GUARD)["amazon-bedrock-guardrailAction"] == action
    assert "amazon-bedrock-trace" not in ask.invoke(JAMBA, body, **GUARD)
    assert "amazon-bedrock-guardrailAction" not in ask.invoke(JAMBA, body)


def test_an_invoked_models_trace_is_in_its_body(ask):
    body = {"messages": [{"role": "user", "content": "LEAKED"}]}
    trace = ask.invoke(JAMBA, body, **GUARD, trace="ENABLED")["amazon-bedrock-trace"]["guardrail"]

    assert "localguardrail" in trace["input"]
    assert "wordPolicy" in trace["outputs"][0]["localguardrail"][0]
    assert "amazon-bedrock-trace" in json.dumps(ask.chunks(JAMBA, body, **GUARD, trace="ENABLED")[-1])


def test_apply_guardrail_blocks(ask):
    answer = ask("ApplyGuardrail", **GUARD, source="INPUT", content=[{"text": {"text": "BLOCKED"}}])

    assert answer["action"] == "GUARDRAIL_INTERVENED"
    assert answer["outputs"] == [{"text": "Sorry, the local guardrail blocks this question."}]
    assert answer["assessments"][0]["wordPolicy"]["customWords"][0]["match"] == "BLOCKED"
    assert answer["guardrailCoverage"]["textCharacters"] == {"guarded": 7, "total": 7}
    assert answer["usage"]["wordPolicyUnits"] == 1


def test_apply_guardrail_masks_each_text_of_an_answer(ask):
    content = [{"text": {"text": "mail a@b.cd"}}, {"text": {"text": "fine"}}]
    answer = ask("ApplyGuardrail", **GUARD, source="OUTPUT", content=content)

    assert answer["outputs"] == [{"text": "mail {EMAIL}"}, {"text": "fine"}]
    assert answer["actionReason"] == "Guardrail masked."


@pytest.mark.parametrize("scope", ["INTERVENTIONS", "FULL"])
def test_apply_guardrail_lets_harmless_words_pass(ask, scope):
    answer = ask(
        "ApplyGuardrail", **GUARD, source="INPUT", content=[{"text": {"text": "Hi"}}], outputScope=scope
    )

    assert (answer["action"], answer["actionReason"], answer["outputs"]) == ("NONE", "No action.", [])
    assert "invocationMetrics" in answer["assessments"][0]


def test_apply_guardrail_refuses_what_is_not_there(ask):
    error = ask.refused(
        "ApplyGuardrail", guardrailIdentifier="other", guardrailVersion="1", source="INPUT", content=[]
    )

    assert (error.code, error.status) == ("ResourceNotFoundException", 404)


def test_apply_guardrail_wants_content(ask):
    assert ask.refused("ApplyGuardrail", **GUARD, source="INPUT", content=[]).code == "ValidationException"
