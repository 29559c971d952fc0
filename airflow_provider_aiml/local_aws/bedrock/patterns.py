"""Makes a string that matches a regular expression, always the same one."""

from __future__ import annotations

import re
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from airflow_provider_aiml.local_aws.bedrock.refusals import invalid

__all__ = ["example"]

_CATEGORIES = {
    sre.CATEGORY_DIGIT: "1",
    sre.CATEGORY_NOT_DIGIT: "a",
    sre.CATEGORY_SPACE: " ",
    sre.CATEGORY_NOT_SPACE: "a",
    sre.CATEGORY_WORD: "a",
    sre.CATEGORY_NOT_WORD: "-",
}
_CLASSES = {
    sre.CATEGORY_DIGIT: r"\d",
    sre.CATEGORY_NOT_DIGIT: r"\D",
    sre.CATEGORY_SPACE: r"\s",
    sre.CATEGORY_NOT_SPACE: r"\S",
    sre.CATEGORY_WORD: r"\w",
    sre.CATEGORY_NOT_WORD: r"\W",
}
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_ .,:"
_MOST = 200


def example(pattern: str, least: int = 0) -> str:
    """Make a string that *pattern* is found in.

    :param pattern: a regular expression without look-around.
    :param least: the shortest string wanted; repetitions are stretched until it is reached.
    :raises ApiError: ``ValidationException`` if the pattern is none, or no example is found.
    """
    try:
        parsed = _parser.parse(pattern)
        for repeats in range(min(max(least, 1), _MOST) + 1):
            made = _sequence(parsed, repeats)
            if len(made) >= least and re.search(pattern, made):
                return made
    except (re.error, KeyError, StopIteration) as error:
        raise invalid(f"The JSON schema has a pattern that the stand-in cannot follow: {pattern}") from error
    raise invalid(f"The JSON schema has a pattern that the stand-in cannot follow: {pattern}")


def _sequence(parsed: Any, repeats: int) -> str:
    return "".join(_part(operation, argument, repeats) for operation, argument in parsed)


def _part(operation: Any, argument: Any, repeats: int) -> str:
    if operation in (sre.MAX_REPEAT, sre.MIN_REPEAT):
        low, high, inner = argument
        return _repeated(low, high, inner, repeats)
    if operation is sre.LITERAL:
        return chr(argument)
    if operation is sre.AT:
        return ""
    if operation in (sre.ANY, sre.NOT_LITERAL):
        return "a" if argument != ord("a") else "b"
    if operation is sre.IN:
        return _one_of(argument)
    if operation is sre.SUBPATTERN:
        return _sequence(argument[-1], repeats)
    if operation is sre.BRANCH:
        return _sequence(argument[1][0], repeats)
    raise KeyError(operation)


def _repeated(low: int, high: int, inner: Any, repeats: int) -> str:
    if low > _MOST:
        raise KeyError(low)
    times: int = max(low, min(repeats, int(high)))
    return _sequence(inner, repeats) * times


def _one_of(members: list[tuple[Any, Any]]) -> str:
    operation, argument = members[0]
    if operation is sre.NEGATE:
        return next(letter for letter in _LETTERS if not any(_is_in(letter, *one) for one in members[1:]))
    if operation is sre.CATEGORY:
        return _CATEGORIES[argument]
    return chr(argument[0] if operation is sre.RANGE else argument)


def _is_in(letter: str, operation: Any, argument: Any) -> bool:
    if operation is sre.RANGE:
        return bool(argument[0] <= ord(letter) <= argument[1])
    if operation is sre.CATEGORY:
        return bool(re.match(_CLASSES[argument], letter))
    return bool(ord(letter) == argument)
