from __future__ import annotations

import base64
import json
import math

import pytest

JAMBA = "ai21.jamba-1-5-mini-v1:0"
CLAUDE = "eu.anthropic.claude-sonnet-4-20250514-v1:0"
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


def test_claude_answers_as_a_message(ask):
    answer = ask.invoke(CLAUDE, claude(USER, system="Be kind"))

    assert answer["type"] == "message"
    assert answer["role"] == "assistant"
    assert answer["model"] == "anthropic.claude-sonnet-4-20250514-v1:0"
    assert "Your name is Ada." in answer["content"][0]["text"]
    assert '"Be kind"' in answer["content"][0]["text"]
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("end_turn", None)
    assert set(answer["usage"]) == {"input_tokens", "output_tokens"}


def test_claude_names_the_stop_sequence(ask):
    answer = ask.invoke(CLAUDE, claude({"role": "user", "content": 'Say "a b"'}, stop_sequences=["b"]))

    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "b")


def test_claude_calls_tools_and_reads_their_results(ask):
    tools = [{"name": "add", "input_schema": {"type": "object"}}]
    question = {"role": "user", "content": 'use tool add with {"a": 1}'}
    first = ask.invoke(CLAUDE, claude(question, tools=tools))
    use = first["content"][0]
    result = {"type": "tool_result", "tool_use_id": use["id"], "content": "no", "is_error": True}
    turns = [
        question,
        {"role": "assistant", "content": first["content"]},
        {"role": "user", "content": [result]},
    ]
    second = ask.invoke(CLAUDE, claude(*turns, tools=tools))

    assert (use["type"], use["name"], use["input"]) == ("tool_use", "add", {"a": 1})
    assert first["stop_reason"] == "tool_use"
    assert "The tool add failed: no" in second["content"][0]["text"]


@pytest.mark.parametrize(
    ("choice", "stop"),
    [
        ({"type": "tool", "name": "add"}, "tool_use"),
        ({"type": "any"}, "tool_use"),
        ({"type": "none"}, "end_turn"),
    ],
)
def test_claude_follows_the_tool_choice(ask, choice, stop):
    body = claude({"role": "user", "content": "Hi"}, tools=[{"name": "add"}], tool_choice=choice)

    assert ask.invoke(CLAUDE, body)["stop_reason"] == stop


def test_claude_reads_images_documents_and_thoughts(ask):
    data = base64.b64encode(PNG).decode()
    content = [
        {"type": "text", "text": "line 1 of notes"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        {"type": "document", "title": "notes", "source": {"type": "text", "data": "hello"}},
        {
            "type": "document",
            "source": {
                "type": "base64",
                "media_type": "application/pdf",
                "data": base64.b64encode(b"%PDF-").decode(),
            },
        },
    ]
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    turns = [USER, {"role": "assistant", "content": [thought]}, {"role": "user", "content": content}]
    answer = ask.invoke(CLAUDE, claude(*turns, thinking={"type": "enabled", "budget_tokens": 1024}))

    assert answer["content"][0]["type"] == "thinking"
    said = answer["content"][1]["text"]
    assert "image (png): 2x3 pixels" in said
    assert 'Line 1 of notes reads: "hello"' in said
    assert "(pdf): 0 pages" in said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": [USER], "max_tokens": 5}, "required key [anthropic_version] not found"),
        (claude(USER, anthropic_version="x"), "not a valid enum value"),
        (claude(USER, top_q=1), "extraneous key [top_q] is not permitted"),
        (claude({"role": "user", "content": ""}), "expected minLength: 1, actual: 0"),
        (claude(USER, {"role": "assistant", "content": "x"}), "prefill"),
        (claude({"role": "user", "content": [{"type": "poem"}]}), "Input tag 'poem'"),
        (
            claude({"role": "user", "content": [{"type": "image"}]}),
            "messages.0.content.0: Input should be a valid image",
        ),
        (
            claude(
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": "é"},
                        }
                    ],
                }
            ),
            "valid image",
        ),
    ],
)
def test_a_claude_body_that_is_wrong_is_refused(ask, body, said):
    assert said in ask.invoke_refused(CLAUDE, body)


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
    assert "stand-in"[:2] in result["outputText"] or reason == "LENGTH"
    assert answer["inputTextTokenCount"] == 2
    assert result["tokenCount"] >= 2


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


def length(vector):
    return math.sqrt(sum(value * value for value in vector))


def test_titan_v1_embeds_in_1536_dimensions(ask):
    answer = ask.invoke("amazon.titan-embed-text-v1", {"inputText": "Hello there"})

    assert len(answer["embedding"]) == 1536
    assert length(answer["embedding"]) == pytest.approx(1)
    assert answer["inputTextTokenCount"] == 4


@pytest.mark.parametrize(
    ("members", "dimensions"), [({}, 1024), ({"dimensions": 256}, 256), ({"dimensions": 512}, 512)]
)
def test_titan_v2_embeds_in_as_many_dimensions_as_wanted(ask, members, dimensions):
    vector = ask.invoke("amazon.titan-embed-text-v2:0", {"inputText": "Hello", **members})["embedding"]

    assert len(vector) == dimensions
    assert length(vector) == pytest.approx(1)


def test_titan_v2_may_leave_the_length_and_give_bits(ask):
    body = {"inputText": "Hello", "normalize": False, "embeddingTypes": ["binary"]}
    answer = ask.invoke("amazon.titan-embed-text-v2:0", body)
    floats = ask.invoke("amazon.titan-embed-text-v2:0", {**body, "embeddingTypes": ["float", "binary"]})

    assert set(answer["embeddingsByType"]["binary"]) == {0, 1}
    assert "embedding" not in answer
    assert length(floats["embedding"]) == pytest.approx(3)


def test_texts_that_share_words_are_nearer(ask):
    one, near, far = (
        ask.invoke("amazon.titan-embed-text-v2:0", {"inputText": text})["embedding"]
        for text in ("the red house by the sea", "a red house by the lake", "quarterly accounting figures")
    )

    def similarity(other):
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert similarity(near) > similarity(far) + 0.2


@pytest.mark.parametrize(
    ("model", "body", "said"),
    [
        ("amazon.titan-embed-text-v1", {"inputText": "x", "dimensions": 256}, "extraneous key [dimensions]"),
        (
            "amazon.titan-embed-text-v2:0",
            {"inputText": "x", "dimensions": 300},
            "#/dimensions: 300 is not a valid enum",
        ),
        ("amazon.titan-embed-text-v2:0", {"inputText": ""}, "expected minLength: 1"),
        ("amazon.titan-embed-text-v2:0", {"inputText": "x " * 9000}, "Too many input tokens"),
        ("cohere.embed-english-v3", {"texts": ["x"]}, "required key [input_type]"),
        (
            "cohere.embed-english-v3",
            {"texts": ["x"] * 97, "input_type": "clustering"},
            "maximum item count: 96",
        ),
        (
            "cohere.embed-english-v3",
            {"texts": ["x"], "input_type": "clustering", "output_dimension": 256},
            "extraneous",
        ),
    ],
)
def test_a_body_that_cannot_be_embedded_is_refused(ask, model, body, said):
    assert said in ask.invoke_refused(model, body)


def test_cohere_embeds_many_texts(ask):
    answer = ask.invoke("cohere.embed-english-v3", {"texts": ["a", "b"], "input_type": "search_query"})

    assert [len(vector) for vector in answer["embeddings"]] == [1024, 1024]
    assert answer["response_type"] == "embeddings_floats"


def test_cohere_embeds_by_type(ask):
    kinds = ["float", "int8", "uint8", "binary", "ubinary"]
    body = {"texts": ["a"], "input_type": "search_query", "embedding_types": kinds, "output_dimension": 256}
    embeddings = ask.invoke("cohere.embed-v4:0", body)["embeddings"]

    assert [len(embeddings[kind][0]) for kind in kinds] == [256, 256, 256, 32, 32]
    assert all(-128 <= value <= 127 for value in embeddings["int8"][0] + embeddings["binary"][0])
    assert all(0 <= value <= 255 for value in embeddings["uint8"][0] + embeddings["ubinary"][0])


def test_a_model_that_embeds_cannot_stream(ask):
    error = ask.refused("InvokeModelWithResponseStream", modelId="amazon.titan-embed-text-v1", body=b"{}")

    assert error.message == "The model is unsupported for streaming."


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
