from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pytest
from airflow_provider_aiml.exceptions import RequestError, ResponseError
from airflow_provider_aiml.inference.conversation import (
    check_history,
    extend_history,
    from_json,
    message_text,
    reply_of,
    system_blocks,
    to_json,
    user_message,
)
from hypothesis import given
from hypothesis import strategies as st

USER = {"role": "user", "content": [{"text": "Hello"}]}
MODEL = {"role": "assistant", "content": [{"text": "Hi"}]}
SYSTEM = {"role": "system", "content": [{"text": "Be brief"}]}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text().filter(lambda key: key != "$base64"), inner)
    ),
    max_leaves=8,
)


def test_a_text_becomes_the_users_message():
    assert extend_history(None, "Hello") == [USER]
    assert extend_history([], ["Hello"]) == [USER]


@pytest.mark.parametrize("number", [3.1, 491701234567])
def test_a_number_is_no_message_for_native_rendering_may_have_changed_it(number):
    with pytest.raises(RequestError, match=r"message: is .* allowed is text") as caught:
        user_message(number)
    assert "3.10 is 3.1" in caught.value.hint


def test_a_message_goes_behind_the_history():
    assert extend_history([USER, MODEL], "Hello") == [USER, MODEL, USER]


def test_blocks_of_every_kind_pass_through():
    blocks = [
        {"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}},
        {"cachePoint": {"type": "default"}},
    ]

    assert extend_history(None, blocks)[0]["content"] == blocks


def test_a_message_of_another_role_stands_outside_the_turns():
    assert extend_history([SYSTEM, USER, MODEL, SYSTEM], "Hello")[-1] == USER


def test_what_goes_on_after_a_managed_prompt_may_begin_with_the_model():
    assert check_history([MODEL, USER, MODEL], appended=True) == [MODEL, USER, MODEL]
    assert check_history([], appended=True) == []
    with pytest.raises(RequestError, match=r"history\[1\].role: is assistant, allowed is user"):
        check_history([MODEL, MODEL], appended=True)
    with pytest.raises(RequestError, match="the last by the user"):
        check_history([USER], appended=True)


def test_the_history_itself_is_not_changed():
    history = [USER, MODEL]

    extend_history(history, "Hello")[0]["content"][0]["text"] = "changed"

    assert history == [{"role": "user", "content": [{"text": "Hello"}]}, MODEL]


@pytest.mark.parametrize(
    ("history", "message", "problem"),
    [
        ("[]", "x", r"history: is a str"),
        (USER, "x", r"history: is a dict"),
        (b"x", "x", r"history: is a bytes"),
        (3, "x", r"history: is a int"),
        ([USER], "x", r"history: is 1 messages, the last by the user"),
        ([MODEL], "x", r"history\[0\].role: is assistant, allowed is user"),
        ([USER, USER], "x", r"history\[1\].role: is user, allowed is assistant"),
        (["Hi"], "x", r"history\[0\]: is a str"),
        ([{"role": "user"}], "x", r"history\[0\]: is a dict"),
        ([{"role": ["user"], "content": "x"}], "x", r"history\[0\]: is a dict"),
        ([{"role": "user", "content": []}], "x", r"history\[0\].content: is empty"),
        (None, [], r"message: is empty"),
        (None, " \n", r"message\[0\]: is blank text"),
        (None, ["x", {"text": " "}], r"message\[1\]: is blank text"),
        (None, True, r"message: is a bool"),
        (None, {"text": "x"}, r"message: is a dict"),
        (None, b"x", r"message: is a bytes"),
        (None, [3], r"message\[0\]: is a int"),
        (None, [{"image": {"$base64": "?"}}], r"history…\$base64: is a str, allowed is base64"),
        (None, [{"image": {"$base64": None}}], r"history…\$base64: is a NoneType, allowed is base64"),
    ],
)
def test_what_is_no_conversation_is_refused_by_its_place(history, message, problem):
    with pytest.raises(RequestError, match=problem):
        extend_history(history, message)


def test_a_system_prompt_is_text_or_blocks_or_nothing():
    assert system_blocks(None) is None
    assert system_blocks("Be brief") == [{"text": "Be brief"}]
    assert system_blocks([{"text": "Be brief"}]) == [{"text": "Be brief"}]
    with pytest.raises(RequestError, match="system: is a int"):
        system_blocks(3)


def test_the_text_of_a_message_leaves_other_blocks_out():
    assert message_text({"content": [{"text": "a"}, {"toolUse": {}}, {"text": "b"}]}) == "ab"


@pytest.mark.parametrize(
    "response", [{}, {"output": None}, {"output": {}}, {"output": {"message": {"content": 3}}}]
)
def test_an_answer_without_a_message_is_an_error(response):
    with pytest.raises(ResponseError, match="holds no message"):
        reply_of(response)


def test_a_reply_is_taken_out_of_its_answer():
    assert reply_of({"output": {"message": MODEL}}) == MODEL


def test_a_response_becomes_json_whatever_is_in_it():
    response = {
        "image": b"\x00\xff",
        "when": dt.datetime(2026, 11, 20, tzinfo=dt.UTC),
        "score": Decimal("0.5"),
        "items": (1, None),
    }

    assert json.loads(json.dumps(to_json(response))) == {
        "image": {"$base64": "AP8="},
        "when": "2026-11-20T00:00:00+00:00",
        "score": 0.5,
        "items": [1, None],
    }


def test_what_a_model_or_a_tool_wrote_is_never_taken_for_bytes():
    use = {"toolUse": {"toolUseId": "t", "name": "put", "input": {"doc": {"$base64": "not base64!"}}}}
    result = {"toolResult": {"toolUseId": "t", "content": [{"json": {"$base64": "QUJD"}}]}}

    assert from_json([use, result]) == [use, result]


@given(st.dictionaries(st.sampled_from(["a", "b"]), json_values | st.binary() | st.lists(st.binary())))
def test_bytes_survive_xcom(value):
    assert from_json(json.loads(json.dumps(to_json(value)))) == value


def test_the_text_of_a_message_has_what_is_cited_in_its_place():
    first = {"citationsContent": {"content": [{"text": "b"}, {"text": "c"}], "citations": [{"title": "t"}]}}
    content = [{"text": "a"}, first, {"citationsContent": {"citations": []}}, {"text": "d"}]

    assert message_text({"content": content}) == "abcd"
