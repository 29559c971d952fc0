"""The waits of one pair of buckets: who is due when, and one pass over those who are.

Waits with the same fixed interval form one cohort: it is due on a common grid, so that one pass serves them
all, and its keys stay sorted between passes. All others (new ones, back-off, a deadline before the next look)
are in cohorts that live for a single pass. Buckets are apart from each other: a throttled one holds up only
the waits that need it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.inference.output_calls import head_all, list_page
from airflow_provider_aiml.inference.output_facts import BucketFacts
from airflow_provider_aiml.inference.output_keys import Shelf
from airflow_provider_aiml.inference.output_look import combine
from airflow_provider_aiml.inference.output_scan import Heads, Pass, Walk
from airflow_provider_aiml.inference.outputs import (
    CREDENTIAL_CODES,
    LIST_BUCKET_HINT,
    Look,
    Seen,
    Verdict,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from airflow_provider_aiml.exceptions import InferenceError
    from airflow_provider_aiml.inference.outputs import AsyncInference, PollSchedule

__all__ = ["Bucket", "Cohort", "Lane", "Waiter"]

GATHERING = 0.1  # seconds in which new waits collect, so that a burst shares one pass
SHORTEST = 0.05  # seconds; a shorter interval would be a busy loop
LONGEST_BACK_OFF = 60.0  # seconds
_PATIENCE = 10  # seconds without an answer after which no deadline waits for one
_SOON = 2.0  # seconds for which a deadline waits for a bucket that is left alone
_CHUNK = 100  # waits settled before the loop is let go: about a millisecond
_ENDED_AT_ONCE = 25  # waits ended before the loop is let go, which then runs each of them to its end
_NOTHING = Look(Seen.NOTHING)
_UNANSWERED = Look(Seen.FAULT, "TimeoutError")

_log = logging.getLogger(__name__)


class Waiter(Wait):
    """One call of ``watch_output``, told apart by identity.

    :param inference: what is waited for.
    :param schedule: the pauses between looks.
    :param deadline: seconds since the epoch.
    :param max_faults: how many faults in a row end the wait; None: never.
    :param started: seconds since the epoch; None: now.
    :param clock: gives the seconds since the epoch.
    :param on_forbidden: is told, once, of a permission that seems to be missing.
    """

    __slots__ = ("before", "clock", "cohort", "future", "on_forbidden", "polls", "schedule")

    def __init__(
        self,
        inference: AsyncInference,
        schedule: PollSchedule,
        *,
        deadline: float,
        max_faults: int | None,
        started: float | None,
        clock: Callable[[], float],
        on_forbidden: Callable[[str], None] | None,
    ) -> None:
        super().__init__(inference, deadline=float(deadline), max_faults=max_faults, started=started)
        self.schedule = schedule
        self.clock = clock
        self.on_forbidden = on_forbidden
        self.before = 0.0 if started is None else max(0.0, clock() - started)
        self.polls = 0
        self.cohort: Cohort | None = None
        self.future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

    @property
    def bucket_names(self) -> tuple[str, str]:
        """Give the bucket of the output and that of the failure: without a failure location, the same."""
        output, failure = self.inference.output_location, self.inference.failure_location
        return (output.bucket, output.bucket if failure is None else failure.bucket)

    def decide(self, look: Look) -> bool:
        """Take a look; say whether it ended the wait. An error of the waiter's own ends only this wait."""
        if self.future.done():
            return True
        try:
            verdict = self.on_look(look, self.clock())
            if self.take_permission_notice() and self.on_forbidden is not None:
                self.on_forbidden(LIST_BUCKET_HINT)
        except Exception as error:
            self.future.set_exception(error)
            return True
        if verdict is None:
            return False
        self.future.set_result(verdict)
        return True

    def end(self, outcome: InferenceError | Exception, *, as_verdict: bool) -> None:
        """End the wait without a look."""
        if self.future.done():
            return
        if as_verdict:
            self.future.set_result(Verdict("unreadable", outcome))  # type: ignore[arg-type]
        else:
            self.future.set_exception(outcome)


class Bucket:
    """What is known of a bucket, and until when it is left alone."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.facts = BucketFacts(unordered=name.endswith("--x-s3"))
        self.not_before = 0.0
        self.trouble: Look | None = None
        self._faults = 0

    def on_pass(self, stop: Look | None, now: float) -> None:
        """Leave the bucket alone for longer after each fault, and no longer after a pass without one."""
        self.trouble = stop
        if stop is None:
            self._faults = 0
            return
        self._faults += 1
        pause = min(LONGEST_BACK_OFF, 2.0 ** min(self._faults, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
        self.not_before = now + pause
        _log.warning("S3 bucket %s: %s; asking again in %.0f s", self.name, stop.code, pause)


class Cohort:
    """Waits that are due together.

    :param due: on the event loop's clock.
    :param interval: seconds from pass to pass; None: there is one pass only.
    """

    __slots__ = ("due", "failures", "interval", "lane", "name", "outputs")

    def __init__(self, lane: Lane, name: object, due: float, interval: float | None) -> None:
        self.lane = lane
        self.name = name
        self.due = due
        self.interval = interval
        self.outputs: Shelf[Waiter] = Shelf()
        self.failures: Shelf[Waiter] = Shelf()

    def add(self, waiter: Waiter) -> None:
        """Let ``waiter`` be due with this cohort."""
        waiter.cohort = self
        inference = waiter.inference
        self.outputs.add(inference.output_location.key, waiter)
        if inference.failure_location is not None:
            self.failures.add(inference.failure_location.key, waiter)

    def remove(self, waiter: Waiter) -> None:
        """Let ``waiter``, which is in this cohort, be in none."""
        waiter.cohort = None
        inference = waiter.inference
        self.outputs.remove(inference.output_location.key, waiter)
        if inference.failure_location is not None:
            self.failures.remove(inference.failure_location.key, waiter)
        if not len(self.outputs) and self.lane.cohorts.get(self.name) is self:
            del self.lane.cohorts[self.name]


class Lane:
    """All waits of one watcher for one pair of buckets.

    :param output: the bucket of the outputs.
    :param failure: that of the failures; the same object if it is the same bucket.
    """

    def __init__(self, output: Bucket, failure: Bucket) -> None:
        self.output = output
        self.failure = failure
        self.cohorts: dict[object, Cohort] = {}
        self.size = 0
        self.busy = False
        self.renewed = False
        self._silence = 0
        self._phase = random.random()  # noqa: S311

    def due(self) -> float:
        """Give when the next pass is due, on the event loop's clock."""
        soonest = min((cohort.due for cohort in self.cohorts.values()), default=math.inf)
        return max(soonest, self.output.not_before, self.failure.not_before)

    @property
    def trouble(self) -> Look | None:
        """Why one of its buckets was left alone after the last pass."""
        return self.output.trouble or self.failure.trouble

    def join(self, waiter: Waiter, now: float) -> None:
        """Let a new wait in; it is looked at once the burst that it may be part of is over."""
        self.size += 1
        self._cohort("new", now + GATHERING).add(waiter)

    def hurry(self, waiter: Waiter, now: float) -> None:
        """Let a wait that is in a cohort be looked at as soon as a new one would be."""
        assert waiter.cohort is not None
        if waiter.cohort.name != "new":
            waiter.cohort.remove(waiter)
            self._cohort("new", now + GATHERING).add(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Let a wait out, however it ended."""
        self.size -= 1
        if waiter.cohort is not None:
            waiter.cohort.remove(waiter)

    def waiters(self) -> list[Waiter]:
        """Give all waits that are in a cohort."""
        shelves = [cohort.outputs for cohort in self.cohorts.values()]
        return [w for shelf in shelves for key in shelf.keys.behind("", len(shelf)) for w in shelf.at(key)]

    def is_silent(self, now: float) -> bool:
        """Say, asked once a second, whether no answer is to be had of S3 though something is due."""
        wanted = self.busy or any(cohort.due <= now for cohort in self.cohorts.values())
        if wanted:
            self._silence += 1
        elif self.trouble is None:
            self._silence = 0
        left_alone = wanted and not self.busy and self.due() > now + _SOON
        return left_alone or self._silence > _PATIENCE

    async def end_overdue(self) -> None:
        """End the waits whose deadline has passed, without a look: it would come too late."""
        look = self.trouble or _UNANSWERED
        for cohort in list(self.cohorts.values()):
            async for waiters in _some_at_a_time(cohort):
                for waiter in waiters:
                    if waiter.clock() >= waiter.deadline:
                        self._look(waiter, look)

    def _cohort(self, name: object, due: float, interval: float | None = None) -> Cohort:
        if (cohort := self.cohorts.get(name)) is None:
            cohort = self.cohorts[name] = Cohort(self, name, due, interval)
        return cohort

    async def run_pass(self, client: Any, fault: Look | None) -> bool:
        """Look at all that is due.

        :param client: an aiobotocore S3 client; None with ``fault``.
        :param fault: why no client could be had.
        :return: whether the credentials were refused, so that the connection should be read anew.
        """
        loop = asyncio.get_running_loop()
        refused = False
        for cohort in sorted(self.cohorts.values(), key=lambda one: one.due):
            if cohort.due > loop.time() or refused or not len(cohort.outputs):
                continue
            if cohort.interval is None:  # whoever is new from now on waits for the next pass
                del self.cohorts[cohort.name]
                cohort.name = cohort
                self.cohorts[cohort] = cohort
            refused = await self._pass_over(cohort, client, fault)
        return refused

    async def _pass_over(self, cohort: Cohort, client: Any, fault: Look | None) -> bool:
        now = asyncio.get_running_loop().time()
        outputs = Pass(cohort.outputs, self.output.facts, Seen.OUTPUT, now, fault)
        await self._drive(outputs, client, self.output)
        same_bucket = self.failure is self.output
        fault = outputs.stop if same_bucket else fault
        failures = Pass(cohort.failures, self.failure.facts, Seen.FAILURE, now, fault)
        failures.explained = same_bucket and outputs.explained
        await self._drive(failures, client, self.failure)
        now = asyncio.get_running_loop().time()
        stops = [one.stop for one in (outputs, failures) if one.stop is not None]
        refused = any(stop.code in CREDENTIAL_CODES for stop in stops)
        if refused and not self.renewed:
            self.renewed = True
            cohort.due = now
            return True
        self.renewed = refused
        if same_bucket:
            self.output.on_pass(_trouble(outputs, failures), now)
        else:
            self.output.on_pass(_trouble(outputs), now)
            self.failure.on_pass(_trouble(failures), now)
        await self._settle(cohort, outputs, failures)
        return refused

    async def _drive(self, over: Pass, client: Any, bucket: Bucket) -> None:
        if len(over.walks) == 1:
            await self._walk(over, over.walks[0], client, bucket)
        else:
            async with asyncio.TaskGroup() as group:
                for walk in over.walks:
                    group.create_task(self._walk(over, walk, client, bucket))
        over.close()

    async def _walk(self, over: Pass, walk: Walk, client: Any, bucket: Bucket) -> None:
        while (step := walk.next_step()) is not None:
            if isinstance(step, Heads):
                found = walk.on_heads(await head_all(client, bucket.name, step.keys, over.seen))
            else:
                found = await list_page(client, bucket.name, step, walk)
                await asyncio.sleep(0)
            if over.answering:
                self._silence = 0
            for count, key in enumerate(found, 1):
                for waiter in over.shelf.at(key):
                    self._look(waiter, Look(over.seen))
                if not count % _ENDED_AT_ONCE:
                    await asyncio.sleep(0)
            await asyncio.sleep(0)

    def _look(self, waiter: Waiter, look: Look) -> bool:
        ended = waiter.decide(look)
        if ended and waiter.cohort is not None:
            waiter.cohort.remove(waiter)
        return ended

    async def _settle(self, cohort: Cohort, outputs: Pass, failures: Pass) -> None:
        """Tell those who were not found what was seen, and when they are looked at next."""
        loop = asyncio.get_running_loop()
        clean = outputs.clean and failures.clean
        if cohort.interval is not None:
            cohort.due = self._next_on_grid(cohort.interval, loop.time())
        async for waiters in _some_at_a_time(cohort):
            if clean:
                self._silence = 0
            for waiter in waiters:
                look = _NOTHING if clean else _look_of(waiter, outputs, failures)
                if not self._look(waiter, look):
                    self._schedule(waiter, cohort, look, loop.time())

    def _schedule(self, waiter: Waiter, cohort: Cohort, look: Look, now: float) -> None:
        """Say when a wait is looked at next. An error of the waiter's own ends only this wait."""
        waiter.polls += look.seen is not Seen.FAULT
        try:
            interval, due = self._next_look(waiter, look, now)
            last_look = now + waiter.deadline - waiter.clock()
            if due > last_look:
                interval, due = None, max(now, math.ceil(last_look / SHORTEST) * SHORTEST)
        except Exception as error:
            waiter.end(error, as_verdict=False)
            cohort.remove(waiter)
            return
        if interval is None or interval != cohort.interval:
            cohort.remove(waiter)
            self._cohort(("at", due) if interval is None else interval, due, interval).add(waiter)

    def _next_look(self, waiter: Waiter, look: Look, now: float) -> tuple[float | None, float]:
        schedule = waiter.schedule
        pause = 0.0
        if look.seen is Seen.FAULT and max(self.output.not_before, self.failure.not_before) <= now:
            # Not the bucket is at fault, which would be left alone, but the wait's own folder.
            pause = min(LONGEST_BACK_OFF, 2.0 ** min(waiter.faults, 10))
        if schedule.exponential_backoff or pause > schedule.interval:
            answered = look.seen is not Seen.FAULT
            delay = max(SHORTEST, pause, schedule.delay(waiter.polls, waiter.before, answered=answered))
            grid = 2.0 ** math.floor(math.log2(delay / 4))  # so that waits of like delays share a pass
            return None, math.floor((now + delay) / grid) * grid
        interval = max(SHORTEST, schedule.interval)
        cohort = self.cohorts.get(interval)
        return interval, self._next_on_grid(interval, now) if cohort is None else cohort.due

    def _next_on_grid(self, interval: float, now: float) -> float:
        offset = self._phase * interval
        due = offset + (math.floor((now - offset) / interval) + 1) * interval
        return due if due - now > interval / 100 else due + interval  # a quotient may round down to "now"


async def _some_at_a_time(cohort: Cohort) -> AsyncIterator[list[Waiter]]:
    """Give the waits of a cohort, and let the loop go between a hundred of them and the next."""
    behind = ""
    while keys := cohort.outputs.keys.behind(behind, _CHUNK):
        yield [waiter for key in keys for waiter in cohort.outputs.at(key)]
        behind = keys[-1]
        await asyncio.sleep(0)


def _trouble(*passes: Pass) -> Look | None:
    """Give why a bucket is to be left alone: it cannot be asked, or nothing that was asked was answered."""
    stop = next((one.stop for one in passes if one.stop is not None), None)
    if stop is not None or any(one.answered for one in passes):
        return stop
    return next((one.first_fault for one in passes if one.first_fault is not None), None)


def _look_of(waiter: Waiter, outputs: Pass, failures: Pass) -> Look:
    inference = waiter.inference
    output = outputs.look_at(inference.output_location.key)
    where = inference.failure_location
    return output if where is None else combine(output, failures.look_at(where.key))
