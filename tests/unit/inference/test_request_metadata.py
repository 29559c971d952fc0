from __future__ import annotations

import json

from airflow_provider_aiml.inference.identity import TaskIdentity
from airflow_provider_aiml.inference.request_metadata import fit_text, stamped, stamped_json
from airflow_provider_aiml.inference.requests import check_request, load_operation
from hypothesis import given
from hypothesis import strategies as st

TASK = TaskIdentity("sales", "manual__2026-01-02T03:04:05+00:00", "group.ask")


def accepted(metadata):
    operation = load_operation("bedrock-runtime", "Converse")
    check_request(operation, {"model_id": "amazon.nova-lite-v1:0", "request_metadata": metadata})


def test_a_request_says_which_task_made_it():
    marked = stamped({"team": "sales"}, TASK)

    assert marked == {
        "team": "sales",
        "dag_id": "sales",
        "run_id": "manual__2026-01-02T03:04:05+00:00",
        "task_id": "group.ask",
    }
    accepted(marked)


def test_what_the_author_says_wins():
    assert stamped({"dag_id": "mine"}, TASK)["dag_id"] == "mine"


def test_where_there_is_no_room_ids_are_left_out():
    given_names = {f"name{number}": "x" for number in range(15)}

    marked = stamped(given_names, TASK)

    assert len(marked) == 16
    assert "dag_id" in marked
    accepted(marked)


@given(st.text(), st.text(), st.text())
def test_any_ids_become_metadata_that_the_api_takes(dag, run, task):
    marked = stamped(None, TaskIdentity(dag, run, task))
    if marked:
        accepted(marked)


def test_other_characters_become_one_that_is_taken():
    assert fit_text("straße [1]*") == "stra_e _1__"
    assert len(fit_text("x" * 300)) == 256


def test_invoke_model_gets_the_same_as_text():
    assert json.loads(stamped_json('{"team": "a"}', TASK))["dag_id"] == "sales"
    assert json.loads(stamped_json(None, TASK))["task_id"] == "group.ask"


def test_ids_that_make_the_text_too_long_are_left_out():
    shape = load_operation("bedrock-runtime", "InvokeModel").input_shape.members["requestMetadata"]
    most = shape.metadata["max"]
    tight, full = (json.dumps({"note": "x" * (most - room)}) for room in (50, 12))

    assert set(json.loads(stamped_json(tight, TASK))) == {"note", "dag_id"}
    assert len(stamped_json(tight, TASK)) <= most
    assert stamped_json(full, TASK) == full


def test_text_that_is_no_json_object_is_left_for_the_check():
    assert stamped_json("not json", TASK) == "not json"
    assert stamped_json("[1]", TASK) == "[1]"
