"""Strict JSON and JSON Lines: what RFC 8259 allows, and nothing that Python adds to it.

Values in, text out, and back. Places inside a payload are named by number, since its keys are the caller's
own words.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeGuard

from airflow_provider_aiml.exceptions import PayloadError, Problem
from airflow_provider_aiml.inference.described import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "MalformedError",
    "encodable",
    "from_json",
    "from_json_lines",
    "is_json",
    "is_json_lines",
    "is_list",
    "misfit",
    "to_json",
    "to_json_lines",
    "uncarried",
]

_Part: TypeAlias = tuple[str, Any, bool]
"""Where it is, what it is, and whether it may hold further parts."""
_ALLOWED = "None, bool, int, finite float, text, list, tuple, and dict with text keys"
_DEEPEST = 500
_LONGEST_PLACE = 200
_LINE_BREAKS = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class MalformedError(ValueError):
    """An answer is not what its content type says. Its text says why, without the answer's own words."""


def to_json(value: Any, where: str = "payload") -> str:
    """Write one JSON text.

    :param value: made of None, bool, int, float, str, dict, and lists or other sequences.
    :param where: what the error calls the value.
    :raises PayloadError: naming the place and type of what JSON has no form for, NaN and infinities included.
    """
    try:
        return json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain_list
        )
    except (TypeError, ValueError, RecursionError):
        problem = misfit(value, where) or Problem(where, "not JSON", _ALLOWED)
        hint = "Turn it into JSON's own types first, with .isoformat(), float(), list() or .tolist()."
        raise PayloadError("The payload cannot be written as JSON", problems=(problem,), hint=hint) from None


def to_json_lines(value: Any) -> str:
    """Write one JSON text per record and line; a dict is a single record.

    :param value: a list or other sequence of records, or one dict.
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


def is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    """Tell whether a value counts as a list: any sequence that is no text and no bytes.

    So does what mapped tasks gave, which Airflow fetches item by item.
    """
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview))


def misfit(value: Any, where: str, *, nests: Callable[[Any], bool] = is_list) -> Problem | None:
    """Find the first thing that JSON has no form for. Its place is told by number: ``payload[value 0][3]``.

    :param value: anything, also something that contains itself.
    :param where: what to call ``value``.
    :param nests: whether a value counts as a list.
    """
    return _first_fault(value, where, nests, _fault)


def uncarried(value: Any, where: str) -> Problem | None:
    """Find the first thing in a decoded answer that cannot go through both msgpack and strict JSON.

    That is the way of Airflow's XCom. The place is told as by :func:`misfit`.
    """
    return _first_fault(value, where, is_list, _uncarried_fault)


def _first_fault(
    value: Any, where: str, listed: Callable[[Any], bool], fault_of: Callable[[Any], str | None]
) -> Problem | None:
    # Not recursive: a deep value may be met on a deep stack.
    waiting: list[Iterator[_Part]] = [iter([(where, value, True)])]
    while waiting:
        place, part, nests = next(waiting[-1], (None, None, False))
        if place is None:
            waiting.pop()
        elif nests and (isinstance(part, dict) or listed(part)):
            waiting.append(_contents(part, place))
            if len(waiting) > _DEEPEST:
                return Problem(where, f"nested deeper than {_DEEPEST} levels", _ALLOWED)
        elif (fault := fault_of(part)) is not None:
            return Problem(place[:_LONGEST_PLACE], fault, _ALLOWED)
    return None


def encodable(text: str) -> bool:
    """Tell whether UTF-8 can hold ``text``: a lone surrogate it cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.split("\n") if line.strip())


def _on_one_line(text: str) -> str:
    """Escape what JSON allows bare in text and many a reader takes for the end of a line."""
    if text.isascii():
        return text
    for bare, escaped in _LINE_BREAKS.items():
        text = text.replace(bare, escaped)
    return text


def _plain_list(value: Any) -> list[Any]:
    if is_list(value):
        return list(value)
    raise TypeError


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedError(f"JSON with {name}, which JSON does not have")


def _contents(value: Any, where: str) -> Iterator[_Part]:
    """Give the parts of a container; those of a dict include its keys."""
    if not isinstance(value, dict):
        yield from ((f"{where}[{index}]", item, True) for index, item in enumerate(value))
        return
    for index, (key, item) in enumerate(value.items()):
        # A tuple may be a list in JSON, but not a key.
        yield f"{where}[key {index}]", key, False
        yield f"{where}[value {index}]", item, True


def _fault(value: Any) -> str | None:
    if isinstance(value, str):
        return None if value.isascii() or encodable(value) else f"{describe(value)} with a lone surrogate"
    if isinstance(value, float):
        return None if math.isfinite(value) else "a float that is not finite"
    return None if value is None or isinstance(value, int) else describe(value)


def _uncarried_fault(value: Any) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN or an infinity"
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return f"an int of {value.bit_length()} bits"
    if isinstance(value, str) and not encodable(value):
        return "text with a lone surrogate"
    return None
