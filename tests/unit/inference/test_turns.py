from __future__ import annotations

import json

import pytest
from airflow_provider_aiml.exceptions import (
    AnswerStoppedError,
    BusyError,
    ResponseError,
    StoredAnswerError,
)
from airflow_provider_aiml.inference.turns import FORMAT, Progress, Turn
from hypothesis import given
from hypothesis import strategies as st

MESSAGE = {"role": "assistant", "content": [{"text": "hé"}]}
RESPONSE = {"output": {"message": MESSAGE}, "stopReason": "end_turn"}
blocks = st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), max_size=3)
turns = st.builds(
    Turn, st.just(RESPONSE), st.sampled_from([None, "tools", "correction"]), blocks, st.booleans()
)


@given(st.lists(turns, max_size=4), st.sampled_from([None, "native", "tool"]))
def test_what_was_written_down_is_read_again(turns, mode):
    progress = Progress(turns, mode)

    assert Progress.from_json(progress.to_json("me"), "me", "s3://b/k") == progress
    assert Progress.from_json(progress.to_json("me"), "you", "s3://b/k") is None


def test_a_turn_without_a_whole_reply_is_only_what_the_model_said():
    said = Turn(RESPONSE, "tools", [{"toolResult": {}}], replied=False)
    answered = Turn(RESPONSE, "tools", [{"toolResult": {}}], replied=True)

    assert Progress([said]).messages() == [MESSAGE]
    assert Progress([answered]).messages() == [MESSAGE, {"role": "user", "content": [{"toolResult": {}}]}]


def test_the_status_of_a_result_is_written_down_and_not_sent_for_not_every_model_takes_it():
    result = {"toolUseId": "t1", "content": [{"text": "The tool failed"}], "status": "error"}
    answered = Progress([Turn(RESPONSE, "tools", [{"toolResult": result}, {"text": "status"}], replied=True)])

    sent = answered.messages()[1]["content"]
    assert sent == [{"toolResult": {k: result[k] for k in ("toolUseId", "content")}}, {"text": "status"}]
    assert b'"status": "error"' in answered.to_json("me")


def test_an_error_gets_the_turns_before_it_unless_it_has_a_result_of_its_own():
    first, cut = BusyError("later"), ResponseError("cut", partial_body=b"part")
    stopped = AnswerStoppedError("stopped", result={"text": "a"})

    Progress().join(first, "me")
    assert not first.may_have_been_billed
    for error in (first, cut, stopped, KeyError()):
        Progress([Turn(RESPONSE)]).join(error, "me")

    assert first.may_have_been_billed
    assert json.loads(first.partial_body)["turns"][0]["response"] == RESPONSE
    assert json.loads(cut.partial_body) == {**json.loads(first.partial_body), "partial": "part"}
    assert stopped.partial_body is None


def test_a_response_without_a_message_is_an_error_that_says_so():
    with pytest.raises(ResponseError):
        _ = Turn({"output": {}}).message


@pytest.mark.parametrize(
    "record",
    [
        b"{cut off",
        b"[]",
        b'{"format": "another"}',
        {"format": FORMAT, "version": 2},
        {"format": FORMAT, "version": 1, "identity": "me"},
        {"format": FORMAT, "version": 1, "identity": "me", "turns": "text"},
        {"format": FORMAT, "version": 1, "identity": "me", "turns": 3},
        {"format": FORMAT, "version": 1, "identity": "me", "turns": [{}]},
        {"format": FORMAT, "version": 1, "identity": "me", "turns": [3]},
        {"format": FORMAT, "version": 1, "identity": "me", "turns": [{"response": 3, "kind": None}]},
    ],
)
def test_a_record_that_cannot_be_read_stops_the_task_for_its_turns_were_paid_for(record):
    content = record if isinstance(record, bytes) else json.dumps(record).encode()

    with pytest.raises(StoredAnswerError, match="s3://b/k") as caught:
        Progress.from_json(content, "me", "s3://b/k")
    assert not caught.value.retryable
