from __future__ import annotations

import struct

import pytest
from airflow_provider_aiml.local_aws.errors import ApiError

CLAUDE = "anthropic.claude-3-5-sonnet-20240620-v1:0"
LLAMA, NOVA = "meta.llama3-1-8b-instruct-v1:0", "amazon.nova-lite-v1:0"
TEXT = {"text": "Look"}
TOOL = {"toolSpec": {"name": "add", "inputSchema": {"json": {"type": "object"}}}}
TOOLS = {"tools": [TOOL]}
USE = {"toolUse": {"toolUseId": "t1", "name": "add", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "t1", "content": [{"text": "3"}]}}


def document(name="document-1", data=b"line"):
    return {"document": {"name": name, "format": "txt", "source": {"bytes": data}}}


def image(width=1, height=1, form="png", padding=0):
    data = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\0" * padding
    return {"image": {"format": form, "source": {"bytes": data}}}


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ([[]], "messages.0 is empty"),
        (["  "], "messages.0.content.0 is blank"),
        (["a", "b"], "assistant message prefill"),
        ([[document()]], "a text block must be provided"),
        ([[TEXT, document("a.b")]], "messages.0.content.1.document"),
        ([[TEXT, document("a  b")]], "consecutive whitespace"),
        ([[TEXT, document(), document()]], "duplicate document names: document-1"),
        ([[TEXT, *(document(f"d{n}") for n in range(6))]], "too many documents: 6 > 5"),
        ([[TEXT, document(data=b"x" * 4_500_001)]], "larger than 4500000 bytes"),
        (["a", [TEXT, document()], "b"], "user role only"),
        ([[TEXT, *[image()] * 21]], "too many images: 21 > 20"),
        ([[TEXT, image(8001)]], "exceeds 8000 pixels"),
        ([[TEXT, image(padding=3_750_000)]], "exceeds 3750000 bytes"),
        ([[TEXT, image(form="gif")]], "appears to be png"),
        ([[TEXT, {"image": {"format": "png", "source": {"bytes": b"no"}}}]], "Could not process image"),
        (["a", [USE], [RESULT]], "toolConfig field must be defined"),
    ],
)
def test_what_the_service_refuses_is_refused(ask, contents, said):
    assert said in ask.converse_refused(*contents)


def test_reasoning_that_nobody_signed_is_refused_though_the_stand_in_writes_it(ask):
    thinking = {"additionalModelRequestFields": {"thinking": {"type": "enabled"}}}
    answer = ask.converse("a", model="amazon.nova-lite-v1:0", **thinking)["output"]["message"]["content"]

    refused = ask.converse_refused("a", answer, "b", model="amazon.nova-lite-v1:0")
    assert "User messages cannot contain reasoning content" in refused


@pytest.mark.parametrize("block", [{}, {"text": "a", "cachePoint": {"type": "default"}}])
def test_a_content_block_holds_exactly_one_thing(ask, block):
    message = {"role": "user", "content": [block]}

    with pytest.raises(ApiError, match="exactly one member"):
        ask.bedrock.handle("Converse", {"modelId": "amazon.nova-lite-v1:0", "messages": [message]})


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (["a", [USE], "b"], "Expected toolResult blocks at messages.2.content for the following Ids: t1"),
        ([[RESULT]], "exceeds the number of toolUse blocks"),
    ],
)
def test_tool_results_must_match_the_tool_uses(ask, contents, said):
    assert said in ask.converse_refused(*contents, toolConfig=TOOLS)


@pytest.mark.parametrize(
    ("model", "content"),
    [
        (CLAUDE, [TEXT, RESULT]),
        (CLAUDE, [RESULT, TEXT, document()]),
        (LLAMA, [RESULT, TEXT]),
    ],
)
def test_what_a_family_does_not_take_beside_the_result_of_a_tool_is_refused(ask, model, content):
    said = "without `tool_result` blocks immediately after: t1" if model == CLAUDE else "in the same turn"

    assert said in ask.converse_refused("a", [USE], content, model=model, toolConfig=TOOLS)


@pytest.mark.parametrize(
    ("model", "content"),
    [
        (CLAUDE, [RESULT, image(), TEXT]),
        (LLAMA, [RESULT]),
        (NOVA, [TEXT, RESULT, document()]),
    ],
)
def test_what_a_family_takes_beside_the_result_of_a_tool_is_answered(ask, model, content):
    assert ask.converse("a", [USE], content, model=model, toolConfig=TOOLS)["stopReason"] == "end_turn"


def test_the_result_of_a_tool_that_the_service_ran_stands_in_the_answer_itself(ask):
    ran = {"toolUse": {**USE["toolUse"], "toolUseId": "s1", "type": "server_tool_use"}}
    found = {"toolResult": {**RESULT["toolResult"], "toolUseId": "s1"}}

    assert ask.text("a", [ran, found, TEXT], "b", toolConfig=TOOLS)
    assert ask.text("a", [ran, found, USE], [RESULT], "b", "c", toolConfig=TOOLS)


@pytest.mark.parametrize("value", [[1, 2], '{"a": 1}', 3])
def test_what_goes_into_a_tool_and_comes_out_of_it_as_json_is_an_object(ask, value):
    use = {"toolUse": {**USE["toolUse"], "input": value}}
    result = {"toolResult": {"toolUseId": "t1", "content": [{"text": "3"}, {"json": value}]}}
    said = "is invalid. Provide a json object for the field and try again."

    refused = ask.converse_refused("a", [use], [RESULT], toolConfig=TOOLS)
    assert refused == f"The format of the value at messages.1.content.0.toolUse.input {said}"
    refused = ask.converse_refused("a", [USE], [result], toolConfig=TOOLS)
    assert refused == f"The format of the value at messages.2.content.0.toolResult.content.1.json {said}"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"tools": [TOOL, TOOL]}, "add is already defined"),
        (
            {"tools": [{"toolSpec": {"name": "x", "inputSchema": {"json": {"type": "array"}}}}]},
            "following: object",
        ),
        ({"tools": [{"toolSpec": {"name": "x", "inputSchema": {"json": "no"}}}]}, "following: object"),
        ({**TOOLS, "toolChoice": {"tool": {"name": "sub"}}}, "sub in toolConfig.toolChoice is not defined"),
    ],
)
def test_a_tool_configuration_that_does_not_hold_together_is_refused(ask, config, said):
    assert said in ask.converse_refused("a", toolConfig=config)


def test_a_conversation_must_start_with_the_user(ask):
    error = ask.refused(
        "Converse", modelId="amazon.nova-lite-v1:0", messages=[{"role": "assistant", "content": [TEXT]}]
    )

    assert error.message.startswith("A conversation must start with a user message.")


def test_roles_must_alternate(ask):
    twice = [{"role": "user", "content": [TEXT]}] * 2
    error = ask.refused("Converse", modelId="amazon.nova-lite-v1:0", messages=twice)

    assert error.message.startswith("A conversation must alternate between user and assistant roles.")


def test_system_messages_stand_outside_the_alternation(ask):
    said = [{"role": role, "content": [TEXT]} for role in ("user", "system", "assistant", "user")]

    assert ask("Converse", modelId="amazon.nova-lite-v1:0", messages=said)["stopReason"] == "end_turn"


def test_no_messages_at_all_are_refused(ask):
    assert "messages field is required" in ask.refused("Converse", modelId="amazon.nova-lite-v1:0").message


@pytest.mark.parametrize(
    ("model", "content", "members", "said"),
    [
        ("amazon.titan-text-express-v1", "a", {"system": [TEXT]}, "the system field"),
        ("ai21.jamba-instruct-v1:0", "a", {"toolConfig": TOOLS}, "tool use"),
        ("ai21.jamba-instruct-v1:0", [TEXT, document()], {}, "documents"),
        ("amazon.nova-micro-v1:0", [TEXT, image()], {}, "images"),
        (LLAMA, "a", {"toolConfig": {**TOOLS, "toolChoice": {"tool": {"name": "add"}}}}, "toolChoice.tool"),
        ("amazon.titan-embed-text-v2:0", "a", {}, "Try again with a supported text or chat model"),
    ],
)
def test_what_a_model_cannot_do_is_refused(ask, model, content, members, said):
    assert said in ask.converse_refused(content, model=model, **members)


def test_an_image_in_s3_is_not_measured_before_it_is_read(ask):
    there = {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/key"}}}}

    assert "was given no S3" in ask.converse_refused([TEXT, there])
