"""Words for what a value is, without the value: what an error may say of a payload."""

from __future__ import annotations

from typing import Any

__all__ = ["describe", "spoken_number"]

_SPOKEN_BITS = 64
_ARTICLES = {"int": "an int"}


def describe(value: Any) -> str:
    """Say what ``value`` is: its type and, where it has one, its length; never its content.

    :param value: anything.
    """
    if value is None:
        return "None"
    if isinstance(value, str):
        return f"text of {len(value)} characters"
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value)} {name}"
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        return f"a {name} of {len(value)}"
    return _ARTICLES.get(name, f"a {name}")


def spoken_number(value: float) -> str:
    """Say a number that is outside its limits; one of hundreds of digits by its size.

    :param value: a finite number.
    """
    if isinstance(value, int) and value.bit_length() > _SPOKEN_BITS:
        return f"an int of {value.bit_length()} bits"
    return f"{value}"
