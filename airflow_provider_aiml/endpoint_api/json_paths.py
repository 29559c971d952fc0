"""The JSONPath of mapping templates: names, indices and wildcards.

Filters, slices and recursive descent are refused rather than guessed at: what they give at the gateway is not
what other libraries give.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["UnknownPathError", "select"]

_STEP = re.compile(r"\.([\w-]+|\*)|\[\s*(?:'([^']*)'|\"([^\"]*)\"|(-?\d+)|(\*))\s*\]")


class UnknownPathError(ValueError):
    """A path that the local renderer cannot follow."""


def select(document: Any, path: str) -> Any:
    """Follow a path; what is not there is None.

    :param path: for example ``$.predictions[0].scores[*]``; a wildcard gives a list.
    :raises UnknownPathError: the path has a filter, a slice or a descent, or is no path.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/models-mappings.html
    """
    text = path.strip()
    found, many, position = [document], False, 1
    if not text.startswith("$"):
        raise UnknownPathError("a JSONPath begins with $")
    while position < len(text):
        step = _STEP.match(text, position)
        if step is None:
            raise UnknownPathError("only names, indices and wildcards can be followed locally")
        plain, single, double, index, star = step.groups()
        if star or plain == "*":
            many, found = True, [child for value in found for child in _children(value)]
        else:
            key = int(index) if index else next(name for name in (plain, single, double) if name is not None)
            found = [value for parent in found for value in _child(parent, key)]
        position = step.end()
    return found if many else next(iter(found), None)


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _child(value: Any, key: str | int) -> list[Any]:
    if isinstance(value, dict) and isinstance(key, str):
        return [value[key]] if key in value else []
    if isinstance(value, list) and isinstance(key, int) and -len(value) <= key < len(value):
        return [value[key]]
    return []
