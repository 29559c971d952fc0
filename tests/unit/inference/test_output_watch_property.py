"""Whatever appears, fails, is throttled, cancelled or restarted, in any order: each wait ends rightly."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.inference.outputs import PollSchedule
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from airflow_provider_aiml.inference.outputs import Verdict
    from tests.unit.inference.conftest import World

NAMES = [f"{folder}{number}" for folder in ("", "x/", "y/z/") for number in range(3)]
END = 420.0


@dataclass(frozen=True)
class Event:
    """One thing that happens at a moment.

    :param what: ``output`` or ``failure`` appears; a wait is ``cancel``-led or ``restart``-ed; S3 has a
        ``fault``; the ``keys`` are refused until the next client is opened; LIST is ``refuse``-d from now on.
    """

    at: float
    what: str
    name: str


events = st.lists(
    st.builds(
        Event,
        st.floats(0, 200).map(lambda moment: round(moment, 1)),
        st.sampled_from(["output", "output", "failure", "cancel", "restart", "fault", "keys", "refuse"]),
        st.sampled_from(NAMES),
    ),
    max_size=20,
)
schedules = st.builds(
    PollSchedule, st.sampled_from([3.0, 10.0, 25.0]), st.booleans(), st.sampled_from([None, 40.0])
)


class Story:
    """Lets the events happen to nine waits, and notes how each ended."""

    def __init__(self, world: World, schedule: PollSchedule) -> None:
        self.world = world
        self.schedule = schedule
        self.tasks: dict[str, asyncio.Task[Verdict]] = {}
        self.cancelled: set[str] = set()
        self.appeared: dict[str, set[str]] = {name: set() for name in NAMES}

    def start(self, name: str) -> None:
        watch = self.world.watch(
            self.world.inference(name),
            schedule=self.schedule,
            deadline=self.world.clock() + END - asyncio.get_running_loop().time(),
            max_faults=None,
        )
        self.tasks[name] = asyncio.ensure_future(watch)

    async def cancel(self, name: str) -> None:
        self.tasks[name].cancel()
        await asyncio.wait([self.tasks[name]])

    async def happen(self, event: Event) -> None:
        s3 = self.world.s3
        if event.what in ("output", "failure"):
            folder = {"output": "out", "failure": "err"}[event.what]
            s3.put(f"s3://bkt/{folder}/{event.name}")
            if event.name not in self.cancelled:
                self.appeared[event.name].add(event.what)
        elif event.what == "cancel" and not self.tasks[event.name].done():
            await self.cancel(event.name)
            self.cancelled.add(event.name)
        elif event.what == "restart" and not self.tasks[event.name].done():
            old = self.tasks[event.name]
            self.start(event.name)
            old.cancel()
            await asyncio.wait([old])
        elif event.what == "fault":
            answer: Any = {"Error": {"Code": "SlowDown"}}
            s3.faults.setdefault("bkt", []).append(ClientError(answer, "ListObjectsV2"))
        elif event.what == "keys":
            answer = {"Error": {"Code": "ExpiredToken"}}
            s3.faults.setdefault("bkt", []).append(ClientError(answer, "ListObjectsV2"))
        elif event.what == "refuse":
            s3.may_list = lambda prefix: False

    async def run(self, story: list[Event]) -> dict[str, str]:
        for name in NAMES:
            self.start(name)
        for event in sorted(story, key=lambda one: one.at):
            await self.world.at(max(event.at, asyncio.get_running_loop().time()))
            await self.happen(event)
        await asyncio.wait(self.tasks.values())
        return {
            name: "cancelled" if task.cancelled() else task.result().status
            for name, task in self.tasks.items()
        }


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(  # the wait comes at the very moment at which a pass ends
    story=[Event(104.0, "output", "0"), Event(110.0, "restart", "0")],
    schedule=PollSchedule(10.0, exponential_backoff=True),
    latency=7.0,
)
@example(  # what S3 does not answer would be looked for again after the last moment
    story=[Event(73.0, "output", "0"), *[Event(73.0, "fault", "0")] * 3],
    schedule=PollSchedule(3.0, exponential_backoff=True),
    latency=0.0,
)
@given(story=events, schedule=schedules, latency=st.sampled_from([0.0, 0.3, 7.0]))
def test_no_completion_is_lost_or_doubled(
    make_world: type[World], story: list[Event], schedule: PollSchedule, latency: float
) -> None:
    world = make_world()
    world.s3.latency = latency
    told = Story(world, schedule)
    ended = world.run(lambda: told.run(story))
    for name, status in ended.items():
        there = told.appeared[name]
        if name in told.cancelled:
            assert status == "cancelled"
        elif not there:
            assert status == "expired"
        else:
            assert status in {{"output": "completed", "failure": "failed"}[kind] for kind in there}
