"""Why a model stopped, and which of these reasons make its answer no answer.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from airflow_provider_aiml.exceptions import AnswerStoppedError, Problem, RequestError

__all__ = ["FAIL_ON", "UNREMARKABLE", "check_stop_reason", "read_fail_on"]

FAIL_ON: Final = frozenset(
    {
        "max_tokens",
        "model_context_window_exceeded",
        "malformed_model_output",
        "malformed_tool_use",
        "content_filtered",
        "guardrail_intervened",
    }
)
"""What fails a task unless it says otherwise."""
UNREMARKABLE: Final = frozenset({"end_turn", "stop_sequence", "tool_use"})
"""What every answer may end with."""
_HINTS: Final[Mapping[str, str]] = {
    "max_tokens": "raise max_tokens, or ask for less",
    "model_context_window_exceeded": "shorten the history, the documents or the message",
    "malformed_model_output": "the model's sampling went wrong: ask anew, or lower temperature",
    "malformed_tool_use": "describe the tools better, offer fewer, or lower temperature",
    "content_filtered": "the provider of the model withheld content: change what is asked",
    "guardrail_intervened": "the guardrail blocked the question or the answer; guardrail_config with trace "
    "enabled tells which rule",
}


def read_fail_on(fail_on: Any, known: Collection[str]) -> frozenset[str]:
    """Read which stop reasons fail a task.

    :param fail_on: names of stop reasons; None is :data:`FAIL_ON`, an empty list lets each one pass.
    :param known: the reasons that this botocore's service model knows.
    :raises RequestError: it is no collection of names, or one that AWS does not know.
    """
    if fail_on is None:
        return FAIL_ON
    allowed = ", ".join(sorted({*known, *FAIL_ON}))
    if isinstance(fail_on, (str, bytes, Mapping)) or not isinstance(fail_on, Collection):
        raise _unfit(f"a {type(fail_on).__name__}", f"a list of {allowed}")
    names = [str(name) for name in fail_on]
    unknown = [name for name in names if name not in known and name not in FAIL_ON]
    if unknown:
        raise _unfit(f"a list with {len(unknown)} unknown stop reasons", f"of {allowed}")
    return frozenset(names)


def check_stop_reason(reason: str, fail_on: Collection[str], result: Callable[[], Mapping[str, Any]]) -> None:
    """Fail where the model stopped for a reason that the task does not accept.

    :param reason: the response's stop reason.
    :param fail_on: the reasons that fail.
    :param result: gives what there is of the answer, for the error's record.
    :raises AnswerStoppedError: it did.
    """
    if reason in fail_on:
        raise AnswerStoppedError(
            f"The model stopped with {reason}; its answer may be cut off or withheld",
            stop_reason=reason,
            result=dict(result()),
            hint=f"{_HINTS.get(reason, 'look at the partial answer')}; fail_on sets what fails a task",
        )


def _unfit(found: str, allowed: str) -> RequestError:
    return RequestError("The request cannot be sent", problems=(Problem("fail_on", found, allowed),))
