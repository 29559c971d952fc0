"""CloudFormation's calls around one stack: what is there, starting an operation, waiting for it.

Every call is free, so botocore's own retries hold. Each error becomes one of ours, with the service's words.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow_provider_aiml.endpoint_api.stack_events import (
    GOOD,
    StackWait,
    changes_in,
    check_deadline,
    is_busy,
    kept_in,
    leaves_route,
    newest_deployment,
    newest_operation,
    reasons_in,
    stack_failure,
)
from airflow_provider_aiml.exceptions import (
    InferenceError,
    Problem,
    RequestError,
    ServiceRefusedError,
    StackFailedError,
)
from airflow_provider_aiml.hooks.deploy_checks import DeployChecksMixin, aws_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_aiml.endpoint_api import EndpointApi, Surroundings

__all__ = ["Operation", "StackCallsMixin", "operation_token"]

log = logging.getLogger(__name__)

LONGEST_TEMPLATE = 51_200
"""Bytes of a template that CloudFormation takes in a call.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""
_REPLACEABLE = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
_CHANGE_SET_PAUSE = 1.0
_CHANGE_SET_PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Operation:
    """A stack operation that is under way, or that there was no need for.

    :param action: ``create``, ``update`` or ``delete``; ``join``: one of somebody else's; ``clear``: what is
        in the way is being deleted; ``reroute``: a new route comes beside the old one, and an ``update`` that
        leaves the old one out follows; ``none``: all is as it should be.
    :param stack_id: the stack's ARN; empty where there is none.
    :param changes: what a change set says that will change.
    """

    action: Literal["create", "update", "delete", "join", "clear", "reroute", "none"]
    stack_id: str
    changes: list[dict[str, str]] = field(default_factory=list)


class _ChangeSet(NamedTuple):
    """A change set that can be executed."""

    id: str
    changes: list[dict[str, Any]]


class StackCallsMixin(DeployChecksMixin):
    """Deploying and deleting one stack."""

    @property
    def _cloudformation(self) -> Any:
        return self.conn

    def stack(self, name: str) -> dict[str, Any] | None:
        """Give a stack's description; None where there is none.

        :param name: its name or ARN.

        .. seealso::
            https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
        """
        try:
            with aws_errors("DescribeStacks"):
                found: dict[str, Any] = self._cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        except ServiceRefusedError as error:
            if error.code == "ValidationError" and "does not exist" in error.message:
                return None
            raise
        return None if found["StackStatus"] == "DELETE_COMPLETE" else found

    def physical_ids(self, name: str) -> dict[str, str]:
        """Give the physical ids of a stack's resources by their logical ids."""
        with aws_errors("ListStackResources"):
            pages = self._cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
            listed = [one for page in pages for one in page["StackResourceSummaries"]]
        gone = ("DELETE_COMPLETE", "DELETE_SKIPPED", "CREATE_FAILED")
        return {
            one["LogicalResourceId"]: one.get("PhysicalResourceId", "")
            for one in listed
            if one["ResourceStatus"] not in gone
        }

    def operation_events(self, stack_id: str) -> list[Mapping[str, Any]]:
        """Give the events of a stack's newest operation, newest first."""
        return newest_operation(self.deployment_events(stack_id))

    def deployment_events(self, stack_id: str) -> list[Mapping[str, Any]]:
        """Give the events of a stack's newest operation and of one that made way for it, newest first."""
        with aws_errors("DescribeStackEvents"):
            pages = self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id)
            return newest_deployment(event for page in pages for event in page["StackEvents"])

    def begin_deploy(
        self,
        stack_name: str,
        api: EndpointApi,
        *,
        token: str,
        capabilities: Sequence[str],
        role_arn: str | None = None,
        replace_failed: bool = False,
    ) -> Operation:
        """Do the next thing that brings a stack to what an API says, and wait for nothing.

        Called again after each operation, it comes to ``none`` in the end.

        :raises StackFailedError: the stack is stuck, and may not be replaced.
        :raises RequestError: the template cannot be deployed.
        """
        stack = self.stack(stack_name)
        status = stack["StackStatus"] if stack else ""
        token = _with_template(token, api)
        if stack and is_busy(status):
            return self._joined(stack, token)
        if stack and status in (*_REPLACEABLE, "UPDATE_ROLLBACK_FAILED"):
            if not replace_failed or status not in _REPLACEABLE:
                raise stack_failure(stack_name, status, self.operation_events(stack["StackId"]))
            return self._begin_delete(stack, "clear", token, role_arn)
        around = self.surroundings(api, stack)
        given = {"StackName": stack_name, "Capabilities": list(capabilities)}
        given |= {"RoleARN": role_arn} if role_arn else {}
        if stack is None or status == "REVIEW_IN_PROGRESS":
            given["TemplateBody"] = _body(api.template(around))
            return self._create(given, token, reviewed=stack is not None)
        return self._update(stack["StackId"], given, api, around, token)

    def _joined(self, stack: Mapping[str, Any], token: str) -> Operation:
        """Say whose operation is under way: an earlier try of this task has left its mark on the events.

        One that deploys another template is as good as somebody else's.
        """
        log.info("The stack %s is %s already", stack["StackName"], stack["StackStatus"])
        found = {event.get("ClientRequestToken") for event in self.operation_events(stack["StackId"])}
        steps: tuple[Literal["create", "update"], ...] = ("create", "update")
        for step in steps:
            ours = any(_is_ours(one, _of_step(token, step)) for one in found)
            if ours and stack["StackStatus"].startswith(step.upper()):
                return Operation(step, stack["StackId"])
        return Operation("join", stack["StackId"])

    def _create(self, given: dict[str, Any], token: str, *, reviewed: bool) -> Operation:
        if reviewed:
            name = given["StackName"]
            raise StackFailedError(
                f"The stack {name} is REVIEW_IN_PROGRESS: somebody's change set for its creation waits",
                code="REVIEW_IN_PROGRESS",
                hint="execute that change set, or delete the stack",
            )
        with aws_errors("CreateStack"):
            made = self._cloudformation.create_stack(
                **given, OnFailure="ROLLBACK", ClientRequestToken=_of_step(token, "create")
            )
        return Operation("create", made["StackId"])

    def _update(
        self, stack_id: str, given: dict[str, Any], api: EndpointApi, around: Surroundings, token: str
    ) -> Operation:
        """Update the stack; in two steps where an old route would be in the new deployment's picture.

        Nothing has to be remembered between the two: the template of the second is the API's own, so a stack
        that is left after the first differs from it, and whoever deploys next goes on.
        """
        step: Literal["update", "reroute"] = "update"
        change_set = self._change_set({**given, "TemplateBody": _body(api.template(around))}, token)
        if change_set and leaves_route(change_set.changes):
            self._delete_change_set(change_set.id)
            step, around = "reroute", replace(around, has_old_route=True)
            change_set = self._change_set({**given, "TemplateBody": _body(api.template(around))}, token)
        if change_set is None:
            return Operation("none", stack_id)
        with aws_errors("ExecuteChangeSet"):
            self._cloudformation.execute_change_set(
                ChangeSetName=change_set.id, ClientRequestToken=_of_step(token, step)
            )
        return Operation(step, stack_id, [_change(one) for one in change_set.changes])

    def _change_set(self, given: dict[str, Any], token: str) -> _ChangeSet | None:
        """Make a change set; None where there is nothing to change."""
        name = f"{token}-{uuid.uuid4().hex[:8]}"
        with aws_errors("CreateChangeSet"):
            made = self._cloudformation.create_change_set(**given, ChangeSetName=name, ChangeSetType="UPDATE")
        described = self._settled_change_set(made["Id"])
        if described["Status"] != "FAILED":
            return _ChangeSet(made["Id"], [one["ResourceChange"] for one in described.get("Changes", [])])
        self._delete_change_set(made["Id"])
        reason = described.get("StatusReason") or ""
        if any(words in reason for words in _NO_CHANGES):
            return None
        raise StackFailedError(f"The change set of {given['StackName']} failed: {reason}", code="FAILED")

    def _delete_change_set(self, change_set_id: str) -> None:
        with aws_errors("DeleteChangeSet"):
            self._cloudformation.delete_change_set(ChangeSetName=change_set_id)

    def _settled_change_set(self, change_set_id: str) -> dict[str, Any]:
        ends = time.monotonic() + _CHANGE_SET_PATIENCE
        while True:
            with aws_errors("DescribeChangeSet"):
                described: dict[str, Any] = self._cloudformation.describe_change_set(
                    ChangeSetName=change_set_id
                )
            if described["Status"] in ("CREATE_COMPLETE", "FAILED"):
                return described
            if time.monotonic() > ends:
                raise StackFailedError(
                    f"The change set is still {described['Status']} after five minutes", retryable=True
                )
            time.sleep(_CHANGE_SET_PAUSE)

    def begin_delete(self, stack_name: str, *, token: str, role_arn: str | None = None) -> Operation:
        """Do the next thing that deletes a stack, and wait for nothing; ``none`` where it is gone."""
        stack = self.stack(stack_name)
        if stack is None:
            return Operation("none", "")
        status = stack["StackStatus"]
        if status == "DELETE_IN_PROGRESS":
            return Operation("delete", stack["StackId"])
        if is_busy(status) and status != "CREATE_IN_PROGRESS":
            return Operation("join", stack["StackId"])
        return self._begin_delete(stack, "delete", token, role_arn)

    def _begin_delete(
        self, stack: Mapping[str, Any], action: Literal["delete", "clear"], token: str, role_arn: str | None
    ) -> Operation:
        given = {"RoleARN": role_arn} if role_arn else {}
        with aws_errors("DeleteStack"):
            self._cloudformation.delete_stack(
                StackName=stack["StackId"], ClientRequestToken=_of_step(token, action), **given
            )
        return Operation(action, stack["StackId"])

    def status_of(self, stack_id: str) -> str:
        """Give a stack's status by its ARN; a deleted one keeps its for 90 days."""
        with aws_errors("DescribeStacks"):
            found = self._cloudformation.describe_stacks(StackName=stack_id)["Stacks"][0]
        return str(found["StackStatus"])

    async def astatus_of(self, client: Any, stack_id: str) -> str:
        """Do as :meth:`status_of` with an async client."""
        with aws_errors("DescribeStacks"):
            found = (await client.describe_stacks(StackName=stack_id))["Stacks"][0]
        return str(found["StackStatus"])

    def wait(self, operation: Operation, *, delay: float, deadline: float | None = None) -> str:
        """Wait in this thread until a stack is still; give its status.

        :param delay: seconds between two looks.
        :param deadline: seconds since the epoch; None waits for ever.
        :raises StackFailedError: the deadline passed.
        """
        decisions = StackWait(operation.stack_id, deadline)
        while True:
            try:
                status = self.status_of(operation.stack_id)
            except InferenceError as error:
                decisions.on_fault(error)
            else:
                if decisions.on_status(status, time.time()):
                    return status
            ends = float("inf") if deadline is None else max(0.0, deadline - time.time())
            time.sleep(min(delay, ends))

    def step_over(self, operation: Operation, stack_name: str, deadline: float | None) -> None:
        """Look at a step on the way that is over, before the next one is begun.

        :param deadline: seconds since the epoch; None waits for ever.
        :raises StackFailedError: the step failed, with the reasons, or the deadline has passed.
        """
        if operation.action in ("clear", "reroute"):
            self.concluded(operation, stack_name)
        check_deadline(stack_name, "not as it should be", deadline, time.time())

    def concluded(self, operation: Operation, stack_name: str) -> list[Mapping[str, Any]]:
        """Give the events of an operation of ours that is over.

        :raises StackFailedError: it failed, with the reasons of the resources that did.
        """
        status, events = self.status_of(operation.stack_id), self.deployment_events(operation.stack_id)
        if status not in GOOD:
            raise stack_failure(stack_name, status, newest_operation(events))
        if left := reasons_in(events):
            log.warning("The stack %s is %s, but could not clean up: %s", stack_name, status, "; ".join(left))
        return events

    def changes_of(self, operation: Operation, stack_name: str) -> list[dict[str, str]]:
        """Say what an operation that is over has changed; as :meth:`concluded`."""
        return changes_in(self.concluded(operation, stack_name))

    def kept_by(self, operation: Operation, stack_name: str) -> list[str]:
        """Name what a deletion that is over has left; as :meth:`concluded`."""
        return kept_in(self.concluded(operation, stack_name))


def _body(template: Mapping[str, Any]) -> str:
    body = json.dumps(template, separators=(",", ":"))
    if len(body.encode()) > LONGEST_TEMPLATE:
        found = f"{len(body.encode()):,} bytes of CloudFormation template"
        problem = Problem("api", found, f"at most {LONGEST_TEMPLATE:,}; shorten the mapping templates")
        raise RequestError("The API cannot be deployed", problems=(problem,))
    return body


def _change(change: Mapping[str, Any]) -> dict[str, str]:
    verbs = {"Add": "create", "Modify": "update", "Remove": "delete"}
    action = (
        "replace" if change.get("Replacement") == "True" else verbs.get(change["Action"], change["Action"])
    )
    return {"resource": change["LogicalResourceId"], "type": change["ResourceType"], "action": action}


def operation_token(*parts: object, attempt: object) -> str:
    """Make the token of one try's operation; tries of the same task share what is before the last hyphen."""
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
    return f"aiml-{digest}-{attempt}"


def _with_template(token: str, api: EndpointApi) -> str:
    """Give a token that only tries that deploy the same API share.

    It takes the template as it is without surroundings, for those change while an operation runs.
    """
    return _of_step(token, hashlib.sha256(_body(api.template()).encode()).hexdigest()[:16])


def _of_step(token: str, step: str) -> str:
    """Give the token of one step of a try; CloudFormation takes one for one operation alone."""
    base, _, attempt = token.rpartition("-")
    return f"{base}-{step}-{attempt}"


def _is_ours(found: object, token: str) -> bool:
    return isinstance(found, str) and found.rpartition("-")[0] == token.rpartition("-")[0]
