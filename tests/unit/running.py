"""Run a task as Airflow's task runner does, without its supervisor and database."""

from __future__ import annotations

import asyncio
import contextvars
import json
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.bases.operator import ExecutorSafeguard
from tests.airflow_versions import TaskDeferred, deserialize, serialize

if TYPE_CHECKING:
    import datetime as dt

    from airflow.sdk import BaseOperator
    from airflow.triggers.base import BaseTrigger


@dataclass
class Instance:
    """A task instance, as far as a task looks at its own."""

    task_id: str
    dag_id: str = "dag"
    run_id: str = "run"
    map_index: int | None = -1
    try_number: int = 1
    first_reschedule: dt.datetime | None = None

    def get_first_reschedule_date(self, context: Any) -> dt.datetime | None:
        return self.first_reschedule


def run(task: BaseOperator, **facts: Any) -> Any:
    """Execute a task; ``facts`` say which instance it is."""
    return _call(task, task.execute, **facts)


def defer(task: BaseOperator, **facts: Any) -> TaskDeferred:
    """Execute a task that defers."""
    with pytest.raises(TaskDeferred) as deferred:
        run(task, **facts)
    return deferred.value


def resume(task: BaseOperator, deferral: TaskDeferred, event: Any, **facts: Any) -> Any:
    """Resume a task with a trigger's event, with what the deferral left for it."""
    kwargs = through_airflow({**(deferral.kwargs or {}), "event": event})
    return _call(task, lambda context: task.resume_execution(deferral.method_name, kwargs, context), **facts)


def event_of(trigger: BaseTrigger, seconds: float = 90) -> dict[str, Any]:
    """Run a trigger, rebuilt from what Airflow keeps of it, until its event."""

    async def first() -> Any:
        async for event in again(trigger).run():
            return event.payload
        return None

    async def within() -> Any:
        return await asyncio.wait_for(first(), seconds)

    return json.loads(json.dumps(asyncio.run(within())))


def again(trigger: BaseTrigger) -> Any:
    """Rebuild a trigger from what Airflow keeps of it."""
    classpath, kwargs = trigger.serialize()
    return pkgutil.resolve_name(classpath)(**through_airflow(kwargs))


def through_airflow(value: Any) -> Any:
    """Send a value the way of Airflow's deferrals: its own encoding, and JSON."""
    return deserialize(json.loads(json.dumps(serialize(value))))


def through_triggerer(make: Any, **facts: Any) -> Any:
    """Run a task that defers, its trigger, and a new copy of the task to the end."""
    deferral = defer(make(), **facts)
    return resume(make(), deferral, event_of(deferral.trigger))


class StateStore:
    """Airflow's task state store (Airflow 3.3 and newer), as its accessor behaves."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.retention: dict[str, Any] = {}
        self.orphaned = False

    def get(self, key: str, default: Any = None) -> Any:
        self._reach_the_supervisor()
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any, *, retention: dt.timedelta | None = None) -> None:
        self._reach_the_supervisor()
        self.values[key] = json.dumps(value)
        self.retention[key] = retention

    def _reach_the_supervisor(self) -> None:
        if self.orphaned:
            raise BrokenPipeError


def _call(task: BaseOperator, function: Any, *, state_store: StateStore | None = None, **facts: Any) -> Any:
    own = contextvars.copy_context()
    own.run(ExecutorSafeguard.tracker.set, task)
    context = {"ti": Instance(task.task_id, **facts)}
    return own.run(function, context if state_store is None else {**context, "task_state_store": state_store})
