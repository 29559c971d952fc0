"""Waiting for the outputs of asynchronous inferences, at almost no cost for each.

All waits of one event loop with the same connection and options share one S3 client and one polling task, the
:class:`Watcher`. It lives from the first wait to the last; event loops never mix. Knows nothing of Airflow:
the client comes from the caller. The rule by which it asks S3 stands in
:mod:`airflow_provider_aiml.inference.output_scan`.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from airflow_provider_aiml.exceptions import InferenceError, OutputUnreadableError
from airflow_provider_aiml.inference.output_lane import Bucket, Lane, Waiter
from airflow_provider_aiml.inference.output_look import fault_code
from airflow_provider_aiml.inference.output_speed import Unscanned, read_keys_only
from airflow_provider_aiml.inference.outputs import Look, Seen
from airflow_provider_aiml.inference.quiet_logs import quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from contextlib import AbstractAsyncContextManager

    from airflow_provider_aiml.inference.outputs import AsyncInference, PollSchedule, Verdict

__all__ = ["Bell", "Watcher", "watch_output"]

_CHUNK = 200  # waits ended before the loop is let go
_LONGEST_OPENING = 60.0  # seconds in which a client is to be had
_PARTING = 5.0  # seconds that closing may take once the last wait has left
_TICK = 1.0  # seconds between two looks at the deadlines
_log = logging.getLogger(__name__)
_watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Watcher]] = WeakKeyDictionary()


async def watch_output(
    inference: AsyncInference,
    *,
    share_key: Hashable,
    open_client: Callable[[], AbstractAsyncContextManager[Any]],
    schedule: PollSchedule,
    deadline: float,
    max_faults: int | None = 10,
    on_forbidden: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.time,
    started: float | None = None,
    bell: Bell | None = None,
) -> Verdict:
    """Wait until the inference's output or failure object is there, or the deadline has passed.

    :param inference: what to wait for.
    :param share_key: waits of one event loop with an equal key share a client: connection, region, options.
    :param open_client: opens an aiobotocore S3 client. Called once for all waits, and again when the
        credentials were refused; the latest wait's is taken. It must not block the loop.
    :param schedule: the pauses between looks. A wait may be looked at sooner, when that costs no further
        call.
    :param deadline: seconds since the epoch.
    :param max_faults: how many faults in a row end the wait. Default 10; None: never.
    :param on_forbidden: is told, once, of a permission that seems to be missing.
    :param clock: gives the seconds since the epoch.
    :param started: when the wait began, in seconds since the epoch, if before this call (a restart).
    :param bell: lets its holder have a look taken at once.
    :return: how the wait ended; a client that cannot be had for want of a connection is ``unreadable``.
    """
    waiter = Waiter(
        inference,
        schedule,
        deadline=deadline,
        max_faults=max_faults,
        started=started,
        clock=clock,
        on_forbidden=on_forbidden,
    )
    watcher = _shared_watcher(share_key)
    watcher.join(waiter, open_client)
    if bell is not None:
        bell.hang(watcher, waiter)
    try:
        return await waiter.future
    finally:
        if watcher.leave(waiter):
            await watcher.closed()


def _shared_watcher(share_key: Hashable) -> Watcher:
    of_loop = _watchers.setdefault(asyncio.get_running_loop(), {})
    if (watcher := of_loop.get(share_key)) is None:
        watcher = of_loop[share_key] = Watcher(share_key)
    return watcher


class Bell:
    """What someone who has heard of an output can do to the wait for it.

    :param schedule: the pauses between the wait's looks once it was rung.
    """

    __slots__ = ("_schedule", "_waiter", "_watcher")

    def __init__(self, schedule: PollSchedule) -> None:
        self._schedule = schedule
        self._watcher: Watcher | None = None
        self._waiter: Waiter | None = None

    def hang(self, watcher: Watcher, waiter: Waiter) -> None:
        """Belong to a wait."""
        self._watcher, self._waiter = watcher, waiter

    def ring(self) -> None:
        """Let S3 be looked at now. What is seen there decides, as ever."""
        if self._watcher is not None and self._waiter is not None:
            self._waiter.schedule = self._schedule
            self._watcher.hurry(self._waiter)

    def end(self, outcome: Exception, *, as_verdict: bool) -> None:
        """End the wait without a look."""
        if self._waiter is not None:
            self._waiter.end(outcome, as_verdict=as_verdict)


class _Client:
    """An S3 client, and the passes that use it: it is closed when the last of them is over."""

    def __init__(self) -> None:
        self.s3: Any = None
        self.passes: dict[asyncio.Task[bool], Lane] = {}
        self._opened = AsyncExitStack()
        self._closing: asyncio.Task[None] | None = None

    async def open(self, open_client: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        """Open the client, or fail in bounded time."""
        async with asyncio.timeout(_LONGEST_OPENING):
            self.s3 = await self._opened.enter_async_context(open_client())
        read_keys_only(self.s3)

    def closing(self) -> asyncio.Task[None]:
        """Close the client, if it was opened, in a task of its own, which nobody else cancels."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._opened.aclose())
        return self._closing


class Watcher:
    """One S3 client and one polling task for all waits of an event loop with the same key.

    :param share_key: what the waits have in common.
    """

    def __init__(self, share_key: Hashable) -> None:
        self.share_key = share_key
        self._loop = asyncio.get_running_loop()
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._buckets: WeakValueDictionary[str, Bucket] = WeakValueDictionary()
        self._open_client: Callable[[], AbstractAsyncContextManager[Any]] | None = None
        self._client = _Client()
        self._replaced: list[_Client] = []
        self._stale = True
        self._awake = self._loop.create_future()
        self._size = 0
        self._ending = False
        self._unscanned = Unscanned()
        # In a context of its own: whoever came first must not lend its log fields to the waits of all others.
        self._task = self._loop.create_task(self._run(), context=contextvars.Context())

    def join(self, waiter: Waiter, open_client: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        """Let a wait in."""
        self._open_client = open_client
        self._size += 1
        self._unscanned.grown(self._size)
        self._lane_of(waiter).join(waiter, self._loop.time())
        self._wake()

    def hurry(self, waiter: Waiter) -> None:
        """Look for a wait at once, unless it is over."""
        if waiter.cohort is not None:
            waiter.cohort.lane.hurry(waiter, self._loop.time())
            self._wake()

    def leave(self, waiter: Waiter) -> bool:
        """Let a wait out, however it ended; say whether it was the last, which ends the watcher."""
        names = waiter.bucket_names
        lane = self._lanes[names]
        lane.leave(waiter)
        if not lane.size:
            del self._lanes[names]
        self._size -= 1
        self._unscanned.shrunk(self._size)
        if self._size:
            return False
        self._forget()
        if not self._ending:
            self._task.cancel()
        return True

    async def closed(self) -> None:
        """Wait until the polling task has ended and the client is closed."""
        await asyncio.wait([self._task])

    def _lane_of(self, waiter: Waiter) -> Lane:
        names = waiter.bucket_names
        if (lane := self._lanes.get(names)) is None:
            output, failure = (self._buckets.setdefault(name, Bucket(name)) for name in names)
            lane = self._lanes[names] = Lane(output, failure)
        return lane

    def _forget(self) -> None:
        of_loop = _watchers.get(self._loop, {})
        if of_loop.get(self.share_key) is self:
            del of_loop[self.share_key]

    def _wake(self) -> None:
        if not self._awake.done():
            self._awake.set_result(None)

    async def _run(self) -> None:
        with quiet_libraries():
            await self._watch()

    async def _watch(self) -> None:
        outcome: Exception = OutputUnreadableError("The shared watcher of S3 was stopped")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_deadlines())
                while True:
                    await self._start_passes()
                    await self._pause()
                    self._collect()
        except Exception as bug:
            outcome = bug
            while isinstance(outcome, ExceptionGroup):
                outcome = outcome.exceptions[0]
        finally:
            self._ending = True
            self._forget()
            await self._end(outcome)

    async def _start_passes(self) -> None:
        now = self._loop.time()
        due = [lane for lane in self._lanes.values() if not lane.busy and lane.due() <= now]
        if not due:
            return
        fault = await self._replace_client() if self._stale else None
        for lane in due:
            lane.busy = True
            self._client.passes[self._loop.create_task(lane.run_pass(self._client.s3, fault))] = lane

    async def _pause(self) -> None:
        """Sleep until a lane is due, a pass is over or a wait has come."""
        soonest = min((lane.due() for lane in self._lanes.values() if not lane.busy), default=None)
        timeout = (
            None if soonest is None or soonest == float("inf") else max(0.0, soonest - self._loop.time())
        )
        await asyncio.wait(
            {self._awake, *self._passes()}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
        )
        if self._awake.done():
            self._awake = self._loop.create_future()

    def _passes(self) -> list[asyncio.Task[bool]]:
        return [one for client in (self._client, *self._replaced) for one in client.passes]

    def _collect(self) -> None:
        """Learn from the passes that are over, and close the replaced clients that no pass uses."""
        for client in (self._client, *self._replaced):
            for one in [one for one in client.passes if one.done()]:
                client.passes.pop(one).busy = False
                refused = one.result()
                if client is self._client:  # what an older client was refused is known already
                    self._stale = self._stale or refused
        self._replaced = [one for one in self._replaced if one.passes or not one.closing().done()]

    async def _keep_deadlines(self) -> None:
        """End overdue waits whose look is not to be had: a call hangs, or the bucket is left alone."""
        while True:
            await asyncio.sleep(_TICK)
            for lane in [lane for lane in self._lanes.values() if lane.is_silent(self._loop.time())]:
                await lane.end_overdue()

    async def _replace_client(self) -> Look | None:
        """Read the connection anew and open a client; give the fault if that cannot be done now."""
        assert self._open_client is not None
        if self._client.s3 is not None:
            _log.info("S3 refused the credentials; reading the connection anew for %d waits", self._size)
        self._replaced.append(self._client)
        self._client = _Client()
        try:
            await self._client.open(self._open_client)
        except InferenceError as error:
            if not error.retryable:
                await self._end_waits(error, as_verdict=True)
            return Look(Seen.FAULT, error.code or type(error).__name__)
        except Exception as error:
            code = fault_code(error)
            if code is None and type(error).__module__ == "builtins":
                raise
            return Look(Seen.FAULT, code or type(error).__name__)
        self._stale = False
        return None

    async def _end_waits(self, outcome: Exception, *, as_verdict: bool) -> None:
        waiters = [waiter for lane in self._lanes.values() for waiter in lane.waiters()]
        for count, waiter in enumerate(waiters, 1):
            waiter.end(outcome, as_verdict=as_verdict)
            if not count % _CHUNK:
                await asyncio.sleep(0)

    async def _end(self, outcome: Exception) -> None:
        passes = self._passes()
        for one in passes:
            one.cancel()
        if passes:
            await asyncio.wait(passes)
        try:
            await self._end_waits(outcome, as_verdict=False)
        finally:
            await self._close([client.closing() for client in (self._client, *self._replaced)])

    async def _close(self, closings: list[asyncio.Task[None]]) -> None:
        """Let the clients close, but not for ever: the last wait's verdict is there already."""
        _, late = await asyncio.wait(closings, timeout=_PARTING)
        for one in late:
            one.cancel()
        if late:
            await asyncio.wait(late, timeout=_PARTING)
