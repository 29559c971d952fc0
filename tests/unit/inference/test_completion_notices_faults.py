"""Queues that cannot be used, faults that pass, and waits that are cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from airflow_provider_aiml.exceptions import AwsConfigurationError, BusyError, NoticeQueueError
from airflow_provider_aiml.inference import completion_notices
from airflow_provider_aiml.inference.notice_queue import QueueRef
from botocore.exceptions import ReadTimeoutError
from tests.unit.inference.fake_sqs import OPERATIONS, URL, FakeSqs, Notices, notice, sqs_error, timed

if TYPE_CHECKING:
    from tests.unit.inference.conftest import World

ARN = "arn:aws:sqs:eu-west-1:111122223333:notices"


@pytest.fixture
def notices(world: World) -> Notices:
    return Notices(world)


def test_a_queue_that_does_not_exist_ends_every_wait_for_it_by_name_and_no_other(notices: Notices) -> None:
    other = FakeSqs()
    other.exists = False
    queue = QueueRef.parse(URL + "-gone")
    gone = {"queue": queue, "open_sqs_client": other.open_client}
    *ended, (status, _), _ = notices.run(
        *[lambda name=name: timed(notices.watch(name, **gone)) for name in "abc"],
        lambda: timed(notices.watch("d")),
        lambda: notices.at(90, notice("d"), puts=("s3://bkt/out/d",)),
    )
    assert {one[0] for one in ended} == {"unreadable"}
    assert max(one[1] for one in ended) < 10
    assert status == "completed"
    assert other.opened == other.closed == 1


@pytest.mark.parametrize("named", [URL, "notices", ARN])
def test_the_error_of_an_absent_queue_names_it_and_its_region(notices: Notices, named: str) -> None:
    notices.sqs.exists = False
    (verdict,) = notices.run(lambda: notices.watch("a", queue=QueueRef.parse(named)))
    assert isinstance(verdict.error, NoticeQueueError)
    assert verdict.error.code == "AWS.SimpleQueueService.NonExistentQueue"
    assert f"{named} does not exist in region eu-west-1" in str(verdict.error)
    assert not verdict.error.retryable
    assert "sqs_queue" in str(verdict.error.hint)


def test_a_queue_that_is_deleted_in_mid_wait_ends_the_wait(notices: Notices) -> None:
    async def delete() -> None:
        await asyncio.sleep(1000)
        notices.sqs.delete_queue()

    (status, ended), _ = notices.run(lambda: timed(notices.watch("a")), delete)
    assert status == "unreadable"
    assert 1000 < ended < 1010


@pytest.mark.parametrize(
    "named", [URL.replace("eu-west-1", "us-east-2"), ARN.replace("eu-west-1", "us-east-2")]
)
def test_a_queue_of_another_region_is_refused_before_it_is_asked(notices: Notices, named: str) -> None:
    ((status, ended),) = notices.run(lambda: timed(notices.watch("a", queue=QueueRef.parse(named))))
    assert (status, ended < 1) == ("unreadable", True)
    assert notices.sqs.calls == []


def test_a_queue_that_sqs_says_is_elsewhere_ends_the_wait(notices: Notices) -> None:
    notices.sqs.faults["receive_message"] = [sqs_error("InvalidAddress", "ReceiveMessage")] * 3
    (verdict,) = notices.run(lambda: notices.watch("a"))
    assert "is not one of region eu-west-1" in str(verdict.error)


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("get_queue_url", "sqs:GetQueueUrl"),
        ("receive_message", "sqs:ReceiveMessage"),
        ("delete_message_batch", "sqs:DeleteMessage"),
        ("change_message_visibility_batch", "sqs:ChangeMessageVisibility"),
    ],
)
def test_a_permission_that_is_missing_is_named(notices: Notices, operation: str, action: str) -> None:
    notices.sqs.denied.add(operation)
    verdict, _, _ = notices.run(
        lambda: notices.watch("a", queue=QueueRef.parse("notices")),
        lambda: notices.at(33, *[notice("a")] * 3),
        lambda: notices.at(34, notice("foreign")),
    )
    assert isinstance(verdict.error, NoticeQueueError)
    assert verdict.error.code == "AccessDenied"
    assert f"{action} is denied" in str(verdict.error)


def test_a_key_that_may_not_be_used_is_named(notices: Notices) -> None:
    notices.sqs.faults["receive_message"] = [sqs_error("KmsAccessDenied", "ReceiveMessage")] * 3
    (verdict,) = notices.run(lambda: notices.watch("a"))
    assert "kms:Decrypt" in str(verdict.error)


def test_a_refusal_that_lasts_but_a_moment_is_ridden_through(notices: Notices) -> None:
    refused = sqs_error("AccessDenied", "ReceiveMessage")
    notices.sqs.faults["receive_message"] = [refused, refused, None, refused, refused, None]
    (status, ended), _ = notices.run(
        lambda: timed(notices.watch("a")), lambda: notices.at(60, notice("a"), puts=("s3://bkt/out/a",))
    )
    assert (status, ended < 61) == ("completed", True)


def test_refusals_of_receives_side_by_side_are_one_moment(notices: Notices) -> None:
    refused = [sqs_error("AccessDenied", "ReceiveMessage") for _ in range(8)]
    notices.sqs.faults["receive_message"] = [None, None, *refused]
    (status, _), _ = notices.run(
        lambda: timed(notices.watch("a")),
        lambda: notices.at(33, *[notice("a")] * 30, puts=("s3://bkt/out/a",)),
    )
    assert status == "completed"


def test_while_sqs_cannot_be_asked_the_slow_polls_go_on_and_the_pauses_grow(notices: Notices) -> None:
    fault = sqs_error("InternalError", "ReceiveMessage")
    notices.sqs.faults["receive_message"] = [fault, ReadTimeoutError(endpoint_url=""), OSError()] * 1000
    (status, ended), _ = notices.run(
        lambda: timed(notices.watch("a")), lambda: notices.at(1000, puts=("s3://bkt/out/a",))
    )
    assert (status, ended <= 1300.2) == ("completed", True)
    assert notices.sqs.count("receive_message") < 60


@pytest.mark.parametrize("operation", ["delete_message_batch", "change_message_visibility_batch"])
def test_a_message_that_could_not_be_answered_comes_again_and_does_no_harm(
    notices: Notices, operation: str
) -> None:
    notices.sqs.faults[operation] = [sqs_error("ServiceUnavailable", OPERATIONS[operation])]
    (status, ended), _, _ = notices.run(
        lambda: timed(notices.watch("a")),
        lambda: notices.watch("b", lasting=120.0),
        lambda: notices.at(33, notice("a"), notice("foreign"), puts=("s3://bkt/out/a",)),
    )
    assert (status, ended < 34) == ("completed", True)
    assert [message.body for message in notices.sqs.messages] == [notice("foreign")]


def test_of_many_receives_side_by_side_one_that_fails_fails_none_for_good(notices: Notices) -> None:
    notices.sqs.faults["receive_message"] = [None, None, sqs_error("InternalError", "ReceiveMessage")]
    names = [f"{number:03}" for number in range(100)]
    *results, _ = notices.run(
        *[lambda name=name: timed(notices.watch(name)) for name in names],
        lambda: notices.at(3, *map(notice, names), puts=tuple(f"s3://bkt/out/{name}" for name in names)),
    )
    assert {status for status, _ in results} == {"completed"}
    assert max(ended for _, ended in results) < 6


def test_refused_credentials_are_read_anew_once_for_all_waits(notices: Notices) -> None:
    open_client = notices.sqs.open_client

    def reopened() -> Any:
        notices.sqs.bad_keys = False
        return open_client()

    async def revoke() -> None:
        await asyncio.sleep(50)
        notices.sqs.bad_keys = True
        (receiver,) = completion_notices._receivers[asyncio.get_running_loop()].values()
        receiver._open_client = reopened

    names = [str(number) for number in range(50)]
    *results, _, _ = notices.run(
        *[lambda name=name: timed(notices.watch(name)) for name in names],
        revoke,
        lambda: notices.at(100, *map(notice, names), puts=tuple(f"s3://bkt/out/{name}" for name in names)),
    )
    assert {status for status, _ in results} == {"completed"}
    assert max(ended for _, ended in results) < 103
    assert notices.sqs.opened == 2


def test_credentials_that_stay_refused_end_no_wait_by_themselves(notices: Notices) -> None:
    notices.sqs.bad_keys = True
    (status, _), _ = notices.run(
        lambda: timed(notices.watch("a")), lambda: notices.at(1000, puts=("s3://bkt/out/a",))
    )
    assert status == "completed"
    assert notices.sqs.opened < 60


class ElsewhereError(Exception):
    """What a library that we do not know might raise while a client is opened."""


def test_a_client_that_cannot_be_opened_for_a_while_is_ridden_through(notices: Notices) -> None:
    notices.sqs.open_errors = [OSError(), BusyError("throttled", code="Throttling"), ElsewhereError()]
    (status, ended), _ = notices.run(
        lambda: timed(notices.watch("a")), lambda: notices.at(60, notice("a"), puts=("s3://bkt/out/a",))
    )
    assert (status, ended < 61) == ("completed", True)
    assert notices.sqs.opened == 1


def test_a_connection_that_does_not_exist_ends_all_waits_with_its_error(notices: Notices) -> None:
    notices.sqs.open_errors = [AwsConfigurationError("no such connection")]
    verdicts = notices.run(*[lambda n=n: notices.watch(f"{n}") for n in range(300)])
    assert {verdict.status for verdict in verdicts} == {"unreadable"}
    assert all(isinstance(verdict.error, AwsConfigurationError) for verdict in verdicts)


@pytest.mark.parametrize("where", ["opening", "receiving", "receiving side by side", "deleting"])
def test_a_bug_reaches_every_wait_instead_of_hanging_it(notices: Notices, where: str) -> None:
    bug = ZeroDivisionError("a bug")
    names = [f"{number:03}" for number in range(100)]
    if where == "opening":
        notices.sqs.open_errors = [bug]
    elif where == "deleting":
        notices.sqs.faults["delete_message_batch"] = [bug]
    else:
        fault = sqs_error("InternalError", "ReceiveMessage")
        before = [None] * 2 + [fault] if where == "receiving side by side" else []
        notices.sqs.faults["receive_message"] = [*before, bug]

    async def caught(name: str) -> type[BaseException] | None:
        try:
            await notices.watch(name)
        except ZeroDivisionError as error:
            return type(error)
        return None

    *outcomes, _ = notices.run(
        *[lambda name=name: caught(name) for name in names], lambda: notices.at(3, *map(notice, names))
    )
    assert set(outcomes) == {ZeroDivisionError}


@pytest.mark.parametrize("moment", [0.0, 0.001, 0.01, 0.03, 0.5, 19.0, 33.01, 33.03, 33.05, 33.1, 33.2, 50.0])
def test_a_wait_that_is_cancelled_at_any_moment_leaves_nothing_behind(
    notices: Notices, moment: float
) -> None:
    async def leaving() -> None:
        only = asyncio.ensure_future(notices.watch("a"))
        await asyncio.sleep(moment)
        only.cancel()
        with pytest.raises(asyncio.CancelledError):
            await only
        assert not completion_notices._receivers[asyncio.get_running_loop()]

    notices.run(leaving, lambda: notices.at(33, notice("a"), notice("foreign")))


def test_what_is_being_deleted_when_the_last_wait_ends_is_deleted(notices: Notices) -> None:
    notices.sqs.latency = 1.0
    (status, _), _ = notices.run(
        lambda: timed(notices.watch("a")), lambda: notices.at(33, notice("a"), puts=("s3://bkt/out/a",))
    )
    assert status == "completed"
    assert notices.sqs.messages == []


@pytest.mark.parametrize("fails", [True, False], ids=["that fails", "that hangs"])
def test_a_delete_that_fails_or_hangs_does_not_hold_up_the_last_wait(notices: Notices, fails: bool) -> None:
    async def slow() -> None:
        await asyncio.sleep(32)
        notices.sqs.latency = 2.0 if fails else 1000.0
        notices.sqs.faults["delete_message_batch"] = [sqs_error("InternalError", "DeleteMessageBatch")]

    (status, ended), _, _ = notices.run(
        lambda: timed(notices.watch("a")), slow, lambda: notices.at(33, notice("a"), puts=("s3://bkt/out/a",))
    )
    assert (status, ended < 40) == ("completed", True)
    assert len(notices.sqs.messages) == 1


def test_a_client_whose_closing_hangs_does_not_hold_back_the_last_verdict(notices: Notices) -> None:
    notices.sqs.closing = 100_000.0
    (status, ended), _ = notices.run(
        lambda: timed(notices.watch("a")), lambda: notices.at(33, notice("a"), puts=("s3://bkt/out/a",))
    )
    assert (status, ended < 60) == ("completed", True)


def test_a_wait_that_stays_keeps_the_receiver_when_another_is_cancelled(notices: Notices) -> None:
    async def leaving() -> None:
        leaver = asyncio.ensure_future(notices.watch("a"))
        await asyncio.sleep(15)
        leaver.cancel()
        await asyncio.wait([leaver])

    _, (status, ended), _ = notices.run(
        leaving,
        lambda: timed(notices.watch("a")),
        lambda: notices.at(33, notice("a"), puts=("s3://bkt/out/a",)),
    )
    assert (status, ended < 34) == ("completed", True)
    assert notices.sqs.opened == 1


def test_a_wait_that_comes_after_the_last_one_left_opens_a_new_client(notices: Notices) -> None:
    notices.world.s3.buckets["bkt"] = ["out/a"]

    async def twice() -> None:
        await notices.watch("a")
        await asyncio.sleep(1)
        assert notices.sqs.opened == notices.sqs.closed
        await notices.watch("a")

    notices.run(twice)
    assert notices.sqs.opened == 2


def test_a_receiver_whose_task_is_cancelled_from_outside_hangs_nobody(notices: Notices) -> None:
    async def stop() -> None:
        await asyncio.sleep(3)
        (receiver,) = completion_notices._receivers[asyncio.get_running_loop()].values()
        receiver._task.cancel()

    *verdicts, _ = notices.run(*[lambda n=n: notices.watch(f"{n}") for n in range(300)], stop)
    assert {type(verdict.error) for verdict in verdicts} == {NoticeQueueError}
    assert {verdict.error.retryable for verdict in verdicts} == {True}
