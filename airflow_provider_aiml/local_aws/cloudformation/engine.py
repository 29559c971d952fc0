"""Stacks made, changed, taken back and deleted, one resource after the other, with an event for each step."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from airflow_provider_aiml.local_aws.cloudformation.resource_types import RESOURCE_TYPES
from airflow_provider_aiml.local_aws.cloudformation.resource_types.resource_type import (
    Place,
    ResourceFailedError,
)
from airflow_provider_aiml.local_aws.cloudformation.stack import ACCOUNT, Made, Resource, Stack, now
from airflow_provider_aiml.local_aws.cloudformation.template import ordered, resolve
from airflow_provider_aiml.local_aws.faults import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_aiml.local_aws.cloudformation.stack import End
    from airflow_provider_aiml.local_aws.cloudformation.template import Declared, Template
    from airflow_provider_aiml.local_aws.faults import Faults
    from airflow_provider_aiml.local_aws.moto_clients import MotoClients

__all__ = ["Engine"]

T = TypeVar("T")


class Engine:
    """Applies templates.

    Faults on demand: ``cloudformation:CreateResource``, ``…:UpdateResource`` and ``…:DeleteResource``, with
    the logical id as the resource; ``delay`` and ``error`` happen to each.
    """

    def __init__(self, clients: MotoClients, faults: Faults) -> None:
        self._clients = clients
        self._faults = faults

    async def create(self, stack: Stack, template: Template) -> None:
        """Make every resource of a stack; at a failure do what its ``on_failure`` says."""
        stack.moves("CREATE_IN_PROGRESS", "User Initiated")
        stack.template, stack.updated = template, None
        try:
            for name in ordered(template.resources):
                await self._make(stack, name, template.resources[name])
            stack.outputs = self._outputs(stack, template)
        except ResourceFailedError as failure:
            await self._creation_failed(stack, str(failure))
        else:
            stack.moves("CREATE_COMPLETE")

    async def _creation_failed(self, stack: Stack, name: str) -> None:
        reason = f"The following resource(s) failed to create: [{name}]."
        if stack.on_failure == "DO_NOTHING":
            stack.moves("CREATE_FAILED", reason)
            return
        verb = "DELETE" if stack.on_failure == "DELETE" else "ROLLBACK"
        stack.moves(f"{verb}_IN_PROGRESS", f"{reason} Rollback requested by user.")
        if not await self._delete_all(stack, "rolled back"):
            stack.moves(f"{verb}_FAILED", "Some resources could not be deleted.")
            return
        stack.moves(f"{verb}_COMPLETE")
        stack.outputs = {}

    async def update(self, stack: Stack, template: Template, tags: list[dict[str, str]]) -> None:
        """Make of a stack what a template says; at a failure make it what it was."""
        stack.moves("UPDATE_IN_PROGRESS", "User Initiated")
        stack.updated = now()
        before, was = stack.template, dict(stack.resources)
        assert before is not None
        leftovers: list[Resource] = []
        try:
            for name in ordered(template.resources):
                await self._make_or_change(stack, name, template.resources[name], leftovers)
            outputs = self._outputs(stack, template)
        except ResourceFailedError as failure:
            reason = f"The following resource(s) failed to update: [{failure}]."
            await self._take_back(stack, before, template, was, reason)
            return
        stack.outputs, stack.template, stack.tags = outputs, template, tags
        stack.moves("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        await self._clean_up(stack, leftovers, before, template)
        stack.moves("UPDATE_COMPLETE")

    async def _take_back(
        self, stack: Stack, before: Template, tried: Template, was: dict[str, Resource], reason: str
    ) -> None:
        stack.moves("UPDATE_ROLLBACK_IN_PROGRESS", reason)
        leftovers: list[Resource] = []
        try:
            for name in reversed(list(stack.resources)):
                if old := was.get(name):
                    await self._restore(stack, stack.resources[name], old, leftovers)
        except ResourceFailedError as failure:
            stack.moves("UPDATE_ROLLBACK_FAILED", f"The following resource(s) failed to update: [{failure}].")
            return
        stack.moves("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        await self._clean_up(stack, leftovers, tried, before, rolled_back=True)
        stack.outputs = self._outputs(stack, before)
        stack.moves("UPDATE_ROLLBACK_COMPLETE")

    async def _restore(
        self, stack: Stack, current: Resource, old: Resource, leftovers: list[Resource]
    ) -> None:
        if current.made.physical_id != old.made.physical_id:
            leftovers.append(current)
            stack.resources[old.logical_id] = old
            stack.says(old.logical_id, old.type, old.made.physical_id, "UPDATE_COMPLETE")
        elif current.properties != old.properties:
            await self._change(stack, old.logical_id, current, old.properties)

    async def delete(self, stack: Stack) -> None:
        """Delete every resource that is not kept, the last one made first."""
        stack.moves("DELETE_IN_PROGRESS", "User Initiated")
        if await self._delete_all(stack, "deleted"):
            stack.deleted = now()
            stack.moves("DELETE_COMPLETE")
        else:
            failed = [name for name, one in stack.resources.items() if one.status == "DELETE_FAILED"]
            listed = ", ".join(failed)
            stack.moves("DELETE_FAILED", f"The following resource(s) failed to delete: [{listed}].")

    async def _make(self, stack: Stack, name: str, declared: Declared) -> None:
        """Make one resource; its failure is an event, and its name goes up."""
        stack.says(name, declared.type, "", "CREATE_IN_PROGRESS")
        try:
            await self._suffer("CreateResource", name)
            properties = self._resolved(stack, declared)
            RESOURCE_TYPES[declared.type].check(properties)
            place = self._place(stack, name)
            made: Made = await _in_thread(RESOURCE_TYPES[declared.type].create, place, properties)
        except Exception as error:  # moto can fail in any way
            stack.says(name, declared.type, "", "CREATE_FAILED", _reason(error))
            raise ResourceFailedError(name) from error
        stack.resources.pop(name, None)
        policies = declared.deletion_policy, declared.replace_policy
        stack.resources[name] = Resource(name, declared.type, made, properties, *policies)
        stack.says(name, declared.type, made.physical_id, "CREATE_COMPLETE")

    async def _make_or_change(
        self, stack: Stack, name: str, declared: Declared, leftovers: list[Resource]
    ) -> None:
        old = stack.resources.get(name)
        if old is None:
            await self._make(stack, name, declared)
            return
        old.deletion_policy, old.replace_policy = declared.deletion_policy, declared.replace_policy
        properties = self._resolved(stack, declared)
        changed = {
            key for key in {*properties, *old.properties} if properties.get(key) != old.properties.get(key)
        }
        if old.type == declared.type and not changed:
            return
        if old.type != declared.type or changed & RESOURCE_TYPES[declared.type].create_only:
            old = replace(old)
            await self._make(stack, name, declared)
            leftovers.append(old)
            return
        await self._change(stack, name, old, properties)

    async def _change(self, stack: Stack, name: str, old: Resource, properties: dict[str, Any]) -> None:
        """Change a resource in place; what it was stays untouched in ``old``."""
        kind, physical = RESOURCE_TYPES[old.type], old.made.physical_id
        stack.says(name, old.type, physical, "UPDATE_IN_PROGRESS")
        try:
            await self._suffer("UpdateResource", name)
            kind.check(properties)
            await _in_thread(kind.update, self._place(stack, name), old.made, old.properties, properties)
        except Exception as error:  # moto can fail in any way
            stack.says(name, old.type, physical, "UPDATE_FAILED", _reason(error))
            raise ResourceFailedError(name) from error
        stack.resources[name] = replace(old, properties=properties)
        stack.says(name, old.type, physical, "UPDATE_COMPLETE")

    async def _clean_up(
        self,
        stack: Stack,
        leftovers: list[Resource],
        old: Template,
        new: Template,
        *,
        rolled_back: bool = False,
    ) -> None:
        """Delete what is no longer needed. A failure here is an event and nothing more."""
        gone = [name for name in ordered(old.resources) if name not in new.resources]
        for name in reversed(gone):
            if one := stack.resources.pop(name, None):
                await self._unmake(stack, one, "rolled back" if rolled_back else "deleted")
        for one in reversed(leftovers):
            await self._unmake(stack, one, "rolled back" if rolled_back else "replaced")

    async def _delete_all(self, stack: Stack, end: End) -> bool:
        """Delete every resource; say whether all are gone or kept."""
        assert stack.template is not None
        for name in reversed(ordered(stack.template.resources)):
            if one := stack.resources.get(name):
                if not await self._unmake(stack, one, end):
                    return False
                del stack.resources[name]
        return True

    async def _unmake(self, stack: Stack, one: Resource, end: End) -> bool:
        name, physical = one.logical_id, one.made.physical_id
        if one.outlives(end):
            stack.says(name, one.type, physical, "DELETE_SKIPPED")
            return True
        stack.says(name, one.type, physical, "DELETE_IN_PROGRESS")
        try:
            await self._suffer("DeleteResource", name)
            place = self._place(stack, name)
            await _in_thread(RESOURCE_TYPES[one.type].delete, place, one.made, one.properties)
        except Exception as error:  # moto can fail in any way
            if not _is_absence(error):
                stack.says(name, one.type, physical, "DELETE_FAILED", _reason(error))
                return False
        stack.says(name, one.type, physical, "DELETE_COMPLETE")
        return True

    async def _suffer(self, what: str, name: str) -> None:
        """Let a fault happen to a resource."""
        target = Target(f"cloudformation:{what}", name)
        await self._faults.delay(target)
        if fault := self._faults.take(target, "error"):
            raise ResourceFailedError(fault.message or f"{fault.code} on demand")

    def _place(self, stack: Stack, name: str) -> Place:
        return Place(self._clients, stack.region, stack.name, name)

    def _resolved(self, stack: Stack, declared: Declared) -> dict[str, Any]:
        resolved: dict[str, Any] = self._resolve(stack, declared.properties)
        return resolved

    def _outputs(self, stack: Stack, template: Template) -> dict[str, Any]:
        outputs: dict[str, Any] = self._resolve(stack, template.outputs)
        return outputs

    def _resolve(self, stack: Stack, value: Any) -> Any:
        pseudo = {
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": "aws",
            "AWS::Region": stack.region,
            "AWS::StackId": stack.id,
            "AWS::StackName": stack.name,
            "AWS::URLSuffix": "amazonaws.com",
        }

        def ref(name: str) -> Any:
            return pseudo[name] if name in pseudo else stack.resources[name].made.physical_id

        def attribute(name: str, wanted: str) -> Any:
            attributes = stack.resources[name].made.attributes
            if wanted not in attributes:
                raise ResourceFailedError(
                    f"Requested attribute {wanted} must be a readonly property in schema"
                )
            return attributes[wanted]

        return resolve(value, ref, attribute)


async def _in_thread(call: Callable[..., T], *arguments: Any) -> T:
    """Call moto in a thread, which cannot be stopped: who is cancelled meanwhile waits for its end."""
    under_way = asyncio.get_running_loop().run_in_executor(None, call, *arguments)
    try:
        return await asyncio.shield(under_way)
    finally:
        await asyncio.wait({under_way})


def _is_absence(error: Exception) -> bool:
    """Whether what was to be deleted is not there any more."""
    codes = ("NotFoundException", "NoSuchEntity", "ResourceNotFoundException")
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in codes


def _reason(error: Exception) -> str:
    """Word a failure as CloudFormation does."""
    if not isinstance(error, ClientError):
        return str(error)
    facts, answer = error.response["Error"], error.response["ResponseMetadata"]
    where = f"Status Code: {answer.get('HTTPStatusCode')}, Request ID: {answer.get('RequestId')}"
    return f"{facts['Message']} ({facts['Code']}; {where})"
