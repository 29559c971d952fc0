from __future__ import annotations

import re

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


def test_a_null_warns_with_the_keys_of_the_result_and_none_of_the_answer(caplog):
    keyed_by_record = {"body": {"canary-078-05-1120": 0.9, "n": 3}, "usage": {}, "content_type": "x"}

    assert apply_expression("body.answer", keyed_by_record) is None

    words = "gave null; the keys at its root are body (with 2 keys), usage (with 0 keys), content_type"
    assert words in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("result", "keys"),
    [
        ({"body": "text", "n": 1}, "body, n"),
        ([RESULT], "those of a list of 1: body (with 2 keys), content_type"),
        ([], "none: the list is empty"),
        ({"body": {"one": 1}}, "body (with 1 key)"),
    ],
)
def test_the_keys_are_named_whatever_the_result_is(result, keys, caplog):
    assert apply_expression("nothing", result) is None
    assert caplog.text.rstrip().endswith(f"the keys at its root are {keys}")


def test_the_keys_of_an_answer_are_named_where_payloads_may_be_logged(caplog):
    apply_expression("nothing", RESULT, log_payloads=True)

    assert "body (with choices, n), content_type" in caplog.text
    assert "canary" not in caplog.text


def test_many_keys_of_a_body_are_cut_short(caplog):
    result = {"body": {f"key-{number:03}": 0 for number in range(50)}}
    apply_expression("nothing", result, log_payloads=True)

    assert "key-019" in caplog.text
    assert "key-020" not in caplog.text


def test_the_error_of_a_misfit_names_no_key_of_the_answer_unless_payloads_may_be_logged():
    with pytest.raises(ResponseError) as quiet:
        apply_expression("length(body.n)", RESULT)
    with pytest.raises(ResponseError) as open_:
        apply_expression("length(body.n)", RESULT, log_payloads=True)

    assert "choices" not in str(quiet.value)
    assert "choices" in str(open_.value)


@pytest.mark.parametrize("expression", ["floor(body)", "ceil(body)", "abs(keys(body))"])
@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_a_number_that_is_none_is_a_misfit(expression, number):
    with pytest.raises(ResponseError, match="does not fit the answer"):
        apply_expression(expression, {"body": number})


@pytest.mark.parametrize(
    "expression", ["&body", "[&body]", "{a: &body}", "not_null(&body)", "to_array(&body)", "body.[&a]"]
)
def test_an_expression_that_gives_an_expression_is_refused(expression):
    with pytest.raises(RequestError, match="result_expression: is one whose & is not within sort_by"):
        check_expression(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "sort_by(body, &a)[0].a",
        "max_by(body, &a).a",
        "min_by(body, &a).a",
        "map(&a, body)[0]",
        "body[?a > `0`][] | [0].a",
        "body[::1] | [0].a",
    ],
)
def test_an_expression_for_a_function_is_none_of_the_result_s(expression):
    assert apply_expression(expression, {"body": [{"a": 1}]}) == 1


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("lenght(body)", "one with lenght(), which JMESPath does not have"),
        ("body.predictions[?starts_wiht(a, 'b')]", r"one with starts_wiht(), which JMESPath does not have"),
        ("length(body, body)", "one with length() of 2 arguments, which takes 1"),
        ("{a: length()}", "one with length() of 0 arguments, which takes 1"),
        ("not_null()", "one with not_null() of 0 arguments, which takes 1 or more"),
        ("sort_by(body)", "one with sort_by() of 1 argument, which takes 2"),
        ("map(&a, sort_by(body, b))", "one without & before argument 2 of sort_by()"),
        ("map(body, &a)", "one without & before argument 1 of map()"),
    ],
)
def test_a_function_that_cannot_be_called_is_found_before_anything_is_paid_for(expression, found):
    with pytest.raises(RequestError, match=re.escape(f"result_expression: is {found}, allowed is")):
        check_expression(expression)


@pytest.mark.parametrize(
    "expression", ["not_null(body, @, body)", "merge(@, @)", "length(body)", "to_string(@)"]
)
def test_a_function_that_can_be_called_is_no_mistake(expression):
    check_expression(expression)


def test_a_function_that_does_not_fit_the_answer_is_an_error_without_the_answer():
    with pytest.raises(
        ResponseError, match="result_expression does not fit the answer: JMESPathTypeError"
    ) as caught:
        apply_expression("length(body.n)", RESULT)

    assert caught.value.may_have_been_billed
    assert "body (with 2 keys), content_type" in str(caught.value.hint)
    assert "canary" not in str(caught.value)
