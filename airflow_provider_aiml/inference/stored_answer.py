"""Answers that were paid for, kept where a retry finds them.

The raw body is written first and a small record last, so a record that is there speaks of a whole body. The
record holds who asked what (:mod:`airflow_provider_aiml.inference.identity`), and a body whose record belongs
to another request is never taken for an answer. Before the call an empty record is written in the same place:
a place that cannot be written is noticed before money is spent.

Paths are passed in: anything with ``open``, ``/`` and ``parent`` (Airflow's ObjectStoragePath, pathlib.Path).
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import tenacity

from airflow_provider_aiml.exceptions import StoredAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)
T = TypeVar("T")

RECORD_SUFFIX = ".aiml.json"
PARTIAL_SUFFIX = ".partial"
_FORMAT = 1
_WRITE_ATTEMPTS = 5


class PathLike(Protocol):
    """The little of a path that is needed here."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        ...

    @property
    def parent(self) -> PathLike:
        """The path without its last part."""
        ...

    def __truediv__(self, other: str) -> PathLike: ...

    def open(self, mode: str) -> Any:
        """Open the object in a binary mode."""
        ...

    def mkdir(self, *, parents: bool, exist_ok: bool) -> None:
        """Make the folder, where the store has folders."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered, before anything is done with it.

    :param body: the raw bytes.
    :param members: the other members of the response, JSON-safe, by their snake_case name.
    """

    body: bytes
    members: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AnswerStore:
    """One place that keeps one answer.

    :param path: where the body goes.
    :param identity: who asked what; only an answer to the same is given back.
    """

    path: PathLike
    identity: str

    def load(self) -> Answer | None:
        """Give the answer that is there, or None where it is absent or answers something else.

        :raises StoredAnswerError: the place cannot be read, or the body is not the one that the record names.
        """
        record = self._read_record()
        if record is None or record.get("identity") != self.identity or record.get("state") != "answered":
            return None
        body = self._attempt("read", lambda: _read(self.path))
        if hashlib.sha256(body).hexdigest() != record.get("sha256"):
            raise StoredAnswerError(
                f"{self.path} was changed after it was written: its {len(body)} bytes do not fit its record",
                retryable=False,
                hint="remove the record beside it to buy the inference again",
            )
        return Answer(body, record.get("members") or {})

    def announce(self) -> None:
        """Write the empty record, which shows before the call that the place can be written.

        :raises StoredAnswerError: it cannot; nothing was sent.
        """
        self._attempt("write", lambda: self._write_record({"state": "asked"}))

    def save(self, answer: Answer) -> None:
        """Write the body, then the record.

        :raises StoredAnswerError: after five attempts; the inference was paid for and its answer is lost.
        """
        self._attempt("write", lambda: _write(self.path, answer.body), paid=True)
        record = {
            "state": "answered",
            "sha256": hashlib.sha256(answer.body).hexdigest(),
            "size": len(answer.body),
            "members": dict(answer.members),
        }
        self._attempt("write", lambda: self._write_record(record), paid=True)

    def save_partial(self, body: bytes) -> None:
        """Keep the part of an answer that did arrive, beside the place of the whole one."""
        self._attempt("write", lambda: _write(self._beside(PARTIAL_SUFFIX), body), paid=True)

    def _beside(self, suffix: str) -> PathLike:
        return self.path.parent / (self.path.name + suffix)

    def _read_record(self) -> dict[str, Any] | None:
        def read() -> bytes | None:
            try:
                return _read(self._beside(RECORD_SUFFIX))
            except FileNotFoundError:
                return None

        raw = self._attempt("read", read)
        if raw is None:
            return None
        try:
            record = json.loads(raw)
        except ValueError:
            log.warning("The record beside %s is not JSON; it is taken as absent", self.path)
            return None
        return record if isinstance(record, dict) else None

    def _write_record(self, facts: Mapping[str, Any]) -> None:
        record = {"format": _FORMAT, "identity": self.identity, **facts}
        _write(self._beside(RECORD_SUFFIX), json.dumps(record).encode())

    def _attempt(self, verb: str, action: Callable[[], T], *, paid: bool = False) -> T:
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(_WRITE_ATTEMPTS if paid else 2),
            wait=tenacity.wait_exponential_jitter(initial=0.2, max=5),
            retry=tenacity.retry_if_exception_type(Exception),
            reraise=True,
        )
        try:
            return retrying(action)
        except Exception as error:
            raise StoredAnswerError(
                f"{self.path} cannot be {'read' if verb == 'read' else 'written'}: {type(error).__name__}",
                may_have_been_billed=paid,
                hint="the bucket must exist and the connection needs s3:GetObject and s3:PutObject there",
            ) from error


def _read(path: PathLike) -> bytes:
    with path.open("rb") as file:
        content = file.read()
    return bytes(content)


def _write(path: PathLike, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
