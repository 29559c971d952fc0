from __future__ import annotations

import contextlib
import re

import jsonschema
import pytest
from airflow_provider_aiml.local_aws.bedrock import patterns
from airflow_provider_aiml.local_aws.bedrock.schema import fit
from airflow_provider_aiml.local_aws.errors import ApiError
from hypothesis import given
from hypothesis import strategies as st

TOLD = {
    "type": "object",
    "properties": {
        "stars": {"type": "integer", "description": "Stars. (minimum: 7, maximum: 9)"},
        "tags": {"type": "array", "items": {"type": "string"}, "description": "minItems: 3"},
    },
    "required": ["stars", "tags"],
}
TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["name", "next"],
        }
    },
    "$ref": "#/$defs/node",
}

SCHEMAS = [
    {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
        "required": ["a", "c"],
    },
    {"type": "array", "items": {"type": "number", "minimum": 3.5}, "minItems": 3},
    {"type": "array", "prefixItems": [{"type": "boolean"}, {"type": "null"}], "minItems": 2},
    {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "minItems": 4},
    {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "minItems": 3},
    {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True, "minItems": 2},
    {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}, "maxItems": 0},
    {
        "type": "array",
        "prefixItems": [{"type": "integer"}, {"type": "string"}],
        "uniqueItems": True,
        "minItems": 2,
    },
    {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "minItems": 2},
    {"type": "array", "items": {"type": "null"}, "uniqueItems": True},
    {"type": "integer", "minimum": 10, "multipleOf": 7},
    {"type": "integer", "exclusiveMaximum": -2.5},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.1},
    {"type": "number", "maximum": -7.25},
    {"type": ["integer", "null"], "minimum": 4},
    {"type": "string", "minLength": 40, "maxLength": 45},
    {"type": "string", "maxLength": 3},
    {"type": "string", "pattern": "^[A-Z]{3}-\\d{4}$"},
    {"type": "object", "minProperties": 2},
    {"type": "object", "minProperties": 1, "additionalProperties": {"type": "integer"}},
    {
        "allOf": [
            {"properties": {"a": {"const": 4}}, "required": ["a"]},
            {"properties": {"b": {"type": "null"}}},
        ],
        "required": ["b"],
    },
    {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    {"allOf": [{"type": "integer"}, {"minimum": 6}]},
    {
        "type": "array",
        "prefixItems": [{"type": "string"}, {"type": "integer"}],
        "uniqueItems": True,
        "minItems": 2,
    },
    {"properties": {"x": True}},
    {"description": "anything"},
    TREE,
    *(
        {"type": "string", "format": name}
        for name in ("date", "date-time", "email", "ipv4", "ipv6", "uri", "uuid", "other")
    ),
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: str(schema)[:60])
@pytest.mark.parametrize("text", ["", 'add 2, 3.5 and -9 to "a long quoted string of words"'])
def test_the_value_fits_the_schema(schema, text):
    jsonschema.validate(fit(schema, text), schema, format_checker=jsonschema.FormatChecker())


def leaf():
    numbers = st.integers(-50, 50)
    return st.one_of(
        st.builds(
            lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more},
            numbers,
            st.integers(0, 9),
        ),
        st.builds(
            lambda low, more: {"type": "number", "exclusiveMinimum": low, "maximum": low + more},
            numbers,
            st.floats(0.001, 9),
        ),
        st.builds(
            lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more},
            st.integers(0, 30),
            st.integers(0, 9),
        ),
        st.builds(lambda values: {"enum": values}, st.lists(st.text() | st.integers(), min_size=1)),
        st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": 3}]),
    )


def nested(inner):
    names = st.text("abc", min_size=1, max_size=3)
    return st.one_of(
        st.builds(
            lambda properties: {"type": "object", "properties": properties, "required": list(properties)},
            st.dictionaries(names, inner, max_size=3),
        ),
        st.builds(
            lambda item, least: {"type": "array", "items": item, "minItems": least}, inner, st.integers(0, 3)
        ),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=2)),
    )


@given(st.recursive(leaf(), nested, max_leaves=8), st.text())
def test_any_schema_of_the_common_kind_is_fitted(schema, text):
    jsonschema.validate(fit(schema, text), schema)


KEYS = [
    "type",
    "properties",
    "items",
    "enum",
    "anyOf",
    "allOf",
    "$ref",
    "required",
    "minItems",
    "minimum",
    "pattern",
    "multipleOf",
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["object", "array", "number", "string", "#"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4))
def test_a_schema_that_makes_no_sense_is_refused_and_nothing_worse(schema):
    refusal = None
    try:
        fit(schema)
    except ApiError as error:
        refusal = error

    assert refusal is None or refusal.code == "ValidationException"


def test_values_are_taken_from_the_text():
    schema = {
        "type": "object",
        "properties": {
            "order": {"type": "string"},
            "count": {"type": "integer"},
            "price": {"type": "number"},
            "urgency": {"enum": ["low", "HIGH"]},
            "is_gift": {"type": "boolean"},
            "paid": {"type": "boolean"},
        },
    }

    assert fit(schema, 'Order "A-17", 3.5 dollars for 2, is gift, high urgency') == {
        "order": "A-17",
        "count": 2,
        "price": 3.5,
        "urgency": "HIGH",
        "is_gift": True,
        "paid": False,
    }


def test_optional_parts_of_a_deep_schema_end():
    node = {
        "type": "object",
        "properties": {"self": {"$ref": "#"}, "many": {"type": "array", "items": {"$ref": "#"}}},
    }

    jsonschema.validate(fit(node), node)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "nothing"}, "unknown type"),
        ({"type": "object", "properties": ["a"]}, "is not one"),
        ({"type": "array", "items": {"type": "null"}, "minItems": 10**9}, "without end"),
        ({"type": "string", "minLength": 10**9}, "no string longer"),
        ({"type": "array", "items": {"type": "null"}, "uniqueItems": True, "minItems": 2}, "unique items"),
        ({"type": "array", "items": True, "uniqueItems": True, "minItems": 2}, "unique items"),
        ({"$ref": "#/$defs/missing"}, "not there"),
        ({"properties": {"a": 3}}, "not an object"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "without end"),
        ({"$ref": "#", "allOf": [{"$ref": "#"}]}, "without end"),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "no number"),
        ({"type": "string", "pattern": "("}, "cannot follow"),
        ({"type": "string", "pattern": r"a(?=b)c"}, "cannot follow"),
        ({"type": "string", "pattern": r"\d$\d"}, "cannot follow"),
        ({"type": "string", "pattern": "a{9999}"}, "cannot follow"),
    ],
)
def test_a_schema_that_nothing_fits_is_refused(schema, why):
    with pytest.raises(ApiError, match=why):
        fit(schema)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\w+@\w+\.com$",
        r"[^a]b[^\d\s]",
        r"(red|green)?\S\s\D\W",
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}",
        r".*[^x]x+?",
        r"[\d]a",
        r"[^a-c_]",
        r"[^\S]",
        r"^$",
    ],
)
def test_an_example_matches_its_pattern(pattern):
    assert re.search(pattern, patterns.example(pattern))


def test_an_example_is_as_long_as_wanted():
    assert len(patterns.example("^a+$", least=30)) == 30


@given(st.text(max_size=12))
def test_no_pattern_breaks_the_search_for_an_example(pattern):
    made = None
    with contextlib.suppress(ApiError):
        made = patterns.example(pattern)

    assert made is None or re.search(pattern, made)


def test_bounds_are_read_in_a_description_too_for_natively_there_is_no_other_place():
    made = fit(TOLD, "")

    assert 7 <= made["stars"] <= 9
    assert len(made["tags"]) >= 3
