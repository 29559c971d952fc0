"""The wait for SageMaker's asynchronous inferences, in the triggerer."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_aiml.exceptions import InferenceError
from airflow_provider_aiml.inference.output_watch import watch_output
from airflow_provider_aiml.inference.outputs import PollSchedule, Verdict
from airflow_provider_aiml.inference.submissions import Submission, read_submissions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager


_KWARGS = (
    "inferences",
    "poll_interval",
    "exponential_backoff",
    "max_wait",
    "timeout_at",
    "started_at",
    "max_faults",
    "aws_conn_id",
    "region_name",
    "verify",
    "botocore_config",
)


class SageMakerAsyncInferenceTrigger(BaseTrigger):
    """Wait until each inference has an output, or the first one fails.

    Its one event holds ``status``, ``index`` (of the inference that ended the wait), ``error`` (a typed error
    as a mapping) and the ``inferences`` as they were given; never data. The status is ``completed``,
    ``failed``, ``expired``, ``unreadable``, ``timeout`` (``timeout_at`` passed before the inference's
    deadline), or ``error`` (there is nothing to wait for).

    :param inferences: submissions: ``inference_id``, ``output_location``, ``failure_location``, ``deadline``.
    :param poll_interval: seconds between two looks. Default: 60.
    :param exponential_backoff: look less and less often. Default: False.
    :param max_wait: seconds between two looks at most, with ``exponential_backoff``.
    :param timeout_at: seconds since the epoch at which the wait itself ends; None leaves that to the
        inferences' deadlines. It is absolute, so that a restart does not extend it.
    :param started_at: seconds since the epoch at which the wait began; a restart goes on with its back-off.
        Default: when it starts to run.
    :param max_faults: failed looks in a row after which the wait gives up; None never does.
    :param aws_conn_id: the connection, as in the task.
    :param region_name: the region, as in the task.
    :param verify: TLS verification, as in the task.
    :param botocore_config: botocore's settings, as in the task.
    """

    def __init__(
        self,
        *,
        inferences: list[dict[str, Any]],
        poll_interval: float = 60,
        exponential_backoff: bool = False,
        max_wait: float | None = None,
        timeout_at: float | None = None,
        started_at: float | None = None,
        max_faults: int | None = 10,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.inferences = inferences
        self.poll_interval = poll_interval
        self.exponential_backoff = exponential_backoff
        self.max_wait = max_wait
        self.timeout_at = timeout_at
        self.started_at = started_at
        self.max_faults = max_faults
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config
        self._hook_class: Any = None
        self._told = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give the class path and the kwargs from which this trigger is made anew."""
        classpath = "airflow_provider_aiml.triggers.sagemaker.SageMakerAsyncInferenceTrigger"
        return classpath, {name: getattr(self, name) for name in _KWARGS}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then say how it ended, in one event."""
        try:
            submissions = read_submissions(self.inferences, now=time.time(), field="inferences")
            # The amazon provider takes a second to import, which other triggers should not wait for.
            self._hook_class = await asyncio.to_thread(_import_hook)
            event = await self._wait(submissions)
        except InferenceError as error:
            event = self._event("error", error=error)
        yield TriggerEvent(event)

    async def _wait(self, submissions: list[Submission]) -> dict[str, Any]:
        """Wait for all, or until the first that does not complete."""
        watches = {asyncio.ensure_future(self._watch(one)): index for index, one in enumerate(submissions)}
        pending = set(watches)
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for watch in sorted(done, key=watches.__getitem__):
                    verdict, index = watch.result(), watches[watch]
                    if verdict.status != "completed":
                        late = verdict.status == "expired" and self._ends_before(submissions[index])
                        return self._event("timeout" if late else verdict.status, index, verdict.error)
        finally:
            for watch in pending:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
        return self._event("completed")

    async def _watch(self, submission: Submission) -> Verdict:
        ends_at = min(submission.deadline, self.timeout_at or math.inf)
        seed = str(submission.inference.output_location)
        return await watch_output(
            submission.inference,
            share_key=(self.aws_conn_id, self.region_name, self.verify, repr(self.botocore_config)),
            open_client=self._open_client,
            schedule=PollSchedule(self.poll_interval, self.exponential_backoff, self.max_wait, seed),
            deadline=ends_at,
            max_faults=self.max_faults,
            on_notice=self._tell_once,
            started=self.started_at,
        )

    def _ends_before(self, submission: Submission) -> bool:
        """Say whether the wait's own time is over before the inference's."""
        return self.timeout_at is not None and self.timeout_at < submission.deadline

    def _tell_once(self, notice: str) -> None:
        if not self._told:
            self.log.warning("S3 answers 403 for an output: %s", notice)
        self._told = True

    def _open_client(self) -> AbstractAsyncContextManager[Any]:
        hook = self._hook_class(
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            config=self.botocore_config,
        )
        client: AbstractAsyncContextManager[Any] = hook.aopen_s3_client()
        return client

    def _event(
        self, status: str, index: int | None = None, error: InferenceError | None = None
    ) -> dict[str, Any]:
        facts = error.to_dict() if error else None
        return {"status": status, "index": index, "error": facts, "inferences": self.inferences}


def _import_hook() -> Any:
    from airflow_provider_aiml.hooks.sagemaker_runtime import SageMakerRuntimeHook

    return SageMakerRuntimeHook
