"""What of a conversation is sent again, and what of a new message is attached for the first time."""

from __future__ import annotations

import json

import pytest
from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.inference.conversation import to_json
from airflow_provider_aiml.inference.history_places import PathPlace
from airflow_provider_aiml.inference.talk import Talk

FORMAT = "airflow-provider-aiml.history"


def document(source, name="a"):
    return {"document": {"name": name, "format": "txt", "source": source}}


def load(folder, *contents, resend=False):
    """Load a history whose messages, of the user and the model in turns, have these contents."""
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": content} for n, content in enumerate(contents)]
    turns = [{"identity": "one", "messages": messages}]
    (folder / "talk.json").write_text(json.dumps({"format": FORMAT, "version": 1, "turns": turns}))
    return Talk.load(PathPlace(folder / "talk.json", "file:///talk.json"), "me", resend=resend, anew=False)


def test_text_that_was_written_by_hand_without_a_block_is_one(tmp_path):
    talk = load(tmp_path, "hi", ["hello", {"text": "there"}])

    assert [said["content"] for said in talk.earlier()] == [
        [{"text": "hi"}],
        [{"text": "hello"}, {"text": "there"}],
    ]
    assert talk.content("And?", lambda taken: []) == "And?"


@pytest.mark.parametrize("content", [5, None, [5], [None], {"text": "hi"}])
def test_what_is_no_content_is_refused_by_its_place(tmp_path, content):
    with pytest.raises(RequestError, match=r"history_uri\[0\]"):
        load(tmp_path, content, "hello")


def test_a_block_whose_bytes_stand_in_the_conversation_is_not_attached_again(tmp_path):
    attached = document({"bytes": b"x"})
    talk = load(tmp_path, [*to_json([attached]), "q"], "a")

    for given in (attached, to_json(attached)):
        assert talk.content("And?", lambda taken, given=given: [given]) == "And?"
    other = document({"bytes": b"y"}, "b")
    assert talk.content("And?", lambda taken: to_json([other])) == [other, {"text": "And?"}]


@pytest.mark.parametrize(("resend", "warned"), [(False, True), (True, False)])
def test_a_location_that_was_given_before_is_warned_of_for_something_else_may_lie_there(
    tmp_path, caplog, resend, warned
):
    there = document({"s3Location": {"uri": "s3://b/k"}})
    talk = load(tmp_path, [there, "q"], "a", resend=resend)

    assert talk.content("And?", lambda taken: [there]) == "And?"
    assert ("resend_documents=True" in caplog.text) is warned
