"""Arguments that have to fit each other, or that a template may have made text of."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from airflow_provider_aiml.exceptions import Problem, RequestError

Number = TypeVar("Number", int, float)
NUMBER_HINT: Final = (
    "if render_template_as_native_obj made a number of a text, what the text was is lost (3.10 is 3.1): put "
    "other text beside it, or turn that off for the DAG"
)
"""What to say where a number stands for a text."""


def check_one_source(sources: Mapping[str, Any]) -> None:
    """Refuse none and refuse two of the arguments that can give the same thing.

    :param sources: the arguments by name; None where one is not given.
    :raises RequestError: not exactly one is given.
    """
    given = [name for name, value in sources.items() if value is not None]
    if len(given) == 1:
        return
    found = " and ".join(given) or "none of them"
    problem = Problem(" / ".join(sources), found, "exactly one")
    raise RequestError("The arguments do not fit each other", problems=(problem,))


def read_mapping(value: Any, field: str) -> dict[str, Any]:
    """Read a mapping; None is an empty one.

    :raises RequestError: it is something else, such as the text that a template made of it.
    """
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    allowed = "a mapping (a template gives one with render_template_as_native_obj=True)"
    problem = Problem(field, f"a {type(value).__name__}", allowed)
    raise RequestError("The request cannot be sent", problems=(problem,))


def read_list(value: Any, field: str) -> list[Any]:
    """Read a list of at least one value, also one that Airflow gives bit by bit from mapped tasks.

    :raises RequestError: it is something else, or empty.
    """
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)) and len(value):
        return list(value)
    found = "an empty list" if isinstance(value, Sequence) and not len(value) else f"a {type(value).__name__}"
    problem = Problem(field, found, "a list with something in it")
    raise RequestError("The request cannot be sent", problems=(problem,))


def read_flag(value: Any, field: str) -> bool:
    """Read a truth value that a template may have made text of.

    :raises RequestError: it is neither.
    """
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}
    if isinstance(value, (bool, str)) and (text := str(value).strip().lower()) in known:
        return known[text]
    problem = Problem(field, f"a {type(value).__name__} that is none", "true or false")
    raise RequestError("The request cannot be sent", problems=(problem,))


def read_seconds(value: Any, field: str) -> float:
    """Read a span of time: seconds, or a timedelta.

    :raises RequestError: it is something else, negative, or without an end.
    """
    seconds = value.total_seconds() if isinstance(value, dt.timedelta) else value
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 <= seconds < math.inf:
        return seconds
    problem = Problem(field, f"a {type(value).__name__} that is none", "seconds, 0 or more, or a timedelta")
    raise RequestError("The task cannot wait", problems=(problem,))


def read_number(value: Any, field: str, kind: type[Number]) -> Number | None:
    """Read a number that a template may have made text of; None stays None.

    :param kind: ``int`` or ``float``.
    :raises RequestError: it is no such number.
    """
    if value is None:
        return None
    try:
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            number = kind(value)
            if isinstance(value, str) or number == value:
                return number
    except (ValueError, OverflowError):
        pass
    allowed = "a whole number" if kind is int else "a number"
    problem = Problem(field, f"a {type(value).__name__} that is none", allowed)
    raise RequestError("The request cannot be sent", problems=(problem,))
