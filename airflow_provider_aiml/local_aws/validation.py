"""Constraints of a service model, checked as AWS does: every violation in one ValidationError.

Written apart from the provider's own request check on purpose, so that neither hides the other's faults.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from airflow_provider_aiml.local_aws.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_members", "compile_pattern", "violations"]

_JAVA_CLASSES = {r"\p{ASCII}": r"\x00-\x7F", r"\p{Print}": r"\x20-\x7E"}
_ANYTHING = re.compile(".*", re.DOTALL)


@cache
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Turn a Java pattern into Python's; its classes may stand inside or outside of brackets.

    A pattern that Python cannot express lets everything pass: a newer botocore must not break the local AWS.
    """
    for java, inner in _JAVA_CLASSES.items():
        pattern = re.sub(rf"(?<!\[){re.escape(java)}", lambda _, inner=inner: f"[{inner}]", pattern)  # type: ignore[misc]
        pattern = pattern.replace(java, inner)
    try:
        return re.compile(pattern.replace(r"\z", r"\Z"))
    except re.error:
        return _ANYTHING


def check_members(shape: StructureShape, members: dict[str, Any], code: str) -> None:
    """Check the members of an input shape.

    :param code: the code that the service gives its validation errors.
    :raises ApiError: naming every violation, in AWS's words.
    """
    found = list(violations(shape, members, ""))
    if found:
        errors = "1 validation error" if len(found) == 1 else f"{len(found)} validation errors"
        raise ApiError(code, f"{errors} detected: {'; '.join(found)}")


def violations(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """Give every constraint that ``value`` or a part of it breaks."""
    if isinstance(shape, StructureShape):
        if not getattr(shape, "is_document_type", False):
            yield from _structure(shape, value, path)
    elif isinstance(shape, ListShape):
        yield from _size(shape, len(value), path, "length")
        for index, item in enumerate(value):
            yield from violations(shape.member, item, f"{path}.{index + 1}.member")
    elif isinstance(shape, MapShape):
        yield from _size(shape, len(value), path, "length")
        for key, item in value.items():
            yield from violations(shape.key, key, f"{path}.key")
            yield from violations(shape.value, item, f"{path}.{key}")
    else:
        yield from _scalar(shape, value, path)


def _structure(shape: StructureShape, value: dict[str, Any], path: str) -> Iterator[str]:
    for name in shape.required_members:
        if name not in value:
            yield _violation(f"{path}.{name}", "Member must not be null")
    for name, part in value.items():
        yield from violations(shape.members[name], part, f"{path}.{name}")


def _scalar(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if shape.type_name in {"string", "blob"}:
        yield from _size(shape, len(value), path, "length")
    elif shape.type_name in {"integer", "long", "float", "double"}:
        yield from _size(shape, value, path, "value")
    pattern = shape.metadata.get("pattern")
    if pattern and not compile_pattern(pattern).fullmatch(value):
        yield _violation(path, f"Member must satisfy regular expression pattern: {pattern}")
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield _violation(path, f"Member must satisfy enum value set: [{', '.join(allowed)}]")


def _size(shape: Shape, size: float, path: str, what: str) -> Iterator[str]:
    smallest, largest = shape.metadata.get("min"), shape.metadata.get("max")
    if largest is not None and size > largest:
        yield _violation(path, f"Member must have {what} less than or equal to {largest}")
    if smallest is not None and size < smallest:
        yield _violation(path, f"Member must have {what} greater than or equal to {smallest}")


def _violation(path: str, constraint: str) -> str:
    """Word a violation; the value itself is left out, as it may be a payload."""
    where = path.lstrip(".")
    where = where[:1].lower() + where[1:]
    return f"Value at '{where}' failed to satisfy constraint: {constraint}"
