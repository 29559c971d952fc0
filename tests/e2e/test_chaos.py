"""Processes killed and S3 made to fail, all along an inference's life: nothing is lost or bought twice.

Several kills and all outages go on at once, each in a DAG run, on an endpoint and a bucket of its own. CI
runs a short form; ``make e2e`` elsewhere, and ``E2E_CHAOS=full``, all of it.
"""

from __future__ import annotations

import os
import signal
import uuid
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from tests.e2e.dags.pausing import announced
from tests.e2e.processes import wait_until
from tests.e2e.test_kills import alive

pytestmark = pytest.mark.timeout(900)
FULL = os.environ.get("E2E_CHAOS") == "full" or not os.environ.get("CI")
SECONDS = 240
POINTS = (
    "started",
    "planned",
    "written down",
    "sent",
    "answer written down",
    "before the deferral",
    "resumed",
    "before the output is read",
    "output read",
    "before the result is pushed",
)
SHORT = {("task", "sent"), ("task", "before the deferral"), ("supervisor", "planned"), ("supervisor", "sent")}
CASES = [
    (victim, point)
    for victim in ("task", "supervisor")
    for point in POINTS
    if FULL or (victim, point) in SHORT
]
FAULTS = {
    "503": {"code": "SlowDown", "status": 503},
    "500": {"code": "InternalError", "status": 500},
    "reset": {"kind": "drop"},
    "slow": {"kind": "delay", "seconds": 3.0},
    "expired": {"code": "ExpiredToken", "status": 400},
}
OUTAGES = tuple(FAULTS) if FULL else ("503", "expired")
OUTAGE_SECONDS = 60 if FULL else 12
DELAY = 6.0
"""Seconds before an inference runs: time for the scheduler to hear that the process which deferred has ended.

Airflow 3.3.2 fails a task that resumes earlier ("finished with state success, but the task instance's state
attribute is running"), and its next try finds the output, so that no process comes by ``resumed``.
"""
KILLS_AT_ONCE = 4


@pytest.fixture(scope="module")
def begin(site, control, cloud):
    """Start a run on an endpoint of its own, whose outputs go to a bucket of its own."""

    site.wait_for_dags({"e2e_chaos", "e2e_many"})
    s3 = boto3.client(
        "s3",
        endpoint_url=cloud.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )

    def start(dag_id: str, model: str = "echo", delay: float = 0.0, **params):
        name = f"chaos-{uuid.uuid4().hex[:8]}"
        s3.create_bucket(Bucket=name)
        control.add_endpoint(
            name,
            model,
            asynchronous=True,
            s3_output_path=f"s3://{name}/out",
            s3_failure_path=f"s3://{name}/failed",
            delay=delay,
        )
        site.api.unpause(dag_id)
        return name, site.api.trigger(dag_id, endpoint_name=name, **params)

    return start


@pytest.fixture(scope="module")
def deferred(site):
    """Wait until a run's task is in a triggerer."""

    def wait(dag_id: str, run_id: str):
        def there():
            task = site.api.task(dag_id, run_id, "score")
            return task and task.state == "deferred" and task.triggerer_id

        return wait_until(there, SECONDS, "the wait is in the triggerer")

    return wait


@pytest.fixture(scope="module")
def kill(site, pauses, begin):
    """Kill a task's process, or its supervisor, at a point, and give the endpoint and the run's end."""

    def run_and_kill(victim: str, point: str):
        pause = f"{victim}-{uuid.uuid4().hex[:8]}"
        name, run_id = begin("e2e_chaos", delay=DELAY, pause=pause, point=point)
        pids = wait_until(lambda: announced(pauses, pause), SECONDS, f"the task pauses: {point}")
        os.kill(pids[victim], signal.SIGKILL)
        if victim == "supervisor":
            wait_until(
                lambda: (site.api.task("e2e_chaos", run_id, "score").try_number or 0) > 1,
                SECONDS,
                "Airflow has noticed that the supervisor is gone",
            )
            (pauses / pause).unlink()
            wait_until(lambda: not alive(pids["task"]), SECONDS, "the orphan has stopped")
        return name, run_id, site.api.wait_for_run("e2e_chaos", run_id, SECONDS)

    return run_and_kill


@pytest.fixture(scope="module")
def outage(site, control, pauses, begin, deferred):
    """Let a bucket fail while outputs arrive in it, and give the endpoint and the run's end."""

    def run_through(fault: str):
        name, run_id = begin("e2e_many", "gated:model", inferences=3)
        deferred("e2e_many", run_id)
        control.add_fault("s3:*", **FAULTS[fault], for_seconds=OUTAGE_SECONDS, resource=name)
        (pauses / name).touch()
        return name, run_id, site.api.wait_for_run("e2e_many", run_id, SECONDS + OUTAGE_SECONDS)

    return run_through


@pytest.fixture(scope="module")
def ends(request, kill, outage):
    """How each case that was asked for ends, by its parameters; all are begun at once."""
    asked = [
        item.callspec.params
        for item in request.session.items
        if item.module is request.module and hasattr(item, "callspec")
    ]
    with ThreadPoolExecutor(KILLS_AT_ONCE) as kills, ThreadPoolExecutor(len(FAULTS)) as outages:
        yield {
            tuple(case.values()): outages.submit(outage, **case)
            if "fault" in case
            else kills.submit(kill, **case)
            for case in asked
        }


@pytest.mark.parametrize(("victim", "point"), CASES)
def test_a_kill_at_any_point_loses_nothing_and_buys_nothing_twice(site, control, ends, victim, point):
    name, run_id, state = ends[victim, point].result()

    task = site.api.task("e2e_chaos", run_id, "score")
    assert state == "success", site.output()
    assert site.api.xcom(task)["body"] == {"paid": "once"}
    assert len(control.invocations(name)) == 1


@pytest.mark.parametrize("fault", OUTAGES)
def test_a_wait_rides_out_an_s3_that_fails(site, control, ends, fault):
    name, run_id, state = ends[(fault,)].result()

    assert state == "success", site.output()
    assert site.api.xcom(site.api.task("e2e_many", run_id, "score")) == 3
    assert len(control.invocations(name)) == 3


def test_500_waits_survive_the_restart_of_their_triggerer(site, control, pauses, begin, deferred):
    name, run_id = begin("e2e_many", "gated:model", inferences=500 if FULL else 100)
    deferred("e2e_many", run_id)

    site.running("triggerer").kill()
    site.add("triggerer", f"triggerer-{uuid.uuid4().hex[:4]}")
    (pauses / name).touch()
    state = site.api.wait_for_run("e2e_many", run_id, 2 * SECONDS)

    received = control.invocations(name)
    assert state == "success", site.output()
    assert len(received) == len({one.inference_id for one in received}) == (500 if FULL else 100)


def test_a_wait_survives_the_kill_of_the_scheduler(site, control, pauses, begin, deferred):
    name, run_id = begin("e2e_many", "gated:model", inferences=3)
    deferred("e2e_many", run_id)

    site.running("scheduler").kill()
    (pauses / name).touch()
    site.add("scheduler", f"scheduler-{uuid.uuid4().hex[:4]}")
    state = site.api.wait_for_run("e2e_many", run_id, 2 * SECONDS)

    assert state == "success", site.output()
    assert len(control.invocations(name)) == 3
