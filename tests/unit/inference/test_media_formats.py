from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest
from airflow_provider_aiml.inference.media_formats import (
    ImageHeader,
    document_format,
    format_of_name,
    read_image_header,
)
from hypothesis import given
from hypothesis import strategies as st

sides = st.integers(1, 16_383)


def png(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x00\x00\x00"


def jpeg(width: int, height: int, before: bytes = b"") -> bytes:
    frame = struct.pack(">HBHHB", 8, 8, height, width, 1)
    app0 = b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF\x00" + bytes(9)
    return b"\xff\xd8" + app0 + before + b"\xff\xc0" + frame + b"\xff\xd9"


def webp(kind: bytes, chunk: bytes) -> bytes:
    body = b"WEBP" + kind + struct.pack("<I", len(chunk)) + chunk
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_lossy(width: int, height: int) -> bytes:
    return webp(b"VP8 ", b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", width, height))


def webp_lossless(width: int, height: int) -> bytes:
    return webp(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14))


def webp_extended(width: int, height: int) -> bytes:
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return webp(b"VP8X", b"\x00\x00\x00\x00" + sizes)


MAKERS = {
    "png": png,
    "gif": gif,
    "jpeg": jpeg,
    "webp lossy": webp_lossy,
    "webp lossless": webp_lossless,
    "webp extended": webp_extended,
}


def office(*names: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return held.getvalue()


@pytest.mark.parametrize("kind", MAKERS)
@given(width=sides, height=sides)
def test_the_size_of_an_image_is_read_from_its_header(kind, width, height):
    assert read_image_header(MAKERS[kind](width, height)) == ImageHeader(kind.split()[0], width, height)


@pytest.mark.parametrize("kind", MAKERS)
@given(data=st.data())
def test_a_header_that_is_cut_off_gives_no_size_and_no_crash(kind, data):
    whole = MAKERS[kind](30, 40)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    assert read_image_header(cut) in (None, ImageHeader(kind.split()[0], 30, 40))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_a_crash(content):
    header = read_image_header(content)
    assert header is None or header.width >= 0


@given(st.sampled_from([b"\xff\xd8\xff", b"RIFF0000WEBPVP8L", b"\x89PNG\r\n\x1a\n", b"GIF87a"]), st.binary())
def test_bytes_behind_a_true_beginning_are_read_without_a_crash(start, rest):
    header = read_image_header(start + rest)
    assert header is None or header.format in {"png", "jpeg", "gif", "webp"}


def test_a_jpeg_is_walked_over_fill_bytes_restarts_tables_and_comments():
    before = b"\xff\xff\xfe\x00\x06abcd" + b"\xff\xd0" + b"\xff\xc4\x00\x05xyz" + b"\xff\x01"
    assert read_image_header(jpeg(7, 9, before)) == ImageHeader("jpeg", 7, 9)


def test_a_jpeg_whose_segments_end_in_nothing_has_no_size():
    assert read_image_header(b"\xff\xd8\xff\xe0\x00\x04ab\x00\x00") is None


@pytest.mark.parametrize(
    "content",
    [
        webp(b"VP8 ", b"\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00"),
        webp(b"VP8L", b"\x00\x00\x00\x00\x00"),
        webp(b"ALPH", b"\x00" * 30),
    ],
)
def test_a_webp_of_another_make_has_no_size(content):
    assert read_image_header(content) is None


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("photo.jpg", "jpeg"),
        ("PHOTO.JPE", "jpeg"),
        ("a/b.c/page.HTM", "html"),
        ("notes.markdown", "md"),
        ("s3://bucket/clip.3gp", "three_gp"),
        ("report.v2.pdf", "pdf"),
        ("README", None),
        (".profile", None),
        ("name.", None),
    ],
)
def test_a_name_tells_the_format_as_the_api_spells_it(name, found):
    assert format_of_name(name) == found


@pytest.mark.parametrize(
    ("content", "name", "found"),
    [
        (b"%PDF-1.7\n", "any.txt", "pdf"),
        (b"\n\n%PDF-1.4", "x", "pdf"),
        (b"# How a PDF begins\nwith %PDF-1.7", "notes.md", "md"),
        (office("word/document.xml"), "x.zip", "docx"),
        (office("xl/workbook.xml"), "x", "xlsx"),
        (office("other.txt"), "x.docx", None),
        (b"PK\x03\x04broken", "x.docx", None),
        (b"a,b\n1,2\n", "table.csv", "csv"),
        (b"# Title\n", "readme.md", "md"),
        (b"plain", "notes.log", "txt"),
        (b"plain", "notes", "txt"),
        (b"{}", "data.json", "txt"),
        (b"\xef\xbb\xbf <!DOCTYPE html><p>", "page", "html"),
        (b"<html>", "page.txt", "txt"),
        (b"\xff\xfea\x00b\x00", "utf16.csv", "csv"),
        (b"\x00\x01\x02", "x.txt", None),
    ],
)
def test_the_content_of_a_document_tells_its_format_before_its_name_does(content, name, found):
    assert document_format(content, name) == found


@pytest.mark.parametrize(
    ("stream", "name", "found"),
    [
        ("WordDocument", "x", "doc"),
        ("Workbook", "x", "xls"),
        ("Nothing", "x.doc", "doc"),
        ("Nothing", "x.xls", "xls"),
        ("Nothing", "x.msg", None),
    ],
)
def test_old_office_documents_are_told_apart_by_their_streams(stream, name, found):
    content = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(20) + stream.encode("utf-16-le")
    assert document_format(content, name) == found


@given(content=st.binary(max_size=100), name=st.text(max_size=20))
def test_any_document_is_looked_at_without_a_crash(content, name):
    document_format(b"PK\x03\x04" + content, name)
    document_format(content, name)
