"""What CloudFormation remembers: stacks, their resources, events and change sets."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import asyncio

    from airflow_provider_aiml.local_aws.cloudformation.template import Template

__all__ = ["ACCOUNT", "ChangeSet", "End", "Made", "Resource", "Stack", "now"]

ACCOUNT = "123456789012"
End = Literal["deleted", "replaced", "rolled back"]
"""How a resource ends in its stack; ``rolled back`` is with the operation that made it."""


def now() -> datetime:
    """Give the time, as events and resources are stamped with it."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Made:
    """A thing that a resource became.

    :param physical_id: what ``Ref`` gives.
    :param attributes: what ``Fn::GetAtt`` gives.
    """

    physical_id: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Resource:
    """One resource of a stack, as it is.

    :param properties: with every reference put in.
    """

    logical_id: str
    type: str
    made: Made
    properties: dict[str, Any]
    deletion_policy: str = "Delete"
    replace_policy: str = "Delete"
    status: str = "CREATE_COMPLETE"
    reason: str | None = None
    changed: datetime = field(default_factory=now)

    def outlives(self, end: End) -> bool:
        """Say whether it is there after its end in the stack."""
        if end == "replaced":
            return self.replace_policy == "Retain"
        return self.deletion_policy == "Retain" or (
            self.deletion_policy == "RetainExceptOnCreate" and end == "deleted"
        )


@dataclass(slots=True)
class ChangeSet:
    """A change set; ``changes`` in the API's own words."""

    name: str
    id: str
    kind: str
    template: Template
    changes: list[dict[str, Any]]
    tags: list[dict[str, str]]
    status: str
    reason: str | None = None
    execution: str = "AVAILABLE"
    description: str | None = None
    role_arn: str | None = None
    created: datetime = field(default_factory=now)


@dataclass(slots=True)
class Stack:
    """A stack and its history.

    :param events: oldest first.
    :param task: the operation that is under way.
    """

    name: str
    region: str
    id: str = ""
    status: str = "REVIEW_IN_PROGRESS"
    reason: str | None = None
    template: Template | None = None
    resources: dict[str, Resource] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    tags: list[dict[str, str]] = field(default_factory=list)
    capabilities: list[str] = field(default_factory=list)
    role_arn: str | None = None
    on_failure: str = "ROLLBACK"
    token: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    change_sets: dict[str, ChangeSet] = field(default_factory=dict)
    created: datetime = field(default_factory=now)
    updated: datetime | None = None
    deleted: datetime | None = None
    task: asyncio.Task[Any] | None = None

    def __post_init__(self) -> None:
        self.id = f"arn:aws:cloudformation:{self.region}:{ACCOUNT}:stack/{self.name}/{uuid.uuid4()}"

    @property
    def is_gone(self) -> bool:
        """Whether it was deleted; such a stack is found by its id alone."""
        return self.status == "DELETE_COMPLETE"

    @property
    def is_busy(self) -> bool:
        """Whether an operation is under way."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    def moves(self, status: str, reason: str | None = None) -> None:
        """Go over into a status, and say so in an event."""
        self.status, self.reason = status, reason
        self._add_event(self.name, "AWS::CloudFormation::Stack", self.id, status, reason)

    def says(
        self, logical_id: str, kind: str, physical_id: str, status: str, reason: str | None = None
    ) -> None:
        """Record what happens to a resource; one that another has replaced has only its events left."""
        self._add_event(logical_id, kind, physical_id, status, reason)
        resource = self.resources.get(logical_id)
        if resource and resource.made.physical_id == physical_id:
            resource.status, resource.reason, resource.changed = status, reason, now()

    def _add_event(
        self, logical_id: str, kind: str, physical_id: str, status: str, reason: str | None
    ) -> None:
        event = {
            "StackId": self.id,
            "StackName": self.name,
            "EventId": f"{logical_id}-{uuid.uuid4()}",
            "LogicalResourceId": logical_id,
            "PhysicalResourceId": physical_id,
            "ResourceType": kind,
            "ResourceStatus": status,
            "ResourceStatusReason": reason,
            "Timestamp": now(),
            "ClientRequestToken": self.token,
        }
        self.events.append(event)
