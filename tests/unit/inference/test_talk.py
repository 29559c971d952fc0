"""What of a conversation is sent again, and what of a new message is attached for the first time."""

from __future__ import annotations

import json

import pytest
from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.inference.history_places import PathPlace
from airflow_provider_aiml.inference.talk import Talk

FORMAT = "airflow-provider-aiml.history"


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
