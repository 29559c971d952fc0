from __future__ import annotations

import copy
from typing import Literal

import pytest
from airflow_provider_aiml.inference.closed_schema import closed
from pydantic import BaseModel


class Line(BaseModel):
    article: str
    tags: dict[str, str] = {}


class Order(BaseModel):
    urgency: Literal["low", "high"]
    lines: list[Line]
    gift: Line | None = None


def objects(schema):
    if isinstance(schema, dict):
        if "properties" in schema and isinstance(schema["properties"], dict):
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value)


def test_every_object_of_a_model_takes_no_other_properties():
    given = Order.model_json_schema()
    before = copy.deepcopy(given)

    made = closed(given)

    assert [one["additionalProperties"] for one in objects(made)] == [False, False]
    assert made["$defs"]["Line"]["properties"]["tags"]["additionalProperties"] == {"type": "string"}
    assert given == before


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 5}, {"description": "minimum: 1, maximum: 5"}),
        (
            {"type": "number", "exclusiveMinimum": 0.5, "description": "A price."},
            {"description": "A price. (exclusiveMinimum: 0.5)"},
        ),
        ({"type": "array", "minItems": 2, "maxItems": 3}, {"description": "minItems: 2, maxItems: 3"}),
        ({"type": "array", "minItems": 1}, {"minItems": 1}),
        ({"type": "string", "minLength": 2, "maxLength": 3}, {"minLength": 2, "maxLength": 3}),
        ({"type": "object", "properties": {"minimum": {}}}, {"properties": {"minimum": {}}}),
    ],
)
def test_bounds_that_bedrock_refuses_natively_are_told_in_words(given, sent):
    before = copy.deepcopy(given)
    made = closed({"type": "object", "properties": {"a": given}})["properties"]["a"]

    made.pop("additionalProperties", None)
    assert made == {"type": given["type"], **sent}
    assert given == before


@pytest.mark.parametrize(
    ("place", "inside"),
    [
        (lambda item: {"type": "array", "items": item}, lambda made: made["items"]),
        (lambda item: {"type": "array", "items": [item]}, lambda made: made["items"][0]),
        (lambda item: {"anyOf": [{"type": "null"}, item]}, lambda made: made["anyOf"][1]),
        (lambda item: {"oneOf": [item]}, lambda made: made["oneOf"][0]),
        (lambda item: {"allOf": [item]}, lambda made: made["allOf"][0]),
        (lambda item: {"definitions": {"a": item}}, lambda made: made["definitions"]["a"]),
        (lambda item: {"additionalProperties": item}, lambda made: made["additionalProperties"]),
        (lambda item: {"properties": {"properties": item}}, lambda made: made["properties"]["properties"]),
    ],
)
@pytest.mark.parametrize("kind", [{"type": "object"}, {"type": ["object", "null"]}, {}])
def test_an_object_is_closed_wherever_it_stands(place, inside, kind):
    item = {**kind, "properties": {"a": {"type": "string"}}}

    assert inside(closed(place(item))) == {**item, "additionalProperties": False}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {}, "additionalProperties": True},
        {"type": "object", "properties": {}, "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {}, "anyOf": [{"required": ["a"]}]},
        {"allOf": [{"type": "object", "properties": {}}, {"type": "object", "properties": {}}]},
        {"type": "string", "default": {"properties": {}}, "enum": [{"properties": {}}]},
        {"items": True},
    ],
)
def test_what_may_have_other_properties_stays_as_it_is(schema):
    assert closed(schema) == schema
