"""Asynchronous invocations of Bedrock: what they are named by, what their status means, when a wait ends.

Pure decisions: the clock is passed in, nothing is asked, nothing is slept. The worker's loop and the
trigger's both ask :class:`InvocationWait`.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_GetAsyncInvoke.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from airflow_provider_aiml.exceptions import (
    InferenceError,
    ModelFailedError,
    OutputExpiredError,
    OutputUnreadableError,
    Problem,
    RequestError,
)
from airflow_provider_aiml.inference.outputs import COMPLETED, Verdict

__all__ = ["FAILED", "InvocationWait", "described", "output_folder", "read_invocations"]

FAILED: Final = "Failed"
_MOST_FAULTS: Final = 10


def read_invocations(invocations: Any, field: str = "invocation") -> list[str]:
    """Read the ARNs of one invocation or several.

    :param invocations: an ARN, what the operator that started it gave, or a list of these.
    :raises RequestError: it is none.
    """
    several = isinstance(invocations, Sequence) and not isinstance(invocations, str)
    given = list(invocations) if several else [invocations]
    if not given:
        raise _unfit(field, "an empty list")
    return [_arn(one, f"{field}[{index}]" if several else field) for index, one in enumerate(given)]


def _arn(given: Any, field: str) -> str:
    arn = given.get("invocation_arn") if isinstance(given, Mapping) else given
    if isinstance(arn, str) and arn.startswith("arn:"):
        return arn
    raise _unfit(field, f"a {type(given).__name__} that names none")


def _unfit(field: str, found: str) -> RequestError:
    allowed = "the ARN of an invocation, or what BedrockStartAsyncInvokeOperator gave"
    return RequestError("There is nothing to wait for", problems=(Problem(field, found, allowed),))


def output_folder(arn: str, config: Any) -> str | None:
    """Name the folder of an invocation's output.

    :param arn: the invocation's ARN.
    :param config: its ``outputDataConfig``.
    """
    place = config.get("s3OutputDataConfig") if isinstance(config, Mapping) else None
    uri = place.get("s3Uri") if isinstance(place, Mapping) else None
    if not isinstance(uri, str):
        return None
    name = arn.rpartition("/")[2]
    folder = uri.rstrip("/")
    return f"{folder}/" if folder.endswith(f"/{name}") else f"{folder}/{name}/"


def described(response: Mapping[str, Any]) -> dict[str, Any]:
    """Give an invocation as a task's result has it, without the model's own words.

    :param response: the answer of GetAsyncInvoke.
    """
    arn = str(response["invocationArn"])
    facts = {
        "invocation_arn": arn,
        "status": {"InProgress": "in_progress"}.get(response["status"], str(response["status"]).lower()),
        "output_location": output_folder(arn, response.get("outputDataConfig")),
        "submit_time": _iso(response.get("submitTime")),
        "end_time": _iso(response.get("endTime")),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _iso(moment: Any) -> str | None:
    return moment.isoformat() if isinstance(moment, datetime) else None


class InvocationWait:
    """The decisions of one wait.

    :param arn: the invocation.
    :param deadline: seconds since the epoch; None waits for ever.
    :param max_faults: how many questions in a row may fail; None never gives up. Default: 10.
    """

    __slots__ = ("arn", "deadline", "faults", "max_faults")

    def __init__(self, arn: str, deadline: float | None, max_faults: int | None = _MOST_FAULTS) -> None:
        self.arn = arn
        self.deadline = deadline
        self.max_faults = max_faults
        self.faults = 0

    def on_answer(self, status: str, now: float) -> Verdict | None:
        """Decide what follows from a status; None: ask again.

        :param status: as the API spells it. One that is not known counts as still running.
        :param now: seconds since the epoch.
        """
        self.faults = 0
        if status == "Completed":
            return COMPLETED
        if status == FAILED:
            return Verdict("failed", ModelFailedError(f"The invocation {self.arn} failed"))
        return self._after_deadline(now)

    def on_error(self, error: InferenceError, now: float) -> Verdict | None:
        """Decide what follows from a question that failed; None: ask again.

        :param error: why it failed.
        :param now: seconds since the epoch.
        """
        if not error.retryable:
            return Verdict("unreadable", error)
        self.faults += 1
        if self.max_faults is not None and self.faults >= self.max_faults:
            message = f"Bedrock could not be asked for {self.arn}, {self.faults} times in a row"
            return Verdict("unreadable", OutputUnreadableError(message, code=error.code, hint=error.hint))
        return self._after_deadline(now)

    def _after_deadline(self, now: float) -> Verdict | None:
        if self.deadline is None or now < self.deadline:
            return None
        message = f"The invocation {self.arn} is still running at the end of the wait"
        hint = "give wait_timeout or timeout more time; a retry goes on with the same invocation"
        return Verdict("expired", OutputExpiredError(message, retryable=True, hint=hint))
