"""What a stack's status and events mean: whether an operation is over, what it changed, why it failed.

Pure decisions: descriptions and events come in as CloudFormation's API has them, the clock is passed in. The
worker's loop and the trigger's both ask :class:`StackWait`.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_aiml.exceptions import InferenceError, StackFailedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "StackWait",
    "changes_in",
    "check_deadline",
    "is_busy",
    "kept_in",
    "leaves_route",
    "newest_deployment",
    "newest_operation",
    "reasons_in",
    "stack_failure",
]

GOOD = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE", "IMPORT_COMPLETE")
_STACK = "AWS::CloudFormation::Stack"
_CANCELLED = ("resource creation cancelled", "resource update cancelled")
_ACTIONS = {"CREATE_COMPLETE": "created", "UPDATE_COMPLETE": "updated", "DELETE_COMPLETE": "deleted"}
_MOST_FAULTS = 10
_LONGEST_REASON = 500
_ROUTE = ("AWS::ApiGateway::Method", "AWS::ApiGateway::Resource")
_REROUTE_TOKEN = re.compile(r"aiml-[0-9a-f-]+-reroute-\w+")


def is_busy(status: str) -> bool:
    """Say whether an operation is under way; a stack under review waits for its first change set."""
    return status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS"


def newest_operation(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Give the events of the newest operation, newest first.

    :param events: newest first, as the API gives them; no more of them are read than needed.
    """
    found = []
    for event in events:
        found.append(event)
        begins = event["ResourceStatus"] in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
        if begins and event["ResourceType"] == _STACK:
            break
    return found


def newest_deployment(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Give the events of the newest operation and of the update that made way for it, newest first.

    :param events: newest first; no more of them are read than needed.
    """
    rest = iter(events)
    found = newest_operation(rest)
    while (before := next(rest, None)) and _made_way(before):
        found += [before, *newest_operation(rest)]
    return found


def _made_way(last: Mapping[str, Any]) -> bool:
    token = str(last.get("ClientRequestToken") or "")
    return bool(_REROUTE_TOKEN.fullmatch(token)) and last["ResourceStatus"] == "UPDATE_COMPLETE"


def leaves_route(changes: Iterable[Mapping[str, Any]]) -> bool:
    """Say whether an update takes a method or a segment of a path out: it is there until the update's end.

    :param changes: the ``ResourceChange`` of a change set's changes.
    """
    return any(
        change["ResourceType"] in _ROUTE and (change["Action"] == "Remove" or _is_replaced(change))
        for change in changes
    )


def _is_replaced(change: Mapping[str, Any]) -> bool:
    """Say whether a change makes another resource.

    ``Conditional`` is said, too, of all that hangs on an attribute of the REST API, whatever changes in that;
    so it counts only where the template itself changes what is fixed.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ResourceChangeDetail.html
    """
    if change.get("Replacement") != "Conditional":
        return change.get("Replacement") == "True"
    return any(
        one.get("ChangeSource") == "DirectModification" and one["Target"].get("RequiresRecreation") != "Never"
        for one in change.get("Details", [])
    )


def changes_in(events: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Say what a finished operation changed, in its order.

    :param events: those of the operation, newest first.
    """
    changes = []
    for event in reversed(events):
        action = _ACTIONS.get(event["ResourceStatus"])
        if action and event["ResourceType"] != _STACK:
            changes.append(
                {
                    "resource": str(event["LogicalResourceId"]),
                    "type": str(event["ResourceType"]),
                    "action": action,
                }
            )
    return changes


def kept_in(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Name what a deletion or a rollback left, by physical id."""
    return [
        str(event["PhysicalResourceId"]) for event in events if event["ResourceStatus"] == "DELETE_SKIPPED"
    ]


def reasons_in(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give why resources failed, the first one first; those that only were cancelled are left out.

    :param events: those of the operation, newest first.
    """
    reasons = []
    for event in reversed(events):
        reason = " ".join(str(event.get("ResourceStatusReason") or "").split())
        failed = event["ResourceStatus"].endswith("_FAILED") and event["ResourceType"] != _STACK
        if failed and not reason.lower().startswith(_CANCELLED):
            said = reason[:_LONGEST_REASON] or "no reason is given"
            reasons.append(f"{event['LogicalResourceId']} ({event['ResourceType']}): {said}")
    return reasons


def stack_failure(name: str, status: str, events: Sequence[Mapping[str, Any]]) -> StackFailedError:
    """Word how an operation failed.

    :param events: those of the operation, newest first.
    """
    reasons = reasons_in(events)
    told = "; ".join(reasons) or "CloudFormation names no resource that failed"
    left = ", ".join(["the empty stack", *kept_in(events)])
    hints = {
        "UPDATE_ROLLBACK_COMPLETE": "the stack is as it was before, and the API goes on serving",
        "ROLLBACK_COMPLETE": f"what is left: {left}; replace_failed=True makes the stack anew",
        "UPDATE_ROLLBACK_FAILED": "continue the rollback (cloudformation:ContinueUpdateRollback) first",
        "DELETE_FAILED": "remove what the reasons name, then delete again",
    }
    return StackFailedError(
        f"The stack {name} ended in {status}: {told}", code=status, hint=hints.get(status)
    )


def check_deadline(stack: str, status: str, deadline: float | None, now: float) -> None:
    """Refuse to wait any longer.

    :param stack: its name or ARN.
    :param deadline: seconds since the epoch; None waits for ever.
    :param now: seconds since the epoch.
    :raises StackFailedError: the deadline has passed. What is under way goes on.
    """
    if deadline is not None and now >= deadline:
        raise StackFailedError(
            f"The stack {stack} is still {status} at the end of wait_timeout",
            code=status,
            retryable=True,
            hint="the operation goes on; a retry of the task waits for it again",
        )


@dataclass(slots=True)
class StackWait:
    """The decisions of one wait for a stack operation.

    :param stack_id: the stack's ARN.
    :param deadline: seconds since the epoch; None waits for ever.
    :param max_faults: how many questions in a row may fail. Default: 10.
    """

    stack_id: str
    deadline: float | None
    max_faults: int = _MOST_FAULTS
    faults: int = 0

    def on_status(self, status: str, now: float) -> Literal["over"] | None:
        """Decide what follows from a status; None: ask again.

        :param now: seconds since the epoch.
        :raises StackFailedError: the deadline has passed. The operation goes on.
        """
        self.faults = 0
        if not is_busy(status):
            return "over"
        check_deadline(self.stack_id, status, self.deadline, now)
        return None

    def on_fault(self, error: InferenceError) -> None:
        """Bear a question that failed.

        :raises InferenceError: it is one that asking again cannot mend, or one too many.
        """
        self.faults += 1
        if not error.retryable or self.faults >= self.max_faults:
            raise error
