r"""Safe mapping templates from the shape of what the model wants, without a line of VTL.

    json_template({"instances": each("items", {"in0": [number("user_id")], "in1": [item_number()]})})

makes of ``GET /321?items=101,131`` the body ``{"instances": [{"in0": [321], "in1": [101]}, …]}``. A value
that is not the number it should be goes in as a JSON string, escaped: no caller can write JSON of his own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from airflow_provider_aiml.endpoint_api.paths import PARAMETER_NAME
from airflow_provider_aiml.endpoint_api.velocity import MOST_ITEMS
from airflow_provider_aiml.exceptions import Problem, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "Shape",
    "boolean",
    "each",
    "item_number",
    "item_text",
    "json_body",
    "json_template",
    "number",
    "text",
]

Kind: TypeAlias = Literal["number", "text", "boolean"]
# JSON's own numbers, and only ASCII digits, as a pattern without a dollar or a backslash.
_NUMBER = "-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?"
_ESCAPED = """"$util.escapeJavaScript({0}).replaceAll("\\\\'", "'")\""""

_TOO_MANY = f" more than {MOST_ITEMS:,} items"


@dataclass(frozen=True, slots=True)
class Value:
    """One value from the request; made by :func:`number`, :func:`text`, :func:`boolean` and the item ones.

    :param name: the parameter; None for the item of the list that it stands in.
    """

    name: str | None
    kind: Kind


@dataclass(frozen=True, slots=True)
class Each:
    """A list with one element for each item of a parameter; made by :func:`each`."""

    name: str
    shape: Any


@dataclass(frozen=True, slots=True)
class Body:
    """The request's own JSON, or a part of it; made by :func:`json_body`."""

    path: str


Shape: TypeAlias = "Value | Each | Body | Mapping[str, Any] | Sequence[Any] | str | int | float | bool | None"
"""JSON with values from the request in it."""


def number(name: str) -> Value:
    """Take a path or query parameter or a header as a number; null if absent, a string if it is none."""
    return Value(_checked_name(name), "number")


def text(name: str) -> Value:
    """Take a path or query parameter or a header as a string; null if it is absent or empty."""
    return Value(_checked_name(name), "text")


def boolean(name: str) -> Value:
    """Take a parameter as true or false; null if it is absent, a string if it is neither."""
    return Value(_checked_name(name), "boolean")


def each(name: str, shape: Shape) -> Each:
    """Give a list with ``shape`` once for each item of a comma-separated parameter; empty items are left out.

    API Gateway loops over 1,000 items at most: of more it makes a body that is no JSON, so that the model
    refuses it instead of answering for a part of them.

    :param shape: its :func:`item_number` and :func:`item_text` are the item.
    """
    return Each(_checked_name(name), shape)


def item_number() -> Value:
    """Take the item of the surrounding :func:`each` as a number, as :func:`number` does."""
    return Value(None, "number")


def item_text() -> Value:
    """Take the item of the surrounding :func:`each` as a string."""
    return Value(None, "text")


def json_body(path: str = "$") -> Body:
    """Take a POST's JSON body, or the part of it at a JSONPath, as it is."""
    if not path.startswith("$") or any(char in path for char in "'\"\\#") or "$" in path[1:]:
        problem = Problem("path", repr(path), "a JSONPath such as $ or $.instances, without quotes")
        raise RequestError("The template cannot be built", problems=(problem,))
    return Body(path)


def json_template(shape: Shape) -> str:
    """Write the mapping template that gives ``shape``.

    :param shape: dicts, lists and plain values, with :func:`number`, :func:`text`, :func:`boolean`,
        :func:`each` and :func:`json_body` where the request's values go. A row of columns is
        ``[number("age"), number("income")]``.
    :raises RequestError: something in it is not JSON, or an item stands outside of :func:`each`.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/models-mappings.html
    """
    return _Writer().written(shape, "shape")


class _Writer:
    """Writes one template; numbers its variables and knows the lists that it stands in."""

    def __init__(self) -> None:
        self._variables = 0
        self._items: list[str] = []

    def written(self, shape: Any, place: str) -> str:
        """Write one part of the shape."""
        if isinstance(shape, Value):
            return self._value(shape, place)
        if isinstance(shape, Each):
            return self._each(shape, place)
        if isinstance(shape, Body):
            return f"$input.json('{shape.path}')"
        if isinstance(shape, dict):
            members = [
                f"{_literal(str(key), place)}: {self.written(one, f'{place}.{key}')}"
                for key, one in shape.items()
            ]
            return "{" + ", ".join(members) + "}"
        if isinstance(shape, list | tuple):
            return "[" + ", ".join(self.written(one, f"{place}[{at}]") for at, one in enumerate(shape)) + "]"
        return _literal(shape, place)

    def _fresh(self, what: str) -> str:
        self._variables += 1
        return f"{what}{self._variables}"

    def _value(self, value: Value, place: str) -> str:
        if value.name is not None:
            variable = self._fresh("value")
            fetched = f'#set( ${variable} = $input.params("{value.name}") )'
            return fetched + f'#if( ${variable} == "" )null#else ' + _converted(value.kind, variable) + "#end"
        if not self._items:
            problem = Problem(place, "an item outside of each()", "an item inside of each()")
            raise RequestError("The template cannot be built", problems=(problem,))
        return _converted(value.kind, self._items[-1])

    def _each(self, each_one: Each, place: str) -> str:
        parts, part = self._fresh("parts"), self._fresh("part")
        item, comma = self._fresh("item"), self._fresh("comma")
        self._items.append(item)
        inner = self.written(each_one.shape, f"{place}[]")
        self._items.pop()
        # The comma is written before each element but the first: hasNext would count empty items, too. API
        # Gateway ends a loop without a word, so what is too long for one is made to be no JSON.
        return (
            f'[#set( ${comma} = "" )#set( ${parts} = $input.params("{each_one.name}").split(",") )'
            f"#foreach( ${part} in ${parts} )"
            f'#set( ${item} = ${part}.trim() )#if( ${item} != "" )${{{comma}}}{inner}'
            f'#set( ${comma} = ", " )#end#end#if( ${parts}.size() > {MOST_ITEMS} ){_TOO_MANY}#end]'
        )


def _converted(kind: Kind, variable: str) -> str:
    escaped = _ESCAPED.format("$" + variable)
    if kind == "number":
        return f'#if( ${variable}.matches("{_NUMBER}") )${variable}#else {escaped}#end'
    if kind == "boolean":
        return f'#if( ${variable} == "true" || ${variable} == "false" )${variable}#else {escaped}#end'
    return escaped


def _literal(value: Any, place: str) -> str:
    """Write a value that is in no request; VTL's own characters as JSON's escapes."""
    try:
        plain = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        problem = Problem(
            place, f"a {type(value).__name__}", "JSON, number(), text(), boolean(), each(), json_body()"
        )
        raise RequestError("The template cannot be built", problems=(problem,)) from None
    return plain.replace("$", "\\u0024").replace("#", "\\u0023")


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or not PARAMETER_NAME.fullmatch(name):
        problem = Problem("name", repr(name), "a parameter's name: letters, digits and . _ : -")
        raise RequestError("The template cannot be built", problems=(problem,))
    return name
