from __future__ import annotations

import json

import pytest
from airflow_provider_aiml.exceptions import ResponseError, StoredAnswerError
from airflow_provider_aiml.inference.stored_answer import AnswerStore
from airflow_provider_aiml.inference.turn_store import TURNS_SUFFIX, TurnStore
from airflow_provider_aiml.inference.turns import Progress, Turn

RESPONSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "hé"}]}},
    "stopReason": "end_turn",
}


@pytest.fixture
def answers(tmp_path):
    return AnswerStore(tmp_path / "one.json", "file:///one.json", "me")


def test_one_turn_is_the_raw_answer(answers, tmp_path):
    turns, progress = TurnStore(answers, staged=False), Progress()

    turns.announce(progress)
    progress.turns.append(Turn(RESPONSE))
    turns.save(progress)
    turns.finish(progress)

    assert json.loads((tmp_path / "one.json").read_text()) == RESPONSE
    assert TurnStore(answers, staged=False).load() == progress
    assert not (tmp_path / f"one.json{TURNS_SUFFIX}").exists()


def test_several_turns_are_kept_beside_the_last_answer(answers, tmp_path):
    turns = TurnStore(answers, staged=True)
    progress = Progress([Turn(RESPONSE, "tools", [{"a": 1}], replied=True), Turn(RESPONSE)], "native")

    turns.save(progress)
    assert not (tmp_path / "one.json").exists()
    turns.finish(progress)

    assert json.loads((tmp_path / "one.json").read_text()) == RESPONSE
    assert turns.load() == progress


def test_an_empty_object_is_not_taken_for_no_turns_since_they_were_paid_for(answers, tmp_path):
    (tmp_path / f"one.json{TURNS_SUFFIX}").write_bytes(b"")

    with pytest.raises(StoredAnswerError, match="is not a record of turns"):
        TurnStore(answers, staged=True).load()


def test_turns_of_another_request_are_none(answers, tmp_path):
    TurnStore(answers, staged=True).save(Progress([Turn(RESPONSE)]))
    other = AnswerStore(tmp_path / "one.json", "file:///one.json", "you")

    assert TurnStore(other, staged=True).load() == Progress()


@pytest.mark.parametrize("staged", [False, True])
def test_where_nothing_is_kept_nothing_is_found(answers, staged):
    assert TurnStore(answers, staged).load() == Progress()
    nowhere = TurnStore(None, staged)
    nowhere.announce(Progress())
    nowhere.save(Progress([Turn(RESPONSE)]))
    nowhere.finish(Progress([Turn(RESPONSE)]))
    nowhere.keep_partial(b"x")
    assert nowhere.load() == Progress()


def test_a_partial_answer_is_kept_beside(answers, tmp_path):
    turns = TurnStore(answers, staged=False)
    turns.keep_partial(None)
    turns.keep_partial(b"half")

    assert (tmp_path / "one.json.partial").read_bytes() == b"half"
    turns.finish(Progress())


@pytest.mark.parametrize("body", [b"{canary", b"[]"])
def test_a_kept_answer_that_is_no_json_object_is_an_error(answers, body):
    from airflow_provider_aiml.inference.stored_answer import Answer

    answers.save(Answer(body))

    with pytest.raises(ResponseError, match="not a JSON object") as caught:
        TurnStore(answers, staged=False).load()
    assert caught.value.partial_body == body
