"""Stacks, resources and change sets in the words of CloudFormation's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.cloudformation.stack import ChangeSet, Resource, Stack

__all__ = [
    "described_change_set",
    "described_resource",
    "described_stack",
    "summarized_resource",
    "summarized_stack",
]


def described_stack(stack: Stack) -> dict[str, Any]:
    """Give a member of DescribeStacks."""
    outputs = [
        {"OutputKey": name, "OutputValue": one["Value"], "Description": one.get("Description")}
        for name, one in stack.outputs.items()
    ]
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "Description": stack.template.description if stack.template else None,
        "CreationTime": stack.created,
        "LastUpdatedTime": stack.updated,
        "DeletionTime": stack.deleted,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason,
        "DisableRollback": stack.on_failure == "DO_NOTHING",
        "Capabilities": stack.capabilities or None,
        "Outputs": outputs or None,
        "RoleARN": stack.role_arn,
        "Tags": stack.tags,
    }


def summarized_stack(stack: Stack) -> dict[str, Any]:
    """Give a member of ListStacks."""
    wanted = ("StackId", "StackName", "CreationTime", "LastUpdatedTime", "DeletionTime", "StackStatus")
    described = described_stack(stack)
    return {name: described[name] for name in (*wanted, "StackStatusReason")}


def described_resource(stack: Stack, one: Resource) -> dict[str, Any]:
    """Give a member of DescribeStackResources."""
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "LogicalResourceId": one.logical_id,
        "PhysicalResourceId": one.made.physical_id,
        "ResourceType": one.type,
        "Timestamp": one.changed,
        "ResourceStatus": one.status,
        "ResourceStatusReason": one.reason,
    }


def summarized_resource(one: Resource) -> dict[str, Any]:
    """Give a member of ListStackResources."""
    return {
        "LogicalResourceId": one.logical_id,
        "PhysicalResourceId": one.made.physical_id,
        "ResourceType": one.type,
        "LastUpdatedTimestamp": one.changed,
        "ResourceStatus": one.status,
        "ResourceStatusReason": one.reason,
    }


def described_change_set(stack: Stack, one: ChangeSet) -> dict[str, Any]:
    """Give DescribeChangeSet's answer, whose parts ListChangeSets has, too."""
    return {
        "ChangeSetName": one.name,
        "ChangeSetId": one.id,
        "StackId": stack.id,
        "StackName": stack.name,
        "Description": one.description,
        "CreationTime": one.created,
        "Status": one.status,
        "StatusReason": one.reason,
        "ExecutionStatus": one.execution,
        "Tags": one.tags,
        "Changes": one.changes,
    }
