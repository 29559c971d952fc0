"""Waits that a notice ends, on a clock of their own."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
from airflow_provider_aiml.exceptions import ModelFailedError
from airflow_provider_aiml.inference import completion_notices
from airflow_provider_aiml.inference.output_watch import Bell
from airflow_provider_aiml.inference.outputs import AsyncInference, Location, PollSchedule
from tests.unit.inference.fake_sqs import Notices, notice, timed

if TYPE_CHECKING:
    from airflow_provider_aiml.inference.outputs import Verdict
    from tests.unit.inference.conftest import World


@pytest.fixture
def notices(world: World) -> Notices:
    return Notices(world)


@pytest.mark.parametrize("wrapped", [True, False], ids=["in SNS's envelope", "raw"])
def test_a_notice_ends_its_wait_within_a_second(notices: Notices, wrapped: bool) -> None:
    (status, ended), _ = notices.run(
        lambda: timed(notices.watch("a")),
        lambda: notices.at(33, notice("a", wrapped=wrapped), puts=("s3://bkt/out/a",)),
    )
    assert status == "completed"
    assert 33 < ended < 34
    assert notices.sqs.messages == []


def test_a_notice_of_failure_ends_its_wait_as_failed(notices: Notices) -> None:
    body = notice("a", status="Failed", wrapped=True)
    verdict, _ = notices.run(
        lambda: notices.watch("a"), lambda: notices.at(33, body, puts=("s3://bkt/err/a",))
    )
    assert isinstance(verdict.error, ModelFailedError)


def test_a_wait_without_an_inference_id_is_found_by_its_location(notices: Notices) -> None:
    inference = AsyncInference(Location("bkt", "out/a"))
    (status, ended), _ = notices.run(
        lambda: timed(notices.watch(inference)),
        lambda: notices.at(33, notice("a"), puts=("s3://bkt/out/a",)),
    )
    assert (status, ended < 34) == ("completed", True)


def test_a_notice_without_a_location_is_matched_by_its_inference_id(notices: Notices) -> None:
    (status, ended), _ = notices.run(
        lambda: timed(notices.watch("a")),
        lambda: notices.at(33, notice("a", location=None), puts=("s3://bkt/out/a",)),
    )
    assert (status, ended < 34) == ("completed", True)


def test_a_lying_notice_completes_nothing_and_brings_the_ordinary_polls_back(notices: Notices) -> None:
    (status, ended), _, _ = notices.run(
        lambda: timed(notices.watch("a")),
        lambda: notices.at(33, notice("a")),
        lambda: notices.at(95, puts=("s3://bkt/out/a",)),
    )
    assert status == "completed"
    assert 95 < ended <= 105.2


def test_a_lost_notice_loses_nothing_as_s3_is_still_asked_every_five_minutes(notices: Notices) -> None:
    (status, ended), _ = notices.run(
        lambda: timed(notices.watch("a")), lambda: notices.at(1000, puts=("s3://bkt/out/a",))
    )
    assert status == "completed"
    assert ended <= 1300.2


def test_without_notices_s3_is_asked_every_five_minutes_only(notices: Notices) -> None:
    notices.run(lambda: notices.watch("a", lasting=3600.0))
    assert len(notices.world.s3.calls) <= 2 * 14


@pytest.mark.parametrize(
    "schedule",
    [PollSchedule(900.0), PollSchedule(10.0, exponential_backoff=True, max_wait=900.0)],
    ids=["fixed", "with back-off"],
)
def test_a_schedule_that_is_slower_by_itself_is_kept(notices: Notices, schedule: PollSchedule) -> None:
    notices.run(lambda: notices.watch("a", schedule=schedule))
    assert len(notices.world.s3.calls) <= 2 * 16


def test_the_deadline_holds_without_a_notice(notices: Notices) -> None:
    ((status, ended),) = notices.run(lambda: timed(notices.watch("a", lasting=130.0)))
    assert status == "expired"
    assert 130 <= ended <= 130.2


def test_duplicates_are_deleted_also_after_their_wait_is_over(notices: Notices) -> None:
    bodies = [notice("a"), notice("a", wrapped=True), notice("a")]
    notices.run(
        lambda: notices.watch("a"),
        lambda: notices.watch("b", lasting=100.0),
        lambda: notices.at(33, *bodies, puts=("s3://bkt/out/a",)),
        lambda: notices.at(50, *bodies),
        lambda: notices.at(60, notice("a", location=None)),
    )
    assert notices.sqs.messages == []
    assert notices.sqs.count("change_message_visibility_batch") == 0


def test_a_late_notice_of_a_wait_that_was_cancelled_is_left_to_others(notices: Notices) -> None:
    async def leaving() -> None:
        only = asyncio.ensure_future(notices.watch("a"))
        await asyncio.sleep(10)
        only.cancel()
        await asyncio.wait([only])

    notices.run(leaving, lambda: notices.watch("b", lasting=100.0), lambda: notices.at(33, notice("a")))
    assert [message.body for message in notices.sqs.messages] == [notice("a")]


def test_waits_for_one_inference_are_all_woken(notices: Notices) -> None:
    *results, _ = notices.run(
        *[lambda: timed(notices.watch("a"))] * 3,
        lambda: notices.at(33, notice("a"), puts=("s3://bkt/out/a",)),
    )
    assert all(status == "completed" and ended < 34 for status, ended in results)


def test_of_inferences_that_share_an_id_only_the_one_at_the_notices_location_is_woken(
    notices: Notices,
) -> None:
    twins = [AsyncInference(Location("bkt", f"out/{n}"), None, "same-id") for n in range(5)]
    body = notice("same-id", location="s3://bkt/out/3")
    *results, _ = notices.run(
        *[lambda twin=twin: timed(notices.watch(twin, lasting=250.0)) for twin in twins],
        lambda: notices.at(33, body, puts=("s3://bkt/out/3",)),
    )
    assert [status for status, _ in results] == ["expired", "expired", "expired", "completed", "expired"]
    assert len(notices.world.s3.calls) <= 4


def test_a_notice_of_an_id_that_another_triggerer_awaits_too_is_left_to_it(notices: Notices) -> None:
    ours = AsyncInference(Location("bkt", "out/a"), None, "nightly")
    theirs = notice("nightly", location="s3://bkt/out/b")
    notices.run(
        lambda: notices.watch(ours, lasting=100.0),
        lambda: notices.at(
            33, theirs, notice("nightly", location="s3://bkt/out/a"), puts=("s3://bkt/out/a",)
        ),
    )
    assert [message.body for message in notices.sqs.messages] == [theirs]


def test_a_burst_of_a_thousand_notices_is_taken_within_seconds_by_one_client(notices: Notices) -> None:
    names = [f"{number:04}" for number in range(1000)]
    burst = [notice(name) for name in names]
    *results, _ = notices.run(
        *[lambda name=name: timed(notices.watch(name)) for name in names],
        lambda: notices.at(33, *burst, puts=tuple(f"s3://bkt/out/{name}" for name in names)),
    )
    assert {status for status, _ in results} == {"completed"}
    assert max(ended for _, ended in results) < 36
    assert notices.sqs.opened == 1
    assert notices.sqs.messages == []
    assert notices.sqs.count("delete_message_batch") <= 110


def test_a_notice_for_a_wait_elsewhere_stays_in_the_queue_and_reaches_it(notices: Notices) -> None:
    bodies = [notice(name) for name in "abcdef"]
    puts = tuple(f"s3://bkt/out/{name}" for name in "abcdef")
    *results, _ = notices.run(
        *[lambda name=name: timed(notices.watch(name, share_key="one process")) for name in "abc"],
        *[lambda name=name: timed(notices.watch(name, share_key="another")) for name in "def"],
        lambda: notices.at(33, *bodies, puts=puts),
    )
    assert {status for status, _ in results} == {"completed"}
    assert max(ended for _, ended in results) < 36
    assert notices.sqs.opened == 2
    assert notices.sqs.messages == []


def test_a_notice_that_nobody_wants_is_received_ever_more_rarely_and_never_deleted(notices: Notices) -> None:
    foreign = [notice(f"foreign-{number}") for number in range(200)]
    notices.run(lambda: notices.watch("a", lasting=7000.0), lambda: notices.at(5, *foreign))
    assert len(notices.sqs.messages) == 200
    assert {message.receives for message in notices.sqs.messages} <= set(range(10, 32))
    assert notices.sqs.count("receive_message") < 3000


def test_a_notice_that_comes_before_its_wait_is_there_for_it(notices: Notices) -> None:
    async def later() -> tuple[str, float]:
        await asyncio.sleep(40)
        return await timed(notices.watch("a", schedule=PollSchedule(600.0)))

    (status, ended), _, _, _ = notices.run(
        later,
        lambda: notices.watch("b", lasting=200.0),
        lambda: notices.at(33, notice("a")),
        lambda: notices.at(41, puts=("s3://bkt/out/a",)),
    )
    assert status == "completed"
    assert ended < 60
    assert notices.sqs.messages == []


def test_a_wait_that_begins_after_its_notice_was_consumed_looks_once_and_is_done(notices: Notices) -> None:
    async def restarted() -> tuple[str, float]:
        first = asyncio.ensure_future(notices.watch("a"))
        await asyncio.sleep(33.1)  # the notice is deleted, S3 not yet looked at
        first.cancel()
        await asyncio.wait([first])
        assert notices.sqs.messages == []
        return await timed(notices.watch("a"))

    (status, ended), _ = notices.run(restarted, lambda: notices.at(33, notice("a"), puts=("s3://bkt/out/a",)))
    assert (status, ended < 34) == ("completed", True)


def test_a_message_of_one_loop_is_left_to_a_receiver_of_another_loop(
    notices: Notices, make_world: type[World]
) -> None:
    notices.run(lambda: notices.watch("a", lasting=100.0), lambda: notices.at(90, notice("b")))
    assert len(notices.sqs.messages) == 1
    other = Notices(make_world())
    other.sqs = notices.sqs
    other.sqs.offset = 131.0
    other.run(
        lambda: other.watch("b", schedule=PollSchedule(600.0)),
        lambda: other.world.at(0.05),
        lambda: other.at(0.3, puts=("s3://bkt/out/b",)),
    )
    assert notices.sqs.messages == []
    assert notices.sqs.opened == 2


def test_rubbish_is_left_told_of_once_without_its_body_and_harms_no_other(
    notices: Notices, caplog: pytest.LogCaptureFixture
) -> None:
    rubbish = ["", "no json: canary", "[1]", '{"Message": "canary"}', '{"inferenceId": 5}', '{"a":' * 5000]
    with caplog.at_level(logging.DEBUG):
        (status, ended), _, _ = notices.run(
            lambda: timed(notices.watch("a")),
            lambda: notices.at(5, *rubbish),
            lambda: notices.at(3000, notice("a"), puts=("s3://bkt/out/a",)),
        )
    assert (status, ended < 3001) == ("completed", True)
    assert [message.body for message in notices.sqs.messages] == rubbish
    assert all(4 <= message.receives <= 9 for message in notices.sqs.messages)
    told = [record.getMessage() for record in caplog.records if "is no notice" in record.getMessage()]
    assert len(told) == len(rubbish)
    assert "message-2 " in told[1]
    assert "canary" not in caplog.text


def test_of_a_flood_of_rubbish_only_so_many_ids_are_remembered(
    notices: Notices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completion_notices, "_MOST_TOLD", 5)
    notices.run(lambda: notices.watch("a", lasting=20.0), lambda: notices.at(1, *["rubbish"] * 50))
    assert len(notices.sqs.messages) == 50


def test_a_queue_that_knows_no_long_polls_is_not_asked_without_pause(notices: Notices) -> None:
    notices.sqs.long_polls = False
    (status, ended), _ = notices.run(
        lambda: timed(notices.watch("a")), lambda: notices.at(90, notice("a"), puts=("s3://bkt/out/a",))
    )
    assert (status, ended < 92) == ("completed", True)
    assert notices.sqs.count("receive_message") <= 100


@pytest.mark.parametrize(("read_timeout", "seconds"), [(60, 20), (10, 7), (1, 1), (None, 20)])
def test_a_long_poll_is_shorter_than_the_clients_read_timeout(
    notices: Notices, read_timeout: int | None, seconds: int
) -> None:
    notices.sqs.meta.config.read_timeout = read_timeout
    notices.run(lambda: notices.watch("a", lasting=50.0))
    assert {request["WaitTimeSeconds"] for _, request in notices.sqs.calls} == {seconds}


def test_event_loops_do_not_mix(notices: Notices, make_world: type[World]) -> None:
    other = Notices(make_world())
    for one in (notices, other):
        one.run(
            lambda one=one: one.watch("a"),
            lambda one=one: one.at(33, notice("a"), puts=("s3://bkt/out/a",)),
        )
    assert (notices.sqs.opened, other.sqs.opened) == (1, 1)


def test_a_bell_does_nothing_before_its_wait_has_begun_and_after_it_is_over(world: World) -> None:
    bell = Bell(PollSchedule(1.0))
    world.s3.put("s3://bkt/out/a")

    async def scenario() -> Verdict:
        bell.ring()
        bell.end(ValueError(), as_verdict=False)
        verdict = await world.watch("a", bell=bell)
        bell.ring()
        bell.end(ValueError(), as_verdict=False)
        return verdict

    assert world.run(scenario).status == "completed"
