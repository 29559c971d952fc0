"""Reads the documents and images of a request, so that an answer can show that they arrived.

Text formats give lines, a PDF gives pages (and the lines that can be read without a PDF library), an image
its format and size in pixels. Formats of the old binary office kind give their size only.
"""

from __future__ import annotations

import html
import io
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from xml.etree import ElementTree

from airflow_provider_aiml.local_aws.bedrock import pdf
from airflow_provider_aiml.local_aws.bedrock.refusals import invalid

__all__ = ["Document", "GetObject", "Image", "measure_image", "read_document", "source_bytes"]

GetObject = Callable[[str], bytes]
"""Reads an object of S3 by its ``s3://`` URI."""

_OFFICE_TEXT = {"docx": "word/document.xml", "xlsx": "xl/sharedStrings.xml"}
_OFFICE_LINE = {"docx": "p", "xlsx": "si"}


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was read.

    :param name: its name in the request.
    :param format: its format, ``txt`` if the request has none.
    :param size: its size in bytes.
    :param lines: its lines of text.
    :param pages: its number of pages; None for what has no pages.
    :param cited: whether the request wants to be told where an answer is from.
    """

    name: str
    format: str
    size: int
    lines: tuple[str, ...]
    pages: int | None = None
    cited: bool = False

    def report(self) -> str:
        """Say what was read."""
        if self.pages is not None:
            return f"{self.name} ({self.format}): {_plural(self.pages, 'page')}"
        return (
            f"{self.name} ({self.format}): {_plural(len(self.lines), 'line')}, {_plural(self.size, 'byte')}"
        )


@dataclass(frozen=True, slots=True)
class Image:
    """The format of an image and its size in pixels."""

    format: str
    width: int
    height: int

    def report(self) -> str:
        """Say what was seen."""
        return f"image ({self.format}): {self.width}x{self.height} pixels"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def source_bytes(source: Mapping[str, Any], get_object: GetObject | None) -> bytes:
    """Return the bytes of a document's or image's *source*.

    :param source: ``bytes``, ``text``, ``content`` or ``s3Location``.
    :param get_object: reads S3; None refuses S3 locations.
    :raises ApiError: ``ValidationException`` if the object cannot be read.
    """
    if "bytes" in source:
        return bytes(source["bytes"])
    if "text" in source:
        return str(source["text"]).encode()
    if "content" in source:
        return "\n".join(str(part.get("text", "")) for part in source["content"]).encode()
    uri = source["s3Location"]["uri"]
    if get_object is None:
        raise invalid(f"The S3 location {uri} cannot be read: this stand-in was given no S3.")
    try:
        return get_object(uri)
    except Exception as error:
        raise invalid(
            f"Invalid S3 location: {uri} does not exist or you do not have permission to access it."
        ) from error


def read_document(block: Mapping[str, Any], get_object: GetObject | None = None) -> Document:
    """Read the ``document`` member of a content block.

    :raises ApiError: ``ValidationException`` for a PDF or an office document which is not one.
    """
    cited = bool(block.get("citations", {}).get("enabled"))
    return replace(_read(block, get_object), cited=cited)


def _read(block: Mapping[str, Any], get_object: GetObject | None) -> Document:
    data = source_bytes(block["source"], get_object)
    form, name = block.get("format", "txt"), block["name"]
    if form == "pdf":
        if not data.lstrip().startswith(b"%PDF-"):
            raise invalid(f"The PDF specified was not valid: {name} has no PDF header.")
        return Document(name, form, len(data), tuple(pdf.text_lines(data)), pdf.count_pages(data))
    if form in _OFFICE_TEXT:
        return Document(name, form, len(data), _office_lines(name, form, data))
    if form in ("doc", "xls"):
        return Document(name, form, len(data), ())
    text = data.decode("utf-8", "replace")
    if form == "html":
        text = html.unescape(re.sub(r"<[^>]*>", "", text))
    return Document(name, form, len(data), tuple(text.splitlines()))


def _office_lines(name: str, form: str, data: bytes) -> tuple[str, ...]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.namelist()
            wanted = _OFFICE_TEXT[form]
            root = ElementTree.fromstring(archive.read(wanted) if wanted in parts else b"<empty/>")  # noqa: S314
    except (zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise invalid(f"The document {name} is not a valid {form} file.") from error
    return tuple("".join(line.itertext()) for line in root.iter() if _local(line.tag) == _OFFICE_LINE[form])


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def measure_image(data: bytes) -> Image | None:
    """Read the format and the pixel size from the first bytes of an image; None if it is none of the four."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        return Image("png", *struct.unpack(">II", data[16:24]))
    if data[:6] in (b"GIF87a", b"GIF89a") and len(data) >= 10:
        return Image("gif", *struct.unpack("<HH", data[6:10]))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _measure_webp(data)
    if data.startswith(b"\xff\xd8"):
        return _measure_jpeg(data)
    return None


def _measure_webp(data: bytes) -> Image | None:
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 " and len(data) >= 30:
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", data[26:30]))
    else:
        return None
    return Image("webp", width, height)


def _measure_jpeg(data: bytes) -> Image | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return Image("jpeg", width, height)
        at += 2 + length
    return None
