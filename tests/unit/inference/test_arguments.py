from __future__ import annotations

import datetime as dt
import math

import pytest
from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.inference.arguments import (
    check_one_source,
    read_mapping,
    read_number,
    read_seconds,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        ({"payload": None, "payload_uri": None}, "none of them"),
        ({"payload": 0, "payload_uri": "s3://b/k"}, "payload and payload_uri"),
    ],
)
def test_none_and_two_sources_are_refused_by_name(sources, found):
    with pytest.raises(RequestError, match=f"payload / payload_uri: is {found}, allowed is exactly one"):
        check_one_source(sources)


@pytest.mark.parametrize("value", ["", 0, [], False, "text"])
def test_one_source_is_enough_even_if_it_is_empty(value):
    check_one_source({"payload": value, "payload_uri": None})


@pytest.mark.parametrize(("value", "seconds"), [(30, 30), (0, 0), (0.5, 0.5), (dt.timedelta(minutes=2), 120)])
def test_a_span_of_time_is_seconds_or_a_timedelta(value, seconds):
    assert read_seconds(value, "waiter_delay") == seconds


@pytest.mark.parametrize("value", ["30", None, True, -1, math.inf, math.nan, dt.timedelta(days=-1)])
def test_a_span_of_time_that_is_none_is_refused_by_name(value):
    with pytest.raises(
        RequestError, match=r"waiter_delay: is a .* that is none, allowed is seconds, 0 or more"
    ):
        read_seconds(value, "waiter_delay")


@pytest.mark.parametrize(
    ("value", "kind", "number"),
    [
        (None, int, None),
        ("100", int, 100),
        (" 7 ", int, 7),
        (7.0, int, 7),
        ("0.25", float, 0.25),
        (1, float, 1.0),
    ],
)
def test_a_number_may_come_as_the_text_of_a_template(value, kind, number):
    assert read_number(value, "max_tokens", kind) == number


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (7.5, int),
        ("7.5", int),
        ("many", int),
        (True, int),
        ([], int),
        (math.inf, int),
        (math.nan, int),
        ("x", float),
    ],
)
def test_what_is_no_such_number_is_refused_without_its_value(value, kind):
    with pytest.raises(RequestError, match=r"^The request cannot be sent: max_tokens: is a ") as caught:
        read_number(value, "max_tokens", kind)

    assert "many" not in str(caught.value)


@given(st.integers())
def test_every_whole_number_survives_a_template(number):
    assert read_number(str(number), "n", int) == number


def test_a_mapping_is_read_as_it_is_and_none_as_an_empty_one():
    assert read_mapping({"a": 1}, "x") == {"a": 1}
    assert read_mapping(None, "x") == {}


@pytest.mark.parametrize("value", ["{'a': 1}", [1], 3])
def test_the_text_of_a_mapping_is_none(value):
    with pytest.raises(RequestError, match=r"inference_config: is a .* allowed is a mapping"):
        read_mapping(value, "inference_config")
