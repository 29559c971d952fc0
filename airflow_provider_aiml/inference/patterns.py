"""Java regular expressions of AWS's service models, as Python ones.

This room knows the two regex dialects and nothing else. AWS writes its patterns for Java: ``\\p{ASCII}``,
``\\z``, a dot that matches no ``\\r``. They are matched whole: some lack their ``$``, and AWS refuses what
lies behind it.
"""

from __future__ import annotations

import logging
import re
import sys
import unicodedata
from functools import lru_cache

__all__ = ["UntranslatableError", "compile_pattern", "translate"]

log = logging.getLogger(__name__)

_POSIX = {
    "Lower": "a-z",
    "Upper": "A-Z",
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "Punct": "!-/:-@\\[-`{-~",
    "Graph": "!-~",
    "Print": " -~",
    "Blank": " \\t",
    "Cntrl": "\\x00-\\x1f\\x7f",
    "XDigit": "0-9a-fA-F",
    "Space": " \\t-\\r",
    "ASCII": "\\x00-\\x7f",
}
_TOKEN = re.compile(
    r"""\\(?P<negate>P|p)(?:\{(?P<name>[^}]*)\}|(?P<letter>[A-Z]))
      | \\(?P<end>[zZ])
      | \\x\{(?P<code>[0-9a-fA-F]+)\}
      | (?P<escaped>\\.)
      | (?P<group>\(\?<(?=[a-zA-Z]))
      | (?P<plain>.)""",
    re.VERBOSE | re.DOTALL,
)
_NOT_IN_PYTHON = frozenset("QEGRXhHVkce")
_JAVA_DOT = "[^\\n\\r\\x85\\u2028\\u2029]"


class UntranslatableError(ValueError):
    """A Java pattern uses something that has no counterpart here."""


def translate(java: str) -> str:
    """Give the Python source of a Java pattern; it is meant for ``re.ASCII`` and ``fullmatch``.

    :param java: the pattern as the service model spells it.
    :raises UntranslatableError: class intersections, nested classes, ``\\Q``, unknown properties.
    """
    parts: list[str] = []
    in_class = False
    for token in _TOKEN.finditer(java):
        kind = token.lastgroup
        text = token.group()
        if kind == "plain":
            in_class, text = _plain(text, java, token.start(), in_class)
        elif kind == "escaped":
            text = _escaped(text)
        elif kind == "end":
            text = "\\Z" if token["end"] == "z" else "(?=\\n?\\Z)"
        elif kind == "code":
            text = re.escape(chr(int(token["code"], 16)))
        elif kind == "group":
            text = "(?P<"
        else:
            text = _property(token["name"] or token["letter"] or "", token["negate"] == "P", in_class)
        parts.append(text)
    return "".join(parts)


@lru_cache(maxsize=1024)
def compile_pattern(java: str) -> re.Pattern[str] | None:
    """Compile a service model's pattern; use ``fullmatch`` on it.

    :param java: the pattern as the service model spells it.
    :returns: None for a pattern that cannot be had in Python. AWS checks it anyway, so it is only logged,
        once: a model of tomorrow must not stop a call of today.
    """
    try:
        return re.compile(translate(java), re.ASCII)
    except (UntranslatableError, re.error, OverflowError) as error:
        log.warning("A pattern of the AWS service model is left for AWS to check (%s): %s", error, java[:200])
        return None


def _plain(char: str, java: str, at: int, in_class: bool) -> tuple[bool, str]:
    if not in_class:
        return char == "[", _JAVA_DOT if char == "." else char
    if char == "[" or java.startswith("&&", at):
        raise UntranslatableError("a class within a class")
    # Python reserves doubled operators in a class, so they are escaped.
    return char != "]", "\\" + char if char in "&|~" else char


def _escaped(text: str) -> str:
    if text[1] in _NOT_IN_PYTHON:
        raise UntranslatableError(f"the escape {text}")
    return text


def _property(name: str, negated: bool, in_class: bool) -> str:
    chars = _POSIX.get(name) or _class_of(_category(name.removeprefix("Is")))
    if not in_class:
        return f"[{'^' if negated else ''}{chars}]"
    if not negated:
        return chars
    if name in _POSIX:
        raise UntranslatableError(f"\\P{{{name}}} within a class")
    return _class_of(_complement(_category(name.removeprefix("Is"))))


@lru_cache(maxsize=64)
def _category(name: str) -> tuple[tuple[int, int], ...]:
    """Give the spans of code points of a Unicode general category such as ``L`` or ``Zs``."""
    spans: list[tuple[int, int]] = []
    start: int | None = None
    for code in range(sys.maxunicode + 2):
        inside = code <= sys.maxunicode and unicodedata.category(chr(code)).startswith(name)
        if inside and start is None:
            start = code
        elif not inside and start is not None:
            spans.append((start, code - 1))
            start = None
    if not name or not spans:
        raise UntranslatableError(f"the property {name}")
    return tuple(spans)


def _complement(spans: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    starts = [0, *(end + 1 for _, end in spans)]
    ends = [*(start - 1 for start, _ in spans), sys.maxunicode]
    return tuple((start, end) for start, end in zip(starts, ends, strict=True) if start <= end)


def _class_of(spans: tuple[tuple[int, int], ...]) -> str:
    return "".join(f"\\U{start:08x}-\\U{end:08x}" for start, end in spans)
