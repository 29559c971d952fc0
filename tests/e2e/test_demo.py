"""The demo on a real Airflow, and its judgement."""

from __future__ import annotations

import dataclasses

import pytest
from tests.e2e.demo import EXPECTATIONS, Expectation, Outcome, Row, run_examples, table

pytestmark = pytest.mark.timeout(400)
REJECTION = "row 1 has 29 features, the model takes 30"


@pytest.fixture(scope="module")
def outcomes(site):
    return run_examples(site.api)


def test_every_run_ends_as_its_dag_expects(outcomes, site):
    problems = [problem for outcome in outcomes for problem in outcome.problems()]

    assert not problems, "\n".join([table(outcomes), *problems, site.output()])
    assert len(outcomes) == len(EXPECTATIONS)


def test_the_table_shows_every_task_with_its_seconds_and_the_rejected_inferences_reason(outcomes):
    drawn = table(outcomes)
    rejected = next(line for line in drawn.splitlines() if "wait[1]" in line)

    assert f"the model said: {REJECTION}" in rejected
    assert "failed" in rejected.split()
    assert all(row.seconds is not None for outcome in outcomes for row in outcome.rows)
    assert all(f"{row.dag_id} " in drawn and f" {row.task} " in drawn for o in outcomes for row in o.rows)


def test_the_rejected_inference_is_not_tried_again_although_its_task_has_a_retry(outcomes, site):
    run_id = site.api.run_ids("aiml_async_scoring")[0]

    assert site.api.task("aiml_async_scoring", run_id, "wait", 1).try_number == 1


def test_the_second_turn_of_the_conversation_knows_the_first(outcomes):
    results = {row.task: row.result for outcome in outcomes for row in outcome.rows}

    assert "Your name is Ada." in results["remember"]


def outcome(state="success", **states) -> Outcome:
    rows = [Row("a_dag", task, task_state, 1.0, f"{task} gave this") for task, task_state in states.items()]
    return Outcome(Expectation("a_dag"), state, rows)


def test_a_run_that_is_as_expected_has_no_problem():
    assert outcome(first="success", second="success").problems() == []


def test_a_failed_run_a_failed_task_and_a_run_without_tasks_are_problems():
    assert outcome("failed", first="success").problems() == ["a_dag: the run is failed, not success"]
    assert outcome(first="failed").problems() == ["a_dag: first is failed, not success"]
    assert outcome().problems() == ["a_dag: no task ran"]


def test_an_expected_failure_that_does_not_happen_or_has_another_reason_is_a_problem():
    wanted = Expectation("a_dag", failures={"first": "too hot"})
    failed = dataclasses.replace(outcome(first="failed"), expectation=wanted)
    went_well = dataclasses.replace(outcome(first="success"), expectation=wanted)

    assert failed.problems() == ["a_dag: first does not say 'too hot'"]
    assert went_well.problems()[0] == "a_dag: first is success, not failed"


def test_a_long_result_is_cut_and_its_folders_are_left_out():
    row = Row("a_dag", "a_task", "success", 1.0, "s3://bucket/a/long/folder/name.json " + "word " * 100)
    drawn = table([Outcome(Expectation("a_dag"), "success", [row])]).splitlines()

    assert "s3://…/name.json" in drawn[2]
    assert drawn[3].endswith("…")
    assert len(drawn) == 4
