"""What a queue of completion notices holds, whom a notice is for, and what becomes of it.

A notice is what SageMaker publishes to an endpoint's SNS success or error topic. It comes to the queue as it
is (raw delivery) or in SNS's envelope. It is only a hint to look at S3, so nothing here trusts one.

What becomes of a received message:

* A notice that someone here waits for, or that was for a wait which ended here, is deleted. One that names a
  place which is awaited nowhere here wakes whoever has its id, and counts as another's.
* Any other notice belongs to someone else (another triggerer, or a wait that has yet to begin) and is left
  to them: it becomes visible again at once for the first ten receives, whoever makes them, and after that
  more and more rarely, up to every quarter of an hour. So a message that nobody ever wants costs ten receives
  and then next to nothing, until the queue's retention ends it.
* A message that is no notice is left to the queue's redrive policy or retention, with a pause that grows from
  half a minute.

Pure: no clock, no calls. See
https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-check-predictions.html.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.inference.outputs import Location

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable

    from airflow_provider_aiml.inference.outputs import AsyncInference

__all__ = ["Notice", "NoticeBoard", "read_notice", "release_delay"]

QUICK_RECEIVES = 10
"""Receives after each of which a notice for others becomes visible again at once."""
LONGEST_RELEASE = 900
"""Seconds for which a message that was left becomes invisible at most."""
RUBBISH_RELEASE = 30
"""Seconds for which a message that is no notice becomes invisible at first."""

_LONGEST_NOTICE = 65_536  # characters; SageMaker's has a thousand or two, and parsing holds the event loop
_MOST_OVER = 10_000  # names of waits that are over; a notice comes within seconds of its output

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Notice:
    """What a notice says, as far as it matters: which inference it is about.

    :param inference_id: SageMaker's id, or the submitter's own.
    :param location: where it says that the output or the failure is.
    """

    inference_id: str | None = None
    location: Location | None = None


def read_notice(body: object) -> Notice | None:
    """Read a message's body, with SNS's envelope or without; None if it is no notice.

    :param body: anything at all.
    """
    facts = _read_mapping(body)
    if "inferenceId" not in facts and "Message" in facts:
        facts = _read_mapping(facts["Message"])
    inference_id = facts.get("inferenceId")
    response = facts.get("responseParameters")
    notice = Notice(
        inference_id if isinstance(inference_id, str) and inference_id else None,
        _read_location(response.get("outputLocation")) if isinstance(response, dict) else None,
    )
    return None if notice == Notice() else notice


def _read_mapping(text: object) -> dict[str, Any]:
    try:
        facts = json.loads(text) if isinstance(text, str) and len(text) <= _LONGEST_NOTICE else None
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _read_location(uri: Any) -> Location | None:
    try:
        return Location.parse(uri, "outputLocation")
    except RequestError:
        return None


def release_delay(receives: int, *, is_notice: bool = True) -> int:
    """Give for how many seconds a message that was left stays invisible.

    :param receives: how often it was received, this time included, by whomever.
    :param is_notice: whether it is one, so that someone else may want it. Default True.
    """
    if not is_notice:
        return min(LONGEST_RELEASE, RUBBISH_RELEASE << min(max(receives - 1, 0), 10))
    beyond = receives - QUICK_RECEIVES
    return 0 if beyond <= 0 else min(LONGEST_RELEASE, 1 << min(beyond - 1, 10))


class NoticeBoard(Generic[T]):
    """Who waits for which inference, and whose wait is over.

    A wait is known by its locations first, as a location belongs to one inference; an id may have been chosen
    by its submitter, and chosen twice.
    """

    def __init__(self) -> None:
        self._waiting: dict[Hashable, tuple[T] | set[T]] = {}
        self._over: dict[Hashable, None] = {}
        self.size = 0

    def add(self, inference: AsyncInference, one: T) -> None:
        """Let ``one`` wait for an inference."""
        self.size += 1
        for name in _names(inference):
            there = self._waiting.get(name)
            if there is None:
                self._waiting[name] = (one,)
            elif isinstance(there, tuple):
                self._waiting[name] = {*there, one}
            else:
                there.add(one)

    def remove(self, inference: AsyncInference, one: T, *, over: bool) -> None:
        """Let ``one``, which was added, wait no longer.

        :param over: whether the inference itself is over, so that no one needs its notice any more.
        """
        self.size -= 1
        for name in _names(inference):
            there = self._waiting[name]
            if isinstance(there, set) and len(there) > 1:
                there.discard(one)
            else:
                del self._waiting[name]
            if over:
                self._over[name] = None
        while len(self._over) > _MOST_OVER:
            del self._over[next(iter(self._over))]

    def match(self, notice: Notice) -> tuple[Collection[T], bool]:
        """Say who waits for what a notice is about, and whether it is of no use to anyone else.

        One whose place nobody knows here may be awaited elsewhere, though its id is that of a wait here.
        """
        known = notice.location if notice.location is not None else notice.inference_id
        for name in (notice.location, notice.inference_id):
            if name is not None and (there := self._waiting.get(name)) is not None:
                return there, name == known or known in self._over
        return (), known in self._over

    def everyone(self) -> list[T]:
        """Give all who wait."""
        return list({one: None for there in self._waiting.values() for one in there})


def _names(inference: AsyncInference) -> set[Hashable]:
    names = (inference.output_location, inference.failure_location, inference.inference_id)
    return {name for name in names if name is not None}
