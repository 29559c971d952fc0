"""Strict JSON and JSON Lines: what RFC 8259 allows, and nothing that Python adds to it.

Values in, text out, and back. Places inside a payload are named by number, since its keys are the caller's
own words.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_aiml.exceptions import PayloadError, Problem
from airflow_provider_aiml.inference.described import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "MalformedError",
    "from_json",
    "from_json_lines",
    "is_json",
    "is_json_lines",
    "to_json",
    "to_json_lines",
]

_ALLOWED = "None, bool, int, finite float, text, list, tuple, and dict with text keys"
_DEEPEST = 500
_LINE_BREAKS = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class MalformedError(ValueError):
    """An answer is not what its content type says. Its text says why, without the answer's own words."""


def to_json(value: Any, where: str = "payload") -> str:
    """Write one JSON text.

    :param value: made of None, bool, int, float, str, list, tuple and dict.
    :param where: what the error calls the value.
    :raises PayloadError: naming the place and type of what JSON has no form for, NaN and infinities included.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        problem = next(_misfits(value, where, 0), None) or Problem(where, "not JSON", _ALLOWED)
        hint = "Turn it into JSON's own types first, with .isoformat(), float(), list() or .tolist()."
        raise PayloadError("The payload cannot be written as JSON", problems=(problem,), hint=hint) from None


def to_json_lines(value: Any) -> str:
    """Write one JSON text per record and line; a dict is a single record.

    :param value: a list or tuple of records, or one dict.
    :raises PayloadError: as :func:`to_json`.
    """
    records = [value] if isinstance(value, dict) else value
    lines = (_on_one_line(to_json(record, f"payload[{index}]")) for index, record in enumerate(records))
    return "".join(f"{line}\n" for line in lines)


def is_json(text: str) -> bool:
    """Tell whether ``text`` is one strict JSON text; no number is converted."""
    try:
        json.loads(text, parse_constant=_refuse_constant, parse_int=len, parse_float=len)
    except (ValueError, RecursionError):
        return False
    return True


def is_json_lines(text: str) -> bool:
    """Tell whether each line of ``text`` that is not blank is one strict JSON text."""
    return all(is_json(line) for line in _lines(text))


def from_json(text: str) -> Any:
    """Read one strict JSON text.

    :raises MalformedError: not JSON, nested too deeply, or with a number of thousands of digits.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise MalformedError(f"not JSON at line {error.lineno}, column {error.colno}") from None
    except MalformedError:
        raise
    except ValueError:
        raise MalformedError("JSON with an int of too many digits") from None
    except RecursionError:
        raise MalformedError("JSON that is nested too deeply") from None


def from_json_lines(text: str) -> list[Any]:
    """Read one strict JSON text per line; blank lines are skipped.

    :raises MalformedError: as :func:`from_json`, with the number of the line.
    """
    records = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                records.append(from_json(line))
            except MalformedError as error:
                raise MalformedError(f"JSON Lines whose line {number} is {error}") from None
    return records


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.split("\n") if line.strip())


def _on_one_line(text: str) -> str:
    """Escape what JSON allows bare in text and many a reader takes for the end of a line."""
    if text.isascii():
        return text
    for bare, escaped in _LINE_BREAKS.items():
        text = text.replace(bare, escaped)
    return text


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedError(f"JSON with {name}, which JSON does not have")


def _misfits(value: Any, where: str, depth: int) -> Iterator[Problem]:
    """Find what JSON has no form for, depth first."""
    if depth > _DEEPEST:
        yield Problem(where[:_DEEPEST], f"nested deeper than {_DEEPEST} levels", _ALLOWED)
    elif isinstance(value, dict):
        for index, (key, item) in enumerate(value.items()):
            if not (key is None or isinstance(key, (str, int, float))):
                yield Problem(f"{where}[key {index}]", describe(key), "text")
            yield from _misfits(item, f"{where}[value {index}]", depth + 1)
    elif isinstance(value, (list, tuple)):
        yield from _each(value, where, depth)
    elif isinstance(value, float) and not math.isfinite(value):
        yield Problem(where, "a float that is not finite", _ALLOWED)
    elif not (value is None or isinstance(value, (str, int, float))):
        yield Problem(where, describe(value), _ALLOWED)


def _each(items: Iterable[Any], where: str, depth: int) -> Iterator[Problem]:
    for index, item in enumerate(items):
        yield from _misfits(item, f"{where}[{index}]", depth + 1)
