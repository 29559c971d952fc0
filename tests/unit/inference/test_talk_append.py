"""What is paid for and cannot be written into a history."""

from __future__ import annotations

import json

import pytest
import tenacity
from airflow_provider_aiml.exceptions import StoredAnswerError
from airflow_provider_aiml.inference.history_places import PathPlace, S3Place
from airflow_provider_aiml.inference.history_store import History
from airflow_provider_aiml.inference.outputs import Location
from airflow_provider_aiml.inference.talk import Talk
from botocore.exceptions import ClientError

CANARY = "CANARY-3d1f"
SAID = [
    {"role": "user", "content": [{"text": "q"}]},
    {"role": "assistant", "content": [{"text": CANARY}]},
]


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda seconds: None)


class Bucket:
    """S3 that fails: the first few writes, or all of one key."""

    def __init__(self, failures=0, refused=()):
        self.failures = failures
        self.refused = refused
        self.objects = {}
        self.writes = 0

    def get_object(self, *, Key, **_):
        raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")

    def put_object(self, *, Key, Body, **_):
        self.writes += 1
        if Key in self.refused:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "PutObject")
        if self.failures:
            self.failures -= 1
            raise ClientError({"Error": {"Code": "SlowDown"}}, "PutObject")
        self.objects[Key] = Body


def talk(bucket):
    place = S3Place(bucket, Location("b", "talk.json"), "s3://b/talk.json")
    return Talk.load(place, "me", resend=False, anew=False)


def test_a_write_that_fails_is_tried_again_for_the_answer_was_paid_for():
    bucket = Bucket(failures=4)

    talk(bucket).append(SAID, {})

    assert CANARY in bucket.objects["talk.json"].decode()


def test_an_answer_that_gets_into_no_history_is_kept_beside_it_and_in_the_error(caplog):
    bucket = Bucket(refused={"talk.json"})

    with pytest.raises(StoredAnswerError, match=r"kept at s3://b/talk\.json\.me\.json") as caught:
        talk(bucket).append(SAID, {"turns": 1})

    assert json.loads(bucket.objects["talk.json.me.json"])["messages"] == SAID
    assert json.loads(caught.value.partial_body)["record"] == {"turns": 1}
    assert caught.value.may_have_been_billed
    assert CANARY not in str(caught.value) + str(caught.value.to_dict()) + caplog.text


def test_where_nothing_can_be_written_the_answer_is_in_the_error_alone(caplog):
    bucket = Bucket(refused={"talk.json", "talk.json.me.json"})

    with pytest.raises(StoredAnswerError, match="partial_body alone") as caught:
        talk(bucket).append(SAID, {})

    assert CANARY in caught.value.partial_body.decode()
    assert not caught.value.retryable
    assert CANARY not in str(caught.value) + caplog.text


def test_a_place_that_cannot_be_written_is_noticed_before_anything_is_paid_for():
    bucket = Bucket(refused={"talk.json.aiml.json"})

    with pytest.raises(StoredAnswerError, match=r"s3://b/talk\.json\.aiml\.json cannot be written") as caught:
        talk(bucket).announce()
    assert not caught.value.may_have_been_billed
    assert bucket.writes == 1


def test_a_probe_leaves_the_history_as_it_is(tmp_path):
    place = PathPlace(tmp_path / "new" / "talk.json", "file:///talk.json")

    Talk.load(place, "me", resend=False, anew=False).announce()

    assert History.load(place).turns == ()
    assert json.loads((tmp_path / "new" / "talk.json.aiml.json").read_text())["identity"] == "me"
    Talk.of(None).announce()
