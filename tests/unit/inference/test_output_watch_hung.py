"""The shared watcher when calls hang: it keeps deadlines, and nobody else waits for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from airflow_provider_aiml.exceptions import OutputExpiredError, OutputUnreadableError
from airflow_provider_aiml.inference.outputs import PollSchedule
from tests.unit.inference.conftest import error

if TYPE_CHECKING:
    from airflow_provider_aiml.inference.outputs import Verdict
    from tests.unit.inference.conftest import World

FOREVER = 20_000.0


def now() -> float:
    return asyncio.get_running_loop().time()


async def ended(watch: asyncio.Future[Verdict]) -> float:
    await asyncio.wait([watch])
    return now()


def test_a_bucket_that_hangs_keeps_no_other_from_new_credentials(world: World) -> None:
    async def scenario() -> float:
        hanging = asyncio.ensure_future(world.watch(world.inference("a", bucket="other")))
        healthy = asyncio.ensure_future(world.watch("b"))
        await world.at(35)
        world.s3.hung["other"] = FOREVER
        await world.at(50, "s3://bkt/out/b")
        world.s3.faults["bkt"] = [error("ExpiredToken", 400, "ListObjectsV2")]
        seen = await ended(healthy)
        hanging.cancel()
        await asyncio.wait([hanging])
        assert healthy.result().status == "completed"
        return seen

    assert world.run(scenario) <= 60.1
    assert world.s3.opened == 2


def test_a_client_is_closed_when_the_last_call_through_it_is_over(world: World) -> None:
    async def scenario() -> None:
        world.s3.hung["other"] = 20.0
        slow = asyncio.ensure_future(world.watch(world.inference("a", bucket="other")))
        world.s3.faults["bkt"] = [error("ExpiredToken", 400, "ListObjectsV2")]
        renewing = asyncio.ensure_future(world.watch("b"))
        await world.at(19)
        assert (world.s3.opened, world.s3.closed) == (2, 0)
        await world.at(25, "s3://bkt/out/b", "s3://other/out/a")
        assert (world.s3.opened, world.s3.closed) == (2, 1)
        assert {one.status for one in await asyncio.gather(slow, renewing)} == {"completed"}

    world.run(scenario)


def test_a_replaced_client_is_closed_though_the_last_wait_leaves_meanwhile(world: World) -> None:
    async def scenario() -> None:
        world.s3.faults["bkt"] = [error("ExpiredToken", 400, "ListObjectsV2")]
        only = asyncio.ensure_future(world.watch("a"))
        world.s3.hung["close"] = 15.0
        await world.at(12)
        assert (world.s3.opened, world.s3.closed) == (2, 0)
        only.cancel()
        await asyncio.wait([only])

    world.run(scenario)
    assert world.s3.closed == 2


def test_a_client_whose_closing_hangs_does_not_hold_back_the_last_verdict(world: World) -> None:
    async def scenario() -> float:
        world.s3.put("s3://bkt/out/a")
        world.s3.hung["close"] = 100_000.0
        assert (await world.watch("a")).status == "completed"
        return now()

    assert world.run(scenario) < 30


@pytest.mark.parametrize("hung", ["bkt", "open"])
@pytest.mark.parametrize(("since", "late"), [(0.0, 1.1), (34.0, 1.1), (59.0, 11.1)])
def test_a_deadline_is_kept_while_a_call_hangs(world: World, hung: str, since: float, late: float) -> None:
    async def scenario() -> tuple[Verdict, float]:
        watch = asyncio.ensure_future(world.watch("a", lasting=60.0))
        await world.at(since)
        world.s3.hung[hung] = FOREVER
        if hung == "open":
            world.s3.faults["bkt"] = [error("ExpiredToken", 400, "ListObjectsV2")]
        at = await ended(watch)
        return watch.result(), at

    verdict, at = world.run(scenario)
    assert 60 <= at <= 60 + late
    assert isinstance(verdict.error, OutputExpiredError)
    assert verdict.error.retryable
    assert "the last look itself failed" in str(verdict.error)


def test_a_deadline_is_kept_while_the_bucket_is_left_alone_and_the_reason_is_named(world: World) -> None:
    world.s3.faults["bkt"] = [error("SlowDown", 503, "ListObjectsV2")] * 9

    async def scenario() -> tuple[Verdict, float]:
        return await world.watch("a", lasting=90.0), now()

    verdict, at = world.run(scenario)
    assert 90 <= at <= 92
    assert verdict.error is not None
    assert (verdict.status, verdict.error.code) == ("expired", "SlowDown")


def test_the_look_at_the_deadline_is_waited_for_while_s3_answers(world: World) -> None:
    world.s3.latency = 7.0
    for number in range(3000):
        world.s3.put(f"s3://bkt/out/{number:04}.old")

    async def scenario() -> Verdict:
        rarely = PollSchedule(600.0)
        watches = [world.watch(f"{n:04}", lasting=100.0, schedule=rarely) for n in range(0, 3000, 10)]
        *verdicts, _ = await asyncio.gather(*watches, world.at(99, "s3://bkt/out/2990"))
        assert now() > 120
        return verdicts[-1]

    assert world.run(scenario).status == "completed"


def test_a_call_that_hangs_is_a_fault_and_ten_of_them_end_the_wait(world: World) -> None:
    world.s3.hung["bkt"] = FOREVER

    async def scenario() -> tuple[Verdict, float]:
        return await world.watch("a"), now()

    verdict, at = world.run(scenario)
    assert isinstance(verdict.error, OutputUnreadableError)
    assert verdict.error.code == "TimeoutError"
    assert at < 20 * 60


def test_a_bucket_that_hangs_for_minutes_is_ridden_through(world: World) -> None:
    world.s3.hung["bkt"] = 200.0

    async def scenario() -> Verdict:
        watch = world.watch("a", schedule=PollSchedule(1.0))
        verdict, _ = await asyncio.gather(watch, world.at(100, "s3://bkt/out/a"))
        return verdict

    assert world.run(scenario).status == "completed"


def test_a_folder_whose_list_hangs_is_asked_for_by_head(world: World) -> None:
    async def scenario() -> tuple[Verdict, float]:
        list_objects = world.s3.list_objects_v2

        async def hanging(**request: object) -> object:
            return await (asyncio.sleep(FOREVER) if request["Prefix"] == "out/" else list_objects(**request))

        world.s3.list_objects_v2 = hanging  # type: ignore[method-assign, assignment]
        verdict, _ = await asyncio.gather(world.watch("a"), world.at(100, "s3://bkt/out/a"))
        return verdict, now()

    verdict, at = world.run(scenario)
    assert verdict.status == "completed"
    assert at <= 100 + 10 + 30 + 1


def test_waits_of_a_thousand_deadlines_end_at_theirs_though_all_calls_hang(world: World) -> None:
    async def scenario() -> list[float]:
        await world.at(0.5)
        world.s3.hung["bkt"] = FOREVER
        watches = [asyncio.ensure_future(world.watch(f"{n}", lasting=n / 10)) for n in range(1000)]
        return await asyncio.gather(*map(ended, watches))

    late = [at - 0.5 - number / 10 for number, at in enumerate(world.run(scenario))]
    assert min(late) >= 0
    assert max(late[:110]) <= 11.1
    assert max(late[110:]) <= 1.1
