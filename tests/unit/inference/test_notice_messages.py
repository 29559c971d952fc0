"""What a queue holds: notices, rubbish, and whose they are; and how a queue is named."""

from __future__ import annotations

import json

import pytest
from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.inference.notice_messages import (
    LONGEST_RELEASE,
    QUICK_RECEIVES,
    Notice,
    NoticeBoard,
    read_notice,
    release_delay,
)
from airflow_provider_aiml.inference.notice_queue import QueueRef, check_region, refusal
from airflow_provider_aiml.inference.outputs import AsyncInference, Location
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.inference.fake_sqs import sqs_error

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["Message", "inferenceId", "responseParameters", "outputLocation"]) | st.text(),
            inner,
        )
    ),
)


@given(st.text() | JSON.map(json.dumps) | st.binary() | JSON)
def test_no_body_whatever_breaks_the_reader(body: object) -> None:
    notice = read_notice(body)
    assert notice is None or notice != Notice()


@pytest.mark.parametrize(
    "body",
    [
        '{"inferenceId": ""}',
        "9" * 5000,
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"Message": {"inferenceId": "a"}}',
    ],
)
def test_what_only_looks_like_a_notice_is_none(body: str) -> None:
    assert read_notice(body) is None


@given(
    st.text(min_size=1), st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
)
def test_a_notice_is_read_alike_raw_and_in_its_envelope(inference_id: str, key: str) -> None:
    raw = json.dumps(
        {"inferenceId": inference_id, "responseParameters": {"outputLocation": f"s3://bucket/{key}"}}
    )
    wrapped = json.dumps({"Type": "Notification", "Message": raw, "Subject": "x"})
    assert read_notice(raw) == read_notice(wrapped) == Notice(inference_id, Location("bucket", key))


def test_what_is_too_long_for_a_notice_is_not_read() -> None:
    def body(padding: int) -> str:
        return json.dumps({"inferenceId": "id", "padding": "x" * padding})

    assert read_notice(body(60_000)) == Notice("id")
    assert read_notice(body(70_000)) is None
    assert read_notice(json.dumps({"Message": body(70_000)})) is None


def test_a_place_that_is_no_object_is_left_out() -> None:
    body = json.dumps({"inferenceId": "a", "responseParameters": {"outputLocation": "https://bucket/key"}})
    assert read_notice(body) == Notice("a")


@given(st.integers(min_value=-5, max_value=10**9))
def test_what_is_left_never_disappears_for_long_and_waits_longer_each_time(receives: int) -> None:
    for is_notice in (True, False):
        delay = release_delay(receives, is_notice=is_notice)
        assert 0 <= delay <= release_delay(receives + 1, is_notice=is_notice) <= LONGEST_RELEASE
    assert (release_delay(receives) == 0) == (receives <= QUICK_RECEIVES)
    assert release_delay(receives, is_notice=False) >= 30


def inference(name: str, inference_id: str | None = None) -> AsyncInference:
    return AsyncInference(Location("bkt", f"out/{name}"), Location("bkt", f"err/{name}"), inference_id)


def test_a_board_knows_each_wait_by_its_places_and_its_id() -> None:
    board: NoticeBoard[str] = NoticeBoard()
    board.add(inference("a", "id"), "one")
    for notice in (
        Notice("id"),
        Notice(None, Location("bkt", "out/a")),
        Notice("other", Location("bkt", "err/a")),
    ):
        assert board.match(notice) == (("one",), True)
    assert board.match(Notice("other")) == ((), False)


def test_a_notice_of_a_place_that_nobody_knows_here_wakes_whoever_has_its_id_and_stays_anothers() -> None:
    board: NoticeBoard[str] = NoticeBoard()
    board.add(inference("a", "id"), "one")

    assert board.match(Notice("id", Location("bkt", "written/otherwise"))) == (("one",), False)


def test_a_board_forgets_the_oldest_of_very_many_that_are_over() -> None:
    board: NoticeBoard[int] = NoticeBoard()
    for number in range(10_002):
        one = AsyncInference(Location("bkt", f"{number}"))
        board.add(one, number)
        board.remove(one, number, over=True)
    assert board.match(Notice(None, Location("bkt", "1"))) == ((), False)
    assert board.match(Notice(None, Location("bkt", "2"))) == ((), True)
    assert board.everyone() == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans()), max_size=40))
def test_a_board_gives_exactly_those_who_wait(steps: list[tuple[int, int, bool]]) -> None:
    board: NoticeBoard[tuple[int, int]] = NoticeBoard()
    waiting: set[tuple[int, int]] = set()
    for name, number, over in steps:
        one = (name, number)
        if one in waiting:
            waiting.remove(one)
            board.remove(inference(str(name)), one, over=over)
        else:
            waiting.add(one)
            board.add(inference(str(name)), one)
        assert board.size == len(waiting)
        assert set(board.everyone()) == waiting
        for asked in range(4):
            found, _ = board.match(Notice(None, Location("bkt", f"out/{asked}")))
            assert set(found) == {one for one in waiting if one[0] == asked}


@pytest.mark.parametrize(
    ("given_as", "name", "region"),
    [
        ("https://sqs.eu-west-1.amazonaws.com/111122223333/notices", "notices", "eu-west-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/111122223333/notices", "notices", "cn-north-1"),
        ("https://sqs-fips.us-gov-west-1.amazonaws.com/111122223333/n.fifo", "n.fifo", "us-gov-west-1"),
        ("https://us-east-2.queue.amazonaws.com/111122223333/notices", "notices", "us-east-2"),
        ("https://vpce-1-2.sqs.us-east-1.vpce.amazonaws.com/111122223333/notices", "notices", "us-east-1"),
        ("https://sqs.eu-west-1.api.aws/111122223333/notices", "notices", "eu-west-1"),
        ("http://127.0.0.1:4566/123456789012/notices", "notices", None),
        ("arn:aws:sqs:eu-west-1:111122223333:notices", "notices", "eu-west-1"),
        ("arn:aws-us-gov:sqs:us-gov-east-1:111122223333:n.fifo", "n.fifo", "us-gov-east-1"),
        ("notices_for-us", "notices_for-us", None),
    ],
)
def test_a_queue_is_named_by_url_arn_or_name(given_as: str, name: str, region: str | None) -> None:
    queue = QueueRef.parse(given_as)
    assert (queue.name, queue.region, str(queue)) == (name, region, given_as)
    assert queue.url == (given_as if given_as.startswith("http") else None)
    assert queue.account == ("111122223333" if given_as.startswith("arn") else None)


@pytest.mark.parametrize(
    "given_as",
    [
        "",
        "with space",
        "n" * 81,
        "arn:aws:sns:eu-west-1:111122223333:notices",
        "arn:aws:sqs:eu-west-1:111122223333:no tices",
        "https://sqs.eu-west-1.amazonaws.com/111122223333/notices?a=b",
        "https://key:secret@sqs.eu-west-1.amazonaws.com/111122223333/notices",
        "https:///111122223333/notices",
        "https://[::1/111122223333/notices",
        "s3://bucket/notices",
        None,
        7,
    ],
)
def test_anything_else_is_refused_without_being_repeated(given_as: object) -> None:
    with pytest.raises(RequestError, match="sqs_queue: is ") as caught:
        QueueRef.parse(given_as)  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)


@given(st.text())
def test_no_text_whatever_breaks_the_reading_of_a_queue(text: str) -> None:
    try:
        assert QueueRef.parse(text).given == text
    except RequestError as error:
        assert error.problems  # noqa: PT017


def test_a_region_that_is_not_known_is_not_held_against_a_queue() -> None:
    check_region(QueueRef.parse("notices"), "eu-west-1")
    check_region(QueueRef.parse("arn:aws:sqs:eu-west-1:111122223333:notices"), None)


@pytest.mark.parametrize("code", ["InternalError", "RequestThrottled", "OverLimit", "KmsThrottled", ""])
def test_a_fault_that_may_pass_is_no_refusal(code: str) -> None:
    assert refusal(sqs_error(code, "ReceiveMessage"), code, QueueRef.parse("notices"), "eu-west-1") is None
