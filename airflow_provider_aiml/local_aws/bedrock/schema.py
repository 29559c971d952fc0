"""Makes a value that fits a JSON schema, the same one for the same schema and text.

Where it can, it takes the value from the text: an enum's value that the text mentions, its numbers and its
"quoted strings" in order. So a test that asks ``add 2 and 3`` sees 2 and 3 arrive.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_aiml.local_aws.bedrock import patterns
from airflow_provider_aiml.local_aws.bedrock.refusals import invalid

__all__ = ["fit"]

_DEEPEST = 24
_MOST_VALUES = 20_000
_LONGEST = 100_000
_NUMBER = re.compile(r"(?<![\w.-])-?\d+(?:\.\d+)?(?!\w)")
_QUOTED = re.compile(r'"([^"\n]{1,200})"')
_BOUND = re.compile(
    r"\b(minimum|maximum|exclusiveMinimum|exclusiveMaximum|multipleOf|minItems|maxItems): "
    r"(-?(?:0|[1-9]\d*)(?:\.\d+)?)"
)
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "duration": "P1D",
    "email": "stand-in@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def fit(schema: Mapping[str, Any] | bool, text: str = "") -> Any:
    """Make a value that fits *schema*.

    :param schema: a JSON schema; references are to its own ``$defs`` or ``definitions``.
    :param text: where values are taken from if they fit.
    :raises ApiError: ``ValidationException`` if the schema is not one or no value is found.
    """
    try:
        return _Fitter(schema, text).value(schema, "answer", 0)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise invalid(f"The JSON schema is not one: {error}") from None


def _told(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Give the bounds that a description tells (``minimum: 3``): natively they have no other place."""
    return {name: json.loads(bound) for name, bound in _BOUND.findall(str(schema.get("description", "")))}


class _Fitter:
    def __init__(self, root: Mapping[str, Any] | bool, text: str) -> None:
        self.root = root
        self.text = text
        self.values = 0
        unquoted = _QUOTED.sub(" ", text)
        self.numbers = [float(found) for found in _NUMBER.findall(unquoted)]
        self.strings: list[str] = _QUOTED.findall(text)
        self.makers: dict[str, Callable[[Mapping[str, Any], str, int], Any]] = {
            "array": self.array,
            "boolean": self.boolean,
            "integer": self.number,
            "null": lambda *_: None,
            "number": self.number,
            "object": self.object,
            "string": self.string,
        }

    def value(self, schema: Any, name: str, depth: int) -> Any:
        self.values += 1
        if depth > _DEEPEST or self.values > _MOST_VALUES:
            raise invalid("The JSON schema is recursive without end.")
        if schema is True:
            return {}
        if not isinstance(schema, Mapping):
            raise invalid("The JSON schema is not an object.")
        schema = self.resolved(schema, depth)
        schema = {**_told(schema), **schema}
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self.mentioned(schema["enum"])
        for choice in ("anyOf", "oneOf"):
            if schema.get(choice):
                return self.value(self.simplest(schema[choice], depth), name, depth + 1)
        kind = schema.get("type") or ("object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = "null" if "null" in kind and depth > 4 else kind[0]
        if kind not in self.makers:
            raise invalid(f"The JSON schema has an unknown type: {kind!r}.")
        return self.makers[kind](schema, name, depth)

    def resolved(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        for _ in range(_DEEPEST):
            if "$ref" not in schema:
                break
            schema = {**self.referred(schema["$ref"]), **{k: v for k, v in schema.items() if k != "$ref"}}
        merged = dict(schema)
        for part in merged.pop("allOf", ()):
            if depth > _DEEPEST:
                raise invalid("The JSON schema is recursive without end.")
            _merge(merged, self.resolved(part, depth + 1))
        return merged

    def referred(self, reference: str) -> Mapping[str, Any]:
        target: Any = self.root
        for step in [part for part in reference.lstrip("#").split("/") if part]:
            target = target.get(step) if isinstance(target, Mapping) else None
        if not isinstance(target, Mapping):
            raise invalid(f"The JSON schema refers to {reference}, which is not there.")
        return target

    def mentioned(self, values: list[Any]) -> Any:
        said = self.text.casefold()
        for value in values:
            if isinstance(value, str) and re.search(rf"(?<!\w){re.escape(value.casefold())}(?!\w)", said):
                return value
        return values[0]

    def simplest(self, choices: list[Any], depth: int) -> Any:
        nulls = [choice for choice in choices if isinstance(choice, Mapping) and choice.get("type") == "null"]
        return nulls[0] if nulls and depth > 4 else choices[0]

    def object(self, schema: Mapping[str, Any], name: str, depth: int) -> dict[str, Any]:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        wanted = [key for key in properties if key in required or depth <= 4]
        wanted += [key for key in required if key not in properties]
        made = {key: self.value(properties.get(key, {"type": "string"}), key, depth + 1) for key in wanted}
        extra = schema.get("additionalProperties", True)
        for number in range(len(made), schema.get("minProperties", 0)):
            made[f"key{number}"] = self.value(extra or {}, f"key{number}", depth + 1)
        return made

    def array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        least = schema.get("minItems", 0)
        wanted = max(least, 0 if depth > 4 else 1)
        wanted = min(wanted, schema.get("maxItems", wanted))
        first = schema.get("prefixItems", [])
        items: list[Any] = []
        for number in range(wanted):
            rule = first[number] if number < len(first) else schema.get("items", {"type": "string"})
            unique = schema.get("uniqueItems", False)
            item = self.value(_other_than(rule, items) if unique else rule, name, depth + 1)
            if unique and item in items:
                raise invalid("The stand-in cannot fill an array with so many unique items.")
            items.append(item)
        return items

    def boolean(self, schema: Mapping[str, Any], name: str, depth: int) -> bool:
        return name.replace("_", " ").casefold() in self.text.casefold()

    def number(self, schema: Mapping[str, Any], name: str, depth: int) -> float | int:
        whole = schema.get("type") == "integer" or "integer" in (schema.get("type") or ())
        for position, number in enumerate(self.numbers):
            if _in_range(number, schema) and (number.is_integer() or not whole):
                del self.numbers[position]
                return int(number) if number.is_integer() else number
        return _smallest(schema, whole)

    def string(self, schema: Mapping[str, Any], name: str, depth: int) -> str:
        if "pattern" in schema:
            return patterns.example(schema["pattern"], schema.get("minLength", 0))
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        made = self.strings.pop(0) if self.strings else f"stand-in {name.replace('_', ' ')}"
        if schema.get("minLength", 0) > _LONGEST:
            raise invalid(f"The stand-in makes no string longer than {_LONGEST}.")
        made = made.ljust(schema.get("minLength", 0), ".")
        return made[: schema.get("maxLength", len(made))]


def _merge(into: dict[str, Any], part: Mapping[str, Any]) -> None:
    for key, value in part.items():
        if key == "properties":
            into[key] = {**into.get(key, {}), **value}
        elif key == "required":
            into[key] = [*into.get(key, []), *value]
        else:
            into.setdefault(key, value)


def _other_than(rule: Any, taken: list[Any]) -> Any:
    if not isinstance(rule, Mapping) or not taken:
        return rule
    if "enum" in rule:
        return {**rule, "enum": [value for value in rule["enum"] if value not in taken] or rule["enum"]}
    if rule.get("type") in ("integer", "number"):
        numbers = [item for item in taken if isinstance(item, (int, float))]
        return {**rule, "exclusiveMinimum": max(numbers)} if numbers else rule
    if rule.get("type") == "string":
        return {"const": f"{taken[0]} {len(taken) + 1}"}
    if rule.get("type") == "boolean":
        return {"const": not taken[0]}
    return rule


def _in_range(number: float, schema: Mapping[str, Any]) -> bool:
    step = schema.get("multipleOf")
    return (
        schema.get("minimum", -math.inf) <= number <= schema.get("maximum", math.inf)
        and schema.get("exclusiveMinimum", -math.inf) < number < schema.get("exclusiveMaximum", math.inf)
        and (not step or math.isclose(number / step, round(number / step), abs_tol=1e-9))
    )


def _smallest(schema: Mapping[str, Any], whole: bool) -> float | int:
    step = schema.get("multipleOf") or (1 if whole else None)
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
    candidates: list[float | int] = [1, 0]
    if step:
        edges = [edge / step for edge in (low, high) if math.isfinite(edge)]
        candidates += [
            (around(edge) + more) * step
            for edge in edges
            for around in (math.floor, math.ceil)
            for more in (-1, 0, 1)
        ]
    else:
        if math.isfinite(low) and math.isfinite(high):
            candidates.append((low + high) / 2)
        candidates += [edge + more for edge in (low, high) if math.isfinite(edge) for more in (-1, 0, 1)]
    for candidate in candidates:
        if _in_range(candidate, schema):
            return candidate
    raise invalid("The JSON schema allows no number.")
