"""Calls of tools and their results, before a conversation is sent."""

from __future__ import annotations

import pytest
from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.inference.tool_calls import check_calls

TOOLS = {"tool_config": {"tools": [{"toolSpec": {"name": "add"}}]}}
TEXT = {"text": "Hello"}


def use(use_id="t1", **more):
    return {"toolUse": {"toolUseId": use_id, "name": "add", "input": {}, **more}}


def result(use_id="t1"):
    return {"toolResult": {"toolUseId": use_id, "content": [TEXT]}}


def said(*contents):
    """Give a conversation of the user and the model in turns."""
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": content} for n, content in enumerate(contents)]


@pytest.mark.parametrize(
    "contents",
    [
        ([TEXT], [use(), use("t2")], [result("t2"), result(), TEXT]),
        ([TEXT], [use("s1", type="server_tool_use"), result("s1"), TEXT], [TEXT]),
    ],
)
def test_a_conversation_whose_calls_have_their_results_passes(contents):
    check_calls(said(*contents), TOOLS)


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        (([result()],), "message: is with 1 results of calls that the message before it does not make"),
        (([TEXT], [TEXT], [result(), result("t2")]), "message: is with 2 results of calls"),
        (([TEXT], [use()], [result(), result("t2")]), "message: is with 1 results of calls"),
        (([TEXT], [TEXT], [result()], [TEXT], [TEXT]), r"history\[2\]\.content: is with 1 results"),
        (([TEXT], [use()], [result("t2")]), "message: is without the results of 1 of the calls"),
    ],
)
def test_a_result_without_its_call_is_refused_by_its_place(contents, problem):
    with pytest.raises(RequestError, match=problem):
        check_calls(said(*contents), TOOLS)
