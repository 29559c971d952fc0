"""What is different between what a stack is and a template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.cloudformation.resource_types import RESOURCE_TYPES
from airflow_provider_aiml.local_aws.cloudformation.template import ordered, references

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.cloudformation.stack import Stack
    from airflow_provider_aiml.local_aws.cloudformation.template import Declared, Template

__all__ = ["changes_of", "is_same"]


def is_same(stack: Stack, template: Template, tags: list[dict[str, str]]) -> bool:
    """Say whether a template would leave a stack as it is."""
    current = stack.template
    return (
        current is not None
        and current.resources == template.resources
        and current.outputs == template.outputs
        and stack.tags == tags
    )


def changes_of(stack: Stack, template: Template) -> list[dict[str, Any]]:
    """Give a change set's changes, in the API's form.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ResourceChange.html
    """
    before = stack.template.resources if stack.template and stack.resources else {}
    replaced: set[str] = set()
    changes = []
    for name in ordered(template.resources):
        after = template.resources[name]
        if name not in before:
            changes.append(_change("Add", name, after.type))
        elif change := _modification(stack, name, before[name], after, replaced):
            changes.append(change)
    gone = [name for name in before if name not in template.resources]
    changes += [_change("Remove", name, before[name].type, _physical(stack, name)) for name in gone]
    return changes


def _modification(
    stack: Stack, name: str, before: Declared, after: Declared, replaced: set[str]
) -> dict[str, Any] | None:
    changed = {
        key
        for key in {*before.properties, *after.properties}
        if before.properties.get(key) != after.properties.get(key)
        or replaced & set(references(after.properties.get(key)))
    }
    if not changed and before.type == after.type:
        return None
    fixed = RESOURCE_TYPES[after.type].create_only
    is_replaced = bool(changed & fixed) or before.type != after.type
    if is_replaced:
        replaced.add(name)
    details = [
        {
            "Target": {
                "Attribute": "Properties",
                "Name": key,
                "RequiresRecreation": "Always" if key in fixed else "Never",
            },
            "Evaluation": "Static",
            "ChangeSource": "DirectModification",
        }
        for key in sorted(changed)
    ]
    more = {"Replacement": str(is_replaced), "Scope": ["Properties"], "Details": details}
    return _change("Modify", name, after.type, _physical(stack, name), **more)


def _physical(stack: Stack, name: str) -> str | None:
    resource = stack.resources.get(name)
    return resource.made.physical_id if resource else None


def _change(action: str, name: str, kind: str, physical: str | None = None, **more: Any) -> dict[str, Any]:
    facts = {
        "Action": action,
        "LogicalResourceId": name,
        "ResourceType": kind,
        "PhysicalResourceId": physical,
        **more,
    }
    return {"Type": "Resource", "ResourceChange": facts}
