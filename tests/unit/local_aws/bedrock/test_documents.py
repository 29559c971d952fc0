from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest
from airflow_provider_aiml.local_aws.bedrock import Bedrock, pdf
from airflow_provider_aiml.local_aws.bedrock.documents import Image, measure_image, read_document
from airflow_provider_aiml.local_aws.errors import ApiError
from hypothesis import given
from hypothesis import strategies as st

NOVA = "amazon.nova-pro-v1:0"
WORD = (
    '<w:document xmlns:w="http://x/w"><w:p><w:r><w:t>one </w:t><w:t>line</w:t></w:r></w:p><w:p/></w:document>'
)


def block(data, form="txt", name="document-1"):
    return {"name": name, "format": form, "source": {"bytes": data}}


def office(member, text):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, text)
    return buffer.getvalue()


def plain_pdf(*pages):
    """Make a PDF with one text a page, as an uncompressed file."""
    catalog = b"1 0 obj <</Type /Catalog /Pages 2 0 R>> endobj\n2 0 obj <</Type /Pages /Count 9>> endobj\n"
    parts = [b"%PDF-1.4\n", catalog]
    for text in pages:
        shown = b"BT (" + text + b") Tj ET"
        parts.append(
            b"3 0 obj <</Type /Page>> endobj\n4 0 obj <</Length 9>>\nstream\n"
            + shown
            + b"\nendstream endobj\n"
        )
    return b"".join(parts) + b"%%EOF"


def test_a_line_of_a_text_document_can_be_quoted(ask):
    asked = [{"text": "What is line 2 of document-1?"}, {"document": block(b"first\nsecond\nthird")}]

    said = ask.text(asked)

    assert 'Line 2 of document-1 reads: "second"' in said
    assert "I read document-1 (txt): 3 lines, 18 bytes." in said


def test_a_line_that_is_not_there_is_said_not_to_be(ask):
    asked = [{"text": "line 9 of document-1, and line 1 of other"}, {"document": block(b"first")}]

    assert "Line 9 of document-1 does not exist." in ask.text(asked)


def test_a_document_of_an_earlier_turn_can_still_be_quoted_but_is_not_reported_again(ask):
    said = ask.text([{"text": "Here"}, {"document": block(b"first\nsecond")}], "Ok", "line 1 of document-1")

    assert 'reads: "first"' in said
    assert "I read" not in said


def test_the_pages_of_a_pdf_are_reported_and_its_plain_text_is_read(ask):
    data = plain_pdf(b"Hello", rb"a \(b\) \101\n")
    said = ask.text([{"text": "line 2 of the document-1"}, {"document": block(data, "pdf")}])

    assert "document-1 (pdf): 2 pages." in said
    assert "a (b) A" in said


def test_pages_and_text_inside_compressed_streams_are_found():
    pages = zlib.compress(b"<</Type/Page>> <</Type/Page/X 1>> <</Type/Pages>>")
    text = zlib.compress(b"[(Hel) -20 (lo)] TJ ( ) Tj")
    head = b"<</Filter /FlateDecode>>\nstream\n"
    data = b"%PDF-1.7\n" + head + pages + b"\nendstream\n" + head + text + b"\nendstream\n" + head + b"broken"

    assert pdf.count_pages(data) == 2
    assert pdf.text_lines(data) == ["Hello"]


@given(st.binary(max_size=300))
def test_no_bytes_break_the_pdf_reader(data):
    assert pdf.count_pages(b"%PDF-1.4\n" + data) >= 0
    assert isinstance(pdf.text_lines(b"<<>>stream\n" + data), list)


@given(st.binary(max_size=80))
def test_no_bytes_break_the_measuring_of_images(data):
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF0000WEBP", b"\xff\xd8\xff"):
        measured = measure_image(start + data)
        assert measured is None or measured.format in {"png", "gif", "webp", "jpeg"}


@pytest.mark.parametrize(
    ("form", "data", "lines"),
    [
        ("docx", office("word/document.xml", WORD), ("one line", "")),
        ("xlsx", office("xl/sharedStrings.xml", "<sst><si><t>a</t></si><si><t>b</t></si></sst>"), ("a", "b")),
        ("xlsx", office("xl/workbook.xml", "<w/>"), ()),
        ("html", b"<p>a &amp; b</p>\n<b>c</b>", ("a & b", "c")),
        ("csv", b"a,b\n1,2", ("a,b", "1,2")),
        ("doc", b"\xd0\xcf\x11\xe0", ()),
    ],
)
def test_each_format_gives_its_lines(form, data, lines):
    assert read_document(block(data, form)).lines == lines


@pytest.mark.parametrize("form", ["pdf", "docx", "xlsx"])
def test_a_file_that_is_not_what_it_says_is_refused(form):
    with pytest.raises(ApiError, match="valid"):
        read_document(block(b"just text", form))


@pytest.mark.parametrize("source", [{"text": "a\nb"}, {"content": [{"text": "a"}, {"text": "b"}]}])
def test_a_source_may_be_text(source):
    assert read_document({"name": "d", "source": source}).lines == ("a", "b")


def test_one_line_and_one_byte_are_not_plural():
    assert read_document(block(b"x")).report() == "document-1 (txt): 1 line, 1 byte"


def test_a_document_in_s3_is_read_from_there():
    objects = {"s3://bucket/notes.txt": b"from afar"}
    source = {"s3Location": {"uri": "s3://bucket/notes.txt"}}
    content = [
        {"text": "line 1 of document-1"},
        {"document": {"name": "document-1", "format": "txt", "source": source}},
    ]
    bedrock = Bedrock(get_object=objects.__getitem__)

    answer = bedrock.handle("Converse", {"modelId": NOVA, "messages": [{"role": "user", "content": content}]})

    assert 'reads: "from afar"' in answer["output"]["message"]["content"][0]["text"]


def test_an_object_that_cannot_be_read_is_named():
    with pytest.raises(ApiError, match="s3://bucket/missing does not exist"):
        read_document({"name": "d", "source": {"s3Location": {"uri": "s3://bucket/missing"}}}, {}.__getitem__)


def test_a_document_inside_a_tool_result_is_read(ask):
    config = {"tools": [{"toolSpec": {"name": "load", "inputSchema": {"json": {"type": "object"}}}}]}
    use = {"toolUse": {"toolUseId": "t1", "name": "load", "input": {}}}
    result = {"toolResult": {"toolUseId": "t1", "content": [{"document": block(b"a\nb")}]}}

    assert "I read document-1 (txt): 2 lines" in ask.text("use tool load", [use], [result], toolConfig=config)


JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x0b\x08" + struct.pack(">HH", 20, 30) + b"\x01\x00\x00\x00"


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 30, 20), Image("png", 30, 20)),
        (b"GIF89a" + struct.pack("<HH", 30, 20), Image("gif", 30, 20)),
        (JPEG, Image("jpeg", 30, 20)),
        (b"RIFF\0\0\0\0WEBPVP8X" + b"\0" * 8 + b"\x1d\0\0\x13\0\0", Image("webp", 30, 20)),
        (b"RIFF\0\0\0\0WEBPVP8L" + b"\0" * 5 + (29 | 19 << 14).to_bytes(4, "little"), Image("webp", 30, 20)),
        (b"RIFF\0\0\0\0WEBPVP8 " + b"\0" * 10 + struct.pack("<HH", 30, 20), Image("webp", 30, 20)),
        (b"RIFF\0\0\0\0WEBPVP8 ", None),
        (b"\xff\xd8\xff\xe0\x00\x04ab", None),
        (b"text", None),
    ],
)
def test_format_and_size_of_an_image_are_read_from_its_head(data, seen):
    assert measure_image(data) == seen


def test_an_image_is_reported(ask):
    said = ask.text([{"text": "Look"}, {"image": {"format": "jpeg", "source": {"bytes": JPEG}}}])

    assert "I read image (jpeg): 30x20 pixels." in said


def test_an_image_from_s3_that_is_none_is_reported_as_unreadable():
    image = {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/x"}}}}
    bedrock = Bedrock(get_object=lambda uri: b"nothing")

    answer = bedrock.handle(
        "Converse", {"modelId": NOVA, "messages": [{"role": "user", "content": [{"text": "Look"}, image]}]}
    )

    assert "image (png): unreadable" in answer["output"]["message"]["content"][0]["text"]
