from __future__ import annotations

import json
import logging
import os
import zlib

import pytest
import tenacity
from airflow_provider_aiml.exceptions import OutputUnreadableError, StoredAnswerError
from airflow_provider_aiml.inference.stored_answer import Answer, AnswerStore, copy_object, write_object

ANSWER = Answer(b'{"a": 1}', {"content_type": "application/json"})


class FailingPath:
    """A path whose first writes fail: as many as ``errors`` holds."""

    protocol = "s3"

    def __init__(self, path, errors):
        self.path = path
        self.errors = errors
        self.tried = []

    @property
    def name(self):
        return self.path.name

    @property
    def parent(self):
        return FailingPath(self.path.parent, self.errors)

    def __truediv__(self, other):
        return FailingPath(self.path / other, self.errors)

    def open(self, mode):
        if mode == "wb" and self.errors:
            raise self.errors.pop(0)
        return self.path.open(mode)

    def mkdir(self, **_):
        raise AssertionError("no bucket is made")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda seconds: None)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "answer.json"


@pytest.fixture
def store(path):
    return AnswerStore(path, "file:///answer.json", "me")


def test_nothing_is_there_before_anything_was_asked(store):
    assert store.load() is None


def test_an_answer_is_read_back_by_the_one_who_asked(store, path):
    store.announce()
    store.save(ANSWER)

    assert store.load() == ANSWER
    assert path.read_bytes() == ANSWER.body


def test_an_announced_call_is_no_answer(store):
    store.announce()

    assert store.load() is None


def test_an_answer_to_another_request_is_none(store, path, caplog):
    store.announce()
    store.save(ANSWER)

    with caplog.at_level(logging.INFO):
        assert AnswerStore(path, "file:///answer.json", "other").load() is None
    assert "keeps the answer to another request" in caplog.text


def test_a_task_killed_before_the_body_was_written_asks_again(store, path, caplog):
    store.announce()
    store.save(ANSWER)
    path.unlink()

    assert store.load() is None
    assert "The model is asked again" in caplog.text


@pytest.mark.parametrize("found", [ANSWER.body[:4], ANSWER.body[:-1] + b"]"])
def test_a_task_killed_while_the_body_was_written_asks_again(store, path, found):
    store.announce()
    store.save(ANSWER)
    path.write_bytes(found)

    assert store.load() is None


def test_a_body_that_is_there_is_an_answer_whenever_the_task_was_killed(path):
    written = []

    class Watched(FailingPath):
        def __truediv__(self, other):
            return Watched(self.path / other, self.errors)

        @property
        def parent(self):
            return Watched(self.path.parent, self.errors)

        def open(self, mode):
            if mode == "wb":
                written.append(self.name)
            return super().open(mode)

    path.parent.mkdir()
    AnswerStore(Watched(path, []), "s3://b/answer.json", "me").save(ANSWER)

    assert written == ["answer.json.aiml.json", "answer.json"]


def test_an_answer_lies_about_nothing_but_its_own_request(store, path):
    store.save(ANSWER)

    record = json.loads((path.parent / "answer.json.aiml.json").read_bytes())
    assert record == {
        "format": 1,
        "identity": "me",
        "state": "answered",
        "crc32": zlib.crc32(ANSWER.body),
        "size": 8,
        "members": {"content_type": "application/json"},
    }


@pytest.mark.parametrize("record", [b"not json", b"[1]", b"{}", b'{"state": "answered"}'])
def test_a_record_that_is_none_of_ours_is_taken_as_absent(store, path, record):
    store.announce()
    (path.parent / "answer.json.aiml.json").write_bytes(record)

    assert store.load() is None


def test_a_place_that_cannot_be_written_is_noticed_before_the_call(tmp_path):
    (tmp_path / "folder").write_text("a file where a folder should be")
    store = AnswerStore(tmp_path / "folder" / "answer.json", "file:///folder/answer.json", "me")

    with pytest.raises(StoredAnswerError, match=r"^file:///folder/answer.json cannot be written") as caught:
        store.announce()

    assert not caught.value.may_have_been_billed
    assert not caught.value.retryable
    assert "s3:PutObject" in str(caught.value.hint)


def test_a_place_that_cannot_be_read_is_an_error_and_not_a_new_inference(path):
    path.parent.mkdir()
    (path.parent / "answer.json.aiml.json").mkdir()

    with pytest.raises(StoredAnswerError, match="cannot be read: IsADirectoryError"):
        AnswerStore(path, "file:///answer.json", "me").load()


def test_a_paid_answer_is_written_with_four_more_tries(path):
    path.parent.mkdir()
    store = AnswerStore(FailingPath(path, [OSError("503")] * 4), "s3://b/answer.json", "me")

    store.save(ANSWER)

    assert store.load() == ANSWER


def test_a_paid_answer_that_cannot_be_kept_says_so(path):
    store = AnswerStore(FailingPath(path, [OSError("503")] * 9), "s3://b/answer.json", "me")

    with pytest.raises(StoredAnswerError, match="written: OSError") as caught:
        store.save(ANSWER)

    assert caught.value.may_have_been_billed
    assert caught.value.retryable


def test_before_the_call_one_more_try_is_enough(path):
    errors = [OSError("503")] * 9
    with pytest.raises(StoredAnswerError):
        AnswerStore(FailingPath(path, errors), "s3://b/answer.json", "me").announce()

    assert len(errors) == 7


def test_what_trying_again_cannot_change_is_not_tried_again(path):
    errors = [PermissionError("403")] * 9
    with pytest.raises(StoredAnswerError, match="PermissionError"):
        AnswerStore(FailingPath(path, errors), "s3://b/answer.json", "me").save(ANSWER)

    assert len(errors) == 8


def test_a_timeout_of_the_task_is_not_held_up(path):
    class TaskTimeout(BaseException):
        pass

    errors = [TaskTimeout()] * 9
    with pytest.raises(TaskTimeout):
        AnswerStore(FailingPath(path, errors), "s3://b/answer.json", "me").save(ANSWER)

    assert len(errors) == 8


def test_the_part_that_did_arrive_is_kept_beside_the_answer(store, path):
    store.save_partial(b'{"a')

    assert (path.parent / "answer.json.partial").read_bytes() == b'{"a'
    assert not path.exists()


def test_a_part_that_cannot_be_kept_does_not_hide_the_error_that_cut_it(path, caplog):
    AnswerStore(FailingPath(path, [PermissionError()]), "s3://b/answer.json", "me").save_partial(b"abc")

    assert "The 3 bytes that did arrive are not kept" in caplog.text


def test_an_output_is_copied_piece_by_piece(path):
    copy_object(path, "file:///x", iter([b"ab", b"cd"]))

    assert path.read_bytes() == b"abcd"


def test_a_copy_that_cannot_be_written_is_an_error_of_ours(path):
    with pytest.raises(StoredAnswerError, match="s3://b/x cannot be written: PermissionError"):
        copy_object(FailingPath(path, [PermissionError()]), "s3://b/x", [b"ab"])


def test_a_copy_that_cannot_be_read_says_so_and_not_that_it_cannot_be_written(path):
    def pieces():
        yield b"ab"
        raise OutputUnreadableError("S3 is down")

    with pytest.raises(OutputUnreadableError, match="S3 is down"):
        copy_object(path, "file:///x", pieces())


class Killed(BaseException):
    """The worker dies."""


def broken_off():
    yield b"ha"
    raise Killed


@pytest.mark.parametrize("before", [b"whole", None])
def test_a_file_is_whole_or_as_it_was_whenever_the_task_is_killed(path, before):
    path.parent.mkdir()
    if before:
        path.write_bytes(before)

    with pytest.raises(Killed):
        write_object(path, broken_off())

    assert [(one.name, one.read_bytes()) for one in path.parent.iterdir()] == (
        [(path.name, before)] if before else []
    )


def test_a_file_keeps_its_rights_and_the_link_that_leads_to_it(tmp_path):
    target, link = tmp_path / "target", tmp_path / "folder" / "link"
    target.write_bytes(b"before")
    target.chmod(0o640)
    link.parent.mkdir()
    link.symlink_to(target)

    write_object(link, [b"after"])

    assert link.is_symlink()
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"after", 0o640)


def test_what_is_no_plain_file_is_written_as_it_is(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    write_object(pipe, [b"through"])

    assert os.read(reader, 100) == b"through"
    os.close(reader)


def test_a_path_of_airflows_is_written_whole_too(tmp_path):
    from airflow.sdk import ObjectStoragePath

    path = ObjectStoragePath(f"file://{tmp_path}/new/answer.json")

    write_object(path, [b"first"])
    with pytest.raises(Killed):
        write_object(path, broken_off())

    assert [(one.name, one.read_bytes()) for one in (tmp_path / "new").iterdir()] == [
        ("answer.json", b"first")
    ]
