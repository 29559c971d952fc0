"""Request metadata that says which task asked, so that Bedrock's invocation logs can be filtered.

The character set and the lengths are read from botocore's service model.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_aiml.inference.patterns import compile_pattern
from airflow_provider_aiml.inference.requests import load_operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_aiml.inference.identity import TaskIdentity

__all__ = ["fit_text", "stamped", "stamped_json"]

_REPLACEMENT: Final = "_"


def stamped(metadata: Mapping[str, Any] | None, task: TaskIdentity) -> dict[str, Any]:
    """Add a task instance's ids to Converse's request metadata.

    :param metadata: what the task's author gave; it wins, and where it leaves no room, ids are left out.
    :param task: the task instance.
    """
    marked = dict(metadata or {})
    shape = _shape()
    room = int(shape.metadata.get("max", len(marked)))
    for name, value in _ids(task).items():
        if name not in marked and len(marked) < room and value:
            marked[name] = value
    return marked


def stamped_json(metadata: str | None, task: TaskIdentity) -> str | None:
    """Add a task instance's ids to InvokeModel's request metadata, which is a JSON object as text.

    :param metadata: what the task's author gave; text that is no JSON object is left as it is. Ids that
        would make it longer than the service model allows are left out.
    :param task: the task instance.
    """
    try:
        given = json.loads(metadata) if metadata else {}
    except ValueError:
        return metadata
    if not isinstance(given, dict):
        return metadata
    marked = stamped(given, task)
    added = [name for name in marked if name not in given]
    while added and len(json.dumps(marked)) > _longest_text():
        del marked[added.pop()]
    return json.dumps(marked) if added else metadata


def _longest_text() -> float:
    operation: Any = load_operation("bedrock-runtime", "InvokeModel")
    shape = operation.input_shape.members.get("requestMetadata")
    return math.inf if shape is None else float(shape.metadata.get("max", math.inf))


def _ids(task: TaskIdentity) -> dict[str, str]:
    named = {"dag_id": task.dag_id, "run_id": task.run_id, "task_id": task.task_id}
    return {name: fit_text(value) for name, value in named.items()}


def fit_text(text: str) -> str:
    """Make a text one that request metadata takes: other characters become ``_``, the rest is cut off.

    :param text: an id of Airflow's.
    """
    shape = _shape().value
    longest = int(shape.metadata.get("max", len(text)))
    return "".join(
        char if _fits(char, shape.metadata.get("pattern")) else _REPLACEMENT for char in text[:longest]
    )


def _shape() -> Any:
    operation: Any = load_operation("bedrock-runtime", "Converse")
    return operation.input_shape.members["requestMetadata"]


@lru_cache(maxsize=1024)
def _fits(char: str, pattern: str | None) -> bool:
    compiled = compile_pattern(pattern) if pattern else None
    return compiled is None or compiled.fullmatch(char) is not None
