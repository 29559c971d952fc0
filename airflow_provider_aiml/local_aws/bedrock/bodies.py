"""Checks InvokeModel bodies against the family's schema, in the words that Bedrock uses for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_aiml.local_aws.bedrock.refusals import invalid, malformed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["check_body", "parse_body", "schema_of"]

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}
_NAMES: Final = {
    bool: "Boolean",
    dict: "JSONObject",
    float: "BigDecimal",
    int: "Integer",
    list: "JSONArray",
    str: "String",
    type(None): "Null",
}


def schema_of(required: str, *, extra: bool = False, **properties: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a JSON object.

    :param required: the required keys, separated by spaces.
    :param extra: whether other keys are allowed.
    :param properties: a JSON schema for each key.
    """
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": extra,
    }


def parse_body(body: bytes) -> dict[str, Any]:
    """Parse the body of an InvokeModel request.

    :raises ApiError: ``ValidationException`` if it is no JSON object.
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise invalid("Malformed input request, please reformat your input and try again.") from None
    if not isinstance(parsed, dict):
        raise malformed([f"expected type: JSONObject, found: {_NAMES[type(parsed)]}"])
    return parsed


def check_body(body: Any, schema: Mapping[str, Any]) -> None:
    """Check *body* against *schema*.

    :raises ApiError: ``ValidationException`` with everything that is wrong.
    """
    problems = list(_problems(body, schema, "#"))
    if problems:
        raise malformed(problems)


def _problems(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    kinds = schema.get("type", list(_TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    allowed = tuple(kind for name in kinds for kind in _TYPES[name])
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        wanted = " or ".join(_NAMES[_TYPES[name][-1]] for name in kinds)
        yield f"{path}: expected type: {wanted}, found: {_NAMES[type(value)]}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value} is not a valid enum value"
    if isinstance(value, dict):
        yield from _object_problems(value, schema, path)
    elif isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield f"{path}: expected minimum item count: {schema['minItems']}, found: {len(value)}"
        for number, item in enumerate(value):
            yield from _problems(item, schema.get("items", {}), f"{path}/{number}")
    elif isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            yield f"{path}: expected minLength: {schema['minLength']}, actual: {len(value)}"
    else:
        yield from _range_problems(value, schema, path)


def _object_problems(value: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[str]:
    for key in schema.get("required", ()):
        if key not in value:
            yield f"{path}: required key [{key}] not found"
    properties = schema.get("properties", {})
    for key, item in value.items():
        if key in properties:
            yield from _problems(item, properties[key], f"{path}/{key}")
        elif not schema.get("additionalProperties", True):
            yield f"{path}: extraneous key [{key}] is not permitted"


def _range_problems(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if value < schema.get("minimum", value):
        yield f"{path}: {value} is not greater or equal to {schema['minimum']}"
    if value > schema.get("maximum", value):
        yield f"{path}: {value} is not less or equal to {schema['maximum']}"
