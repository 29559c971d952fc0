"""A JSON schema as Bedrock takes it natively: no other properties of objects, no bounds of numbers and lists.

"For 'object' type, 'additionalProperties' must be explicitly set to false" is what Bedrock answers otherwise,
and neither Pydantic nor most authors write it. "For 'integer' type, properties maximum, minimum are not
supported" is what it answers to bounds, so the model is told of them in words, and the answer is held against
them here.

https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["closed"]

_NAMED: Final = frozenset({"properties", "$defs", "definitions", "patternProperties"})
"""Keywords that hold schemas by name."""
_LISTED: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems", "items"})
"""Keywords that hold a list of schemas."""
_NESTED: Final = frozenset({"items", "contains", "additionalProperties"})
"""Keywords that hold one schema."""
_BOUNDS: Final = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minItems", "maxItems"),
)
"""Keywords that Bedrock refuses, of strings none (pydantic-ai's profile of Bedrock; seen in 2026, and AWS's
page says otherwise of exclusiveMinimum, maxItems and minLength). ``minItems`` may be 0 or 1."""
_COMBINED: Final = frozenset({"$ref", "allOf", "anyOf", "oneOf"})
"""Keywords beside which an object may have properties that it does not list itself."""


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Give a copy in which each object that lists its properties takes no others, and bounds are words.

    Objects that say something of other properties stay as they are, and so does a schema that puts objects
    together (``allOf``), for closed parts would exclude each other.

    :param schema: a JSON schema.
    """
    return dict(schema) if _combines(schema) else _closed(schema)


def _closed(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    made = _worded({key: _inside(key, value) for key, value in schema.items()})
    if _lists_its_properties(schema) and not _COMBINED & set(schema):
        made.setdefault("additionalProperties", False)
    return made


def _worded(schema: dict[str, Any]) -> dict[str, Any]:
    """Move bounds into the description."""
    bounds = [key for key in _BOUNDS if key in schema and (key != "minItems" or schema[key] not in (0, 1))]
    if not bounds:
        return schema
    told = ", ".join(f"{key}: {json.dumps(schema.pop(key))}" for key in bounds)
    said = schema.get("description")
    return {**schema, "description": f"{said} ({told})" if said else told}


def _lists_its_properties(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type", "object")
    return "properties" in schema and (kind == "object" or (isinstance(kind, list) and "object" in kind))


def _inside(key: str, value: Any) -> Any:
    if key in _NAMED and isinstance(value, Mapping):
        return {name: _closed(item) for name, item in value.items()}
    if key in _LISTED and isinstance(value, list):
        return [_closed(item) for item in value]
    return _closed(value) if key in _NESTED else value


def _combines(schema: Any) -> bool:
    if isinstance(schema, Mapping):
        parts = schema.get("allOf")
        return (isinstance(parts, list) and len(parts) > 1) or any(map(_combines, schema.values()))
    return isinstance(schema, list) and any(map(_combines, schema))
