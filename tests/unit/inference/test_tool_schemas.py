from __future__ import annotations

import datetime as dt  # noqa: TC003 - a tool's annotations are read at run time
import enum
import functools

import jsonschema
import pytest
from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.inference.requests import check_request, load_operation
from airflow_provider_aiml.inference.tool_schemas import ArgumentsError, describe_parameters, read_tools
from hypothesis import given
from hypothesis import strategies as st


class Unit(enum.Enum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


def weather(city: str, day: dt.date, unit: Unit = Unit.CELSIUS, title: str | None = None) -> str:
    """Tell the weather
    of a city.

    Even tomorrow's.

    :param city: the city's name,
        in English.
    :param dt.date day: which day.

    :return: a sentence.
    """
    return f"{city} {day:%d %m} {unit.name} {title}"


class Shelf:
    """Knows books."""

    def __init__(self) -> None:
        self.books = {"a": 1}

    def count(self, schema: str) -> int:
        """Count the books."""
        return self.books[schema]

    def __call__(self, copy: int, *, model_dump: bool = False) -> int:
        """Lend a copy."""
        return copy


def spec_of(function):
    (tool,) = read_tools([function]).values()
    return tool.spec["toolSpec"]


def test_a_signature_and_a_docstring_become_a_tool_specification():
    spec = spec_of(weather)

    assert spec["name"] == "weather"
    assert spec["description"] == "Tell the weather of a city.\n\nEven tomorrow's."
    schema = spec["inputSchema"]["json"]
    assert schema["type"] == "object"
    assert schema["required"] == ["city", "day"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["city"] == {"type": "string", "description": "the city's name, in English."}
    assert schema["properties"]["day"]["description"] == "which day."
    assert "title" in schema["properties"]
    assert "title" not in schema
    jsonschema.Draft202012Validator.check_schema(schema)


def test_the_specification_is_one_that_the_api_takes():
    tools = [tool.spec for tool in read_tools([weather, Shelf().count, Shelf(), len_of]).values()]

    request = {"model_id": "amazon.nova-lite-v1:0", "tool_config": {"tools": tools}}
    sent = check_request(load_operation("bedrock-runtime", "Converse"), request)

    names = [tool["toolSpec"]["name"] for tool in sent["toolConfig"]["tools"]]
    assert names == ["weather", "count", "Shelf", "len_of"]


def len_of(words: list[str]) -> int:
    return len(words)


def test_a_tool_without_a_docstring_has_no_description():
    assert "description" not in spec_of(len_of)


def test_the_models_arguments_become_the_functions_types():
    tool = read_tools([weather])["weather"]

    said = tool.call({"city": "Rome", "day": "2026-03-04", "unit": "fahrenheit"})

    assert said == "Rome 04 03 FAHRENHEIT None"


def test_methods_and_callable_objects_are_tools_with_any_parameter_name():
    shelf = Shelf()
    tools = read_tools([shelf.count, shelf])

    assert tools["count"].call({"schema": "a"}) == 1
    assert tools["Shelf"].call({"copy": 3, "model_dump": True}) == 3
    assert tools["Shelf"].description == "Lend a copy."


def test_a_partial_is_told_without_what_is_bound():
    bound = functools.partial(weather, "Rome")
    tool = read_tools([bound])["weather"]

    assert "city" not in tool.spec["toolSpec"]["inputSchema"]["json"]["properties"]
    assert tool.call({"day": "2026-03-04"}).startswith("Rome")


def named(function, name):
    function.__name__ = name
    return function


@pytest.mark.parametrize(
    "bound",
    [
        functools.partial(weather, city="Rome"),
        functools.partial(functools.partial(weather, city="Oslo"), city="Rome"),
        functools.partial(named(functools.partial(weather, city="Rome"), "weather"), title="Sir"),
    ],
)
def test_what_a_partial_binds_by_name_is_neither_offered_nor_taken(bound):
    tool = read_tools([bound])["weather"]

    schema = tool.spec["toolSpec"]["inputSchema"]["json"]
    assert schema["required"] == ["day"]
    assert "city" not in schema["properties"]
    assert tool.description.startswith("Tell the weather")
    assert tool.call({"day": "2026-03-04"}).startswith("Rome")
    with pytest.raises(ArgumentsError, match="city: Extra inputs"):
        tool.call({"day": "2026-03-04", "city": "Paris"})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"city": "Rome"}, "day: Field required"),
        ({"city": 3, "day": "2026-03-04"}, "city: Input should be a valid string"),
        ({"city": "Rome", "day": "2026-03-04", "more": 1}, "more: Extra inputs"),
        ("text", "the input: "),
        (None, "the input: "),
    ],
)
def test_arguments_that_do_not_fit_are_named_and_the_function_is_not_called(arguments, words):
    with pytest.raises(ArgumentsError, match=words):
        read_tools([weather])["weather"].call(arguments)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)))
def test_any_arguments_either_fit_or_are_refused(arguments):
    with pytest.raises(ArgumentsError):
        read_tools([weather])["weather"].call(arguments)


def test_what_a_tool_raises_comes_through():
    with pytest.raises(KeyError):
        read_tools([Shelf().count])["count"].call({"schema": "absent"})


def unannotated(city, /, *rest: str, **more: str): ...


def named_city(city): ...


def unknown(city: Nowhere): ...  # noqa: F821


def odd(city: Shelf): ...


async def later(city: str): ...


class Later:
    async def __call__(self, city: str): ...


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ([named_city], r"tools\[0\].city: is named_city's parameter without an annotation"),
        ([unannotated], r"tools\[0\].rest: is unannotated's variadic positional"),
        ([unknown], "cannot be read \\(NameError\\)"),
        ([odd], "no JSON schema"),
        ([later], "a coroutine function"),
        ([Later()], "a coroutine function"),
        ([lambda city: city], "without a plain name"),
        ([3], "an int, allowed is a callable"),
        ([weather, weather], "another tool named weather"),
        (weather, "a list of callables"),
        ({"weather": weather}, "a list of callables"),
        ("weather", "a list of callables"),
    ],
)
def test_what_cannot_be_a_tool_is_refused(tools, words):
    with pytest.raises(RequestError, match=words):
        read_tools(tools)


def test_every_tool_that_is_none_is_named_in_one_error():
    with pytest.raises(RequestError) as caught:
        read_tools([named_city, 3, len])

    assert len(caught.value.problems) == 3


def test_a_builtin_without_a_signature_is_refused():
    with pytest.raises(RequestError, match=r"tools\[0\]"):
        read_tools([print])


def test_no_tools_are_no_tools():
    assert read_tools(None) == {}
    assert read_tools([]) == {}


GOOGLE = """Add.

Args:
    a (int): the first,
        over two lines
    b: the second

Returns:
    c: not a parameter
"""
NUMPY = """Add.

Parameters
----------
a : int
    the first,
    over two lines
b
    the second
c : int

Returns
-------
d : int
    not a parameter
"""
SPHINX = """Add.

:param a: the first,
    over two lines
:param int b: the second
:returns: c: not a parameter
"""


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_the_three_manners_of_docstrings_are_understood(docstring):
    assert describe_parameters(docstring) == ("Add.", {"a": "the first, over two lines", "b": "the second"})


def test_a_section_at_the_end_is_read_to_its_end():
    assert describe_parameters("Args:\n    a: one") == ("", {"a": "one"})


@given(st.text())
def test_any_docstring_is_read_without_a_crash(docstring):
    describe_parameters(docstring)
    describe_parameters(f"Args:\n{docstring}")
    describe_parameters(f"Parameters\n----\n{docstring}")
