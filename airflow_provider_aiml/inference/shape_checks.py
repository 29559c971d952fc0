"""Checks of single values: text, numbers, bytes, times, documents.

Each is made from a shape of botocore's service model by :mod:`airflow_provider_aiml.inference.shape_plans`;
what the model does not say is not checked, and no limit is typed here. What a problem says of a value is its
type, length or number.
"""

from __future__ import annotations

import io
import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_aiml.exceptions import Problem
from airflow_provider_aiml.inference.described import describe, spoken_number
from airflow_provider_aiml.inference.json_text import encodable, misfit

if TYPE_CHECKING:
    import re

__all__ = [
    "BlobCheck",
    "BoolCheck",
    "Bounds",
    "Check",
    "DocumentCheck",
    "NumberCheck",
    "OpaqueCheck",
    "Run",
    "TextCheck",
    "TimestampCheck",
]

_QUOTABLE = 64
_SPOKEN_PATTERN = 120


@dataclass(slots=True)
class Run:
    """One request being checked.

    :param limits: which of ``min``, ``max``, ``pattern`` and ``enum`` are looked at.
    :param problems: what was found so far.
    :param limit_hit: whether a limit was among it, which a newer botocore may have moved.
    """

    limits: frozenset[str]
    problems: list[Problem] = field(default_factory=list)
    limit_hit: bool = False

    def refuse(self, where: str, found: str, allowed: str) -> None:
        """Note one problem."""
        self.problems.append(Problem(where, found, allowed))

    def over(self, where: str, found: str, allowed: str) -> None:
        """Note one problem with a limit."""
        self.limit_hit = True
        self.refuse(where, found, allowed)


class Check(Protocol):
    """What every shape becomes."""

    def check(self, value: Any, where: str, run: Run) -> None:
        """Add to ``run.problems`` whatever is wrong with ``value``, which stands at ``where``."""

    @property
    def allowed(self) -> str:
        """Say what is allowed."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Minimum and maximum of a number, a length or a count."""

    minimum: float | None
    maximum: float | None

    def broken_by(self, size: float, run: Run) -> bool:
        """Tell whether ``size`` is outside, as far as ``run`` wants that checked."""
        if self.minimum is not None and size < self.minimum and "min" in run.limits:
            return True
        return self.maximum is not None and size > self.maximum and "max" in run.limits

    def spoken(self, of: str, unit: str) -> str:
        """Say, for example, ``text of 1 to 64 characters``; nothing where there is no bound."""
        low, high = self.minimum, self.maximum
        if low is None and high is None:
            return ""
        span = f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"
        return f"{of} {span} {unit}".rstrip()


@dataclass(frozen=True, slots=True)
class TextCheck:
    """A string, which may have to travel as an HTTP header or as part of the path."""

    bounds: Bounds
    enum: tuple[str, ...]
    java: str | None
    pattern: re.Pattern[str] | None
    sensitive: bool
    location: str | None

    @property
    def allowed(self) -> str:
        """Say what is allowed."""
        if self.enum:
            return "one of " + ", ".join(self.enum)
        text = self.bounds.spoken("text of", "characters") or "text"
        if self.java is None:
            return text
        cut = len(self.java) > _SPOKEN_PATTERN
        return f"{text} matching {self.java[:_SPOKEN_PATTERN]}{'…' if cut else ''}"

    def check(self, value: Any, where: str, run: Run) -> None:
        """Check type, what the wire can carry, length, enum and pattern."""
        if not isinstance(value, str):
            run.refuse(where, describe(value), self.allowed)
        elif (fault := self._unfit_for_the_wire(value)) is not None:
            run.refuse(where, f"{describe(value)} with {fault}", f"{self.allowed}, without {fault}")
        elif self.bounds.broken_by(len(value), run):
            run.over(where, describe(value), self.allowed)
        elif self._against_enum_or_pattern(value, run):
            run.over(where, self._found(value, where), self.allowed)

    def _unfit_for_the_wire(self, value: str) -> str | None:
        if self.location == "header":
            # An HTTP library would refuse it too, quoting it in its error.
            if not value.isascii():
                return "a character outside ASCII"
            if "\n" in value or "\r" in value or "\0" in value:
                return "a line break or NUL"
        elif self.location == "uri" and not value:
            return "no character"
        elif not value.isascii() and not encodable(value):
            return "a lone surrogate"
        return None

    def _against_enum_or_pattern(self, value: str, run: Run) -> bool:
        if self.enum:
            return "enum" in run.limits and value not in self.enum
        return self.pattern is not None and "pattern" in run.limits and self.pattern.fullmatch(value) is None

    def _found(self, value: str, where: str) -> str:
        """Quote a short top-level identifier such as an endpoint's name; of all else say the length only."""
        if self.sensitive or len(value) > _QUOTABLE or "." in where or "[" in where:
            return describe(value)
        return repr(value)


@dataclass(frozen=True, slots=True)
class NumberCheck:
    """An integer or a float; a bool is neither."""

    types: tuple[type[float], ...]
    bounds: Bounds
    sensitive: bool

    @property
    def allowed(self) -> str:
        """Say what is allowed."""
        kind = "a number" if float in self.types else "an int"
        return self.bounds.spoken(f"{kind} of", "") or kind

    def check(self, value: Any, where: str, run: Run) -> None:
        """Check type and range."""
        if isinstance(value, bool) or not isinstance(value, self.types):
            run.refuse(where, describe(value), self.allowed)
        elif isinstance(value, float) and not math.isfinite(value):
            run.refuse(where, "a float that is not finite", self.allowed)
        elif self.bounds.broken_by(value, run):
            run.over(where, "outside" if self.sensitive else spoken_number(value), self.allowed)


@dataclass(frozen=True, slots=True)
class BoolCheck:
    """True or False."""

    allowed: str = "True or False"

    def check(self, value: Any, where: str, run: Run) -> None:
        """Check the type."""
        if not isinstance(value, bool):
            run.refuse(where, describe(value), self.allowed)


@dataclass(frozen=True, slots=True)
class TimestampCheck:
    """A point in time, in any form that botocore takes."""

    allowed: str = "a datetime, seconds since 1970, or an ISO 8601 text"

    def check(self, value: Any, where: str, run: Run) -> None:
        """Check that botocore can read it."""
        from botocore.utils import parse_to_aware_datetime

        try:
            parse_to_aware_datetime(value)
        except (TypeError, ValueError, AttributeError, OverflowError, OSError, RuntimeError):
            run.refuse(where, describe(value), self.allowed)


@dataclass(frozen=True, slots=True)
class BlobCheck:
    """Bytes. Neither copied nor read: only their number counts.

    :param is_body: it is the whole HTTP body, so that a seekable binary file or a text will do too.
    """

    bounds: Bounds
    is_body: bool

    @property
    def allowed(self) -> str:
        """Say what is allowed."""
        kind = "bytes or a seekable binary file" if self.is_body else "bytes"
        return self.bounds.spoken(f"{kind} of", "bytes") or kind

    def check(self, value: Any, where: str, run: Run) -> None:
        """Check type and size."""
        size = self._size(value)
        if size is None:
            run.refuse(where, describe(value), self.allowed)
        elif self.bounds.broken_by(size, run):
            run.over(where, f"{size} bytes", self.allowed)

    def _size(self, value: Any) -> int | None:
        if isinstance(value, (bytes, bytearray)):
            return len(value)
        if not self.is_body:
            return None
        if isinstance(value, str):
            return _text_size(value)
        return _remaining(value)


@dataclass(frozen=True, slots=True)
class DocumentCheck:
    """Any JSON. Keys in it are the caller's own words, so places are named by number.

    Of sequences only a list is, since botocore takes no other here.
    """

    allowed: str = "any JSON"

    def check(self, value: Any, where: str, run: Run) -> None:
        """Check that all of it can be JSON; the first thing that cannot is enough."""
        if (problem := misfit(value, where, nests=_is_plain_list)) is not None:
            run.problems.append(problem)


def _is_plain_list(value: Any) -> bool:
    return isinstance(value, list)


@dataclass(frozen=True, slots=True)
class OpaqueCheck:
    """Something that only botocore understands, such as an event stream that is sent."""

    allowed: str = "what botocore takes"

    def check(self, value: Any, where: str, run: Run) -> None:
        """Check nothing."""


def _text_size(text: str) -> int | None:
    if text.isascii():
        return len(text)
    return len(text.encode()) if encodable(text) else None


def _remaining(stream: Any) -> int | None:
    """Count the bytes from where a seekable binary file stands to its end; None where it is no such file."""
    if isinstance(stream, io.TextIOBase) or not all(
        hasattr(stream, each) for each in ("read", "seek", "tell")
    ):
        return None
    try:
        start = stream.tell()
        end = stream.seek(0, os.SEEK_END)
        stream.seek(start)
    except (OSError, ValueError):
        return None
    return int(end) - int(start)
