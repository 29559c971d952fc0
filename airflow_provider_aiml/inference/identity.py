"""Who asked what: the identity by which a retry finds the inference that was already paid for.

An identity is a hash over the task instance (dag, run, task, map index) and the request. The same task
instance asking the same thing has the same identity in every try; anything else has another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_aiml.exceptions import Problem, RequestError

IDENTITY_LENGTH = 40
"""Hexadecimal characters of an identity: 160 bits, which fits every name that AWS takes."""


@dataclass(frozen=True, slots=True)
class TaskIdentity:
    """The task instance that asks, without its try number.

    :param dag_id: the DAG's id.
    :param run_id: the DAG run's id.
    :param task_id: the task's id, with its group's prefix.
    :param map_index: the index of a mapped task instance; -1 where the task is not mapped.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


def request_identity(task: TaskIdentity, operation: str, request: Mapping[str, Any]) -> str:
    """Hash a task instance and what it asks into :data:`IDENTITY_LENGTH` hexadecimal characters.

    :param task: the task instance.
    :param operation: what is asked for, for example ``InvokeEndpoint``.
    :param request: the members of the request; nested mappings and sequences, strings, bytes, numbers,
        booleans and None. The order of a mapping's keys does not matter.
    :raises RequestError: a value of another type, which botocore would not take either.
    """
    pieces: list[bytes] = []
    _write([task.dag_id, task.run_id, task.task_id, task.map_index, operation, request], pieces)
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()[:IDENTITY_LENGTH]


def _write(value: Any, pieces: list[bytes]) -> None:
    """Write ``value`` so that two different values never give the same bytes: type, length, content.

    The plain types come first and by identity, since a conversation is hundreds of small values.
    """
    kind = type(value)
    if kind is str:
        _write_text(value, pieces)
    elif kind is dict:
        _write_mapping(value, pieces)
    elif kind is list:
        pieces.append(b"[%d" % len(value))
        for item in value:
            _write(item, pieces)
    else:
        _write_other(value, pieces)


def _write_other(value: Any, pieces: list[bytes]) -> None:
    match value:
        case None:
            pieces.append(b"n")
        case bool():
            pieces.append(b"t" if value else b"f")
        case int() | float():
            written = repr(value).encode()
            pieces += (b"#%d:" % len(written), written)
        case str():
            _write_text(value, pieces)
        case bytes() | bytearray() | memoryview():
            content = bytes(value)
            pieces += (b"b%d:" % len(content), content)
        case Mapping():
            _write_mapping(value, pieces)
        case Sequence():
            _write(list(value), pieces)
        case _:
            raise _unfit(f"a value of type {type(value).__name__}")


def _write_text(value: str, pieces: list[bytes]) -> None:
    encoded = value.encode("utf-8", "surrogatepass")
    pieces += (b"s%d:" % len(encoded), encoded)


def _write_mapping(value: Mapping[Any, Any], pieces: list[bytes]) -> None:
    if not all(isinstance(key, str) for key in value):
        raise _unfit("a mapping with a key that is no text")
    pieces.append(b"{%d" % len(value))
    for key in sorted(value):
        _write(key, pieces)
        _write(value[key], pieces)


def _unfit(found: str) -> RequestError:
    problem = Problem("request", found, "JSON values and bytes")
    return RequestError("The request cannot be sent", problems=(problem,))
