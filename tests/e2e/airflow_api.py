"""What the demo and the tests ask of a running Airflow, by its REST API."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from dataclasses import dataclass
from typing import Any

import httpx
from tests.e2e.processes import ProcessError, wait_until

RUN_SECONDS = 180
"""How long a run may take; the slowest of the demo takes a tenth of it."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task instance, as the API tells of it.

    :param map_index: -1 for a task that is not mapped.
    :param triggerer_id: the job id of the triggerer that holds its trigger, while it is deferred.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str | None
    try_number: int
    started: str | None
    ended: str | None
    triggerer_id: int | None

    @property
    def name(self) -> str:
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"

    @property
    def seconds(self) -> float | None:
        if not self.started or not self.ended:
            return None
        begin, end = (dt.datetime.fromisoformat(moment) for moment in (self.started, self.ended))
        return (end - begin).total_seconds()


class AirflowApi:
    """A client that is logged in.

    :param url: where the API server is.
    """

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=30)

    def close(self) -> None:
        self._client.close()

    def health(self) -> dict[str, str | None] | None:
        """Give the state of each component, or None while nobody answers."""
        try:
            answer = self._client.get("/api/v2/monitor/health")
            return {name: part["status"] for name, part in answer.raise_for_status().json().items()}
        except (httpx.HTTPError, ValueError):
            return None

    def log_in(self, user: str, password: str) -> None:
        token = self._ask("POST", "/auth/token", json={"username": user, "password": password})
        self._client.headers["Authorization"] = f"Bearer {token['access_token']}"

    def dag_ids(self) -> set[str]:
        return {dag["dag_id"] for dag in self._ask("GET", "/api/v2/dags", params={"limit": 100})["dags"]}

    def import_errors(self) -> list[str]:
        found = self._ask("GET", "/api/v2/importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace']}" for error in found]

    def unpause(self, dag_id: str) -> None:
        self._ask("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})

    def trigger(self, dag_id: str, **conf: Any) -> str:
        """Start a run with these params, and give its id."""
        body = {"logical_date": dt.datetime.now(dt.UTC).isoformat(), "conf": conf}
        return str(self._ask("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def run_ids(self, dag_id: str) -> list[str]:
        return [run["dag_run_id"] for run in self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"]]

    def run_state(self, dag_id: str, run_id: str) -> str:
        return str(self._ask("GET", _run(dag_id, run_id))["state"])

    def wait_for_run(self, dag_id: str, run_id: str, seconds: float = RUN_SECONDS) -> str:
        """Wait until a run is over, and give its state."""

        def over() -> str | None:
            state = self.run_state(dag_id, run_id)
            return state if state in ("success", "failed") else None

        try:
            return wait_until(over, seconds, f"{dag_id} is over")
        except ProcessError as error:
            tasks = ", ".join(f"{task.name} {task.state}" for task in self.tasks(dag_id, run_id))
            raise ProcessError(f"{error}; its tasks: {tasks}") from None

    def tasks(self, dag_id: str, run_id: str) -> list[Task]:
        """Give a run's task instances, in the order in which their tasks started."""
        found = self._ask("GET", f"{_run(dag_id, run_id)}/taskInstances", params={"limit": 100})
        tasks = [
            Task(
                dag_id,
                run_id,
                facts["task_id"],
                facts["map_index"],
                facts["state"],
                facts["try_number"],
                facts["start_date"],
                facts["end_date"],
                (facts.get("triggerer_job") or {}).get("id"),
            )
            for facts in found["task_instances"]
        ]
        begun: dict[str, str] = {}
        for task in tasks:
            begun[task.task_id] = min(begun.get(task.task_id, "9"), task.started or "9")
        return sorted(tasks, key=lambda task: (begun[task.task_id], task.task_id, task.map_index))

    def task(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Task | None:
        """Give one task instance, or None while it is not there."""
        wanted = (task_id, map_index)
        found = (task for task in self.tasks(dag_id, run_id) if (task.task_id, task.map_index) == wanted)
        return next(found, None)

    def xcom(self, task: Task, key: str = "return_value") -> Any:
        """Give an XCom's value, or None where there is none."""
        path = f"{_run(task.dag_id, task.run_id)}/taskInstances/{task.task_id}/xcomEntries/{key}"
        answer = self._get(path, params={"map_index": task.map_index, "deserialize": True})
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return answer.raise_for_status().json()["value"]

    def rendered(self, task: Task) -> dict[str, Any]:
        """Give a task instance's template fields, as they were rendered."""
        path = f"{_run(task.dag_id, task.run_id)}/taskInstances/{task.task_id}"
        path = path if task.map_index < 0 else f"{path}/{task.map_index}"
        fields: dict[str, Any] = self._ask("GET", path)["rendered_fields"]
        return fields

    def mark_failed(self, task: Task) -> None:
        """Mark a task as failed, as a user does in the UI."""
        path = f"{_run(task.dag_id, task.run_id)}/taskInstances/{task.task_id}"
        self._ask("PATCH", path, json={"new_state": "failed"})

    def clear(self, task: Task) -> None:
        """Clear a task, in whatever state it is, so that it runs again."""
        body = {"dag_run_id": task.run_id, "task_ids": [task.task_id], "only_failed": False, "dry_run": False}
        self._ask("POST", f"/api/v2/dags/{task.dag_id}/clearTaskInstances", json=body)

    def log(self, task: Task, try_number: int | None = None) -> list[dict[str, Any]]:
        """Give the records of a try's log; default: the latest try."""
        path = f"{_run(task.dag_id, task.run_id)}/taskInstances/{task.task_id}/logs"
        params = {"map_index": task.map_index, "full_content": True}
        found = self._ask("GET", f"{path}/{try_number or task.try_number}", params=params)
        return [record for record in found["content"] if isinstance(record, dict)]

    def failure(self, task: Task) -> str:
        """Give what a failed task raised, as its log says."""
        raised = [
            detail["exc_value"]
            for record in self.log(task)
            for detail in record.get("error_detail") or ()
            if detail.get("exc_value")
        ]
        return str(raised[-1]) if raised else ""

    def _ask(self, method: str, path: str, **arguments: Any) -> Any:
        answer = (
            self._get(path, **arguments)
            if method == "GET"
            else self._client.request(method, path, **arguments)
        )
        if answer.is_error:
            raise ProcessError(f"{method} {path} answered {answer.status_code}: {answer.text[:500]}")
        return answer.json()

    def _get(self, path: str, **arguments: Any) -> httpx.Response:
        """Read, once more where a busy server was at fault; nothing is read that must not be read twice."""
        for _ in range(2):
            with contextlib.suppress(httpx.TransportError):
                answer = self._client.get(path, **arguments)
                if not answer.is_server_error:
                    return answer
            time.sleep(1)
        return self._client.get(path, **arguments)


def answers(url: str) -> bool:
    """Say whether something answers there without an error."""
    try:
        return httpx.get(url, timeout=30).is_success
    except httpx.HTTPError:
        return False


def _run(dag_id: str, run_id: str) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"
