from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from types import MappingProxyType

import pytest
from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.inference.identity import IDENTITY_LENGTH, TaskIdentity, request_identity
from hypothesis import assume, given
from hypothesis import strategies as st


class Shouted(str):
    def __str__(self):
        return self.upper()


TASK = TaskIdentity("dag", "manual__2026-11-20T00:00:00+00:00", "group.task", 3)
REQUEST = {"endpoint_name": "e", "body": b"{}", "n": [1, 2.5, None, True, {"x": "y"}]}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def spelled(value):
    """Give a form in which values are equal only if a service would see the same."""
    if isinstance(value, dict):
        return {key: spelled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [spelled(item) for item in value]
    return (type(value).__name__, repr(value))


def test_the_same_task_instance_asking_the_same_has_the_same_identity_in_every_process():
    identity = request_identity(TASK, "InvokeEndpoint", REQUEST)

    assert identity == "82409ef901b3b45a19d0d645fc770757fae652c0"
    assert identity == request_identity(replace(TASK), "InvokeEndpoint", dict(reversed(REQUEST.items())))
    assert re.fullmatch(rf"[0-9a-f]{{{IDENTITY_LENGTH}}}", identity)


@pytest.mark.parametrize(
    "other",
    [
        {"dag_id": "dag2"},
        {"run_id": "manual__2026-11-21T00:00:00+00:00"},
        {"task_id": "group.task2"},
        {"map_index": -1},
    ],
)
def test_another_task_instance_has_another_identity(other):
    assert request_identity(replace(TASK, **other), "Op", REQUEST) != request_identity(TASK, "Op", REQUEST)


def test_another_operation_has_another_identity():
    assert request_identity(TASK, "Converse", REQUEST) != request_identity(TASK, "InvokeModel", REQUEST)


@given(values, values)
def test_two_different_requests_never_share_an_identity(one, other):
    assume(spelled(one) != spelled(other))

    assert request_identity(TASK, "Op", {"x": one}) != request_identity(TASK, "Op", {"x": other})


@given(st.lists(st.text(), min_size=4, max_size=4), st.lists(st.text(), min_size=4, max_size=4))
def test_names_do_not_run_into_each_other(one, other):
    assume(one != other)
    identities = {
        request_identity(TaskIdentity(dag, run, task), "Op", {"x": x}) for dag, run, task, x in (one, other)
    }

    assert len(identities) == 2


@given(values)
def test_the_order_of_keys_and_the_kind_of_sequence_do_not_matter(value):
    assert request_identity(TASK, "Op", {"a": value, "b": [value]}) == request_identity(
        TASK, "Op", {"b": (value,), "a": value}
    )


def test_bytes_of_every_kind_are_the_same_bytes():
    identities = {
        request_identity(TASK, "Op", {"body": kind(b"abc")}) for kind in (bytes, bytearray, memoryview)
    }

    assert len(identities) == 1


@pytest.mark.parametrize("value", [{1, 2}, dt.datetime(2026, 1, 1), object(), {1: "a", "b": 2}])
def test_what_no_request_can_hold_is_refused_without_its_value(value):
    with pytest.raises(RequestError, match=r"^The request cannot be sent: request: is a ") as caught:
        request_identity(TASK, "Op", {"x": [value]})

    assert "2026" not in str(caught.value)


def test_half_a_surrogate_pair_is_no_obstacle():
    assert request_identity(TASK, "Op", {"x": "\ud800"}) != request_identity(TASK, "Op", {"x": "?"})


def test_text_lists_and_mappings_of_any_class_count_as_what_they_hold():
    plain = {"a": "x", "b": ["y"], "c": {"d": 1}}
    fancy = {"a": Shouted("x"), "b": ("y",), "c": MappingProxyType({"d": 1})}

    assert request_identity(TASK, "Converse", fancy) == request_identity(TASK, "Converse", plain)
