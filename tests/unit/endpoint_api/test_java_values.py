"""Texts, maps and lists in templates have Java's methods, with Java's meaning."""

from __future__ import annotations

from typing import Any

import pytest
from airflow_provider_aiml.endpoint_api.java_values import JavaString, as_java
from airflow_provider_aiml.endpoint_api.json_paths import UnknownPathError, select


@pytest.mark.parametrize(
    ("text", "method", "arguments", "expected"),
    [
        ("a,b,,", "split", (",",), ["a", "b"]),
        ("", "split", (",",), [""]),
        (",", "split", (",",), []),
        ("a1b2c", "split", ("[0-9]",), ["a", "b", "c"]),
        ("a,b,c", "split", (",", 2), ["a", "b,c"]),
        ("a,b,", "split", (",", -1), ["a", "b", ""]),
        ("it\\'s", "replaceAll", ("\\\\'", "'"), "it's"),
        ("2026-11", "replaceAll", ("([0-9]+)-([0-9]+)", "$2/$1"), "11/2026"),
        ("a.b", "replaceAll", ("[.]", "\\$"), "a$b"),
        ("aa", "replaceFirst", ("a", "b"), "ba"),
        ("a.b", "replace", (".", "$1"), "a$1b"),
        ("abc", "substring", (1,), "bc"),
        ("abc", "substring", (0, 2), "ab"),
        ("abc", "substring", (3,), ""),
        ("abc", "charAt", (1,), "b"),
        ("abc", "concat", ("d",), "abcd"),
        ("abc", "contains", ("b",), True),
        ("abc", "startsWith", ("a",), True),
        ("abc", "endsWith", ("a",), False),
        ("abc", "equals", ("abc",), True),
        ("abc", "equals", (1,), False),
        ("aBc", "equalsIgnoreCase", ("AbC",), True),
        ("abc", "indexOf", ("c",), 2),
        ("abc", "indexOf", (99,), 2),
        ("abcabc", "indexOf", ("b", 2), 4),
        ("abc", "indexOf", ("a", -5), 0),
        ("abc", "indexOf", ("x",), -1),
        ("abca", "lastIndexOf", ("a",), 3),
        ("", "isEmpty", (), True),
        ("abc", "length", (), 3),
        ("12", "matches", ("[0-9]+",), True),
        ("12\n", "matches", ("[0-9]+",), False),
        (" a\t", "trim", (), "a"),
        ("a", "toUpperCase", (), "A"),
        ("A", "toLowerCase", (), "a"),
        ("a", "toString", (), "a"),
    ],
)
def test_a_text_has_javas_methods(text: str, method: str, arguments: tuple[Any, ...], expected: Any) -> None:
    assert getattr(as_java(text), method)(*arguments) == expected


@pytest.mark.parametrize(
    ("value", "method", "arguments", "expected"),
    [
        ({"a": 1}, "get", ("a",), 1),
        ({"a": 1}, "get", ("b",), None),
        ({"a": 1}, "getOrDefault", ("b", 2), 2),
        ({"a": 1}, "containsKey", ("a",), True),
        ({"a": 1}, "isEmpty", (), False),
        ({"a": 1}, "size", (), 1),
        ({"a": 1}, "keySet", (), ["a"]),
        ({"a": 1}, "values", (), [1]),
        ({"a": 1}, "entrySet", (), [{"key": "a", "value": 1}]),
        ({"a": True, "b": None, "c": {"d": "e"}}, "toString", (), "{a=true, b=null, c={d=e}}"),
        ([1, 2], "get", (1,), 2),
        ([1, 2], "size", (), 2),
        ([], "isEmpty", (), True),
        ([1], "contains", (1,), True),
        (["a", 1], "toString", (), '["a",1]'),
    ],
)
def test_a_map_and_a_list_have_javas_methods(
    value: Any, method: str, arguments: tuple[Any, ...], expected: Any
) -> None:
    assert getattr(as_java(value), method)(*arguments) == expected


def test_what_a_method_gives_has_javas_methods_too() -> None:
    assert as_java("a b,c").split(",").get(0).split(" ").size() == 2


@pytest.mark.parametrize(
    ("value", "method", "arguments"),
    [
        ("abc", "substring", (4,)),
        ("abc", "substring", (0, 4)),
        ("abc", "substring", (2, 1)),
        ("abc", "substring", (-1,)),
        ("abc", "charAt", (3,)),
        ("abc", "charAt", (-1,)),
        ([1], "get", (1,)),
        ([1], "get", (-1,)),
    ],
)
def test_what_lies_outside_fails_as_in_java(value: Any, method: str, arguments: tuple[int, ...]) -> None:
    with pytest.raises(IndexError):
        getattr(as_java(value), method)(*arguments)


@pytest.mark.parametrize(("value", "name"), [("a", "upper"), ({}, "items"), ([], "append")])
def test_pythons_methods_are_hidden(value: Any, name: str) -> None:
    with pytest.raises(AttributeError):
        getattr(as_java(value), name)


def test_a_value_that_is_javas_already_stays_the_same() -> None:
    text = JavaString("a")
    assert as_java(text) is text


DOCUMENT = {"a": {"b c": [10, 20, {"d": 1}]}, "e": [{"f": 1}, {"f": 2}, {}]}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", DOCUMENT),
        ("$.a['b c'][0]", 10),
        ('$["a"]["b c"][-1].d', 1),
        ("$.e[*].f", [1, 2]),
        ("$.e.*", [{"f": 1}, {"f": 2}, {}]),
        ("$.a.*", [[10, 20, {"d": 1}]]),
        ("$.a['b c'][0].*", []),
        ("$.e[7]", None),
        ("$.e.f", None),
        ("$.a[0]", None),
        ("$.x.y", None),
    ],
)
def test_a_json_path_is_followed(path: str, expected: Any) -> None:
    assert select(DOCUMENT, path) == expected


@pytest.mark.parametrize("path", ["a.b", "$..a", "$.e[?(@.f==1)]", "$.e[0:1]", "$.a[", "$ a"])
def test_a_json_path_that_cannot_be_followed_is_refused(path: str) -> None:
    with pytest.raises(UnknownPathError):
        select(DOCUMENT, path)
