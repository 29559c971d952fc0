"""Texts, maps and lists as Velocity sees them: with Java's methods, and without Python's.

A template that calls ``.upper()`` must fail here, as it fails at the gateway; and ``split`` takes a pattern
and drops what is empty at the end, as Java's does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["JavaList", "JavaMap", "JavaString", "as_java"]


class _Restricted:
    """Hides Python's methods from templates."""

    __slots__ = ()
    java: ClassVar[Mapping[str, Callable[..., Any]]] = {}

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        method = type(self).java.get(name)
        if method is None:
            raise AttributeError(name)
        return lambda *arguments: as_java(method(self, *map(_plain, arguments)))


def _plain(value: Any) -> Any:
    return str.__str__(value) if isinstance(value, str) else value


def _split(text: str, pattern: str, limit: int = 0) -> list[str]:
    parts = re.split(pattern, text, maxsplit=max(limit - 1, 0) if limit > 0 else 0)
    if limit == 0 and len(parts) > 1:
        while parts and not parts[-1]:
            parts.pop()
    return parts


def _replacement(text: str) -> Callable[[re.Match[str]], str]:
    """Read Java's replacement: ``$1`` is a group, a backslash takes the next character as it is."""
    pieces = re.findall(r"\\(.)|\$(\d)|([^\\$]+)", text, re.DOTALL)

    def replaced(match: re.Match[str]) -> str:
        return "".join(escaped or (match[int(group)] if group else plain) for escaped, group, plain in pieces)

    return replaced


def _find(text: str, part: str | int, start: int = 0) -> int:
    return str.find(text, chr(part) if isinstance(part, int) else part, max(start, 0))


def _substring(text: str, start: int, end: int | None = None) -> str:
    """Cut as Java does, which fails outside of the text."""
    until = len(text) if end is None else end
    if not 0 <= start <= until <= len(text):
        raise IndexError(start, until)
    return str.__getitem__(text, slice(start, until))


def _char_at(text: str, index: int) -> str:
    return _substring(text, index, index + 1)


class JavaString(_Restricted, str):
    """A ``java.lang.String``: https://docs.oracle.com/javase/8/docs/api/java/lang/String.html."""

    __slots__ = ()
    java: ClassVar[Mapping[str, Callable[..., Any]]] = {
        "charAt": _char_at,
        "concat": lambda text, other: str.__add__(text, other),
        "contains": lambda text, part: str.__contains__(text, part),
        "endsWith": lambda text, end: str.endswith(text, end),
        "equals": lambda text, other: str.__eq__(text, other) is True,
        "equalsIgnoreCase": lambda text, other: str.lower(text) == str.lower(other),
        "indexOf": _find,
        "isEmpty": lambda text: str.__len__(text) == 0,
        "lastIndexOf": lambda text, part: str.rfind(text, part),
        "length": lambda text: str.__len__(text),
        "matches": lambda text, pattern: re.fullmatch(pattern, text) is not None,
        "replace": lambda text, old, new: str.replace(text, old, new),
        "replaceAll": lambda text, pattern, new: re.sub(pattern, _replacement(new), text),
        "replaceFirst": lambda text, pattern, new: re.sub(pattern, _replacement(new), text, count=1),
        "split": _split,
        "startsWith": lambda text, start: str.startswith(text, start),
        "substring": _substring,
        "toLowerCase": lambda text: str.lower(text),
        "toString": lambda text: str.__str__(text),
        "toUpperCase": lambda text: str.upper(text),
        "trim": lambda text: str.strip(text, "".join(map(chr, range(33)))),
    }


def _entries(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in dict.items(values)]


class JavaMap(_Restricted, dict[str, Any]):
    """A ``java.util.Map``; printed as Java prints one, which is not JSON."""

    java: ClassVar[Mapping[str, Callable[..., Any]]] = {
        "containsKey": lambda values, key: dict.__contains__(values, key),
        "entrySet": _entries,
        "get": lambda values, key: dict.get(values, key),
        "getOrDefault": lambda values, key, default: dict.get(values, key, default),
        "isEmpty": lambda values: dict.__len__(values) == 0,
        "keySet": lambda values: list(dict.keys(values)),
        # What airspeed's foreach asks a map for; Velocity's goes over the values.
        "keys": lambda values: list(dict.values(values)),
        "size": lambda values: dict.__len__(values),
        "toString": str,
        "values": lambda values: list(dict.values(values)),
    }

    def __str__(self) -> str:
        return "{" + ", ".join(f"{key}={printed(value)}" for key, value in dict.items(self)) + "}"


def _element(values: list[Any], index: int) -> Any:
    if index < 0:
        raise IndexError(index)
    return list.__getitem__(values, index)


class JavaList(_Restricted, list[Any]):
    """A list from JSON; printed as JSON, as the gateway's JSON library does."""

    java: ClassVar[Mapping[str, Callable[..., Any]]] = {
        "contains": lambda values, value: list.__contains__(values, value),
        "get": _element,
        "isEmpty": lambda values: list.__len__(values) == 0,
        "size": lambda values: list.__len__(values),
        "toString": str,
    }

    def __str__(self) -> str:
        return json.dumps(_unwrapped(self), ensure_ascii=False, separators=(",", ":"))


def _unwrapped(value: Any) -> Any:
    """Give Python's own, whose methods the JSON writer needs."""
    if isinstance(value, dict):
        return {key: _unwrapped(one) for key, one in dict.items(value)}
    return [_unwrapped(one) for one in list.__iter__(value)] if isinstance(value, list) else value


def printed(value: Any) -> str:
    """Write a value as Velocity does."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_java(value: Any) -> Any:
    """Give a value, and all that is in it, the Java side of it."""
    if isinstance(value, _Restricted):
        return value
    if isinstance(value, str):
        return JavaString(value)
    if isinstance(value, Mapping):
        return JavaMap({key: as_java(one) for key, one in value.items()})
    if isinstance(value, list | tuple):
        return JavaList(as_java(one) for one in value)
    return value
