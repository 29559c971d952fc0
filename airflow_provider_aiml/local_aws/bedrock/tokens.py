"""The stand-in's tokenizer: a token is at most four characters of one word, with the space before it.

Joined, the tokens of a text are the text again, so cutting and streaming lose nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["count", "cut", "pieces", "split"]

_TOKEN = re.compile(r"\s*\S{1,4}|\s+\Z")


def split(text: str) -> list[str]:
    """Split *text* into its tokens; joined, they are *text*."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """Count the tokens of *text*."""
    return len(split(text))


def cut(text: str, limit: int) -> tuple[str, bool]:
    """Keep the first *limit* tokens of *text*, and say whether something was cut off."""
    tokens = split(text)
    return "".join(tokens[:limit]), len(tokens) > limit


def pieces(text: str, size: int) -> Iterator[str]:
    """Yield *text* in pieces of *size* tokens; nothing for an empty text."""
    tokens = split(text)
    for start in range(0, len(tokens), size):
        yield "".join(tokens[start : start + size])
