"""Whatever lasts in one bucket or folder, and whoever else waits: waits elsewhere are seen in time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_aiml.inference.outputs import AsyncInference, Location, PollSchedule
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.unit.inference.conftest import error

if TYPE_CHECKING:
    from airflow_provider_aiml.inference.outputs import Verdict
    from tests.unit.inference.conftest import World

FOREVER = 20_000.0
ALLOWANCE = 2.0
"""Seconds behind one poll within which an output in another bucket is seen."""
IN_THE_SAME_BUCKET = 65.0
"""As many for another folder of the same bucket: a call that hangs and a pause of the bucket lie between."""
OVERDUE = 12.0
"""Seconds behind its deadline within which a wait ends where nothing answers."""


@dataclass(frozen=True)
class Waiting:
    """A wait for an object in a folder of a bucket, which appears at a moment.

    :param begins: seconds after the start.
    """

    bucket: str
    folder: str
    begins: float
    appears: float
    interval: float

    def inference(self, number: int) -> AsyncInference:
        output = Location(self.bucket, f"{self.folder}/{number}")
        return AsyncInference(output, Location(self.bucket, f"err/{self.folder}/{number}"), str(number))


@dataclass(frozen=True)
class Sickness:
    """What lasts from a moment on, in a bucket or in one folder of it."""

    place: str
    what: str
    since: float

    def strike(self, world: World) -> None:
        s3 = world.s3
        if self.what == "hangs":
            s3.hung[self.place] = FOREVER
        elif self.what == "list hangs":
            s3.hung[f"list_objects_v2 {self.place}"] = FOREVER
        elif self.what == "slow down":
            s3.faults[self.place.partition("/")[0]] = [error("SlowDown", 503, "ListObjectsV2")] * 10_000
        for operation in ("list_objects_v2", "head_object"):
            if self.what in (operation, "both"):
                s3.at_fault[operation, self.place] = FOREVER

    def spares(self, one: Waiting) -> bool:
        return not f"{one.bucket}/{one.folder}/".startswith(self.place)


moments = st.floats(0, 300).map(lambda moment: round(moment, 1))
waits = st.lists(
    st.builds(
        Waiting,
        st.sampled_from(["bkt", "other", "third"]),
        st.sampled_from(["a", "bad", "z"]),
        moments,
        moments,
        st.sampled_from([3.0, 10.0, 25.0]),
    ),
    min_size=1,
    max_size=12,
)
sicknesses = st.one_of(
    st.builds(
        Sickness,
        st.just("other/"),
        st.sampled_from(["list_objects_v2", "head_object", "both", "hangs", "slow down"]),
        moments,
    ),
    st.builds(
        Sickness,
        st.just("bkt/bad/"),
        st.sampled_from(["list_objects_v2", "head_object", "both", "list hangs"]),
        moments,
    ),
)
UNRECKONABLE = PollSchedule(10**400)


class Ward:
    """Runs the waits, each in its own time, and notes when each ended, and how."""

    def __init__(self, world: World, lasting: float) -> None:
        self.world = world
        self.lasting = lasting
        self.ended: dict[int, tuple[Verdict, float]] = {}

    async def wait(self, number: int, one: Waiting) -> None:
        await self.world.at(one.begins)
        schedule = PollSchedule(one.interval)
        verdict = await self.world.watch(one.inference(number), schedule=schedule, lasting=self.lasting)
        self.ended[number] = (verdict, asyncio.get_running_loop().time())

    async def wait_without_sense(self, moment: float) -> None:
        await self.world.at(moment)
        senseless = self.world.watch(f"senseless-{moment}", schedule=UNRECKONABLE, lasting=self.lasting)
        (outcome,) = await asyncio.gather(senseless, return_exceptions=True)
        assert isinstance(outcome, OverflowError)

    async def strike(self, sickness: Sickness) -> None:
        await self.world.at(sickness.since)
        sickness.strike(self.world)

    async def expire(self, moment: float) -> None:
        await self.world.at(moment)
        self.world.s3.faults["third"] = [error("ExpiredToken", 400, "ListObjectsV2")]

    async def run(
        self, all_waits: list[Waiting], sickness: Sickness, senseless: list[float], expiries: list[float]
    ) -> None:
        puts = [
            self.world.at(one.appears, str(one.inference(number).output_location))
            for number, one in enumerate(all_waits)
        ]
        await asyncio.gather(
            *puts,
            *(self.wait(number, one) for number, one in enumerate(all_waits)),
            *map(self.wait_without_sense, senseless),
            *map(self.expire, expiries),
            self.strike(sickness),
        )


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(
    all_waits=[Waiting("other", "a", 0, 300, 10.0), Waiting("third", "a", 0, 60, 10.0)],
    sickness=Sickness("other/", "hangs", 35),
    senseless=[],
    expiries=[50],
    latency=0.0,
)
@example(
    all_waits=[Waiting("bkt", folder, 0, 300, 10.0) for folder in ("a", "bad", "z")],
    sickness=Sickness("bkt/bad/", "list_objects_v2", 0),
    senseless=[25],
    expiries=[],
    latency=0.0,
)
@given(
    all_waits=waits,
    sickness=sicknesses,
    senseless=st.lists(moments, max_size=2, unique=True),
    expiries=st.lists(moments, max_size=2),
    latency=st.sampled_from([0.0, 0.1]),
)
def test_waits_elsewhere_are_seen_within_one_poll_and_an_allowance(
    make_world: type[World],
    all_waits: list[Waiting],
    sickness: Sickness,
    senseless: list[float],
    expiries: list[float],
    latency: float,
) -> None:
    world = make_world()
    world.s3.latency = latency
    ward = Ward(world, lasting=3600.0)
    world.run(lambda: ward.run(all_waits, sickness, senseless, expiries))

    for number, one in enumerate(all_waits):
        verdict, seen = ward.ended[number]
        if sickness.spares(one):
            same = sickness.place.startswith(one.bucket)
            allowance = (IN_THE_SAME_BUCKET if same else ALLOWANCE) + 20 * latency
            assert verdict.status == "completed"
            assert seen <= max(one.begins, one.appears) + one.interval + allowance


@settings(max_examples=75, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(all_waits=waits, sickness=sicknesses, lasting=st.sampled_from([5.0, 60.0, 250.0]))
def test_no_wait_outlives_its_deadline_by_much_whatever_lasts(
    make_world: type[World], all_waits: list[Waiting], sickness: Sickness, lasting: float
) -> None:
    world = make_world()
    ward = Ward(world, lasting)
    world.run(lambda: ward.run(all_waits, sickness, [], []))

    for number, one in enumerate(all_waits):
        _, over = ward.ended[number]
        assert over <= one.begins + lasting + OVERDUE
