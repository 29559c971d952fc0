from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable  # noqa: TC003 - pydantic looks for it
from typing import Literal

import pytest
from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.inference.output_schema import MisfitError, OutputSchema
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator

SECRET = "CANARY-6f3a"
TICKET = {
    "type": "object",
    "description": "A ticket.",
    "properties": {
        "urgency": {"enum": ["low", "high"]},
        "price": {"type": "number", "minimum": 0},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 5}},
        "notes": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
    "required": ["urgency"],
    "additionalProperties": False,
}


class Ticket(BaseModel):
    """A support ticket."""

    model_config = ConfigDict(populate_by_name=True)

    urgency: Literal["low", "high"]
    day: dt.date = Field(alias="due-day")
    price: float = Field(ge=0)

    @field_validator("price")
    @classmethod
    def _even(cls, price: float) -> float:
        if price % 2:
            raise ValueError(f"{price} of {SECRET} is odd")
        return price


class Node(BaseModel):
    name: str
    children: list[Node] = []


class Tags(RootModel[list[str]]):
    pass


def test_a_fitting_answer_is_given_back_as_it_is():
    answer = {"urgency": "low", "tags": ["a"], "notes": {"x": 1}}

    assert OutputSchema.of(TICKET).read(answer) == answer
    assert OutputSchema.of(json.dumps(TICKET)).read_text(json.dumps(answer)) == answer


def test_a_pydantic_model_gives_its_own_json():
    schema = OutputSchema.of(Ticket)

    value = schema.read({"urgency": "high", "due-day": "2026-03-04", "price": 2})

    assert value == {"urgency": "high", "due-day": "2026-03-04", "price": 2.0}
    assert schema.description == "A support ticket."
    assert not schema.wrapped


def test_a_models_own_rules_are_told_to_the_model_in_full_and_to_the_task_by_their_names():
    with pytest.raises(MisfitError) as caught:
        OutputSchema.of(Ticket).read({"urgency": "high", "due-day": "2026-03-04", "price": 3})

    (problem,) = caught.value.problems
    assert str(problem).startswith("$.price: is refused by the model's own rules")
    assert SECRET not in str(problem)
    assert SECRET in caught.value.told


@pytest.mark.parametrize(
    ("answer", "path", "rule"),
    [
        ({}, "$", "required"),
        ({"urgency": SECRET}, "$.urgency", 'enum ["low", "high"]'),
        ({"urgency": "low", "price": -1}, "$.price", "minimum 0"),
        ({"urgency": "low", "tags": ["ok", SECRET]}, "$.tags[1]", "maxLength 5"),
        ({"urgency": "low", "notes": {SECRET: "x"}}, "$.notes.*", 'type "integer"'),
        ({"urgency": "low", SECRET: 1}, "$", "additionalProperties false"),
        (SECRET, "$", 'type "object"'),
    ],
)
def test_a_misfit_is_named_by_path_and_rule_and_never_by_value(answer, path, rule):
    with pytest.raises(MisfitError) as caught:
        OutputSchema.of(TICKET).read(answer)

    (problem,) = caught.value.problems
    assert problem.field == path
    assert problem.allowed.startswith(rule)
    assert SECRET not in str(problem)
    assert len(caught.value.told) > 0


@pytest.mark.parametrize(
    ("text", "found", "told"),
    [
        ('{"urgency": "low", "price": NaN}', "JSON with NaN", "NaN, which JSON does not have"),
        ('```json\n{"urgency": "low", "price": Infinity}\n```', "JSON with Infinity", "Infinity"),
        ('{"urgency": "low", "price": 1e999}', "NaN or an infinity", "an infinity is in it"),
        (f'{{"urgency": "low", "price": {10**30}}}', "an int of 100 bits", "an int of 100 bits is in it"),
        ("low", "not JSON at line 1", "not JSON"),
        ("```\n```", "not JSON", "not JSON"),
    ],
)
def test_what_xcom_cannot_carry_is_a_misfit_so_that_it_is_corrected(text, found, told):
    with pytest.raises(MisfitError) as caught:
        OutputSchema.of(TICKET).read_text(text)

    assert found in str(caught.value.problems[0])
    assert told in caught.value.told


def test_a_tools_input_that_xcom_cannot_carry_is_a_misfit_too_and_half_a_character_is_none():
    half = {"urgency": "low", "tags": ["\ud83d"]}

    with pytest.raises(MisfitError, match="does not fit"):
        OutputSchema.of(TICKET).read({"urgency": "low", "price": float("inf")})
    assert OutputSchema.of(TICKET).read(half) == half


def test_a_rule_too_long_to_quote_is_only_named():
    with pytest.raises(MisfitError) as caught:
        OutputSchema.of({"type": "object", "properties": {"a": {"enum": ["x" * 100]}}}).read({"a": "y"})

    assert caught.value.problems[0].allowed == "enum the schema's"


def test_a_format_is_a_rule():
    schema = OutputSchema.of({"type": "object", "properties": {"at": {"type": "string", "format": "date"}}})

    assert schema.read({"at": "2026-03-04"}) == {"at": "2026-03-04"}
    with pytest.raises(MisfitError):
        schema.read({"at": "tomorrow"})


@pytest.mark.parametrize("shape", [{"type": "array", "items": {"type": "integer"}}, {"enum": [[1]]}, {}])
def test_what_is_no_object_is_asked_for_inside_of_one(shape):
    schema = OutputSchema.of(shape)

    assert schema.wrapped
    assert schema.asked["type"] == "object"
    assert schema.read({"result": [1]}) == [1]
    with pytest.raises(MisfitError):
        schema.read([1])


def test_a_recursive_model_keeps_its_definitions_when_it_is_wrapped():
    schema = OutputSchema.of(Node)
    tree = {"name": "a", "children": [{"name": "b", "children": []}]}

    assert schema.wrapped
    assert schema.read({"result": tree}) == tree
    with pytest.raises(MisfitError):
        schema.read({"result": {"name": "a", "children": [{}]}})
    assert OutputSchema.of(Tags).read({"result": ["x"]}) == ["x"]


def test_json_in_a_markdown_fence_is_read():
    text = 'Here it is:\n```json\n{"urgency": "low"}\n```\nDone.'

    assert OutputSchema.of(TICKET).read_text(text) == {"urgency": "low"}


@given(st.text())
def test_any_text_is_read_or_refused(text):
    schema = OutputSchema.of(TICKET)
    try:
        found = schema.read_text(text)
    except MisfitError as misfit:
        found = misfit.problems
    assert found


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (3, "an int, allowed is a JSON schema or a Pydantic model class"),
        (int, "allowed is a JSON schema or a Pydantic model class"),
        (Ticket(urgency="low", day=dt.date(2026, 1, 1), price=2), "a Pydantic model class"),
        ("not json", "that is not JSON"),
        ("[1]", "a JSON schema or"),
        ({"type": "thing"}, r"output_schema\['type'\]: is no JSON schema"),
        ({"type": object()}, "a mapping that is not JSON"),
        ({"minimum": float("nan")}, "a mapping that is not JSON"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "a reference to what is not there"),
        ({"properties": {"a": {"$ref": "#/allOf/1"}}, "allOf": [{}]}, "a reference to what is not there"),
        ({"prefixItems": [{"$ref": "http://example.com/x"}]}, "a reference to somewhere else"),
        ({"items": {"$dynamicRef": "http://example.com/x"}}, "a reference to somewhere else"),
        ({"properties": {"a": {"$ref": "#nowhere"}}}, "a reference to what is not there"),
    ],
)
def test_a_schema_that_is_none_is_refused(schema, words):
    with pytest.raises(RequestError, match=words):
        OutputSchema.of(schema)


def test_references_within_a_schema_are_followed():
    definitions = {"$defs": {"a/b": {"type": "integer"}}, "allOf": [{"$anchor": "here"}]}
    properties = {"n": {"$ref": "#/$defs/a~1b"}, "m": {"$ref": "#/allOf/0"}, "o": {"$ref": "#here"}}
    schema = OutputSchema.of({"type": "object", "properties": properties, **definitions})

    assert schema.read({"n": 1, "m": 2, "o": 3})["n"] == 1
    with pytest.raises(MisfitError):
        schema.read({"n": "x"})


PERSON = {"type": ["object", "null"], "properties": {"name": {"type": "string"}, "child": {"$ref": "#"}}}


@pytest.mark.parametrize(
    ("shape", "fits", "misfits"),
    [
        (
            {"anyOf": [{"type": "string"}, {"items": {"$ref": "#"}, "type": "array"}]},
            ["a", ["b"]],
            ["a", [1]],
        ),
        ({**PERSON, "required": ["name"]}, {"name": "a", "child": {"name": "b", "child": None}}, {"name": 1}),
        ({**PERSON, "required": ["name"]}, None, {"name": "a", "child": {"child": None}}),
        (
            {"properties": {"a": {"type": "integer"}, "b": {"$ref": "#/properties/a"}}},
            {"a": 1, "b": 2},
            {"b": "x"},
        ),
        (
            {
                "$ref": "#/$defs/n",
                "$defs": {"n": {"items": {"$ref": "#/definitions/m"}}},
                "definitions": {"m": {"const": 1}},
            },
            [1],
            [2],
        ),
        (
            {
                "$defs": {"all": {"type": "array", "items": {"$ref": "#"}}},
                "anyOf": [{"$ref": "#/$defs/all"}, {"const": 1}],
            },
            [[1], 1],
            [2],
        ),
        ({"items": {"$ref": "#/%24defs/a%20b"}, "$defs": {"a b": {"const": 1}}}, [1], [2]),
        ({"items": {"$ref": "#one"}, "$defs": {"x": {"$anchor": "one", "const": 1}}}, [1], [2]),
        ({"items": {"$dynamicRef": "#one"}, "$defs": {"x": {"$dynamicAnchor": "one", "const": 1}}}, [1], [2]),
        (
            {
                "$id": "https://example.com/x",
                "items": {"$ref": "#/$defs/one"},
                "$defs": {"one": {"const": 1}},
            },
            [1],
            [2],
        ),
        (
            {"properties": {"default": {"$ref": "#/properties/b"}, "b": {"const": 1}}},
            {"default": 1},
            {"default": 2},
        ),
        ({"properties": {"$ref": {"type": "string"}}}, {"$ref": "#"}, {"$ref": 1}),
        (
            {"enum": [{"$ref": "#"}, {"$ref": "#/$defs"}], "$defs": {}},
            {"$ref": "#"},
            {"$ref": "#/properties/result"},
        ),
    ],
)
def test_a_schema_keeps_its_meaning_when_it_is_wrapped(shape, fits, misfits):
    schema = OutputSchema.of(shape)

    assert schema.wrapped
    assert schema.read({"result": fits}) == fits
    with pytest.raises(MisfitError):
        schema.read({"result": misfits})
    with pytest.raises(MisfitError):
        schema.read(fits)


def test_an_anchor_of_an_older_draft_is_one():
    draft = "http://json-schema.org/draft-07/schema#"
    properties = {"a": {"$ref": "#one"}, "b": {"$id": "#one", "const": 1}}

    schema = OutputSchema.of({"$schema": draft, "type": "object", "properties": properties})

    assert schema.read({"a": 1}) == {"a": 1}
    with pytest.raises(MisfitError):
        schema.read({"a": 2})


def test_a_model_that_has_no_json_schema_is_refused():
    class Odd(BaseModel):
        call: Callable[[int], int]

    with pytest.raises(RequestError, match="a model that has no JSON schema"):
        OutputSchema.of(Odd)


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"urgency": ' * 200_000, "```json\n" + "[" * 200_000 + "```"]
)
def test_an_answer_of_endless_depth_is_a_misfit(text):
    with pytest.raises(MisfitError):
        OutputSchema.of(TICKET).read_text(text)


def test_an_answer_too_deep_to_be_looked_at_is_a_misfit():
    tree = {"$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}}}, "$ref": "#/$defs/t"}
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(MisfitError) as caught:
        OutputSchema.of(tree).read({"result": deep})
    assert caught.value.told
