from __future__ import annotations

import json

import pytest

ADD = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
}


def config(*names, choice=None):
    tools = [{"toolSpec": {"name": name, "inputSchema": {"json": ADD}}} for name in names]
    tools.append({"cachePoint": {"type": "default"}})
    return {"tools": tools, **({"toolChoice": choice} if choice else {})}


def uses(answer):
    return [
        (block["toolUse"]["name"], block["toolUse"]["input"])
        for block in answer["output"]["message"]["content"]
        if "toolUse" in block
    ]


def loop(ask, text, tools, turns, result=None):
    """Play the caller of the tools for some turns; return what was called in each."""
    contents, called = [text], []
    for _ in range(turns):
        answer = ask.converse(*contents, toolConfig=tools)
        called.append(uses(answer))
        blocks = answer["output"]["message"]["content"]
        if answer["stopReason"] != "tool_use":
            return called, blocks[0]["text"]
        results = [
            {
                "toolResult": {
                    "toolUseId": block["toolUse"]["toolUseId"],
                    **(result or {"content": [{"json": {"sum": 5}}]}),
                }
            }
            for block in blocks
        ]
        contents += [blocks, results]
    return called, None


def test_a_tool_is_called_with_the_input_that_the_text_gives(ask):
    answer = ask.converse('Please use tool add with {"a": 2, "b": {"c": [3]}} now', toolConfig=config("add"))

    assert answer["stopReason"] == "tool_use"
    assert uses(answer) == [("add", {"a": 2, "b": {"c": [3]}})]


def test_an_input_that_is_no_json_is_made_from_the_schema_instead(ask):
    assert uses(ask.converse("use tool add with {a: 7, b: 8}", toolConfig=config("add"))) == [
        ("add", {"a": 7, "b": 8})
    ]


def test_without_an_input_the_numbers_of_the_text_fill_the_schema(ask):
    assert uses(ask.converse("use the tool `add` for 2 and 3", toolConfig=config("add"))) == [
        ("add", {"a": 2, "b": 3})
    ]


@pytest.mark.parametrize("text", ["What does get_sum say?", "Can you get sum for me?"])
def test_a_tool_whose_name_is_mentioned_is_called(ask, text):
    assert uses(ask.converse(text, toolConfig=config("other", "get_sum"))) == [("get_sum", {"a": 1, "b": 1})]


def test_no_tool_is_called_if_none_is_mentioned(ask):
    assert ask.converse("Hello", toolConfig=config("add"))["stopReason"] == "end_turn"


def test_an_image_without_words_calls_no_tool(ask):
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01"
    image = {"image": {"format": "png", "source": {"bytes": head}}}

    assert ask.converse([image], toolConfig=config("add"))["stopReason"] == "end_turn"


def test_no_tool_is_called_if_none_is_declared(ask):
    assert ask.converse("use tool add")["stopReason"] == "end_turn"


def test_a_forced_tool_is_always_called(ask):
    tools = config("add", "sub", choice={"tool": {"name": "sub"}})

    assert uses(ask.converse("Hello", toolConfig=tools)) == [("sub", {"a": 1, "b": 1})]


@pytest.mark.parametrize(
    ("text", "name"), [("Hello", "add"), ("use tool sub", "sub"), ("use tool unknown", "add")]
)
def test_a_model_that_must_call_any_tool_calls_the_wished_one_or_the_first(ask, text, name):
    assert uses(ask.converse(text, toolConfig=config("add", "sub", choice={"any": {}})))[0][0] == name


def test_an_unknown_tool_is_called_if_the_text_wants_it(ask):
    assert uses(ask.converse("use tool nothing", toolConfig=config("add"))) == [("nothing", {})]


@pytest.mark.parametrize("name", ["functions.add", "$READFILE", "a::b/c", "x" * 70])
def test_a_tool_of_a_name_that_none_can_have_is_called_if_the_text_wants_it(ask, name):
    assert uses(ask.converse(f"use tool {name}. Then stop", toolConfig=config("add"))) == [(name, {})]
    assert uses(ask.converse(f'use tool "{name}" with {{}}', toolConfig=config("add"))) == [(name, {})]


@pytest.mark.parametrize("given", ["[1, 2]", '"{}"'])
def test_an_input_that_is_no_object_is_given_if_the_text_wants_it(ask, given):
    assert uses(ask.converse(f"use tool add with {given}", toolConfig=config("add"))) == [
        ("add", json.loads(given))
    ]


def test_after_the_result_the_answer_reports_it(ask):
    called, said = loop(ask, 'use tool add with {"a": 2, "b": 3}', config("add"), turns=2)

    assert called == [[("add", {"a": 2, "b": 3})], []]
    assert 'The tool add answered: {"sum": 5}' in said


def test_a_tools_error_is_reported_as_one(ask):
    failure = {"content": [{"text": "no such city"}], "status": "error"}

    assert "The tool add failed: no such city" in loop(ask, "use tool add", config("add"), 2, failure)[1]


def test_tools_joined_by_and_are_called_in_one_turn(ask):
    called, _ = loop(
        ask, "use tool add for 1 and 2 and use tool sub for 3 and 4", config("add", "sub"), turns=2
    )

    assert [[name for name, _ in turn] for turn in called] == [["add", "sub"], []]


def test_tools_joined_by_then_are_called_one_after_the_other(ask):
    called, said = loop(ask, "use tool add with {} then use tool sub with {}", config("add", "sub"), turns=3)

    assert called == [[("add", {})], [("sub", {})], []]
    assert "The tool sub answered" in said


def test_forever_is_without_end(ask):
    called, said = loop(ask, "use tool add forever", config("add"), turns=6)

    assert [len(turn) for turn in called] == [1] * 6
    assert said is None


def test_a_mentioned_tool_is_called_once(ask):
    assert [len(turn) for turn in loop(ask, "add 2 and 3", config("add"), turns=2)[0]] == [1, 0]


def test_tool_use_ids_differ_between_calls(ask):
    answer = ask.converse("use tool add and use tool add", toolConfig=config("add"))
    ids = [block["toolUse"]["toolUseId"] for block in answer["output"]["message"]["content"]]

    assert len(set(ids)) == 2


def test_a_result_for_which_no_call_is_known_is_named_by_its_id():
    from airflow_provider_aiml.local_aws.bedrock.conversation import Conversation
    from airflow_provider_aiml.local_aws.bedrock.tools import result_reports

    result = {"toolResult": {"toolUseId": "t9", "content": [{"text": "x"}]}}

    assert result_reports(Conversation("m", [{"role": "user", "content": [result]}])) == [
        "The tool t9 answered: x"
    ]
    assert result_reports(Conversation("m", [])) == []
