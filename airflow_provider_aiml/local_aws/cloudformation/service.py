"""CloudFormation's operations, as its API has them.

https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.cloudformation.change_sets import changes_of, is_same
from airflow_provider_aiml.local_aws.cloudformation.described import (
    described_change_set,
    described_resource,
    described_stack,
    summarized_resource,
    summarized_stack,
)
from airflow_provider_aiml.local_aws.cloudformation.engine import Engine
from airflow_provider_aiml.local_aws.cloudformation.query_wire import query_answer, read_action, read_form
from airflow_provider_aiml.local_aws.cloudformation.resource_types import RESOURCE_TYPES
from airflow_provider_aiml.local_aws.cloudformation.stack import ACCOUNT, ChangeSet, Stack
from airflow_provider_aiml.local_aws.cloudformation.template import Template, read_template
from airflow_provider_aiml.local_aws.errors import ApiError
from airflow_provider_aiml.local_aws.operations import service_model
from airflow_provider_aiml.local_aws.validation import check_members

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from airflow_provider_aiml.local_aws.faults import Faults
    from airflow_provider_aiml.local_aws.messages import Answer, Request
    from airflow_provider_aiml.local_aws.moto_clients import MotoClients

__all__ = ["CloudFormation"]

_NO_CHANGES = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)
_PAGE = 100


class CloudFormation:
    """The stacks of one local AWS."""

    def __init__(self, clients: MotoClients, faults: Faults) -> None:
        self._engine = Engine(clients, faults)
        self._stacks: list[Stack] = []

    async def clear(self) -> None:
        """Forget every stack, and end what is under way."""
        tasks = [stack.task for stack in self._stacks if stack.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._stacks.clear()

    async def handle(self, request: Request) -> Answer:
        """Answer one request.

        :raises ApiError: CloudFormation's own errors.
        """
        name = read_action(request)
        handler = getattr(self, f"_{name}", None)
        if handler is None:
            raise ApiError("InvalidAction", f"The local AWS does not know the CloudFormation action {name}")
        operation = service_model("cloudformation").operation_model(name)
        members = read_form(operation, request)
        assert operation.input_shape is not None
        check_members(operation.input_shape, members, "ValidationError")
        return query_answer(operation, handler(members, request.region) or {})

    # Stacks

    def _CreateStack(self, members: dict[str, Any], region: str) -> dict[str, Any]:  # noqa: N802
        name = members["StackName"]
        token = members.get("ClientRequestToken")
        if current := self._current(name, region):
            if token and current.token == token:
                return {"StackId": current.id}
            raise ApiError("AlreadyExistsException", f"Stack [{name}] already exists")
        template = self._template(members)
        stack = Stack(name, region, tags=members.get("Tags", []), token=token)
        stack.capabilities, stack.role_arn = members.get("Capabilities", []), members.get("RoleARN")
        kept = members.get("DisableRollback", False)
        stack.on_failure = members.get("OnFailure", "DO_NOTHING" if kept else "ROLLBACK")
        self._stacks.append(stack)
        self._start(stack, self._engine.create(stack, template))
        return {"StackId": stack.id}

    def _DeleteStack(self, members: dict[str, Any], region: str) -> None:  # noqa: N802
        stack = self._current(members["StackName"], region)
        if stack is None or stack.status == "DELETE_IN_PROGRESS":
            return
        if stack.is_busy and stack.status != "CREATE_IN_PROGRESS":
            raise _wrong_state(stack, "deleted")
        if stack.task is not None:
            stack.task.cancel()
        stack.token = members.get("ClientRequestToken")
        self._start(stack, self._engine.delete(stack))

    def _DescribeStacks(self, members: dict[str, Any], region: str) -> dict[str, Any]:  # noqa: N802
        if name := members.get("StackName"):
            return {"Stacks": [described_stack(self._found(name, region))]}
        present = [one for one in self._stacks if one.region == region and not one.is_gone]
        return {"Stacks": [described_stack(one) for one in present]}

    def _ListStacks(self, members: dict[str, Any], region: str) -> dict[str, Any]:  # noqa: N802
        wanted = members.get("StackStatusFilter")
        found = [one for one in self._stacks if one.region == region and (not wanted or one.status in wanted)]
        return {"StackSummaries": [summarized_stack(one) for one in found]}

    def _DescribeStackEvents(self, members: dict[str, Any], region: str) -> dict[str, Any]:  # noqa: N802
        newest_first = self._found(members["StackName"], region).events[::-1]
        start = int(members.get("NextToken", 0))
        page = newest_first[start : start + _PAGE]
        more = {"NextToken": str(start + _PAGE)} if start + _PAGE < len(newest_first) else {}
        return {"StackEvents": page, **more}

    def _DescribeStackResources(self, members: dict[str, Any], region: str) -> dict[str, Any]:  # noqa: N802
        stack, wanted = self._found(members["StackName"], region), members.get("LogicalResourceId")
        found = [one for name, one in stack.resources.items() if wanted in (None, name)]
        return {"StackResources": [described_resource(stack, one) for one in found]}

    def _ListStackResources(self, members: dict[str, Any], region: str) -> dict[str, Any]:  # noqa: N802
        stack = self._found(members["StackName"], region)
        return {"StackResourceSummaries": [summarized_resource(one) for one in stack.resources.values()]}

    def _GetTemplate(self, members: dict[str, Any], region: str) -> dict[str, Any]:  # noqa: N802
        template = self._found(members["StackName"], region).template
        return {"TemplateBody": template.text if template else ""}

    def _ValidateTemplate(self, members: dict[str, Any], region: str) -> dict[str, Any]:  # noqa: N802
        template = read_template(members.get("TemplateBody", ""), frozenset(RESOURCE_TYPES))
        return {"Description": template.description, "Capabilities": _needed(template)}

    # Change sets

    def _CreateChangeSet(self, members: dict[str, Any], region: str) -> dict[str, Any]:  # noqa: N802
        stack = self._stack_to_change(members, region)
        template = self._template(members)
        if stack not in self._stacks:
            self._stacks.append(stack)
        name, tags = members["ChangeSetName"], members.get("Tags", stack.tags)
        current = stack.change_sets.get(name)
        if current is not None and current.execution != "EXECUTE_COMPLETE":
            raise ApiError(
                "AlreadyExistsException", f"ChangeSet {name} already exists for stack {stack.name}"
            )
        same = is_same(stack, template, tags)
        change_set = ChangeSet(
            name=name,
            id=f"arn:aws:cloudformation:{region}:{ACCOUNT}:changeSet/{name}/{uuid.uuid4()}",
            kind=members.get("ChangeSetType", "UPDATE"),
            template=template,
            changes=[] if same else changes_of(stack, template),
            tags=tags,
            status="FAILED" if same else "CREATE_COMPLETE",
            reason=_NO_CHANGES if same else None,
            execution="UNAVAILABLE" if same else "AVAILABLE",
            description=members.get("Description"),
            role_arn=members.get("RoleARN"),
        )
        stack.change_sets[name] = change_set
        stack.capabilities = members.get("Capabilities", [])
        return {"Id": change_set.id, "StackId": stack.id}

    def _stack_to_change(self, members: dict[str, Any], region: str) -> Stack:
        name, kind = members["StackName"], members.get("ChangeSetType", "UPDATE")
        stack = self._current(name, region)
        if kind == "CREATE":
            if stack is not None and stack.status != "REVIEW_IN_PROGRESS":
                message = (
                    f"Stack [{name}] already exists and cannot be created again with the changeSet [CREATE]."
                )
                raise ApiError("ValidationError", message)
            return stack or Stack(name, region)
        if stack is None or stack.status == "REVIEW_IN_PROGRESS":
            raise _absent(name)
        if stack.is_busy or stack.status in ("ROLLBACK_COMPLETE", "CREATE_FAILED", "DELETE_FAILED"):
            raise _wrong_state(stack, "updated")
        return stack

    def _DescribeChangeSet(self, members: dict[str, Any], region: str) -> dict[str, Any]:  # noqa: N802
        return described_change_set(*self._change_set(members, region))

    def _ListChangeSets(self, members: dict[str, Any], region: str) -> dict[str, Any]:  # noqa: N802
        stack = self._found(members["StackName"], region)
        described = [described_change_set(stack, one) for one in stack.change_sets.values()]
        return {"Summaries": described}

    def _DeleteChangeSet(self, members: dict[str, Any], region: str) -> None:  # noqa: N802
        stack, change_set = self._change_set(members, region)
        del stack.change_sets[change_set.name]

    def _ExecuteChangeSet(self, members: dict[str, Any], region: str) -> None:  # noqa: N802
        stack, change_set = self._change_set(members, region)
        token = members.get("ClientRequestToken")
        if token and stack.token == token and change_set.execution != "AVAILABLE":
            return
        if change_set.execution != "AVAILABLE":
            message = (
                f"ChangeSet [{change_set.id}] cannot be executed in its current execution status of "
                f"[{change_set.execution}]"
            )
            raise ApiError("InvalidChangeSetStatus", message)
        if stack.is_busy:
            raise _wrong_state(stack, "updated")
        change_set.execution = "EXECUTE_COMPLETE"
        stack.token, stack.role_arn = token, change_set.role_arn
        stack.change_sets = {change_set.name: change_set}
        if change_set.kind == "CREATE":
            stack.tags = change_set.tags
            self._start(stack, self._engine.create(stack, change_set.template))
        else:
            self._start(stack, self._engine.update(stack, change_set.template, change_set.tags))

    # Finding things

    def _start(self, stack: Stack, operation: Coroutine[Any, Any, None]) -> None:
        # The first status is there with the answer, as it is at AWS.
        stack.task = asyncio.create_task(operation)

    def _current(self, name: str, region: str) -> Stack | None:
        """Give the stack of that name, or any of that id."""
        for stack in self._stacks:
            if stack.region == region and (stack.id == name or (stack.name == name and not stack.is_gone)):
                return stack
        return None

    def _found(self, name: str, region: str) -> Stack:
        if stack := self._current(name, region):
            return stack
        raise _absent(name)

    def _change_set(self, members: dict[str, Any], region: str) -> tuple[Stack, ChangeSet]:
        wanted, name = members["ChangeSetName"], members.get("StackName")
        stacks = (
            [self._found(name, region)] if name else [one for one in self._stacks if one.region == region]
        )
        for stack in stacks:
            for change_set in stack.change_sets.values():
                if wanted in (change_set.id, change_set.name):
                    return stack, change_set
        raise ApiError("ChangeSetNotFound", f"ChangeSet [{wanted}] does not exist", 404)

    def _template(self, members: dict[str, Any]) -> Template:
        template = read_template(members.get("TemplateBody", ""), frozenset(RESOURCE_TYPES))
        missing = [one for one in _needed(template) if one not in members.get("Capabilities", [])]
        if missing == ["CAPABILITY_IAM"] and "CAPABILITY_NAMED_IAM" in members.get("Capabilities", []):
            missing = []
        if missing:
            message = f"Requires capabilities : [{', '.join(missing)}]"
            raise ApiError("InsufficientCapabilitiesException", message)
        return template


def _needed(template: Template) -> list[str]:
    """Name the capability that a template's IAM resources need."""
    roles = [one for one in template.resources.values() if one.type.startswith("AWS::IAM::")]
    if any("RoleName" in one.properties for one in roles):
        return ["CAPABILITY_NAMED_IAM"]
    return ["CAPABILITY_IAM"] if roles else []


def _absent(name: str) -> ApiError:
    return ApiError("ValidationError", f"Stack with id {name} does not exist")


def _wrong_state(stack: Stack, what: str) -> ApiError:
    return ApiError("ValidationError", f"Stack:{stack.id} is in {stack.status} state and can not be {what}.")
