"""The wait for SageMaker's asynchronous inferences, in the triggerer."""

from __future__ import annotations

import asyncio
import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_aiml.aws_trigger import AwsTrigger
from airflow_provider_aiml.exceptions import InferenceError
from airflow_provider_aiml.inference.completion_notices import watch_output_with_notices
from airflow_provider_aiml.inference.failure_policy import FailurePolicy
from airflow_provider_aiml.inference.manifest_store import fetch_manifest, keep_failures
from airflow_provider_aiml.inference.notice_queue import QueueRef
from airflow_provider_aiml.inference.output_watch import watch_output
from airflow_provider_aiml.inference.outputs import PollSchedule, Verdict
from airflow_provider_aiml.inference.submissions import longest_deadline
from airflow_provider_aiml.inference.wait_list import (
    compact_failure,
    expand,
    first_places,
    manifest_of,
    read_manifest,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_aiml.inference.submissions import Submission

FAILURES_LISTED = 100
"""Failures that an event lists by itself, where there is a manifest to put them beside."""
AT_ONCE = 100
"""Waits that are begun, or ended, before other triggers have their turn."""
PLACES_TOLD = 5
"""Output locations that the log names when a wait is ended by hand."""


class SageMakerAsyncInferenceTrigger(AwsTrigger):
    """Wait until each inference has an output, or more of them failed than may.

    Its one event holds ``status``, ``index`` and ``error`` (of the first inference that did not complete, the
    error as a mapping), the ``inferences`` as they were given and, where several failed, ``failures``: of
    each what :func:`~airflow_provider_aiml.inference.wait_list.compact_failure` gives; never data. The status
    is ``completed``, ``failed``, ``expired``, ``unreadable``, ``timeout`` (``timeout_at`` passed before the
    inference's deadline, or before its manifest could be read), or ``error`` (there is nothing to wait for).
    Where a manifest was given and many failed, ``failures`` names one, too.

    :param inferences: submissions (``inference_id``, ``output_location``, ``failure_location``,
        ``deadline``), their compact form, or ``{"manifest": "s3://…"}``: see
        :mod:`airflow_provider_aiml.inference.wait_list`.
    :param poll_interval: seconds between two looks. Default: 60.
    :param exponential_backoff: look less and less often. Default: False.
    :param max_wait: seconds between two looks at most, with ``exponential_backoff``.
    :param timeout_at: seconds since the epoch at which the wait itself ends; None leaves that to the
        inferences' deadlines. It is absolute, so that a restart does not extend it.
    :param started_at: seconds since the epoch at which the wait began: a restart goes on with its back-off,
        and with the deadlines of inferences that are given without one. Default: now.
    :param max_faults: failed looks in a row after which the wait gives up; None never does.
    :param failure_policy: the arguments of
        :class:`~airflow_provider_aiml.inference.failure_policy.FailurePolicy`. Default: none may fail.
    :param sqs_queue: the URL, ARN or name of a queue of completion notices. Until its notice comes, S3 is
        looked at for an inference every five minutes only. Default: None, there is none.
    :param kwargs: connection and settings, see :class:`~airflow_provider_aiml.aws_trigger.AwsTrigger`.
    """

    own_arguments = (
        "inferences",
        "poll_interval",
        "exponential_backoff",
        "max_wait",
        "started_at",
        "max_faults",
        "failure_policy",
        "sqs_queue",
    )

    def __init__(
        self,
        *,
        inferences: list[dict[str, Any]] | dict[str, Any],
        poll_interval: float = 60,
        exponential_backoff: bool = False,
        max_wait: float | None = None,
        started_at: float | None = None,
        max_faults: int | None = 10,
        failure_policy: dict[str, Any] | None = None,
        sqs_queue: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.inferences = inferences
        self.poll_interval = poll_interval
        self.exponential_backoff = exponential_backoff
        self.max_wait = max_wait
        self.started_at = time.time() if started_at is None else started_at
        self.max_faults = max_faults
        self.failure_policy = failure_policy
        self.sqs_queue = sqs_queue
        self._hook_class: Any = None
        self._told = False

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then say how it ended, in one event."""
        try:
            policy = FailurePolicy(**(self.failure_policy or {}))
            # The amazon provider takes a second to import, which other triggers should not wait for.
            self._hook_class = await asyncio.to_thread(_import_hook)
            event = await self._wait(await self._read_submissions(), policy)
        except InferenceError as error:
            over = error.retryable and self.timeout_at is not None and time.time() >= self.timeout_at
            event = self._event("timeout" if over else "error", error=error)
        yield TriggerEvent(event)

    async def _read_submissions(self) -> list[Submission]:
        """Read what to wait for; thousands of them in a thread."""
        manifest = manifest_of(self.inferences)
        if manifest is None:
            return await asyncio.to_thread(expand, self.inferences, now=self.started_at)
        # What it lists was submitted before the wait began, so none of it has a later deadline than this.
        ends_at = min(self.timeout_at or math.inf, longest_deadline(self.started_at))
        body = await fetch_manifest(self._open_s3, manifest, max_faults=self.max_faults, ends_at=ends_at)
        return await asyncio.to_thread(read_manifest, body, manifest, now=self.started_at)

    async def _wait(self, submissions: list[Submission], policy: FailurePolicy) -> dict[str, Any]:
        """Wait for all, or until more failed than may."""
        queue = QueueRef.parse(self.sqs_queue) if self.sqs_queue else None
        watches: list[asyncio.Task[tuple[int, Verdict]]] = []
        ended: asyncio.Queue[asyncio.Task[tuple[int, Verdict]]] = asyncio.Queue()
        failures: dict[int, Verdict] = {}
        try:
            for index, one in enumerate(submissions):
                watches.append(asyncio.create_task(self._watch(index, one, queue)))
                watches[-1].add_done_callback(ended.put_nowait)
                if not len(watches) % AT_ONCE:
                    await asyncio.sleep(0)
            for _ in watches:
                index, verdict = (await ended.get()).result()
                if verdict.status == "expired" and self._ends_before(submissions[index]):
                    return self._event("timeout", index, verdict.error)
                if verdict.error is None:
                    continue
                failures[index] = verdict
                if policy.ends_with(verdict.error, len(failures), len(submissions)):
                    break
        finally:
            await asyncio.shield(_end_all(watches))
        return await self._outcome(failures)

    async def _outcome(self, failures: dict[int, Verdict]) -> dict[str, Any]:
        if not failures:
            return self._event("completed")
        listed: Any = [compact_failure(index, verdict) for index, verdict in failures.items()]
        if len(listed) > FAILURES_LISTED and (manifest := manifest_of(self.inferences)):
            kept = await keep_failures(self._open_s3, manifest, listed)
            listed = {"manifest": kept} if kept else listed
        index, verdict = next(iter(failures.items()))
        event = self._event(verdict.status, index, verdict.error)
        return event if len(failures) == 1 else {**event, "failures": listed}

    async def _watch(self, index: int, submission: Submission, queue: QueueRef | None) -> tuple[int, Verdict]:
        ends_at = min(submission.deadline, self.timeout_at or math.inf)
        seed = str(submission.inference.output_location)
        watch: Any = watch_output
        if queue is not None:
            watch = partial(
                watch_output_with_notices,
                queue=queue,
                open_sqs_client=lambda: self._hook().aopen_sqs_client(),
            )
        verdict: Verdict = await watch(
            submission.inference,
            share_key=self.share_key,
            open_client=self._open_s3,
            schedule=PollSchedule(self.poll_interval, self.exponential_backoff, self.max_wait, seed),
            deadline=ends_at,
            max_faults=self.max_faults,
            on_forbidden=self._tell_once,
            started=self.started_at,
        )
        return index, verdict

    def _ends_before(self, submission: Submission) -> bool:
        """Say whether the wait's own time is over before the inference's."""
        return self.timeout_at is not None and self.timeout_at < submission.deadline

    def _tell_once(self, notice: str) -> None:
        if not self._told:
            self.log.warning("S3 answers 403 for an output: %s", notice)
        self._told = True

    def _open_s3(self) -> Any:
        return self._hook().aopen_s3_client()

    def _hook(self) -> Any:
        return self.make_hook(self._hook_class)

    async def on_kill(self) -> None:
        """Say what a clear or a mark does not do, for SageMaker offers no cancel (Airflow 3.3 and newer).

        The wait itself ends with its coroutine, which Airflow cancels.
        """
        self.log.warning(
            "The wait ends, the inference goes on: SageMaker offers no cancel. Its output will appear at %s. "
            "Clearing the task that submitted it picks it up again and buys nothing",
            ", ".join(first_places(self.inferences, PLACES_TOLD)) or "where the submission said",
        )

    def _event(
        self, status: str, index: int | None = None, error: InferenceError | None = None
    ) -> dict[str, Any]:
        facts = error.to_dict() if error else None
        return {"status": status, "index": index, "error": facts, "inferences": self.inferences}


async def _end_all(watches: list[asyncio.Task[Any]]) -> None:
    """Cancel what still waits, some at a time, for thousands would hold the event loop."""
    for first in range(0, len(watches), AT_ONCE):
        some = watches[first : first + AT_ONCE]
        for watch in some:
            watch.cancel()
        await asyncio.gather(*some, return_exceptions=True)


def _import_hook() -> Any:
    from airflow_provider_aiml.hooks.sagemaker_runtime import SageMakerRuntimeHook

    return SageMakerRuntimeHook
