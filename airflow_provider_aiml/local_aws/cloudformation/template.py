"""A template as CloudFormation reads it: its resources, what refers to what, and what a reference becomes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Declared", "Template", "mentions", "ordered", "read_template", "references", "resolve"]

_SUB = re.compile(r"\$\{(!?)([\w:.]+)\}")


@dataclass(frozen=True, slots=True)
class Declared:
    """One resource as its template has it."""

    type: str
    properties: dict[str, Any]
    depends_on: tuple[str, ...] = ()
    deletion_policy: str = "Delete"
    replace_policy: str = "Delete"


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was read.

    :param text: as it came.
    """

    text: str
    resources: dict[str, Declared]
    outputs: dict[str, Any] = field(default_factory=dict)
    description: str | None = None


def _malformed(message: str) -> ApiError:
    return ApiError("ValidationError", f"Template format error: {message}")


def read_template(text: str, known_types: frozenset[str]) -> Template:
    """Read a template in JSON.

    :raises ApiError: it is none, has types or references that are not there, or goes round in a circle.
    """
    try:
        document = json.loads(text)
    except ValueError:
        raise _malformed("the local AWS reads templates in JSON only") from None
    declared = document.get("Resources") if isinstance(document, dict) else None
    if not declared or not isinstance(declared, dict):
        raise _malformed("At least one Resources member must be defined.")
    unknown = sorted({str(one.get("Type")) for one in declared.values()} - known_types)
    if unknown:
        raise _malformed(f"Unrecognized resource types: [{', '.join(unknown)}]")
    resources = {name: _declared(one) for name, one in declared.items()}
    outputs = document.get("Outputs", {})
    template = Template(text, resources, outputs, document.get("Description"))
    _check_references(template)
    ordered(resources)
    return template


def _declared(one: dict[str, Any]) -> Declared:
    depends = one.get("DependsOn", [])
    names = (depends,) if isinstance(depends, str) else tuple(depends)
    policies = [str(one.get(name, "Delete")) for name in ("DeletionPolicy", "UpdateReplacePolicy")]
    return Declared(one["Type"], one.get("Properties", {}), names, *policies)


def _check_references(template: Template) -> None:
    for name, one in template.resources.items():
        for reference in (*references(one.properties), *one.depends_on):
            if reference not in template.resources:
                message = (
                    f"Unresolved resource dependencies [{reference}] in the Resources block of the template"
                )
                raise _malformed(f"{message} (at {name})")
    for reference in references(template.outputs):
        if reference not in template.resources:
            raise _malformed(
                f"Unresolved resource dependencies [{reference}] in the Outputs block of the template"
            )


def references(value: Any) -> Iterator[str]:
    """Name the resources that a value refers to; pseudo parameters are none."""
    return (name for name, _ in mentions(value))


def mentions(value: Any) -> Iterator[tuple[str, str]]:
    """Name the resources that a value refers to, each with the attribute; empty for a ``Ref``."""
    if isinstance(value, list):
        for item in value:
            yield from mentions(item)
    elif isinstance(value, dict):
        if set(value) == {"Ref"}:
            found = [(value["Ref"], "")]
        elif set(value) == {"Fn::GetAtt"}:
            found = [_get_att(value["Fn::GetAtt"])]
        elif set(value) == {"Fn::Sub"} and isinstance(value["Fn::Sub"], str):
            found = [_get_att(name) for escaped, name in _SUB.findall(value["Fn::Sub"]) if not escaped]
        else:
            found = []
            yield from mentions(list(value.values()))
        yield from (one for one in found if not one[0].startswith("AWS::"))


def _get_att(value: Any) -> tuple[str, str]:
    name, _, attribute = value.partition(".") if isinstance(value, str) else (value[0], "", value[1])
    return name, attribute


def ordered(resources: dict[str, Declared]) -> list[str]:
    """Give the resources' names, each behind all that it refers to.

    :raises ApiError: they refer to each other in a circle.
    """
    order: list[str] = []
    underway: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        if name in underway:
            circle = ", ".join(underway[underway.index(name) :])
            raise ApiError("ValidationError", f"Circular dependency between resources: [{circle}]")
        underway.append(name)
        one = resources[name]
        for needed in (*references(one.properties), *one.depends_on):
            visit(needed)
        underway.pop()
        order.append(name)

    for name in resources:
        visit(name)
    return order


def resolve(
    value: Any, ref: Callable[[str], Any], attribute: Callable[[str, str], Any], where: str = ""
) -> Any:
    """Put in what references, attributes, Sub and Join stand for.

    :param ref: gives what ``Ref`` of a name is, pseudo parameters included.
    :raises ApiError: a function that this engine does not know.
    """
    if isinstance(value, list):
        return [resolve(item, ref, attribute, where) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (function, argument), *_ = value.items()
        if function == "Ref":
            return ref(argument)
        if function == "Fn::GetAtt":
            return attribute(*_get_att(argument))
        if function == "Fn::Join":
            separator, parts = argument
            return separator.join(str(part) for part in resolve(parts, ref, attribute, where))
        if function == "Fn::Sub" and isinstance(argument, str):
            return _SUB.sub(lambda match: _substituted(match, ref, attribute), argument)
        if function.startswith("Fn::"):
            raise ApiError("ValidationError", f"The local AWS does not know {function}")
    return {name: resolve(one, ref, attribute, where) for name, one in value.items()}


def _substituted(
    match: re.Match[str], ref: Callable[[str], Any], attribute: Callable[[str, str], Any]
) -> str:
    escaped, name = match.groups()
    if escaped:
        return f"${{{name}}}"
    resource, _, wanted = name.partition(".")
    return str(attribute(resource, wanted) if wanted else ref(name))
