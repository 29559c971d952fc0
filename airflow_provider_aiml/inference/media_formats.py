"""What kind of document or image some bytes are, and how large an image is, from its first bytes.

The content decides, and the name where the content cannot: a CSV and a Markdown file are both text. No
imaging library is needed for four headers.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ImageBlock.html
"""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import dataclass
from typing import Final

__all__ = ["ImageHeader", "document_format", "format_of_name", "read_image_header"]

_ALIASES: Final = {
    "htm": "html",
    "jpe": "jpeg",
    "jpg": "jpeg",
    "log": "txt",
    "markdown": "md",
    "text": "txt",
    "3gp": "three_gp",
}
_TEXT_FORMATS: Final = frozenset({"csv", "html", "md", "txt"})
_OLD_OFFICE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OFFICE_PARTS: Final = {"word/": "docx", "xl/": "xlsx"}
_PDF: Final = b"%PDF-"
_PDF_SEARCHED: Final = 1024
"""A PDF may begin with other bytes: readers look for its header in the first KB. A text may speak of it."""
_SNIFFED: Final = 4096


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header of an image says.

    :param format: ``png``, ``jpeg``, ``gif`` or ``webp``.
    :param width: in pixels.
    :param height: in pixels.
    """

    format: str
    width: int
    height: int


def format_of_name(name: str) -> str | None:
    """Give the format that a file's name ends with, as the API spells it (``jpg`` is ``jpeg``).

    :param name: a file's name or path; one without an ending gives None.
    """
    stem, dot, ending = name.rpartition("/")[2].rpartition(".")
    if not dot or not stem or not ending:
        return None
    return _ALIASES.get(ending.lower(), ending.lower())


def document_format(content: bytes, name: str) -> str | None:
    """Find a document's format, or None where it is none that Converse takes.

    :param content: the document.
    :param name: the file's name, which decides among the formats of text.
    """
    named = format_of_name(name)
    searched = len(_PDF) if named in _TEXT_FORMATS else _PDF_SEARCHED
    if _PDF in content[:searched]:
        return "pdf"
    if content.startswith(b"PK\x03\x04"):
        return _office_format(content)
    if content.startswith(_OLD_OFFICE):
        return _old_office_format(content, named)
    if b"\x00" in content[:_SNIFFED] and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    if named in _TEXT_FORMATS:
        return named
    return "html" if _looks_like_html(content) else "txt"


def _office_format(content: bytes) -> str | None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError):
        return None
    for part, found in _OFFICE_PARTS.items():
        if any(name.startswith(part) for name in names):
            return found
    return None


def _old_office_format(content: bytes, named: str | None) -> str | None:
    """Tell Word from Excel by the name of the stream that holds the document."""
    if "WordDocument".encode("utf-16-le") in content:
        return "doc"
    if any(stream.encode("utf-16-le") in content for stream in ("Workbook", "Book\0")):
        return "xls"
    return named if named in ("doc", "xls") else None


def _looks_like_html(content: bytes) -> bool:
    start = content[:_SNIFFED].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def read_image_header(content: bytes) -> ImageHeader | None:
    """Read the format and the size of an image; None where it is none of the four, or cut off.

    :param content: the image, or enough of its beginning.
    """
    try:
        return _read_image_header(content)
    except (struct.error, IndexError):
        return None


def _read_image_header(content: bytes) -> ImageHeader | None:
    if content.startswith(b"\x89PNG\r\n\x1a\n") and content[12:16] == b"IHDR":
        return ImageHeader("png", *struct.unpack_from(">II", content, 16))
    if content[:6] in (b"GIF87a", b"GIF89a"):
        return ImageHeader("gif", *struct.unpack_from("<HH", content, 6))
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _read_webp(content)
    if content.startswith(b"\xff\xd8\xff"):
        return _read_jpeg(content)
    return None


def _read_webp(content: bytes) -> ImageHeader | None:
    """https://developers.google.com/speed/webp/docs/riff_container"""
    kind = content[12:16]
    if kind == b"VP8X":
        wide_low, wide_high, high_low, high_high = struct.unpack_from("<HBHB", content, 24)
        return ImageHeader("webp", (wide_low | wide_high << 16) + 1, (high_low | high_high << 16) + 1)
    if kind == b"VP8L" and content[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", content, 21)
        return ImageHeader("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 " and content[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", content, 26)
        return ImageHeader("webp", width & 0x3FFF, height & 0x3FFF)
    return None


_FRAME_MARKERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MARKERS_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD9)})


def _read_jpeg(content: bytes) -> ImageHeader | None:
    """Walk the segments to the frame header.

    https://www.w3.org/Graphics/JPEG/itu-t81.pdf (table B.1)
    """
    at = 2
    while content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _MARKERS_WITHOUT_LENGTH:
            at += 2
        elif marker in _FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return ImageHeader("jpeg", width, height)
        else:
            (length,) = struct.unpack_from(">H", content, at + 2)
            at += 2 + length
    return None
