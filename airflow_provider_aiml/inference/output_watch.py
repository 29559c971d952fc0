"""Waiting for the outputs of asynchronous inferences, on an event loop.

Knows nothing of Airflow; the S3 client comes from the caller.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.inference.output_look import alook
from airflow_provider_aiml.inference.outputs import LIST_BUCKET_HINT, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from contextlib import AbstractAsyncContextManager

    from airflow_provider_aiml.inference.outputs import AsyncInference, PollSchedule, Verdict

__all__ = ["watch_output"]


async def watch_output(
    inference: AsyncInference,
    *,
    share_key: Hashable,
    open_client: Callable[[], AbstractAsyncContextManager[Any]],
    schedule: PollSchedule,
    deadline: float,
    max_faults: int | None = 10,
    on_notice: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.time,
    started: float | None = None,
) -> Verdict:
    """Wait until the inference's output or failure object is there, or the deadline has passed.

    :param inference: what to wait for.
    :param share_key: waits of one event loop with an equal key share a client: connection, region, options.
    :param open_client: opens an aiobotocore S3 client; called again when the credentials have expired.
    :param schedule: the pauses between looks.
    :param deadline: seconds since the epoch.
    :param max_faults: how many faults in a row end the wait. Default 10; None: never.
    :param on_notice: is told, once, of a permission that seems to be missing.
    :param clock: gives the seconds since the epoch.
    :param started: when the wait began, in seconds since the epoch, if before this call (a restart).
    """
    del share_key
    wait = Wait(inference, deadline=deadline, max_faults=max_faults, started=started)
    before = 0.0 if started is None else max(0.0, clock() - started)
    polls = 0
    async with open_client() as client:
        while True:
            verdict = wait.on_look(await alook(client, inference), clock())
            if wait.needs_permission_notice and on_notice is not None:
                on_notice(LIST_BUCKET_HINT)
            if verdict is not None:
                return verdict
            polls += 1
            await asyncio.sleep(max(0.0, min(schedule.delay(polls, before), deadline - clock())))
