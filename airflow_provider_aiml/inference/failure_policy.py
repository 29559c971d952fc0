"""How many of many inferences may fail, and whether to wait for the others once too many did."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.exceptions import (
    InferenceError,
    ModelFailedError,
    OutputExpiredError,
    OutputUnreadableError,
    Problem,
    RequestError,
)

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """When a wait for many ends, and whether it succeeded. Pure.

    :param policy: ``first`` ends with the failure that is one too many; ``all`` waits until each has its
        outcome.
    :param max_failures: how many may fail. Default: 0.
    :param max_failure_rate: which share may fail, 0 to 1. Where both are given, the smaller number counts.
    :raises RequestError: a value is none of these.
    """

    policy: str = "first"
    max_failures: int | None = None
    max_failure_rate: float | None = None

    def __post_init__(self) -> None:
        if self.policy not in ("first", "all"):
            raise _wrong("failure_policy", self.policy, "'first' or 'all'")
        if self.max_failures is not None and not _is_number(self.max_failures, 0, math.inf, whole=True):
            raise _wrong("max_failures", self.max_failures, "a whole number, 0 or more")
        if self.max_failure_rate is not None and not _is_number(self.max_failure_rate, 0, 1):
            raise _wrong("max_failure_rate", self.max_failure_rate, "a number from 0 to 1")

    def tolerated(self, total: int) -> int:
        """Give how many of ``total`` may fail."""
        limits = [] if self.max_failures is None else [self.max_failures]
        if self.max_failure_rate is not None:
            # 0.29 * 100 is a little less than 29 in binary fractions.
            limits.append(math.floor(self.max_failure_rate * total + 1e-9))
        return min(limits, default=0)

    def ends(self, failures: int, total: int) -> bool:
        """Say whether so many failures end the wait before each has its outcome."""
        return self.policy == "first" and failures > self.tolerated(total)

    def ends_with(self, error: InferenceError, failures: int, total: int) -> bool:
        """Say whether a failure, the last of so many, ends the wait before each has its outcome."""
        return self.ends(failures, total) or (self.policy == "first" and is_open(error))

    def failed(self, errors: Collection[InferenceError], total: int) -> bool:
        """Say whether these failures fail the task, once the wait is over."""
        return len(errors) > self.tolerated(total) or any(is_open(error) for error in errors)


def is_open(error: InferenceError) -> bool:
    """Say whether an inference's outcome is still unknown: its output may be there, so it is never tolerated.

    :param error: why it did not complete: the model failed, it expired, S3 or a queue could not be asked.
    """
    settled = isinstance(error, (ModelFailedError, OutputExpiredError))
    lasting = isinstance(error, OutputUnreadableError) and not error.retryable
    return not (settled or lasting)


def _is_number(value: Any, least: float, most: float, *, whole: bool = False) -> bool:
    kinds = (int,) if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and least <= value <= most


def _wrong(field: str, value: Any, allowed: str) -> RequestError:
    problem = Problem(field, f"a {type(value).__name__} that is none", allowed)
    return RequestError("The wait cannot be made", problems=(problem,))
