"""Deferred tasks that a user clears or marks as failed: the new try waits for what was paid for."""

from __future__ import annotations

import uuid

import pytest
from tests.e2e.processes import wait_until

pytestmark = pytest.mark.timeout(300)
SECONDS = 120


@pytest.mark.parametrize("marked_first", [False, True], ids=["cleared", "marked as failed, then cleared"])
def test_a_deferred_task_that_is_cleared_buys_nothing_again(site, control, pauses, marked_first):
    name = f"clear-{uuid.uuid4().hex[:8]}"
    control.add_endpoint(name, "gated:model", asynchronous=True)
    site.wait_for_dags({"e2e_many"})
    site.api.unpause("e2e_many")
    run_id = site.api.trigger("e2e_many", endpoint_name=name, inferences=3)

    def deferred(try_number: int):
        task = site.api.task("e2e_many", run_id, "score")
        there = task and task.state == "deferred" and task.triggerer_id and task.try_number == try_number
        return task if there else None

    first = wait_until(lambda: deferred(1), SECONDS, "the wait is in the triggerer")
    if marked_first:
        site.api.mark_failed(first)
        wait_until(lambda: site.api.run_state("e2e_many", run_id) == "failed", SECONDS, "the run has failed")
    site.api.clear(first)
    wait_until(lambda: deferred(2), SECONDS, "the second try waits in the triggerer")
    (pauses / name).touch()
    state = site.api.wait_for_run("e2e_many", run_id)

    task = site.api.task("e2e_many", run_id, "score")
    said = [str(record.get("event")) for record in site.api.log(task)]
    assert state == "success", site.output()
    assert site.api.xcom(task) == 3
    assert len(control.invocations(name)) == 3
    assert sum("nothing is sent" in event for event in said) == 3
