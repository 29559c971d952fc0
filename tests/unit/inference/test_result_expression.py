from __future__ import annotations

import pytest
from airflow_provider_aiml.exceptions import RequestError, ResponseError
from airflow_provider_aiml.inference.result_expression import apply_expression, check_expression

RESULT = {"body": {"choices": [{"text": "canary-answer"}], "n": 3}, "content_type": "application/json"}


def test_the_root_of_an_expression_is_the_whole_result():
    assert apply_expression("body.choices[0].text", RESULT) == "canary-answer"
    assert apply_expression("content_type", RESULT) == "application/json"


def test_an_expression_over_a_list_sees_the_list():
    assert apply_expression("[].body.n", [RESULT, RESULT]) == [3, 3]


@pytest.mark.parametrize("expression", ["body[", "", "a b", "body..x", "[?", None, 3])
def test_what_is_no_jmespath_is_refused_with_its_field(expression):
    with pytest.raises(RequestError, match="result_expression: is not a JMESPath"):
        check_expression(expression)


def test_the_place_of_the_mistake_is_named():
    with pytest.raises(RequestError, match="from character 5"):
        check_expression("body ]")


def test_a_null_warns_with_the_keys_there_are_and_no_value(caplog):
    assert apply_expression("body.answer", RESULT) is None
    assert "gave null; the keys at its root are body, content_type (in body: choices, n)" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("result", "keys"),
    [
        ({"body": "text", "n": 1}, "body, n"),
        ([RESULT], "those of a list of 1: body, content_type (in body: choices, n)"),
        ([], "none: the list is empty"),
    ],
)
def test_the_keys_are_named_whatever_the_result_is(result, keys, caplog):
    assert apply_expression("nothing", result) is None
    assert caplog.text.rstrip().endswith(f"the keys at its root are {keys}")


def test_many_keys_of_a_body_are_cut_short(caplog):
    apply_expression("nothing", {"body": {f"key-{number:03}": 0 for number in range(50)}})

    assert "key-019" in caplog.text
    assert "key-020" not in caplog.text


def test_a_function_that_does_not_fit_the_answer_is_an_error_without_the_answer():
    with pytest.raises(
        ResponseError, match="result_expression does not fit the answer: JMESPathTypeError"
    ) as caught:
        apply_expression("length(body.n)", RESULT)

    assert caught.value.may_have_been_billed
    assert "body, content_type" in str(caught.value.hint)
    assert "canary" not in str(caught.value)
