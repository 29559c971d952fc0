"""The shared watcher, on a clock of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from airflow_provider_aiml.exceptions import (
    ModelFailedError,
    OutputExpiredError,
)
from airflow_provider_aiml.inference import output_watch
from airflow_provider_aiml.inference.outputs import AsyncInference, Location, PollSchedule

if TYPE_CHECKING:
    from airflow_provider_aiml.inference.outputs import Verdict
    from tests.unit.inference.conftest import World


def now() -> float:
    return asyncio.get_running_loop().time()


def test_an_output_that_is_there_is_seen_at_once(world: World) -> None:
    world.s3.put("s3://bkt/out/a")

    async def scenario() -> tuple[Verdict, float]:
        return await world.watch("a"), now()

    verdict, ended = world.run(scenario)
    assert verdict.status == "completed"
    assert ended < 1


def test_a_failure_object_ends_the_wait_within_one_poll(world: World) -> None:
    async def scenario() -> tuple[Verdict, float]:
        verdict, _ = await asyncio.gather(world.watch("a"), world.at(33, "s3://bkt/err/a"))
        return verdict, now()

    verdict, ended = world.run(scenario)
    assert verdict.status == "failed"
    assert isinstance(verdict.error, ModelFailedError)
    assert ended <= 43.1


def test_an_output_wins_over_a_failure(world: World) -> None:
    world.s3.put("s3://bkt/err/a")
    world.s3.put("s3://bkt/out/a")
    assert world.run(lambda: world.watch("a")).status == "completed"


def test_a_wait_ends_at_its_deadline_and_not_at_the_next_poll(world: World) -> None:
    async def scenario() -> tuple[Verdict, float]:
        return await world.watch("a", lasting=13.0), now()

    verdict, ended = world.run(scenario)
    assert isinstance(verdict.error, OutputExpiredError)
    assert 13 <= ended <= 13.2


def test_an_output_that_appears_after_the_last_poll_is_found_by_the_look_at_the_deadline(
    world: World,
) -> None:
    async def scenario() -> Verdict:
        verdict, _ = await asyncio.gather(world.watch("a", lasting=13.0), world.at(12.9, "s3://bkt/out/a"))
        return verdict

    assert world.run(scenario).status == "completed"


def test_a_thousand_waits_share_one_client_and_take_few_calls(world: World) -> None:
    async def scenario() -> list[Verdict]:
        watches = [world.watch(f"{number:04}") for number in range(1000)]
        late = world.at(95, *(f"s3://bkt/out/{number:04}" for number in range(1000)))
        return (await asyncio.gather(late, *watches))[1:]

    assert {verdict.status for verdict in world.run(scenario)} == {"completed"}
    assert world.s3.opened == 1
    assert len(world.s3.calls) <= 2 * 11 + 5


def test_each_share_key_has_a_client_of_its_own(world: World) -> None:
    async def scenario() -> None:
        late = world.at(5, "s3://bkt/out/a", "s3://bkt/out/b")
        await asyncio.gather(world.watch("a", share_key=1), world.watch("b", share_key=2), late)

    world.run(scenario)
    assert world.s3.opened == 2


def test_a_wait_that_comes_after_the_last_one_left_opens_a_new_client(world: World) -> None:
    world.s3.put("s3://bkt/out/a")

    async def scenario() -> None:
        await world.watch("a")
        assert world.s3.closed == 1
        await world.watch("a")

    world.run(scenario)
    assert world.s3.opened == 2


def test_a_cancelled_wait_leaves_nothing_behind_and_the_others_go_on(world: World) -> None:
    async def scenario() -> Verdict:
        leaver = asyncio.ensure_future(world.watch("a"))
        stayer = asyncio.ensure_future(world.watch("a"))
        await asyncio.sleep(15)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        await world.at(20, "s3://bkt/out/a")
        return await stayer

    assert world.run(scenario).status == "completed"
    assert world.s3.opened == 1


def test_the_last_wait_that_is_cancelled_closes_the_client(world: World) -> None:
    world.s3.latency = 3.0

    async def scenario() -> None:
        for moment in (0.0, 0.05, 1.0, 7.0, 50.0):
            only = asyncio.ensure_future(world.watch("a"))
            await asyncio.sleep(moment)
            only.cancel()
            with pytest.raises(asyncio.CancelledError):
                await only
        assert world.s3.opened == world.s3.closed
        assert not output_watch._watchers[asyncio.get_running_loop()]

    world.run(scenario)


def test_two_tries_that_wait_for_one_location_are_two_waits(world: World) -> None:
    async def scenario() -> list[Verdict]:
        return await asyncio.gather(world.watch("a"), world.watch("a"), world.watch("a", lasting=5.0))

    world.s3.latency = 0.01
    world.s3.faults["bkt"] = [None] * 4

    async def with_output() -> list[Verdict]:
        results, _ = await asyncio.gather(scenario(), world.at(8, "s3://bkt/out/a"))
        return results

    assert [one.status for one in world.run(with_output)] == ["completed", "completed", "expired"]


def test_event_loops_do_not_mix(world: World, make_world: type[World]) -> None:
    other = make_world()
    world.s3.put("s3://bkt/out/a")
    other.s3.put("s3://bkt/out/a")
    assert world.run(lambda: world.watch("a")).status == "completed"
    assert other.run(lambda: other.watch("a")).status == "completed"
    assert (world.s3.opened, other.s3.opened) == (1, 1)


def test_output_and_failure_may_lie_in_different_buckets(world: World) -> None:
    inference = AsyncInference(Location("bkt", "out/a"), Location("other", "err/a"))

    async def scenario() -> Verdict:
        verdict, _ = await asyncio.gather(world.watch(inference), world.at(5, "s3://other/err/a"))
        return verdict

    assert world.run(scenario).status == "failed"


def test_few_waits_among_many_old_objects_are_asked_for_by_head(world: World) -> None:
    for number in range(3000):
        world.s3.put(f"s3://bkt/out/{number:04}.out")

    async def scenario() -> None:
        watches = [world.watch(f"{number:04}.new", lasting=100.0) for number in range(0, 3000, 1000)]
        await asyncio.gather(*watches)

    world.run(scenario)
    assert world.s3.count("head_object") > 3 * world.s3.count("list_objects_v2") / 2


def test_at_most_fifty_keys_are_asked_for_side_by_side(world: World) -> None:
    world.s3.may_list = lambda prefix: False
    world.s3.latency = 0.5

    async def scenario() -> None:
        await asyncio.gather(*[world.watch(f"{number:03}", lasting=30.0) for number in range(200)])

    world.run(scenario)
    assert 40 <= world.s3.most_at_once <= 50


def test_each_wait_keeps_its_own_interval(world: World) -> None:
    async def scenario() -> int:
        slow = asyncio.ensure_future(world.watch("a", schedule=PollSchedule(600.0), lasting=7200.0))
        await asyncio.sleep(3000)
        calls = len(world.s3.calls)
        fast = asyncio.ensure_future(world.watch("b", schedule=PollSchedule(5.0)))
        await asyncio.sleep(100)
        asked = [request.get("Key") for _, request in world.s3.calls[calls:]]
        for one in (slow, fast):
            one.cancel()
        await asyncio.wait([slow, fast])
        assert asked.count("out/a") <= 1
        return calls

    assert world.run(scenario) <= 14


def test_with_back_off_the_pauses_grow(world: World) -> None:
    schedule = PollSchedule(10.0, exponential_backoff=True, max_wait=300.0)
    world.run(lambda: world.watch("a", schedule=schedule, lasting=3600.0))
    assert len(world.s3.calls) <= 2 * 24


def test_a_wait_that_began_earlier_says_how_long_it_waited(world: World) -> None:
    async def scenario() -> Verdict:
        return await world.watch("a", lasting=10.0, started=world.clock() - 90)

    assert "after 100 s" in str(world.run(scenario).error)


def test_many_waits_among_many_old_objects_are_walked_side_by_side(world: World) -> None:
    for number in range(5000):
        world.s3.put(f"s3://bkt/out/{number:04}.old")
    world.s3.latency = 0.05

    async def scenario() -> list[Verdict]:
        watches = [world.watch(f"{number:04}", lasting=300.0) for number in range(5000)]
        late = world.at(33, *(f"s3://bkt/out/{number:04}" for number in range(0, 5000, 3)))
        return (await asyncio.gather(late, *watches))[1:]

    verdicts = world.run(scenario)
    assert [verdict.status == "completed" for verdict in verdicts] == [
        not number % 3 for number in range(5000)
    ]
    assert world.s3.most_at_once > 1
