"""What a model answers and what a later request can carry of it."""

from __future__ import annotations

import re

import pytest
from airflow_provider_aiml.exceptions import ResponseError
from airflow_provider_aiml.inference.conversation import (
    UNSAID,
    carried,
    check_history,
    check_known,
    message_text,
)
from airflow_provider_aiml.inference.requests import load_operation

USER = {"role": "user", "content": [{"text": "Hello"}]}
THOUGHT = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s1"}}}
UNSIGNED = {"reasoningContent": {"reasoningText": {"text": "hm"}}}
REDACTED = {"reasoningContent": {"redactedContent": b"\x00"}}
CITED = {"citationsContent": {"content": [{"text": "so"}], "citations": [{"title": "t"}]}}
NOTHING = [{"text": UNSAID}]
EMPTY: dict[str, object] = {}


def call(name="add", arguments=EMPTY):
    return {"toolUse": {"toolUseId": "t1", "name": name, "input": arguments}}


CALL = call()


def answer(*blocks):
    return {"role": "assistant", "content": list(blocks)}


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ([], NOTHING),
        ([{"text": ""}], NOTHING),
        ([{"text": " \n"}, {"text": ""}], NOTHING),
        ([{}], NOTHING),
        ([{"text": ""}, CALL], [CALL]),
        ([{"text": "a"}, {"text": " "}, {"text": "b"}], [{"text": "a"}, {"text": "b"}]),
        ([CITED, {"text": " "}, CITED], [CITED, CITED]),
        ([{"citationsContent": {"content": [{"text": ""}], "citations": []}}], NOTHING),
        ([{"text": "a\ud83d"}, {"text": "\ud83d\ude00"}], [{"text": "a\ufffd"}, {"text": "\U0001f600"}]),
        ([call(arguments={"\udc00": ["\ud83d"]})], [call(arguments={"\ufffd": ["\ufffd"]})]),
        ([THOUGHT], [THOUGHT, *NOTHING]),
        ([THOUGHT, {"text": ""}, CALL], [THOUGHT, CALL]),
        ([REDACTED, {"text": "a"}], [REDACTED, {"text": "a"}]),
        ([UNSIGNED], NOTHING),
        ([UNSIGNED, {"text": "a"}, CALL], [{"text": "a"}, CALL]),
        ([{"reasoningContent": {"reasoningText": {"text": "hm", "signature": ""}}}, CALL], [CALL]),
    ],
)
def test_an_answer_is_carried_without_what_bedrock_refuses(said, sent):
    assert carried(answer(*said))["content"] == sent
    assert check_history([USER, answer(*said)])[1]["content"] == sent


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("get-weather_2", "get-weather_2"),
        ("functions.add", "functions_add"),
        ("$READFILE", "_READFILE"),
        ("add\n", "add_"),
        ("x" * 70, "x" * 64),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_tool_of_any_name_is_carried_by_one_that_bedrock_takes(name, sent):
    (block,) = carried(answer(call(name)))["content"]

    assert block == call(sent)
    tool_use = load_operation("bedrock-runtime", "Converse").service_model.shape_for("ToolUseBlock")
    rule = tool_use.members["name"].metadata
    assert re.fullmatch(rule["pattern"], sent)
    assert rule["min"] <= len(sent) <= rule["max"]
    assert check_history([USER, answer(call(name))])[1]["content"] == [call(sent)]


@pytest.mark.parametrize("given", [[1, 2], '{"a": 1}', 7, None, True])
def test_an_input_that_is_no_object_is_carried_in_one(given):
    assert carried(answer(call(arguments=given)))["content"] == [call(arguments={"invalid_input": given})]
    assert carried(answer(call(arguments={"a": given})))["content"] == [call(arguments={"a": given})]


def test_a_call_that_is_none_is_left_to_the_check_of_the_request():
    assert carried(answer({"toolUse": "add"}))["content"] == [{"toolUse": "add"}]


@pytest.mark.parametrize("cited", [5, "so", {"content": 5}])
def test_a_citation_that_is_none_is_left_to_the_check_of_the_request(cited):
    block = {"citationsContent": cited}

    assert carried(answer(block))["content"] == [block]
    assert message_text(answer(block, {"text": "a"})) == "a"


def test_a_message_of_the_user_is_carried_as_it_is():
    assert carried(USER) == USER


def test_a_part_that_is_newer_than_botocore_is_an_error_that_names_it():
    inner = {"toolResult": {"content": [{"SDK_UNKNOWN_MEMBER": {"name": "hologram"}}]}}

    with pytest.raises(ResponseError, match=r"Converse: .* not known: hologram.*newer release of botocore"):
        check_known(answer({"text": "see"}, inner), "Converse")


def test_a_tools_input_may_hold_any_name():
    check_known(answer({"toolUse": {"input": {"SDK_UNKNOWN_MEMBER": {"name": "x"}}}}), "Converse")
