"""What a model answers and what a later request can carry of it."""

from __future__ import annotations

import pytest
from airflow_provider_aiml.exceptions import ResponseError
from airflow_provider_aiml.inference.conversation import UNSAID, carried, check_history, check_known

USER = {"role": "user", "content": [{"text": "Hello"}]}
CALL = {"toolUse": {"toolUseId": "t1", "name": "add", "input": {}}}
THOUGHT = {"reasoningContent": {"reasoningText": {"text": "hm"}}}
CITED = {"citationsContent": {"content": [{"text": "so"}], "citations": [{"title": "t"}]}}
NOTHING = [{"text": UNSAID}]


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
        ([{"toolUse": {"input": {"\udc00": ["\ud83d"]}}}], [{"toolUse": {"input": {"\ufffd": ["\ufffd"]}}}]),
        ([THOUGHT], [THOUGHT, *NOTHING]),
        ([THOUGHT, {"text": ""}, CALL], [THOUGHT, CALL]),
    ],
)
def test_an_answer_is_carried_without_what_bedrock_refuses(said, sent):
    assert carried(answer(*said))["content"] == sent
    assert check_history([USER, answer(*said)])[1]["content"] == sent


def test_a_message_of_the_user_is_carried_as_it_is():
    assert carried(USER) == USER


def test_a_part_that_is_newer_than_botocore_is_an_error_that_names_it():
    inner = {"toolResult": {"content": [{"SDK_UNKNOWN_MEMBER": {"name": "hologram"}}]}}

    with pytest.raises(ResponseError, match=r"Converse: .* not known: hologram.*newer release of botocore"):
        check_known(answer({"text": "see"}, inner), "Converse")


def test_a_tools_input_may_hold_any_name():
    check_known(answer({"toolUse": {"input": {"SDK_UNKNOWN_MEMBER": {"name": "x"}}}}), "Converse")
