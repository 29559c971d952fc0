"""Counts the pages of a PDF and reads its plainest text, without a PDF library.

Enough to tell whether a document arrived: page objects are counted in the file and in its compressed object
streams, and text is what ``Tj`` and ``TJ`` show in literal strings. Encrypted files and fonts with their own
encodings give no text.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["count_pages", "text_lines"]

_PAGE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_STREAM = re.compile(rb"<<(?P<head>(?:(?!\bstream\b|\bendobj\b).)*?)>>\s*stream\r?\n", re.DOTALL)
_SHOWN = re.compile(rb"(\((?:\\.|[^\\()])*\)|\[(?:\\.|[^\]])*\])\s*(?:Tj|TJ|'|\")", re.DOTALL)
_STRING = re.compile(rb"\(((?:\\.|[^\\()])*)\)", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"", b"f": b""}
_LARGEST_STREAM = 32 * 1024 * 1024


def _streams(data: bytes) -> Iterator[bytes]:
    """Yield the content of each stream, decompressed if it is deflated."""
    for found in _STREAM.finditer(data):
        end = data.find(b"endstream", found.end())
        content = data[found.end() : end if end >= 0 else len(data)]
        if b"/FlateDecode" in found["head"]:
            try:
                content = zlib.decompressobj().decompress(content, _LARGEST_STREAM)
            except zlib.error:
                continue
        yield content


def count_pages(data: bytes) -> int:
    """Count the page objects of the PDF *data*."""
    outside = _PAGE.findall(data)
    inside = [page for stream in _streams(data) if stream not in data for page in _PAGE.findall(stream)]
    return len(outside) + len(inside)


def text_lines(data: bytes) -> list[str]:
    """Return the texts that the PDF *data* shows, one line for each operator that shows one."""
    lines = (_shown(found[1]) for stream in _streams(data) for found in _SHOWN.finditer(stream))
    return [line for line in lines if line.strip()]


def _shown(operand: bytes) -> str:
    text = b"".join(_unescape(string) for string in _STRING.findall(operand))
    return text.decode("latin-1")


def _unescape(string: bytes) -> bytes:
    def plain(found: re.Match[bytes]) -> bytes:
        escaped = found[1]
        if escaped.isdigit():
            return bytes([int(escaped, 8) & 0xFF])
        return _ESCAPES.get(escaped, escaped)

    return re.sub(rb"\\([0-7]{1,3}|.)", plain, string, flags=re.DOTALL)
