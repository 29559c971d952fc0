"""The wait for Bedrock's asynchronous invocations, in the triggerer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from airflow.triggers.base import TriggerEvent

from airflow_provider_aiml.aws_trigger import AwsTrigger
from airflow_provider_aiml.exceptions import AccessDeniedError, InferenceError
from airflow_provider_aiml.inference.invocations import InvocationWait, read_invocations
from airflow_provider_aiml.inference.outputs import PollSchedule, Verdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_hooks: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()
"""Hooks in use, by connection and settings: their waits share one client."""


class BedrockAsyncInvokeTrigger(AwsTrigger):
    """Wait until each invocation has completed, or the first one fails.

    Its one event holds ``status``, ``index`` (of the invocation that ended the wait), ``error`` (a typed
    error as a mapping, without the model's words) and ``invocations``. The status is ``completed``,
    ``failed``, ``expired`` (``timeout_at`` passed), ``unreadable`` or ``error`` (nothing to wait for).

    :param invocations: the ARNs.
    :param poll_interval: seconds between two questions. Default: 60.
    :param exponential_backoff: ask less and less often. Default: False.
    :param max_wait: seconds between two questions at most, with ``exponential_backoff``.
    :param timeout_at: seconds since the epoch at which the wait ends; None waits for ever. It is absolute, so
        that a restart does not extend it.
    :param started_at: seconds since the epoch at which the wait began: a restart goes on with its back-off.
        Default: now.
    :param max_faults: failed questions in a row after which the wait gives up; None never does.
    :param kwargs: connection and settings, see :class:`~airflow_provider_aiml.aws_trigger.AwsTrigger`.
    """

    own_arguments = (
        "invocations",
        "poll_interval",
        "exponential_backoff",
        "max_wait",
        "started_at",
        "max_faults",
    )

    def __init__(
        self,
        *,
        invocations: list[str],
        poll_interval: float = 60,
        exponential_backoff: bool = False,
        max_wait: float | None = None,
        started_at: float | None = None,
        max_faults: int | None = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.invocations = invocations
        self.poll_interval = poll_interval
        self.exponential_backoff = exponential_backoff
        self.max_wait = max_wait
        self.started_at = started_at
        self.max_faults = max_faults

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then say how it ended, in one event."""
        try:
            event = await self._wait(read_invocations(self.invocations, "invocations"))
        except InferenceError as error:
            event = self._event("error", error=error)
        yield TriggerEvent(event)

    async def _wait(self, arns: list[str]) -> dict[str, Any]:
        """Wait for all, or until the first that does not complete."""
        watches = {asyncio.ensure_future(self._watch(arn)): index for index, arn in enumerate(arns)}
        pending = set(watches)
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for watch in sorted(done, key=watches.__getitem__):
                    verdict = watch.result()
                    if verdict.status != "completed":
                        return self._event(verdict.status, watches[watch], verdict.error)
        finally:
            for watch in pending:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
        return self._event("completed")

    async def _watch(self, arn: str) -> Verdict:
        """Ask for one invocation until it has ended; with expired keys, over a connection read anew."""
        wait = InvocationWait(arn, self.timeout_at, self.max_faults)
        schedule = PollSchedule(self.poll_interval, self.exponential_backoff, self.max_wait, arn)
        polls, elapsed = 0, max(0.0, time.time() - (self.started_at or time.time()))
        while True:
            # The amazon provider takes a second to import, which other triggers should not wait for.
            hook = await asyncio.to_thread(self._shared_hook)
            async with hook.aclient():
                while True:
                    verdict, fault = await _ask(hook, wait)
                    if verdict is not None:
                        return verdict
                    polls += fault is None
                    await asyncio.sleep(self.pause(schedule.delay(polls, elapsed, answered=fault is None)))
                    if isinstance(fault, AccessDeniedError):
                        break
            if _hooks.get(self.share_key) is hook:
                del _hooks[self.share_key]

    def _shared_hook(self) -> Any:
        from airflow_provider_aiml.hooks.bedrock_runtime import BedrockRuntimeHook

        hook = _hooks.get(self.share_key)
        if hook is None:
            hook = _hooks[self.share_key] = self.make_hook(BedrockRuntimeHook)
        return hook

    def _event(
        self, status: str, index: int | None = None, error: InferenceError | None = None
    ) -> dict[str, Any]:
        facts = error.to_dict() if error else None
        return {"status": status, "index": index, "error": facts, "invocations": self.invocations}


async def _ask(hook: Any, wait: InvocationWait) -> tuple[Verdict | None, InferenceError | None]:
    """Ask once; say what follows, and why there was no answer."""
    try:
        answer = await hook.aget_async_invoke(invocation_arn=wait.arn)
    except InferenceError as error:
        return wait.on_error(error, time.time()), error
    return wait.on_answer(str(answer["status"]), time.time()), None
