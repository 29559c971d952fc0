"""Processes killed without notice in the middle of a wait, or after an answer was paid for."""

from __future__ import annotations

import os
import signal
import uuid

import psutil
import pytest
from tests.e2e.dags.pausing import announced
from tests.e2e.processes import wait_until

pytestmark = pytest.mark.timeout(300)
SECONDS = 120


def test_a_wait_survives_the_kill_of_its_triggerer_and_buys_each_inference_once(site, control, pauses):
    endpoint = f"gated-{uuid.uuid4().hex[:8]}"
    control.add_endpoint(endpoint, "gated:model", asynchronous=True)
    site.api.unpause("e2e_waits")
    run_id = site.api.trigger("e2e_waits", endpoint_name=endpoint)

    def all_in_the_triggerer() -> bool:
        waits = site.api.tasks("e2e_waits", run_id)
        return len(waits) == 3 and all(wait.state == "deferred" and wait.triggerer_id for wait in waits)

    wait_until(all_in_the_triggerer, SECONDS, "the three waits are in the triggerer")
    site.running("triggerer").kill()
    pending = control.pending()
    (pauses / endpoint).touch()
    site.add("triggerer", f"triggerer-{endpoint}")
    state = site.api.wait_for_run("e2e_waits", run_id)

    received = control.invocations(endpoint)
    answers = [site.api.xcom(task)["body"] for task in site.api.tasks("e2e_waits", run_id)]
    assert pending == 3
    assert state == "success", site.output()
    assert len(received) == 3
    assert len({invocation.inference_id for invocation in received}) == 3
    assert sorted(answer["number"] for answer in answers) == [0, 1, 2]


@pytest.mark.parametrize("victim", ["task", "supervisor"])
def test_a_retry_after_a_kill_reads_the_answer_that_was_paid_for_and_calls_nothing(
    site, control, pauses, victim
):
    name = f"{victim}-{uuid.uuid4().hex[:8]}"
    control.add_endpoint(name)
    site.api.unpause("e2e_paid_once")
    run_id = site.api.trigger("e2e_paid_once", endpoint_name=name, pause=name)
    pids = wait_until(lambda: announced(pauses, name), SECONDS, "the answer was kept")
    bought_before = len(control.invocations(name))

    os.kill(pids[victim], signal.SIGKILL)
    state = site.api.wait_for_run("e2e_paid_once", run_id)

    task = site.api.task("e2e_paid_once", run_id, "score")
    said = [str(record.get("event")) for record in site.api.log(task)]
    assert bought_before == 1
    assert state == "success", site.output()
    assert task.try_number == 2
    assert site.api.xcom(task)["answer"] == {"paid": "once"}
    assert any("nothing is sent" in event for event in said)
    (pauses / name).unlink()
    wait_until(lambda: not alive(pids["task"]), SECONDS, "the first try's process has ended")
    assert len(control.invocations(name)) == 1


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
