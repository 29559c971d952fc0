from __future__ import annotations

import json

import boto3
import pytest
from airflow_provider_aiml.exceptions import HistoryConflictError, RequestError, StoredAnswerError
from airflow_provider_aiml.inference.history_places import PathPlace, S3Place
from airflow_provider_aiml.inference.history_store import (
    FORMAT,
    History,
    HistoryTurn,
    append_turn,
    without_attachments,
)
from airflow_provider_aiml.inference.outputs import Location
from botocore.exceptions import ClientError

URI = "s3://talks/a/history.json"


def turn(identity, question="q", answer="a"):
    user = {"role": "user", "content": [{"text": question}]}
    model = {"role": "assistant", "content": [{"text": answer}]}
    return HistoryTurn(identity, (user, model), {"stopReason": "end_turn"})


@pytest.fixture
def s3(aws):
    client = boto3.client(
        "s3",
        endpoint_url=aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    client.create_bucket(Bucket="talks")
    return client


@pytest.fixture(params=["s3", "path"])
def place(request, tmp_path):
    if request.param == "path":
        return PathPlace(tmp_path / "folder" / "history.json", "file:///history.json")
    return S3Place(request.getfixturevalue("s3"), Location.parse(URI, "history_uri"), URI)


def test_an_absent_conversation_is_empty(place):
    assert History.load(place).turns == ()
    assert History.load(place).messages() == []


def test_turns_are_appended_and_what_was_there_stays(place):
    append_turn(place, History.load(place), turn("one"))
    append_turn(place, History.load(place), turn("two", "and?", "so"))

    history = History.load(place)
    assert [one.identity for one in history.turns] == ["one", "two"]
    assert [message["role"] for message in history.messages()] == ["user", "assistant"] * 2
    assert history.turns[1].record == {"stopReason": "end_turn"}


def test_a_retry_finds_its_turn_and_what_was_said_before_it(place):
    for name in ("one", "two", "three"):
        append_turn(place, History.load(place), turn(name))

    before, mine = History.load(place).before("two")

    assert [one.identity for one in before.turns] == ["one"]
    assert mine == turn("two")
    assert History.load(place).before("four")[1] is None


def test_a_turn_that_is_there_is_not_appended_again(place):
    append_turn(place, History.load(place), turn("one"))
    append_turn(place, History.load(place), turn("one"))

    assert len(History.load(place).turns) == 1


def test_a_write_that_was_sent_twice_does_not_conflict_with_itself(place):
    append_turn(place, History.load(place), turn("one"))

    append_turn(place, History(), turn("one"))

    assert len(History.load(place).turns) == 1


def test_what_did_not_get_into_a_conversation_is_kept_beside_it(place):
    kept = place.keep_beside(".one.json", b"{}")

    assert kept == place.uri + ".one.json"


@pytest.mark.parametrize("begun", [False, True])
def test_of_two_writers_the_second_is_told_and_the_first_ones_turn_stays(place, begun):
    if begun:
        append_turn(place, History.load(place), turn("zero"))
    mine, theirs = History.load(place), History.load(place)

    append_turn(place, theirs, turn("theirs"))
    with pytest.raises(HistoryConflictError, match="another writer") as caught:
        append_turn(place, mine, turn("mine"))

    assert caught.value.retryable
    assert caught.value.may_have_been_billed
    assert History.load(place).turns[-1].identity == "theirs"


def test_a_conversation_that_was_removed_meanwhile_is_a_conflict_too(place, tmp_path):
    append_turn(place, History.load(place), turn("one"))
    read = History.load(place)
    if isinstance(place, S3Place):
        place.client.delete_object(Bucket="talks", Key="a/history.json")
    else:
        place.path.unlink()

    with pytest.raises(HistoryConflictError):
        append_turn(place, read, turn("two"))


def test_a_file_that_another_writes_over_in_the_same_moment_is_a_conflict(tmp_path):
    class Racing(type(tmp_path)):
        def open(self, mode="r", *args, **more):
            opened = super().open(mode, *args, **more)
            if mode == "rb" and self.exists() and b"mine" in super().open("rb").read():
                self.write_bytes(b"theirs")
            return opened

    place = PathPlace(Racing(tmp_path / "history.json"), "file:///history.json")

    with pytest.raises(HistoryConflictError):
        append_turn(place, History(), turn("mine"))


def test_what_else_the_object_holds_is_kept(tmp_path):
    path = tmp_path / "history.json"
    path.write_text(json.dumps({"format": FORMAT, "version": 1, "turns": [], "title": "Talk"}))
    place = PathPlace(path, "file:///history.json")

    append_turn(place, History.load(place), turn("one"))

    assert json.loads(path.read_text())["title"] == "Talk"


ODD_TURN = {"identity": "x", "messages": [{"role": "assistant", "content": [{"text": "x"}]}]}
BAD_BYTES = {"identity": "x", "messages": [{"role": "user", "content": [{"x": {"$base64": "?"}}]}]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe", "that are not JSON"),
        (b"{cut", "that are not JSON"),
        (b"", "0 bytes that are not JSON"),
        (b"[]", "JSON of another format"),
        (b'{"messages": []}', "JSON of another format"),
        ({"format": FORMAT, "version": 9}, "another version"),
        ({"format": FORMAT, "version": 1}, "without turns"),
        ({"format": FORMAT, "version": 1, "turns": [3]}, "turn 0 is none"),
        ({"format": FORMAT, "version": 1, "turns": [{"messages": []}]}, "turn 0 is none"),
        ({"format": FORMAT, "version": 1, "turns": [ODD_TURN]}, r"history_uri\[0\].role"),
        ({"format": FORMAT, "version": 1, "turns": [BAD_BYTES]}, "base64"),
    ],
)
def test_an_object_that_is_no_conversation_is_refused(tmp_path, content, words):
    path = tmp_path / "history.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())

    with pytest.raises(RequestError, match=words):
        History.load(PathPlace(path, "file:///history.json"))


def test_a_bucket_that_is_not_there_cannot_be_read_or_written(s3):
    place = S3Place(s3, Location("absent", "k"), "s3://absent/k")

    with pytest.raises(StoredAnswerError, match="s3://absent/k cannot be read") as caught:
        place.read()
    assert not caught.value.retryable
    with pytest.raises(StoredAnswerError, match="cannot be written") as caught:
        place.write(b"{}", None)
    assert caught.value.may_have_been_billed


def test_an_s3_that_cannot_be_reached_may_be_asked_again():
    class Unreachable:
        def get_object(self, **_):
            raise ClientError({"Error": {"Code": "SlowDown"}}, "GetObject")

        def put_object(self, **_):
            raise OSError

    place = S3Place(Unreachable(), Location("b", "k"), "s3://b/k")

    with pytest.raises(StoredAnswerError) as caught:
        place.read()
    assert caught.value.retryable
    with pytest.raises(StoredAnswerError):
        place.write(b"", "etag")
    with pytest.raises(StoredAnswerError):
        place.keep_beside(".one.json", b"")


def test_a_path_that_is_a_folder_cannot_be_used(tmp_path):
    place = PathPlace(tmp_path, "file:///folder")

    with pytest.raises(StoredAnswerError, match="cannot be read"):
        place.read()


def test_a_file_that_cannot_be_written_says_so(tmp_path):
    class ReadOnly(type(tmp_path)):
        def open(self, mode="r", *args, **more):
            if mode == "wb":
                raise PermissionError
            return super().open(mode, *args, **more)

    place = PathPlace(ReadOnly(tmp_path / "history.json"), "file:///history.json")

    with pytest.raises(StoredAnswerError, match="cannot be written"):
        append_turn(place, History(), turn("one"))


def test_what_was_attached_once_is_only_mentioned():
    document = {"document": {"name": "document-1", "format": "pdf", "source": {"bytes": b"x"}}}
    image = {"image": {"format": "png", "source": {"bytes": b"x"}}}
    text = {"document": {"name": "notes", "source": {"text": "x"}}}
    said = {"text": "Read"}

    (message,) = without_attachments([{"role": "user", "content": [document, image, text, said]}])

    assert message["content"] == [
        {"text": "[document document-1 (pdf): sent earlier, not sent again]"},
        {"text": "[image (png): sent earlier, not sent again]"},
        {"text": "[document notes (txt): sent earlier, not sent again]"},
        said,
    ]


def test_what_a_tool_returned_once_is_only_mentioned_too():
    image = {"image": {"format": "png", "source": {"bytes": b"x"}}}
    result = {"toolUseId": "t", "status": "success", "content": [image, {"json": {"image": {"x": 1}}}, "odd"]}

    (message,) = without_attachments([{"role": "user", "content": [{"toolResult": result}]}])

    mention = {"text": "[image (png): sent earlier, not sent again]"}
    content = [mention, {"json": {"image": {"x": 1}}}, "odd"]
    assert message["content"] == [{"toolResult": {**result, "content": content}}]
    assert result["content"][0] is image
