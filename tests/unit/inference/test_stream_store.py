"""Answers kept while they arrive: whole or not there, and nothing that came is lost."""

from __future__ import annotations

import json
import os
import time
import zlib

import pytest
from airflow.sdk import ObjectStoragePath
from airflow_provider_aiml.exceptions import ModelFailedError, ResponseError, StoredAnswerError
from airflow_provider_aiml.hooks.sagemaker_runtime import SageMakerRuntimeHook
from airflow_provider_aiml.inference import growing_upload, stream_store
from airflow_provider_aiml.inference.growing_upload import PART_BYTES, GrowingUpload
from airflow_provider_aiml.inference.outputs import Location
from airflow_provider_aiml.inference.stored_answer import Answer, AnswerStore
from airflow_provider_aiml.inference.stream_store import StoredStream, StreamStore
from upath import UPath

MEMBERS = {"content_type": "text/plain"}
LARGE = os.urandom(1 << 20)
PLACE = {"Bucket": "answers", "Key": "folder/answer"}


def broken(*pieces, error=None):
    yield from pieces
    raise error or ResponseError("the stream broke off", hint="a hint")


def pieces_of(size):
    """Give so many bytes in pieces whose size divides nothing."""
    body = (LARGE * (size // len(LARGE) + 1))[:size]
    return body, (body[start : start + 99_991] for start in range(0, size, 99_991))


# In a file system.


@pytest.fixture(params=["pathlib", "ObjectStoragePath"])
def local(request, tmp_path):
    target = tmp_path / "folder" / "answer"
    path = target if request.param == "pathlib" else ObjectStoragePath(f"file://{target}")
    return StreamStore(path, "file:///answer", "id"), target


def test_an_answer_in_a_file_appears_whole_behind_its_record(local):
    store, target = local

    def arriving():
        yield b"one"
        assert not target.exists()
        yield b"two"

    kept = store.save_stream(arriving(), MEMBERS)

    assert target.read_bytes() == b"onetwo"
    assert kept == store.kept() == StoredStream(6, MEMBERS)
    assert sorted(file.name for file in target.parent.iterdir()) == ["answer", "answer.aiml.json"]


def test_a_kept_stream_is_an_answer_like_any_other(local):
    store, _ = local
    store.save_stream([b"one"], MEMBERS)

    assert AnswerStore(store.path, store.uri, "id").load() == Answer(b"one", MEMBERS)


def test_an_answer_that_was_kept_whole_is_found_like_a_streamed_one(local):
    store, _ = local
    AnswerStore(store.path, store.uri, "id").save(Answer(b"one", MEMBERS))

    assert store.kept() == StoredStream(3, MEMBERS)


def test_a_stream_that_breaks_leaves_what_came_in_the_file_beside(local):
    store, target = local

    with pytest.raises(ResponseError) as raised:
        store.save_stream(broken(b"one", b"two"), MEMBERS)

    assert not target.exists()
    assert target.with_name("answer.partial").read_bytes() == b"onetwo"
    assert raised.value.hint == "a hint; the 6 bytes that did arrive are kept at file:///answer.partial"
    assert store.kept() is None


def test_a_task_that_is_stopped_leaves_what_came_too(local):
    store, target = local

    with pytest.raises(KeyboardInterrupt):
        store.save_stream(broken(b"one", error=KeyboardInterrupt()), MEMBERS)
    assert target.with_name("answer.partial").read_bytes() == b"one"


def test_a_stream_that_breaks_before_it_begins_leaves_nothing_to_tell_of(local):
    store, _ = local

    with pytest.raises(ResponseError) as raised:
        store.save_stream(broken(), MEMBERS)
    assert raised.value.hint == "a hint"


def test_a_broken_try_does_not_hide_the_next(local):
    store, target = local
    with pytest.raises(ResponseError):
        store.save_stream(broken(b"a" * 100), MEMBERS)

    store.save_stream([b"two"], MEMBERS)

    assert (target.read_bytes(), store.kept()) == (b"two", StoredStream(3, MEMBERS))


def test_an_empty_answer_is_one(local):
    store, target = local

    assert store.save_stream([], MEMBERS).size == 0
    assert target.read_bytes() == b""
    assert store.kept() == StoredStream(0, MEMBERS)


@pytest.mark.parametrize("size", [255 * 1024, 256 * 1024, 256 * 1024 + 1, 3 << 20])
def test_pieces_of_any_size_are_kept(local, size):
    store, target = local
    body, pieces = pieces_of(size)

    store.save_stream([body], MEMBERS)
    assert target.read_bytes() == body
    store.save_stream(pieces, MEMBERS)
    assert target.read_bytes() == body


@pytest.mark.parametrize("change", [b"onetw", b"onetwx", None])
def test_an_answer_that_was_changed_or_is_gone_is_asked_for_again(local, change):
    store, target = local
    store.save_stream([b"onetwo"], MEMBERS)
    target.unlink()
    if change is not None:
        target.write_bytes(change)

    assert store.kept() is None


def test_the_answer_to_another_request_is_not_taken(local):
    store, _ = local
    store.save_stream([b"one"], MEMBERS)

    assert StreamStore(store.path, store.uri, "other").kept() is None


def test_a_disk_that_is_full_is_an_error_that_says_what_to_do(local, monkeypatch):
    store, target = local

    def full(*_):
        raise OSError(28, "No space left on device")

    with target_of_writes(store, full, monkeypatch), pytest.raises(StoredAnswerError, match="disk") as raised:
        store.save_stream([b"x" * 300_000], MEMBERS)
    assert raised.value.may_have_been_billed
    assert "TMPDIR" in raised.value.hint
    assert not target.exists()


def target_of_writes(store, write, monkeypatch):
    """Let the file that is written to behave otherwise."""

    class File:
        def __init__(self, file):
            self.file = file
            self.write = write

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    really = StreamStore._open_spool
    context = monkeypatch.context()
    monkeypatch.setattr(StreamStore, "_open_spool", lambda self: File(really(self)))
    return context


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").write_text("")
    store = StreamStore(tmp_path / "file" / "answer", "file:///file/answer", "id")

    with pytest.raises(StoredAnswerError) as raised:
        store.save_stream([b"x"], MEMBERS)
    assert raised.value.may_have_been_billed


# In any other store.


def test_an_answer_in_another_store_is_written_when_it_is_whole():
    path = UPath("memory://answers/one")
    store = StreamStore(path, "memory://answers/one", "id")

    def arriving():
        yield b"one"
        assert not path.exists()

    store.save_stream(arriving(), MEMBERS)

    assert path.read_bytes() == b"one"
    assert store.kept() == StoredStream(3, MEMBERS)


def test_what_came_of_a_broken_stream_goes_to_the_other_store():
    path = UPath("memory://answers/two")

    with pytest.raises(ModelFailedError) as raised:
        StreamStore(path, "memory://answers/two", "id").save_stream(
            broken(b"one", error=ModelFailedError("failed")), MEMBERS
        )
    assert UPath("memory://answers/two.partial").read_bytes() == b"one"
    assert raised.value.hint.endswith("kept at memory://answers/two.partial")
    assert not path.exists()


def test_a_disk_that_cannot_hold_the_answer_is_found_before_the_call(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    store = StreamStore(UPath("memory://answers/three"), "memory://answers/three", "id")

    with pytest.raises(StoredAnswerError, match=r"TMPDIR .* FileNotFoundError") as raised:
        store.announce()
    assert not raised.value.may_have_been_billed
    assert "bucket" not in raised.value.hint


# On S3.


@pytest.fixture
def s3(aws):
    client = SageMakerRuntimeHook().s3_client()
    client.create_bucket(Bucket="answers")
    return client


@pytest.fixture
def store(s3):
    uri = "s3://answers/folder/answer"
    return StreamStore(ObjectStoragePath(uri, conn_id="aws_default"), uri, "id")


@pytest.fixture
def upload(s3):
    return lambda read: GrowingUpload(s3, Location("answers", "folder/answer"), read)


def keys(s3):
    return [found["Key"] for found in s3.list_objects_v2(Bucket="answers").get("Contents", [])]


def uploads(s3):
    return s3.list_multipart_uploads(Bucket="answers").get("Uploads", [])


def test_a_long_answer_goes_to_s3_while_it_arrives_and_appears_at_once(s3, store, upload):
    body, pieces = pieces_of(2 * PART_BYTES + 4711)
    seen = []

    def arriving():
        for piece in pieces:
            yield piece
            seen.append((bool(uploads(s3)), keys(s3)))

    kept = store.save_stream(arriving(), MEMBERS, upload)

    assert (True, []) in seen
    assert all(found == [] for _, found in seen)
    assert s3.get_object(**PLACE)["Body"].read() == body
    assert s3.head_object(**PLACE)["ETag"].endswith('-3"')
    assert kept == store.kept() == StoredStream(len(body), MEMBERS)
    assert not uploads(s3)
    record = json.loads(s3.get_object(Bucket="answers", Key="folder/answer.aiml.json")["Body"].read())
    assert record["crc32"] == zlib.crc32(body)


def test_an_answer_of_whole_parts_has_no_empty_one_behind_them(s3, store, upload):
    body, pieces = pieces_of(PART_BYTES)

    store.save_stream(pieces, MEMBERS, upload)

    assert s3.head_object(**PLACE)["ETag"].endswith('-1"')
    assert s3.get_object(**PLACE)["Body"].read() == body


def test_a_short_answer_goes_to_s3_in_one_piece(s3, store, upload):
    store.save_stream([b"one", b"two"], MEMBERS, upload)

    assert s3.get_object(**PLACE)["Body"].read() == b"onetwo"
    assert "-" not in s3.head_object(**PLACE)["ETag"]


def test_a_long_stream_that_breaks_leaves_no_half_object_but_what_came_beside_it(s3, store, upload):
    body, pieces = pieces_of(PART_BYTES + 5)

    with pytest.raises(ResponseError) as raised:
        store.save_stream(broken(*pieces), MEMBERS, upload)

    assert keys(s3) == ["folder/answer.partial"]
    assert s3.get_object(Bucket="answers", Key="folder/answer.partial")["Body"].read() == body
    assert not uploads(s3)
    assert "s3://answers/folder/answer.partial" in raised.value.hint


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_upload_that_fails_is_made_up_for_from_the_workers_disk(s3, store, upload, aws, method, caplog):
    body, pieces = pieces_of(PART_BYTES + 5)
    aws.add_fault(f"s3:{method}", code="AccessDenied", count=1, key_prefix="folder/answer")

    def arriving():
        yield from pieces
        while not aws.request_counts().get(f"s3:{method}"):
            time.sleep(0.01)

    store.save_stream(arriving(), MEMBERS, upload)

    assert "failed (AccessDenied); the answer is written again" in caplog.text
    assert s3.get_object(**PLACE)["Body"].read() == body
    assert store.kept() == StoredStream(len(body), MEMBERS)
    assert not uploads(s3)


def test_parts_that_cannot_be_discarded_are_told_of(s3, store, upload, aws, caplog):
    _, pieces = pieces_of(PART_BYTES + 5)
    aws.add_fault("s3:DELETE", code="AccessDenied", count=9)

    with pytest.raises(ResponseError):
        store.save_stream(broken(*pieces), MEMBERS, upload)
    assert "s3:AbortMultipartUpload" in caplog.text


def test_what_came_is_told_to_be_lost_where_the_store_does_not_take_it(s3, store, upload, aws, caplog):
    aws.add_fault("s3:PUT", code="AccessDenied", count=99)

    with pytest.raises(ResponseError) as raised:
        store.save_stream(broken(b"one"), MEMBERS, upload)
    assert raised.value.hint == "a hint"
    assert "The 3 bytes that did arrive are not kept" in caplog.text


def test_an_upload_that_was_never_begun_has_nothing_to_close(s3, upload):
    unused = upload(lambda start, buffer: None)

    assert unused.complete(5) is False
    unused.close()


def test_parts_and_gathered_bytes_are_as_large_as_the_stores_allow():
    assert growing_upload.PART_BYTES >= 5 * 1024 * 1024
    assert stream_store._GATHERED < growing_upload.PART_BYTES
