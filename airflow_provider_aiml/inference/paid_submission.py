"""Which submission of an inference counts, and whether another one has to be bought.

Pure decisions over what an earlier try recorded and what a look at S3 saw; the clock is passed in. Each
submission of the same request has an ordinal: 1 for the first, 2 where the first one failed, and so on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_aiml.exceptions import Problem, RequestError
from airflow_provider_aiml.inference.outputs import Look, Seen
from airflow_provider_aiml.inference.submissions import Submission

if TYPE_CHECKING:
    from airflow_provider_aiml.inference.identity import TaskIdentity

_NAME_LENGTH = 28
"""Hexadecimal characters of a derived name: with its ending SageMaker's limit for a file name, 32."""

_LONGEST_EXTENSION = 512
"""Characters of a path extension that SageMaker takes at most."""


class Step(StrEnum):
    """What to do next."""

    SEND = "send"
    USE = "use"
    WAIT = "wait"
    STOP = "stop"
    """Neither: its time is over, and S3 does not say whether the output is there."""


@dataclass(frozen=True, slots=True)
class SubmissionRecord:
    """What a try wrote down, for the next one to find.

    :param state: ``asked``: about to be sent; ``submitted``: SageMaker took it and named its locations;
        ``refused``: it surely did not run, so its ordinal is free.
    :param ordinal: the how manieth submission of this request it is.
    :param asked_at: when it was about to be sent, in seconds since the epoch.
    :param submission: its locations and deadline, once submitted.
    """

    state: Literal["asked", "submitted", "refused"]
    ordinal: int
    asked_at: float
    submission: Submission | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON-safe form, which :meth:`from_dict` reverses."""
        facts: dict[str, Any] = {"state": self.state, "ordinal": self.ordinal, "asked_at": self.asked_at}
        if self.submission is not None:
            facts["submission"] = self.submission.to_dict()
        return facts

    @classmethod
    def from_dict(cls, facts: Any, *, now: float) -> SubmissionRecord | None:
        """Read a record; None if it is none that can be read.

        :param now: seconds since the epoch, for a submission without a deadline.
        """
        if not isinstance(facts, Mapping) or facts.get("state") not in ("asked", "submitted", "refused"):
            return None
        try:
            ordinal, asked_at = int(facts["ordinal"]), float(facts["asked_at"])
            if facts["state"] != "submitted":
                return cls(facts["state"], ordinal, asked_at)
            return cls("submitted", ordinal, asked_at, Submission.from_dict(facts["submission"], now=now))
        except (KeyError, TypeError, ValueError, RequestError):
            return None


def step_after_look(record: SubmissionRecord, look: Look, now: float) -> Step:
    """Decide what follows from a look at the locations of a recorded submission.

    :param record: a record in the state ``submitted``.
    :param look: what was seen there.
    :param now: seconds since the epoch.
    """
    if look.seen is Seen.OUTPUT:
        return Step.USE
    expired = record.submission is not None and now >= record.submission.deadline
    if look.seen is Seen.FAILURE:
        return Step.SEND
    if not expired:
        return Step.WAIT
    return Step.SEND if look.seen is Seen.NOTHING else Step.STOP


def uncertain_until(
    record: SubmissionRecord, policy: Literal["wait", "invoke"], timeout: float, now: float
) -> float | None:
    """Give until when to wait for a request that may or may not have been sent; None: send it.

    :param record: a record in the state ``asked``.
    :param policy: ``wait`` or ``invoke``.
    :param timeout: seconds from when it was about to be sent.
    :param now: seconds since the epoch.
    """
    until = record.asked_at + timeout
    return until if policy == "wait" and now < until else None


def unused_ordinal(now: float) -> int:
    """Give an ordinal that no earlier submission can have had, where none is recorded.

    :param now: seconds since the epoch.
    """
    return int(now * 1_000)


def output_names(task: TaskIdentity, identity: str, ordinal: int) -> dict[str, str]:
    """Give the id, path extension and file name of a submission, the same in every try.

    All outputs of one DAG run share a path, so that one LIST sees many of them.

    :param task: the task instance.
    :param identity: the request's identity.
    :param ordinal: the how manieth submission of this request it is.
    :return: ``inference_id`` (at most 64 characters), ``s3_output_path_extension`` and ``filename`` (at most
        32 characters), in the characters that SageMaker takes.
    """
    run = _digest(f"{len(task.dag_id)}:{task.dag_id}{task.run_id}")[:16]
    return {
        "inference_id": f"{identity}-{ordinal}",
        "s3_output_path_extension": f"aiml/{run}",
        "filename": f"{_own_name(identity, ordinal)}.out",
    }


def submission_names(
    task: TaskIdentity, identity: str, ordinal: int, own: Mapping[str, Any]
) -> dict[str, str]:
    """Give the names of a submission: the user's own, and derived ones where there are none.

    A file name of the user's own is the same for whatever the task asks, in every run, and an object can be
    one inference's output only. So a derived folder of this submission alone goes before it.

    :param own: the members that the user gave.
    """
    derived = output_names(task, identity, ordinal)
    names = {key: str(own.get(key) or name) for key, name in derived.items()}
    if own.get("filename"):
        path = names["s3_output_path_extension"].rstrip("/")
        names["s3_output_path_extension"] = f"{path}/{_own_name(identity, ordinal)}"
    return names


def check_filename(members: Mapping[str, Any], *, several: bool) -> None:
    """Refuse a file name for a list of inferences, and a path that has no room for a folder before the file.

    :param members: the members that the user gave.
    :param several: whether they are given for a list of inferences.
    :raises RequestError: the file name cannot be taken.
    """
    if not members.get("filename"):
        return
    extension = members.get("s3_output_path_extension")
    longest = _LONGEST_EXTENSION - _NAME_LENGTH - 1
    if several:
        problem = Problem("filename", "given for a list", "none, or it would be shared; see output_uri")
    elif isinstance(extension, str) and len(extension) > longest:
        found = f"{len(extension)} characters"
        problem = Problem("s3_output_path_extension", found, f"at most {longest} beside a filename")
    else:
        return
    raise RequestError("The output cannot be named", problems=(problem,))


def _own_name(identity: str, ordinal: int) -> str:
    return _digest(f"{identity}-{ordinal}")[:_NAME_LENGTH]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
