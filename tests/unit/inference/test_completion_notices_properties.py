"""Whatever the order of outputs, notices, lies, faults and restarts: no wait is lost, none doubled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.inference.fake_sqs import Notices, notice, sqs_error

if TYPE_CHECKING:
    from tests.unit.inference.conftest import World

NAMES = "abcd"
WHEN = st.integers(0, 900)
EVENTS = st.one_of(
    st.tuples(st.just("appears and is noticed"), st.sampled_from(NAMES), WHEN),
    st.tuples(st.just("appears"), st.sampled_from(NAMES), WHEN),
    st.tuples(st.just("fails and is noticed"), st.sampled_from(NAMES), WHEN),
    st.tuples(st.just("is noticed"), st.sampled_from((*NAMES, "foreign")), WHEN),
    st.tuples(st.just("rubbish"), st.just(""), WHEN),
    st.tuples(st.just("sqs faults"), st.just(""), WHEN),
    st.tuples(st.just("is restarted"), st.sampled_from(NAMES), WHEN),
)


class Story:
    """Waits for each name, by a process of its own for every other name, and what happens to them."""

    def __init__(self, notices: Notices) -> None:
        self.notices = notices
        self.tries: dict[str, asyncio.Task[Any]] = {}
        self.there: dict[str, float] = {}
        self.ended: list[tuple[str, str, float]] = []

    def begin(self, name: str) -> None:
        process = NAMES.index(name) % 2
        self.tries[name] = asyncio.ensure_future(self.wait(name, process))

    async def wait(self, name: str, process: int) -> None:
        verdict = await self.notices.watch(name, share_key=process, lasting=36_000.0)
        self.ended.append((name, verdict.status, asyncio.get_running_loop().time()))

    async def happen(self, what: str, name: str, when: int) -> None:
        await asyncio.sleep(when)
        if "appears" in what or "fails and" in what:
            self.notices.world.s3.put(f"s3://bkt/{'err' if 'fails' in what else 'out'}/{name}")
            self.there.setdefault(name, when)
        if "noticed" in what:
            self.notices.sqs.send(notice(name, status="Failed" if "fails" in what else "Completed"))
        if what == "rubbish":
            self.notices.sqs.send(what)
        if what == "sqs faults":
            faults = [sqs_error("InternalError", "X"), OSError()]
            self.notices.sqs.faults = {
                name: list(faults) for name in ("receive_message", "delete_message_batch")
            }
        if what == "is restarted":
            await self.restart(self.tries[name], name)

    async def restart(self, try_: asyncio.Task[Any], name: str) -> None:
        if not try_.done() and not try_.cancelling():
            try_.cancel()
            await asyncio.wait([try_])
            self.begin(name)

    async def tell(self, events: list[tuple[str, str, int]]) -> None:
        for name in NAMES:
            self.begin(name)
        last = [("appears", name, 1000) for name in NAMES]
        await asyncio.gather(*[self.happen(*event) for event in (*events, *last)])
        while running := [one for one in self.tries.values() if not one.done()]:
            await asyncio.wait(running)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(EVENTS, max_size=25))
def test_no_wait_is_lost_doubled_or_completed_too_early(
    make_world: type[World], events: list[tuple[str, str, int]]
) -> None:
    notices = Notices(make_world())
    story = Story(notices)
    notices.run(lambda: story.tell(events))
    assert sorted(name for name, _, _ in story.ended) == sorted(NAMES)
    for name, status, when in story.ended:
        assert status in ("completed", "failed")
        assert story.there[name] <= when <= story.there[name] + 301
    left = [message.body for message in notices.sqs.messages]
    sent = sum("noticed" in what and name == "foreign" for what, name, _ in events)
    assert left.count(notice("foreign")) == sent
