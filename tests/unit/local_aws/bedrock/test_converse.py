from __future__ import annotations

import json

import pytest

NOVA = "us.amazon.nova-pro-v1:0"
PROMPT = "arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:1"


def test_each_answer_says_that_it_comes_from_a_stand_in(ask):
    assert "local stand-in for anthropic.claude-3-5-sonnet-20240620-v1:0, not a real model" in ask.text(
        "Hello"
    )


def test_the_same_question_gets_the_same_answer(ask):
    assert ask.converse("Hello") == ask.converse("Hello")


def test_it_quotes_the_latest_text_and_counts_the_users_turns(ask):
    said = ask.text("one", "answer", "two")

    assert "turn 2" in said
    assert '"two"' in said


def test_a_long_question_is_quoted_in_part(ask):
    assert "x" * 199 + "…" in ask.text("x" * 1000)


def test_it_remembers_what_an_earlier_turn_said(ask):
    said = ask.text("My name is Ada. My favourite colour is green.", "Hello.", "What is my name?")

    assert "Your name is Ada." in said
    assert "Your favourite colour is green." in ask.text(
        "My favourite colour is green", "Ok", "what's my favourite colour?"
    )


def test_it_remembers_nothing_that_it_was_not_told(ask):
    assert "I was not told your name." in ask.text("What is my name?")


def test_system_prompts_show_in_the_answer(ask):
    assert 'instructions begin: "Be kind."' in ask.text("Hello", system=[{"text": "Be kind."}])


def test_say_gives_what_is_quoted_and_nothing_else(ask):
    assert ask.text('Say "one\ntwo"') == "one\ntwo"


def test_write_n_words_gives_so_many(ask):
    assert len(ask.text("Please write 500 words.").split()) == 500


def test_max_tokens_cuts_the_answer_and_the_stop_reason_says_so(ask):
    answer = ask.converse("Write 500 words", inferenceConfig={"maxTokens": 7})

    assert answer["stopReason"] == "max_tokens"
    assert answer["usage"]["outputTokens"] == 7


def test_an_answer_that_just_fits_is_not_cut(ask):
    whole = ask.converse('Say "one two"', inferenceConfig={"maxTokens": 2})

    assert whole["stopReason"] == "end_turn"


def test_a_stop_sequence_ends_the_answer_before_it(ask):
    answer = ask.converse(
        'Say "one two three"',
        inferenceConfig={"stopSequences": ["three", "two"]},
        additionalModelResponseFieldPaths=["/stop_sequence"],
    )

    assert answer["output"]["message"]["content"] == [{"text": "one "}]
    assert answer["stopReason"] == "stop_sequence"
    assert answer["additionalModelResponseFields"] == {"stop_sequence": "two"}


def test_a_stop_sequence_beyond_the_token_limit_does_not_count(ask):
    answer = ask.converse('Say "one two three"', inferenceConfig={"stopSequences": ["three"], "maxTokens": 1})

    assert answer["stopReason"] == "max_tokens"


def test_usage_adds_up(ask):
    usage = ask.converse("Hello there")["usage"]

    assert usage["inputTokens"] == 4
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]


def test_cached_tokens_are_counted_apart(ask):
    usage = ask.converse([{"text": "long text"}, {"cachePoint": {"type": "default"}}, {"text": "ask"}])[
        "usage"
    ]

    assert usage["cacheWriteInputTokens"] == 2
    assert usage["cacheDetails"] == [{"ttl": "5m", "inputTokens": 2}]
    assert usage["inputTokens"] == 1
    assert usage["totalTokens"] == 3 + usage["outputTokens"]


def test_response_fields_are_picked_by_pointer_and_absent_ones_left_out(ask):
    answer = ask.converse(
        "Hi",
        additionalModelResponseFieldPaths=[
            "/usage/input_tokens",
            "/usage/nothing",
            "/model/x",
            "/stop_reason",
        ],
    )

    assert answer["additionalModelResponseFields"] == {
        "usage": {"input_tokens": 1},
        "stop_reason": "end_turn",
    }


def test_a_path_that_is_no_json_pointer_is_refused(ask):
    assert "JSON pointer" in ask.converse_refused("Hi", additionalModelResponseFieldPaths=["stop"])


def test_performance_and_service_tier_come_back(ask):
    answer = ask.converse("Hi", performanceConfig={"latency": "optimized"}, serviceTier={"type": "flex"})

    assert answer["performanceConfig"] == {"latency": "optimized"}
    assert answer["serviceTier"] == {"type": "flex"}


@pytest.mark.parametrize("key", ["thinking", "reasoning_config"])
def test_thinking_gives_a_reasoning_block_first(ask, key):
    fields = {key: {"type": "enabled", "budget_tokens": 1024}}
    blocks = ask.converse("Hi", additionalModelRequestFields=fields)["output"]["message"]["content"]

    assert blocks[0]["reasoningContent"]["reasoningText"]["signature"]
    assert "text" in blocks[1]


def test_a_history_may_hold_every_kind_of_block(ask):
    reasoning = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s1"}}}
    cited = {"citationsContent": {"content": [{"text": "as it says"}], "citations": []}}
    video = {"video": {"format": "mp4", "source": {"bytes": b"0"}}}

    assert ask.text([{"text": "a"}, video], [reasoning, cited], "b")


def test_a_managed_prompt_says_what_it_was_given(ask):
    answer = ask("Converse", modelId=PROMPT, promptVariables={"city": {"text": "Oslo"}})

    assert "managed prompt ABCDEFGHIJ:1 with city=Oslo" in answer["output"]["message"]["content"][0]["text"]


def test_messages_after_a_managed_prompt_are_answered(ask):
    said = ask.text("Hi", model=PROMPT)

    assert '"Hi"' in said
    assert "turn 2" in said, "they are appended to the prompt's own"


def test_what_is_appended_to_a_managed_prompt_may_begin_with_the_model(ask):
    appended = [{"role": role, "content": [{"text": "Hi"}]} for role in ("assistant", "user")]

    assert ask("Converse", modelId=PROMPT, messages=appended)["stopReason"] == "end_turn"


@pytest.mark.parametrize(
    "member",
    [
        {"system": [{"text": "x"}]},
        {"inferenceConfig": {"maxTokens": 1}},
        {"toolConfig": {"tools": [{"systemTool": {"name": "x"}}]}},
        {"additionalModelRequestFields": {"a": 1}},
    ],
    ids=lambda member: next(iter(member)),
)
def test_a_managed_prompt_forbids_what_it_holds_itself(ask, member):
    assert next(iter(member)) in ask.converse_refused("Hi", model=PROMPT, **member)


def test_a_json_schema_gives_json_that_fits(ask):
    schema = {
        "type": "object",
        "properties": {"urgency": {"enum": ["low", "high"]}},
        "required": ["urgency"],
        "additionalProperties": False,
    }
    structure = {"jsonSchema": {"schema": json.dumps(schema), "name": "triage"}}

    said = ask.text(
        "This is of high urgency",
        outputConfig={"textFormat": {"type": "json_schema", "structure": structure}},
    )

    assert json.loads(said) == {"urgency": "high"}


@pytest.mark.parametrize(
    ("schema", "why"), [("{", "not JSON"), ('"x"', "an object"), ('{"type": "array"}', "an object")]
)
def test_a_schema_that_is_none_is_refused(ask, schema, why):
    output = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": schema}}}}

    assert why in ask.converse_refused("Hi", outputConfig=output)


OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}
SHUT = {**OPEN, "additionalProperties": False}


@pytest.mark.parametrize(
    "schema",
    [
        OPEN,
        {**OPEN, "additionalProperties": True},
        {**SHUT, "properties": {"a": OPEN}},
        {**SHUT, "properties": {"a": {"type": "array", "items": OPEN}}},
        {**SHUT, "$defs": {"a": OPEN}},
        {**SHUT, "properties": {"a": {"anyOf": [{"type": "null"}, OPEN]}}},
    ],
)
def test_a_schema_with_an_open_object_is_refused_as_bedrock_does(ask, schema):
    structure = {"jsonSchema": {"schema": json.dumps(schema)}}
    output = {"textFormat": {"type": "json_schema", "structure": structure}}

    assert ask.converse_refused("Hi", outputConfig=output) == (
        "The model returned the following errors: output_config.format.schema: For 'object' type, "
        "'additionalProperties' must be explicitly set to false"
    )


@pytest.mark.parametrize(
    ("inner", "why"),
    [
        (
            {"type": "integer", "minimum": 1, "maximum": 5},
            "'integer' type, properties maximum, minimum are not",
        ),
        ({"type": "array", "maxItems": 5}, "'array' type, properties maxItems are not"),
        ({"type": "array", "minItems": 2}, "'array' type, 'minItems' values other than 0 or 1 are not"),
    ],
)
def test_bounds_are_refused_natively_as_bedrock_does(ask, inner, why):
    structure = {"jsonSchema": {"schema": json.dumps({**SHUT, "properties": {"a": inner}})}}
    output = {"textFormat": {"type": "json_schema", "structure": structure}}

    assert f"{why} supported" in ask.converse_refused("Hi", outputConfig=output)


def test_a_model_without_structured_output_refuses_a_schema(ask):
    output = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{}"}}}}

    assert "outputConfig.textFormat" in ask.converse_refused("Hi", model=NOVA, outputConfig=output)


def test_counted_tokens_are_those_that_converse_counts(ask):
    messages = [{"role": "user", "content": [{"text": "Hello there"}]}]
    counted = ask(
        "CountTokens",
        modelId="anthropic.claude-3-haiku-20240307-v1:0",
        input={"converse": {"messages": messages}},
    )

    assert counted == {"inputTokens": ask.converse("Hello there")["usage"]["inputTokens"]}


def test_tokens_of_an_invoke_model_body_are_counted(ask):
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 1,
        "messages": [{"role": "user", "content": "Hello there"}],
    }

    counted = ask(
        "CountTokens",
        modelId="anthropic.claude-3-haiku-20240307-v1:0",
        input={"invokeModel": {"body": json.dumps(body).encode()}},
    )

    assert counted == {"inputTokens": 4}


def test_a_model_that_cannot_count_says_so(ask):
    error = ask.refused(
        "CountTokens", modelId="ai21.jamba-1-5-mini-v1:0", input={"converse": {"messages": []}}
    )

    assert error.message == "The provided model doesn't support counting tokens."
