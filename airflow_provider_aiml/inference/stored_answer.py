"""Answers that were paid for, kept where a retry finds them.

Before the call a record is written beside the answer's place, so that a place which cannot be written is
noticed before money is spent. After it the record says who asked what
(:mod:`airflow_provider_aiml.inference.identity`) and which bytes were answered; the raw body is written last.
So a body that is there whole is found by a retry whenever the task was killed, and one that is cut off or
belongs to another request is never taken for the answer.

Paths are passed in: anything with ``open``, ``/`` and ``parent`` (Airflow's ObjectStoragePath, pathlib.Path).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import uuid
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow_provider_aiml.exceptions import (
    InferenceError,
    Problem,
    RequestError,
    ResponseError,
    StoredAnswerError,
)
from airflow_provider_aiml.inference.identity import request_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from airflow_provider_aiml.inference.identity import TaskIdentity

log = logging.getLogger(__name__)
T = TypeVar("T")

RECORD_SUFFIX = ".aiml.json"
PARTIAL_SUFFIX = ".partial"
_FORMAT = 1
_ATTEMPTS = 2
_ATTEMPTS_ONCE_PAID = 5
_LASTING = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""What trying again cannot change."""


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
        """Make the folder."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered, before anything is done with it.

    :param body: the raw bytes.
    :param members: the other members of the response, JSON-safe, by their snake_case name.
    """

    body: bytes
    members: Mapping[str, Any] = field(default_factory=dict)

    def response(self, operation: str) -> dict[str, Any]:
        """Read the response that was kept as JSON.

        :param operation: what it answers, for the error.
        :raises ResponseError: it is no JSON object.
        """
        try:
            response = json.loads(self.body)
        except ValueError:
            response = None
        if isinstance(response, dict):
            return response
        raise ResponseError(f"The kept answer of {operation} is not a JSON object", partial_body=self.body)


def is_named(record: Mapping[str, Any], size: int, crc32: int) -> bool:
    """Tell whether a body is the one that a record names.

    A sum of 32 bits tells a body that is cut off or another try's, at a fifth of what a cryptographic hash
    costs. It is no defence against whoever may write the place, who may write the record, too.
    """
    return (record.get("size"), record.get("crc32")) == (size, crc32)


@dataclass(frozen=True, slots=True)
class AnswerStore:
    """One place that keeps one answer.

    :param path: where the body goes.
    :param uri: the same as the user wrote it, for messages.
    :param identity: who asked what; only an answer to the same is given back.
    :param mapped: the mapped task instance that asks, where the others may be given the same place.
    """

    path: PathLike
    uri: str
    identity: str
    mapped: TaskIdentity | None = None

    def load(self) -> Answer | None:
        """Give the answer that is there, or None where it is absent, not whole, or answers something else.

        :raises StoredAnswerError: the place cannot be read.
        """
        record = self._read_record()
        if record is None or record.get("state") != "answered":
            return None
        if record.get("identity") != self.identity:
            log.info("%s keeps the answer to another request", self.uri)
            return None
        body = self._attempt("read", lambda: _read(self.path))
        if body is not None and is_named(record, len(body), zlib.crc32(body)):
            return Answer(body, record.get("members") or {})
        log.warning(
            "%s does not hold the answer that its record names: the task was stopped before it was written, "
            "or it was changed since. The model is asked again.",
            self.uri,
        )
        return None

    def announce(self) -> None:
        """Write a record without an answer, which shows before the call that the place can be written.

        :raises StoredAnswerError: it cannot; nothing was sent.
        :raises RequestError: it is another instance's of the same mapped task; nothing was sent.
        """
        self._refuse_to_share()
        self._attempt("write", lambda: self._write_record({"state": "asked"}))
        self._refuse_to_share()  # They start together: who wrote last has it.

    def save(self, answer: Answer) -> None:
        """Write the record, then the body.

        :raises StoredAnswerError: after five attempts; the inference was paid for and its answer is lost.
        """
        record = {
            "state": "answered",
            "crc32": zlib.crc32(answer.body),
            "size": len(answer.body),
            "members": dict(answer.members),
        }
        self._attempt("write", lambda: self._write_record(record), paid=True)
        self._attempt("write", lambda: write_object(self.path, [answer.body]), paid=True)

    def save_partial(self, body: bytes) -> None:
        """Keep the part of an answer that did arrive, beside the place of the whole one."""
        try:
            self._attempt("write", lambda: write_object(self._beside(PARTIAL_SUFFIX), [body]), paid=True)
        except StoredAnswerError as error:
            log.warning("The %d bytes that did arrive are not kept: %s", len(body), error.message)

    def load_beside(self, suffix: str) -> bytes | None:
        """Give another object whose name goes on with ``suffix``; None where there is none.

        :raises StoredAnswerError: it cannot be read.
        """
        return self._attempt("read", lambda: _read(self._beside(suffix)))

    def save_beside(self, suffix: str, content: bytes) -> None:
        """Write another object whose name goes on with ``suffix``.

        :raises StoredAnswerError: after five attempts; what it holds was paid for.
        """
        self._attempt("write", lambda: write_object(self._beside(suffix), [content]), paid=True)

    def _refuse_to_share(self) -> None:
        if self.mapped is None:
            return
        own, record = self._of_mapped, self._read_record() or {}
        if record.get("task") == own["task"] and record.get("map_index") != own["map_index"]:
            found = "one object for several mapped instances of the task"
            allowed = "a folder, ending with '/', or a name with {{ ti.map_index }} in it"
            raise RequestError(
                "The answers would replace each other",
                problems=(Problem("output_uri", found, allowed),),
                hint=f"it holds that of map index {record.get('map_index')} in this run; where that is not "
                "wanted any more, remove the object and its record",
            )

    @property
    def _of_mapped(self) -> dict[str, Any]:
        """Say which instance of which mapped task asks, in this run."""
        if self.mapped is None:
            return {}
        task = request_identity(replace(self.mapped, map_index=-1), "", {})
        return {"task": task, "map_index": self.mapped.map_index}

    def _beside(self, suffix: str) -> PathLike:
        return self.path.parent / (self.path.name + suffix)

    def _read_record(self) -> dict[str, Any] | None:
        raw = self._attempt("read", lambda: _read(self._beside(RECORD_SUFFIX)))
        if raw is None:
            return None
        try:
            record = json.loads(raw)
        except ValueError:
            log.warning("The record beside %s is not JSON; it is taken as absent", self.uri)
            return None
        return record if isinstance(record, dict) else None

    def _write_record(self, facts: Mapping[str, Any]) -> None:
        record = {"format": _FORMAT, "identity": self.identity, **self._of_mapped, **facts}
        write_object(self._beside(RECORD_SUFFIX), [json.dumps(record).encode()])

    def _attempt(self, verb: str, action: Callable[[], T], *, paid: bool = False) -> T:
        try:
            return insist(action, paid=paid)
        except Exception as error:
            failure = unusable_place(self.uri, verb, error, paid=paid)
        raise failure


def _may_pass(error: BaseException) -> bool:
    """Say whether trying again may change it; a task's time-out, for one, is no Exception."""
    return isinstance(error, Exception) and not isinstance(error, _LASTING)


def insist(
    action: Callable[[], T], *, paid: bool, may_pass: Callable[[BaseException], bool] = _may_pass
) -> T:
    """Do something with object storage, and do it again where it failed for the moment.

    :param action: what to do.
    :param paid: whether an inference has run by now: then five times, else twice.
    :param may_pass: which errors are worth another attempt.
    :raises Exception: what the last attempt raised.
    """
    import tenacity

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(_ATTEMPTS_ONCE_PAID if paid else _ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=0.4, max=5),
        retry=tenacity.retry_if_exception(may_pass),
        reraise=True,
    )
    return retrying(action)


def unusable_place(uri: str, verb: str, error: Exception, *, paid: bool) -> StoredAnswerError:
    """Say that a place in object storage cannot be used, and why.

    :param uri: the place.
    :param verb: ``read`` or ``write``.
    :param error: what happened.
    :param paid: whether the inference has run by now.
    """
    return StoredAnswerError(
        f"{uri} cannot be {'read' if verb == 'read' else 'written'}: {type(error).__name__}",
        retryable=not isinstance(error, _LASTING),
        may_have_been_billed=paid,
        hint="the bucket must exist, and the connection needs s3:GetObject and s3:PutObject there and "
        "s3:ListBucket on the bucket",
    )


def is_local(path: PathLike) -> bool:
    """Say whether a path is one of a file system, where half a file can be seen."""
    return getattr(path, "protocol", "file") in ("", "file", "local")


def local_file(path: PathLike) -> Path:
    """Give a path of a file system as the standard library has it."""
    opened: Any = path
    return Path(getattr(opened, "path", None) or opened)


def write_object(path: PathLike, pieces: Iterable[bytes]) -> None:
    """Write an object; in a file system its folder too, but never a bucket.

    It appears whole, or what was there stays as it was: a file is written under another name beside its own.
    """
    if not is_local(path):
        return _write(path, pieces)
    path.parent.mkdir(parents=True, exist_ok=True)
    target = local_file(path)
    if target.exists() and not target.is_file():
        return _write(path, pieces)
    folder: Any = path.parent
    if target.is_symlink():
        target = Path(os.path.realpath(target))
        folder = target.parent
    partial = folder / f".{uuid.uuid4().hex}.tmp"
    try:
        _write(partial, pieces)
        if target.exists():
            shutil.copymode(target, local_file(partial))
        local_file(partial).replace(target)
    except BaseException:
        local_file(partial).unlink(missing_ok=True)
        raise


def _write(path: PathLike, pieces: Iterable[bytes]) -> None:
    file = path.open("wb")
    try:
        for piece in pieces:
            file.write(piece)
        file.close()
    except BaseException:
        _give_up(file)
        raise


def _give_up(file: Any) -> None:
    """Close a file that is not whole; one of an object store without making an object of the part that is.

    Its ``close``, and so the end of a ``with`` block, would replace what is there by that part.
    """
    from fsspec.spec import AbstractBufferedFile

    opened = getattr(file, "_obj", file)  # Airflow's wrapper passes no attribute on.
    if not isinstance(opened, AbstractBufferedFile):
        file.close()
        return
    opened.closed = True
    try:
        opened.discard()
    except Exception as error:
        log.warning(
            "The parts of an object that is not whole stay until a lifecycle rule of the bucket removes them "
            "(%s): s3:AbortMultipartUpload is needed there",
            type(error).__name__,
        )


def copy_object(path: PathLike, uri: str, pieces: Iterable[bytes]) -> None:
    """Write an output that was paid for to a second place.

    :raises StoredAnswerError: it cannot be written.
    :raises InferenceError: what ``pieces`` raised.
    """
    try:
        write_object(path, pieces)
    except InferenceError:
        raise
    except Exception as error:
        raise unusable_place(uri, "write", error, paid=True) from None


def _read(path: PathLike) -> bytes | None:
    """Read an object; None where there is none."""
    try:
        with path.open("rb") as file:
            content = file.read()
    except FileNotFoundError:
        return None
    return bytes(content)
