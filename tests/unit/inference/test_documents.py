from __future__ import annotations

import io
from pathlib import Path

import pytest
from airflow_provider_aiml.exceptions import PayloadError, RequestError
from airflow_provider_aiml.inference.documents import (
    MOST_BYTES,
    Attachments,
    attached,
    check_media,
    document_names,
    own_name,
)
from airflow_provider_aiml.inference.requests import check_request, load_operation
from hypothesis import given
from hypothesis import strategies as st

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000030000000408020000000000000000")


def huge_png(side: int) -> bytes:
    return PNG[:16] + side.to_bytes(4, "big") + PNG[20:]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Annual report (v2).pdf").write_bytes(b"%PDF-1.7 x")
    (tmp_path / "notes.txt").write_text("first\nsecond")
    (tmp_path / "photo.jpg").write_bytes(PNG)
    (tmp_path / "empty.txt").touch()
    return tmp_path


def attachments(folder, **options):
    return Attachments(lambda uri: folder / uri.rpartition("/")[2], **options)


def accepted(*blocks):
    content = [*blocks, {"text": "Read."}]
    check_media(content)
    request = {"model_id": "amazon.nova-lite-v1:0", "messages": [{"role": "user", "content": content}]}
    check_request(load_operation("bedrock-runtime", "Converse"), request)


def test_documents_are_read_from_paths_uris_and_mappings(folder):
    extra = {"context": "why", "citations": {"enabled": True}}
    sources = [
        folder / "notes.txt",
        str(folder / "notes.txt"),
        "s3://bucket/notes.txt",
        {"uri": "s3://bucket/notes.txt", "name": "own words", **extra},
    ]

    blocks = attachments(folder).documents(sources)

    text = {"format": "txt", "source": {"bytes": b"first\nsecond"}}
    assert blocks[:3] == [{"document": {"name": f"document-{n}", **text}} for n in (1, 2, 3)]
    assert blocks[3] == {"document": {"name": "own words", **text, **extra}}
    accepted(*blocks)


def test_a_single_document_needs_no_list(folder):
    assert len(attachments(folder).documents(folder / "notes.txt")) == 1
    assert len(attachments(folder).documents({"uri": "s3://bucket/notes.txt"})) == 1
    assert attachments(folder).documents(None) == []


def test_blocks_of_the_api_pass_as_they_are(folder):
    inner = {"name": "mine", "format": "txt", "source": {"text": "hello"}}
    image = {"format": "png", "source": {"bytes": PNG}}

    assert attachments(folder).documents([inner, {"document": inner}]) == [{"document": inner}] * 2
    assert attachments(folder).images([{"image": image}]) == [{"image": image}]
    (named,) = attachments(folder).documents([{"source": {"text": "hello"}}])
    assert named["document"]["name"] == "document-1"


def test_the_content_says_what_an_image_is_whatever_its_name(folder):
    (block,) = attachments(folder).images([folder / "photo.jpg"])

    assert block == {"image": {"format": "png", "source": {"bytes": PNG}}}
    accepted(block)


def test_names_are_neutral_and_go_on_behind_those_of_the_conversation(folder):
    blocks = attachments(folder).documents([folder / "notes.txt"] * 2, taken=["document-1"])

    assert [block["document"]["name"] for block in blocks] == ["document-2", "document-3"]


def test_a_neutral_name_is_none_that_was_given_by_hand(folder):
    by_hand = {"uri": "s3://bucket/notes.txt", "name": "document-1"}
    block = {"document": {"name": "document-2", "format": "txt", "source": {"text": "x"}}}
    notes = folder / "notes.txt"

    blocks = attachments(folder).documents([notes, by_hand, notes, block])

    names = [one["document"]["name"] for one in blocks]
    assert names == ["document-3", "document-1", "document-4", "document-2"]
    accepted(*blocks)


def test_own_names_are_made_to_fit_and_to_differ(folder):
    made = attachments(folder, names="own")
    files = [folder / "Annual report (v2).pdf"] * 2

    blocks = made.documents(files)

    names = [block["document"]["name"] for block in blocks]
    assert names == ["Annual report (v2)", "Annual report (v2) (2)"]
    accepted(*blocks)


@given(st.text(max_size=300))
def test_any_files_name_becomes_one_that_converse_takes_or_none(name):
    made = own_name(name)
    block = {"document": {"name": made or "document-1", "format": "txt", "source": {"text": "x"}}}
    check_media([block, {"text": "Read."}])


@given(st.lists(st.sampled_from(["a" * 250 + ".pdf", "a.pdf", "b.txt"]), max_size=5))
def test_own_names_never_collide(names):
    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def open(self, mode: str):
            return io.BytesIO(b"x")

    blocks = Attachments(Path, names="own").documents([Named(name) for name in names])
    if blocks:
        check_media([*blocks, {"text": "Read."}])
    assert len(set(document_names([{"content": blocks}]))) == len(names)


def test_what_lies_on_s3_is_sent_by_its_location_where_that_is_wanted(folder):
    by_location = attachments(folder, send_as="s3")

    documents = by_location.documents(
        [{"uri": "s3://conn@bucket/a/report.PDF", "bucket_owner": "111122223333"}, folder / "notes.txt"]
    )
    images = by_location.images(["s3://bucket/photo.jpg", {"uri": "s3://bucket/photo", "format": "png"}])

    there = {"uri": "s3://bucket/a/report.PDF", "bucketOwner": "111122223333"}
    assert documents[0]["document"]["source"] == {"s3Location": there}
    assert documents[0]["document"]["format"] == "pdf"
    assert documents[1]["document"]["source"] == {"bytes": b"first\nsecond"}
    assert [block["image"]["format"] for block in images] == ["jpeg", "png"]
    accepted(*documents, *images)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (3, "a path, a URI"),
        ("", "a path, a URI"),
        (["a"], "a path, a URI"),
        ({"name": "x"}, r"documents\[0\].uri"),
        ({"uri": "s3://b/notes.txt", "colour": "red"}, "1 other keys"),
        ("s3://bucket/absent.txt", "FileNotFoundError"),
        ("s3://bucket/empty.txt", "empty"),
    ],
)
def test_a_document_that_cannot_be_attached_is_refused(folder, source, words):
    with pytest.raises(RequestError, match=words):
        attachments(folder).documents([source])


def test_a_document_of_another_format_is_refused(folder):
    (folder / "program").write_bytes(b"\x7fELF\x00\x00")

    with pytest.raises(PayloadError, match="of a format that Converse does not take"):
        attachments(folder).documents([folder / "program"])
    with pytest.raises(PayloadError, match="of a format that Converse does not take"):
        attachments(folder, send_as="s3").documents(["s3://bucket/program"])


@pytest.mark.parametrize("sources", [b"bytes", 7, {1, 2}])
def test_what_is_no_list_is_refused(folder, sources):
    with pytest.raises(RequestError, match="a list of paths"):
        attachments(folder).documents(sources)


def test_an_image_that_cannot_be_read_is_refused(folder):
    with pytest.raises(PayloadError, match=r"images\[0\].*no readable image"):
        attachments(folder).images([folder / "notes.txt"])
    with pytest.raises(PayloadError, match="an ending"):
        attachments(folder, send_as="s3").images(["s3://bucket/photo"])


def test_no_more_is_read_of_a_file_than_shows_that_it_is_too_large(folder):
    asked = []

    class Endless:
        name = "endless.txt"

        def open(self, mode):
            return self

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def read(self, size=-1):
            asked.append(size)
            return b"x" * size

    with pytest.raises(PayloadError, match="over 4500000 bytes"):
        attachments(folder).documents([Endless()])
    assert asked == [MOST_BYTES["document"] + 1]


def test_each_file_is_read_once_however_often_it_is_asked_for(folder):
    opened = []

    class Noted:
        def __init__(self, path):
            self.path, self.name = path, path.name

        def open(self, mode):
            opened.append(self.name)
            return self.path.open(mode)

    def noted(uri):
        return Noted(folder / uri.rpartition("/")[2])

    reader = Attachments(noted)
    sources = ["s3://bucket/notes.txt", Noted(folder / "Annual report (v2).pdf")]
    first, later = reader.documents(sources), reader.documents(sources, taken=["document-1"])
    images = [reader.images({"uri": "s3://bucket/photo.jpg"}) for _ in range(2)]

    assert opened == ["notes.txt", "Annual report (v2).pdf", "photo.jpg"]
    assert images[0] == images[1]
    found = [[block["document"]["source"] for block in blocks] for blocks in (first, later)]
    assert found[0] == found[1]
    assert first[0]["document"]["name"] == "document-1"
    assert later[0]["document"]["name"] == "document-2"


def test_without_limits_a_large_file_is_read_whole(folder):
    (folder / "large.txt").write_bytes(b"x" * (MOST_BYTES["document"] + 1))

    (block,) = attachments(folder, limited=False).documents([folder / "large.txt"])

    assert len(block["document"]["source"]["bytes"]) == MOST_BYTES["document"] + 1


def document(name="document-1", content=b"x"):
    return {"document": {"name": name, "format": "txt", "source": {"bytes": content}}}


def image(content=PNG, form="png"):
    return {"image": {"format": form, "source": {"bytes": content}}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([document(f"d{n}") for n in range(6)] + [{"text": "x"}], "6 documents, allowed is at most 5"),
        ([image()] * 21, "21 images, allowed is at most 20"),
        ([document()], "a text block beside"),
        ([document(), document(), {"text": "x"}], r"message\[1\].document.name: is used"),
        ([document("a  b"), {"text": "x"}], "single spaces"),
        ([document("a.pdf"), {"text": "x"}], "text of 5 characters"),
        ([document("a" * 201), {"text": "x"}], "text of 201 characters"),
        ([document(None), {"text": "x"}], "document.name: is missing"),
        ([document(content=b"x" * 4_500_001), {"text": "x"}], "4500001 bytes, allowed is at most 4500000"),
        ([image(b"x" * 3_750_001)], "3750001 bytes"),
        ([image(b"no image")], "no readable image"),
        ([image(form="jpeg")], "format: is another than the content's, allowed is png"),
        ([image(huge_png(8001))], "8001 x 4 pixels"),
    ],
)
def test_a_message_over_a_limit_is_refused_before_it_is_sent(content, words):
    with pytest.raises(PayloadError, match=words):
        check_media(content)


def test_every_problem_of_a_message_is_named_in_one_error():
    with pytest.raises(PayloadError) as caught:
        check_media([document("a.b"), image(b"none"), image(huge_png(9000))])

    assert len(caught.value.problems) == 4


def test_a_name_of_an_earlier_turn_is_taken():
    with pytest.raises(PayloadError, match="used by another document"):
        check_media([document(), {"text": "x"}], taken=["document-1"])


def test_locations_texts_and_other_blocks_are_not_measured():
    there = {"s3Location": {"uri": "s3://b/k"}}
    content = [
        {"document": {"name": "a", "source": there}},
        {"image": {"format": "png", "source": there}},
        {"image": "wrong"},
        {"document": "wrong"},
        {"text": "x"},
        {"cachePoint": {"type": "default"}},
    ]
    check_media(content)


def test_a_message_gets_its_attachments_before_its_text_and_a_text_if_it_has_none():
    text, shown = {"text": "Look"}, image()

    assert attached("Look", [shown]) == [shown, text]
    assert attached([text], [shown]) == [shown, text]
    assert attached(None, [document()])[1]["text"]
    assert attached([{"cachePoint": {"type": "default"}}], [document()])[-1]["text"]
    assert attached(["Look"], [shown]) == [shown, text]
    assert attached([shown], []) == [shown]
    assert attached(None, []) is None


def test_the_results_of_tools_come_before_what_is_attached():
    first, second = ({"toolResult": {"toolUseId": name, "content": [{"text": "3"}]}} for name in "ab")
    text, shown = {"text": "Look"}, image()

    assert attached([first, second, text], [shown]) == [first, second, shown, text]
    assert attached([text, first], [shown]) == [first, shown, text]
    assert [*map(list, attached([first], [shown]))] == [["toolResult"], ["image"], ["text"]]


@pytest.mark.parametrize("message", [{"text": "Look"}, True, b"x", [None], object(), []])
def test_attachments_beside_what_is_no_message_are_refused(message):
    with pytest.raises(RequestError, match="message"):
        attached(message, [image()])
