"""What is different between what a stack is and a template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.cloudformation.resource_types import RESOURCE_TYPES
from airflow_provider_aiml.local_aws.cloudformation.template import mentions, ordered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    modified: dict[str, str] = {}
    changes = []
    for name in ordered(template.resources):
        after = template.resources[name]
        if name not in before:
            changes.append(_change("Add", name, after.type))
        elif change := _modification(stack, name, before[name], after, modified):
            changes.append(change)
    gone = [name for name in before if name not in template.resources]
    changes += [_change("Remove", name, before[name].type, _physical(stack, name)) for name in gone]
    return changes


def _modification(
    stack: Stack, name: str, before: Declared, after: Declared, modified: dict[str, str]
) -> dict[str, Any] | None:
    """Say how a resource changes, if it does.

    :param modified: the ``Replacement`` of those that change, by their names; it is added to them.
    """
    fixed = RESOURCE_TYPES[after.type].create_only
    details = []
    for key in sorted({*before.properties, *after.properties}):
        recreation = "Always" if key in fixed else "Never"
        target = {"Attribute": "Properties", "Name": key, "RequiresRecreation": recreation}
        value = after.properties.get(key)
        if before.properties.get(key) != value:
            reasons = [{"Evaluation": "Static", "ChangeSource": "DirectModification"}]
        else:
            reasons = list(_indirect(value, modified))
        details += [{"Target": target, **reason} for reason in reasons]
    if not details and before.type == after.type:
        return None
    modified[name] = "True" if before.type != after.type else _replacement(details)
    more = {"Replacement": modified[name], "Scope": ["Properties"], "Details": details}
    return _change("Modify", name, after.type, _physical(stack, name), **more)


def _indirect(value: Any, modified: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Say by which references a value changes, or may change: an attribute is known only afterwards.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ResourceChangeDetail.html
    """
    for name, attribute in mentions(value):
        replacement = modified.get(name, "False")
        if attribute and name in modified:
            cause = {"ChangeSource": "ResourceAttribute", "CausingEntity": f"{name}.{attribute}"}
            yield {"Evaluation": "Dynamic", **cause}
        elif not attribute and replacement != "False":
            evaluation = "Static" if replacement == "True" else "Dynamic"
            yield {"Evaluation": evaluation, "ChangeSource": "ResourceReference", "CausingEntity": name}


def _replacement(details: list[dict[str, Any]]) -> str:
    fixed = {one["Evaluation"] for one in details if one["Target"]["RequiresRecreation"] == "Always"}
    if "Static" in fixed:
        return "True"
    return "Conditional" if fixed else "False"


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
