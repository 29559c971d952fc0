"""The builders' templates give the shape that was asked for, whatever a caller sends."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from airflow_provider_aiml.endpoint_api import (
    boolean,
    each,
    item_number,
    item_text,
    json_body,
    json_template,
    number,
    text,
)
from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.inference.json_text import is_json
from airflow_provider_aiml.local_aws.execute_api.mapping import run_template
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.endpoint_api.samples import api

NASTY = st.text() | st.text(alphabet="\"'\\/$#{}[](),:\n\u2028 0123456789-+.eE!", max_size=40)
JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def sent(shape: Any, *, query: dict[str, str] | None = None, body: Any = None) -> Any:
    one = api(resource_path="", request_mapping_template=json_template(shape), method="POST")
    return json.loads(one.render_request(query=query, body=body))


def as_number(value: str) -> Any:
    """Give what a number() is expected to become."""
    if not value:
        return None
    return json.loads(value) if JSON_NUMBER.fullmatch(value) else value


def test_get_parameters_become_instances() -> None:
    shape = {"instances": [{"in0": [number("user_id")], "name": text("name"), "vip": boolean("vip")}]}
    assert sent(shape, query={"user_id": "321", "name": 'O"Neil', "vip": "true"}) == {
        "instances": [{"in0": [321], "name": 'O"Neil', "vip": True}]
    }


def test_a_comma_list_becomes_one_instance_for_each_item() -> None:
    shape = {"instances": each("items", {"in0": [number("user_id")], "in1": [item_number()]})}
    assert sent(shape, query={"user_id": "321", "items": "101, 131,,162,"}) == {
        "instances": [
            {"in0": [321], "in1": [101]},
            {"in0": [321], "in1": [131]},
            {"in0": [321], "in1": [162]},
        ]
    }


def test_lists_may_stand_in_lists() -> None:
    shape = each("rows", [item_text(), each("columns", item_number()), item_text()])
    assert sent(shape, query={"rows": "a,b", "columns": "1,2"}) == [["a", [1, 2], "a"], ["b", [1, 2], "b"]]


def test_columns_come_from_query_parameters() -> None:
    shape = {"instances": [[number("age"), number("income")]]}
    assert sent(shape, query={"age": "30", "income": "-1.5e3"}) == {"instances": [[30, -1500.0]]}


def test_a_posts_json_is_passed_through() -> None:
    body = {"instances": [[1.5, "it's \u00fc", None]]}
    assert sent(json_body(), body=body) == body
    assert sent({"inputs": json_body("$.instances[0]")}, body=body) == {"inputs": body["instances"][0]}


def test_an_absent_parameter_is_null_and_an_absent_list_empty() -> None:
    shape = {"n": number("n"), "t": text("t"), "b": boolean("b"), "l": each("l", item_text())}
    assert sent(shape) == {"n": None, "t": None, "b": None, "l": []}


def test_what_is_no_request_value_stays_as_it_is() -> None:
    shape = {"$a #b": ["$x", "#set( $y = 1 )", 1, 1.5, None, True, "\\'\"", ("t",)]}
    assert sent(shape) == {**shape, "$a #b": [*shape["$a #b"][:-1], ["t"]]}


@given(NASTY, NASTY, NASTY)
@example("1]}", '"', "\\")
@example("'", "\\'", "\\\\'")
@example("NaN", "01", "1_0")
@example("\u0661", "1\n", "Infinity")
def test_no_value_breaks_out_of_the_json(first: str, second: str, third: str) -> None:
    shape = {"n": number("n"), "t": [text("t")], "b": boolean("b"), "end": "$"}
    got = sent(shape, query={"n": first, "t": second, "b": third})
    expected_boolean = {"true": True, "false": False, "": None}.get(third, third)
    assert got == {"n": as_number(first), "t": [second or None], "b": expected_boolean, "end": "$"}


@given(NASTY)
@example("1],[2")
@example("a,\\,'\",1e5")
def test_no_item_breaks_out_of_the_json(items: str) -> None:
    got = sent(
        {"list": each("items", {"n": item_number(), "t": item_text()}), "end": 1}, query={"items": items}
    )
    blanks = "".join(map(chr, range(33)))
    parts = [part.strip(blanks) for part in items.split(",")]
    wanted = [{"n": as_number(part), "t": part} for part in parts if part]
    assert got == {"list": wanted, "end": 1}


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30))
def test_every_number_of_json_goes_in_as_a_number(value: float) -> None:
    got = sent(number("n"), query={"n": json.dumps(value)})
    assert math.isclose(got, value) if isinstance(value, float) else got == value


def test_an_item_outside_of_a_list_is_refused() -> None:
    with pytest.raises(RequestError, match=r"shape\.a\[0\]"):
        json_template({"a": [item_number()]})


@pytest.mark.parametrize("shape", [{"a": object()}, [float("nan")], {1, 2}], ids=["object", "nan", "set"])
def test_what_is_not_json_is_refused_with_its_place(shape: Any) -> None:
    with pytest.raises(RequestError, match="shape"):
        json_template(shape)


@pytest.mark.parametrize("name", ["", 'a"b', "a b", "$x", "a)", 5])
def test_a_name_that_could_be_velocity_is_refused(name: Any) -> None:
    with pytest.raises(RequestError, match="name"):
        number(name)


@pytest.mark.parametrize("path", ["", "a", "$.a'b", "$.$x", "$.a#b"])
def test_a_path_that_could_be_velocity_is_refused(path: str) -> None:
    with pytest.raises(RequestError, match="path"):
        json_body(path)


def test_a_list_of_as_many_items_as_the_gateway_takes_is_whole() -> None:
    items = list(range(1000))
    assert sent(each("items", item_number()), query={"items": ",".join(map(str, items))}) == items


def test_a_longer_list_is_refused_here() -> None:
    with pytest.raises(RequestError, match="1,001 items, of which API Gateway takes 1,000 alone"):
        sent(each("items", item_number()), query={"items": "1," * 1000 + "1"})


@pytest.mark.parametrize("item", ["1", ""])
def test_a_longer_list_gives_no_json_at_the_gateway_which_ends_its_loop_without_a_word(item: str) -> None:
    rendered = run_template(
        json_template({"instances": each("items", item_number())}),
        parameters={"path": {}, "querystring": {"items": f"{item}," * 1000 + "1"}, "header": {}},
        body="",
        context={},
        stage_variables={},
    )
    assert rendered.endswith(" more than 1,000 items]}")
    assert not is_json(rendered)


def test_a_built_template_passes_the_trial_and_stays_on_one_line() -> None:
    template = json_template({"a": each("items", item_number()), "b": number("user_id")})
    api(request_mapping_template=template, request_parameters={"items": False}).check_templates()
    assert "\n" not in template
