"""Run a task as Airflow's task runner does, without its supervisor and database."""

from __future__ import annotations

import asyncio
import contextvars
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from airflow._shared.module_loading import import_string
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.serde import deserialize, serialize

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


def resume(task: BaseOperator, deferral: TaskDeferred, event: Any) -> Any:
    """Resume a task with a trigger's event, with what the deferral left for it."""
    kwargs = through_airflow({**(deferral.kwargs or {}), "event": event})
    return _call(task, lambda context: task.resume_execution(deferral.method_name, kwargs, context))


def event_of(trigger: BaseTrigger, seconds: float = 30) -> dict[str, Any]:
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
    return import_string(classpath)(**through_airflow(kwargs))


def through_airflow(value: Any) -> Any:
    """Send a value the way of Airflow's deferrals: its own encoding, and JSON."""
    return deserialize(json.loads(json.dumps(serialize(value))))


def through_triggerer(make: Any, **facts: Any) -> Any:
    """Run a task that defers, its trigger, and a new copy of the task to the end."""
    deferral = defer(make(), **facts)
    return resume(make(), deferral, event_of(deferral.trigger))


def _call(task: BaseOperator, function: Any, **facts: Any) -> Any:
    own = contextvars.copy_context()
    own.run(ExecutorSafeguard.tracker.set, task)
    return own.run(function, {"ti": Instance(task.task_id, **facts)})
