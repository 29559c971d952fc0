from __future__ import annotations

import base64
import json

import pytest
from airflow_provider_aiml.local_aws.bedrock import tokens

JAMBA = "ai21.jamba-1-5-mini-v1:0"
NOVA = "us.amazon.nova-pro-v1:0"
TITAN = "amazon.titan-text-express-v1"
LLAMA = "meta.llama3-1-8b-instruct-v1:0"
MISTRAL = "mistral.mistral-7b-instruct-v0:2"
USER = {"role": "user", "content": "My name is Ada. What is my name?"}
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x03"


def claude(*messages, **members):
    return {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 200,
        "messages": list(messages),
        **members,
    }


def test_jamba_answers_as_a_chat_completion(ask):
    body = {"messages": [USER], "max_tokens": 200, "top_p": 0.8, "temperature": 0.7}
    answer = ask.invoke("ai21.jamba-instruct-v1:0", body)

    choice = answer["choices"][0]
    assert choice["index"] == 0
    assert choice["message"]["role"] == "assistant"
    assert "Your name is Ada." in choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert answer["id"]
    assert "meta" in answer


def test_jamba_gives_as_many_choices_as_wanted_and_counts_them_all(ask):
    one = ask.invoke(JAMBA, {"messages": [USER]})
    three = ask.invoke(JAMBA, {"messages": [USER], "n": 3})

    assert [choice["index"] for choice in three["choices"]] == [0, 1, 2]
    assert three["usage"]["completion_tokens"] == 3 * one["usage"]["completion_tokens"]


@pytest.mark.parametrize(("stop", "said"), [("two", "one "), (["three", "two"], "one ")])
def test_jamba_takes_one_or_more_stop_strings(ask, stop, said):
    answer = ask.invoke(
        JAMBA, {"messages": [{"role": "user", "content": 'Say "one two three"'}], "stop": stop}
    )

    assert answer["choices"][0]["message"]["content"] == said


def test_jamba_says_length_when_it_was_cut(ask):
    answer = ask.invoke(JAMBA, {"messages": [USER], "max_tokens": 3})

    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 3


def test_jamba_reads_its_system_messages(ask):
    body = {"messages": [{"role": "system", "content": "Be kind"}, USER]}

    assert '"Be kind"' in ask.invoke(JAMBA, body)["choices"][0]["message"]["content"]


def test_jamba_answers_in_json_if_asked(ask):
    body = {"messages": [{"role": "user", "content": "Hello"}], "response_format": {"type": "json_object"}}

    assert "answer" in json.loads(ask.invoke(JAMBA, body)["choices"][0]["message"]["content"])


def test_jamba_calls_tools_and_reads_their_results(ask):
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    question = {"role": "user", "content": 'use tool add with {"a": 1}'}
    first = ask.invoke(JAMBA, {"messages": [question], "tools": [tool]})["choices"][0]
    result = {"role": "tool", "tool_call_id": first["message"]["tool_calls"][0]["id"], "content": "2"}
    second = ask.invoke(JAMBA, {"messages": [question, first["message"], result], "tools": [tool]})[
        "choices"
    ][0]

    assert first["finish_reason"] == "tool_calls"
    assert json.loads(first["message"]["tool_calls"][0]["function"]["arguments"]) == {"a": 1}
    assert "The tool add answered: 2" in second["message"]["content"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "#: required key [messages] not found"),
        ({"messages": []}, "#/messages: expected minimum item count: 1, found: 0"),
        (
            {"messages": [{"role": "user"}], "max_tokens": "5"},
            "#/max_tokens: expected type: Integer, found: String",
        ),
        ({"messages": [USER], "top_p": 2}, "#/top_p: 2 is not less or equal to 1"),
        ({"messages": [USER], "n": 0}, "#/n: 0 is not greater or equal to 1"),
        ({"messages": [USER], "max_tokens": True}, "found: Boolean"),
        ({"messages": [{"role": "robot"}]}, "#/messages/0/role: robot is not a valid enum value"),
        ({"messages": [USER, {"role": "assistant", "content": "x"}]}, "last message"),
        ({"messages": [{"role": "system", "content": "x"}]}, "last message"),
        ({"messages": "x", "n": "x"}, "2 schema violations found"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{"}}]}, USER]},
            "not JSON",
        ),
    ],
)
def test_a_jamba_body_that_is_wrong_is_refused(ask, body, said):
    assert said in ask.invoke_refused(JAMBA, body)


def test_a_model_without_tools_refuses_them(ask):
    tool = {"type": "function", "function": {"name": "add"}}

    assert "tool use" in ask.invoke_refused("ai21.jamba-instruct-v1:0", {"messages": [USER], "tools": [tool]})


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_is_refused(ask, body):
    assert ask.invoke_refused(JAMBA, body).startswith("Malformed input request")


@pytest.mark.parametrize(("body", "found"), [(b"[]", "JSONArray"), (b"null", "Null"), (b"1.5", "BigDecimal")])
def test_a_body_that_is_no_object_is_refused(ask, body, found):
    assert f"found: {found}" in ask.invoke_refused(JAMBA, body)


def test_a_content_type_or_an_accept_type_other_than_json_is_refused(ask):
    assert "Content Type" in ask.invoke_refused(JAMBA, {"messages": [USER]}, contentType="text/csv")
    assert "Accept Type" in ask.invoke_refused(JAMBA, {"messages": [USER]}, accept="text/csv")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/plain, application/json;q=0.9"])
def test_an_accept_type_that_includes_json_is_taken(ask, accept):
    assert ask.invoke(
        JAMBA, {"messages": [USER]}, accept=accept, contentType="application/json; charset=utf-8"
    )


def test_latency_and_service_tier_come_back_with_the_content_type(ask):
    body = json.dumps({"messages": [USER]}).encode()
    answer = ask(
        "InvokeModel", modelId=JAMBA, body=body, performanceConfigLatency="optimized", serviceTier="flex"
    )

    assert answer["contentType"] == "application/json"
    assert answer["performanceConfigLatency"] == "optimized"
    assert answer["serviceTier"] == "flex"


def test_nova_answers_in_converses_shape(ask):
    body = {
        "schemaVersion": "messages-v1",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"text": "Hello"},
                    {"image": {"format": "png", "source": {"bytes": base64.b64encode(PNG).decode()}}},
                ],
            }
        ],
        "system": [{"text": "Be kind"}],
        "inferenceConfig": {"max_new_tokens": 100, "topK": 5},
    }
    answer = ask.invoke(NOVA, body)

    assert "image (png): 2x3 pixels" in answer["output"]["message"]["content"][0]["text"]
    assert answer["stopReason"] == "end_turn"
    assert answer["usage"]["totalTokens"] == answer["usage"]["inputTokens"] + answer["usage"]["outputTokens"]


def test_nova_honours_max_tokens(ask):
    body = {
        "messages": [{"role": "user", "content": [{"text": "Hello"}]}],
        "inferenceConfig": {"maxTokens": 2},
    }

    assert ask.invoke(NOVA, body)["usage"]["outputTokens"] == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "required key [messages]"),
        (
            {"schemaVersion": "v2", "messages": [{"role": "user", "content": [{"text": "x"}]}]},
            "not a valid enum value",
        ),
        ({"messages": [{"role": "user", "content": [{"text": 3}]}]}, "Malformed input request"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": "x"}}}]}
                ]
            },
            "Malformed input request",
        ),
        ({"messages": [{"role": "user", "content": [{"text": ""}]}]}, "is blank"),
    ],
)
def test_a_nova_body_that_is_wrong_is_refused(ask, body, said):
    assert said in ask.invoke_refused(NOVA, body)


@pytest.mark.parametrize(
    ("config", "reason"),
    [({}, "FINISH"), ({"maxTokenCount": 2}, "LENGTH"), ({"stopSequences": ["not"]}, "STOP_CRITERIA_MET")],
)
def test_titan_answers_with_results_and_the_reason(ask, config, reason):
    answer = ask.invoke(TITAN, {"inputText": "Hello", "textGenerationConfig": config})

    result = answer["results"][0]
    assert result["completionReason"] == reason
    assert result["outputText"].startswith("I am")
    assert answer["inputTextTokenCount"] == 2
    assert result["tokenCount"] == tokens.count(result["outputText"])


def test_llama_answers_with_a_generation(ask):
    answer = ask.invoke(LLAMA, {"prompt": "Hello", "max_gen_len": 3})

    assert answer["prompt_token_count"] == 2
    assert (answer["generation_token_count"], answer["stop_reason"]) == (3, "length")


def test_llamas_chat_template_is_read_as_turns(ask):
    turns = [
        ("system", "Be kind"),
        ("user", "My name is Ada"),
        ("assistant", "Hi"),
        ("user", "What is my name?"),
        ("assistant", ""),
    ]
    text = "".join(f"<|start_header_id|>{role}<|end_header_id|>\n\n{said}<|eot_id|>" for role, said in turns)

    said = ask.invoke(LLAMA, {"prompt": f"<|begin_of_text|>{text}"})["generation"]

    assert "Your name is Ada." in said
    assert '"Be kind"' in said
    assert "turn 2" in said


def test_mistral_answers_with_outputs(ask):
    answer = ask.invoke(
        MISTRAL, {"prompt": "<s>[INST] My name is Ada [/INST] Hi</s>[INST] What is my name? [/INST]"}
    )

    assert "Your name is Ada." in answer["outputs"][0]["text"]
    assert answer["outputs"][0]["stop_reason"] == "stop"


def test_mistral_takes_a_plain_prompt(ask):
    assert ask.invoke(MISTRAL, {"prompt": "Hi", "max_tokens": 1})["outputs"][0]["stop_reason"] == "length"


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (claude(USER), "stop_reason"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}], "inferenceConfig": {}}, "stopReason"),
        ({"inputText": "x"}, "results"),
        ({"prompt": "x", "max_gen_len": 5}, "generation"),
        ({"prompt": "x"}, "outputs"),
        ({"messages": [USER]}, "choices"),
    ],
)
def test_behind_a_provisioned_model_the_body_tells_the_family(ask, body, key):
    assert key in ask.invoke("arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefghijkl", body)


@pytest.mark.parametrize(
    "model",
    [
        "nobody.knows-v1:0",
        "plainword",
        "arn:aws:bedrock:us-east-1::foundation-model/no.model",
        "test.no-such-fault-v1:0",
    ],
)
def test_an_unknown_model_is_refused(ask, model):
    said = ask.invoke_refused(model, {"messages": [USER]})

    assert said == "The provided model identifier is invalid." or "no fault named no-such-fault" in said


@pytest.mark.parametrize(
    "model",
    [
        "us.ai21.jamba-1-5-large-v1:0",
        "arn:aws:bedrock:us-east-1::foundation-model/ai21.jamba-1-5-mini-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.ai21.jamba-1-5-mini-v1:0",
    ],
)
def test_a_model_is_found_behind_prefix_and_arn(ask, model):
    assert ask.invoke(model, {"messages": [USER]})["model"].startswith("ai21.jamba-1-5-")
