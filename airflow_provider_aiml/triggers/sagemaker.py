"""The wait for SageMaker's asynchronous inferences, in the triggerer."""

from __future__ import annotations

import asyncio
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


class SageMakerAsyncInferenceTrigger(BaseTrigger):
    """Wait until each inference has an output, or the first one fails.

    Its one event holds ``status`` (``completed``, ``failed``, ``expired``, ``unreadable`` or ``timeout``),
    ``index`` (of the inference that ended the wait), ``error`` (a typed error as a mapping) and the
    ``inferences`` as they were given; never data.

    :param inferences: submissions: ``inference_id``, ``output_location``, ``failure_location``, ``deadline``.
    :param poll_interval: seconds between two looks. Default: 60.
    :param exponential_backoff: look less and less often. Default: False.
    :param max_wait: seconds between two looks at most, with ``exponential_backoff``.
    :param timeout_at: seconds since the epoch at which the wait itself ends; None leaves that to the
        inferences' deadlines. It is absolute, so that a restart does not extend it.
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
        max_faults: int | None = 10,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.inferences = inferences
        self.poll_interval = poll_interval
        self.exponential_backoff = exponential_backoff
        self.max_wait = max_wait
        self.timeout_at = timeout_at
        self.max_faults = max_faults
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give the class path and the kwargs from which this trigger is made anew."""
        names = (
            "inferences",
            "poll_interval",
            "exponential_backoff",
            "max_wait",
            "timeout_at",
            "max_faults",
            "aws_conn_id",
            "region_name",
            "verify",
            "botocore_config",
        )
        classpath = "airflow_provider_aiml.triggers.sagemaker.SageMakerAsyncInferenceTrigger"
        return classpath, {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then say how it ended, in one event."""
        try:
            submissions = read_submissions(self.inferences, now=time.time(), field="inferences")
            yield TriggerEvent(await self._wait(submissions))
        except InferenceError as error:
            yield TriggerEvent(self._event("error", None, error))

    async def _wait(self, submissions: list[Submission]) -> dict[str, Any]:
        """Wait for all, until the first that does not complete, or until the wait's own time is over."""
        watches = {asyncio.ensure_future(self._watch(one)): index for index, one in enumerate(submissions)}
        pending = set(watches)
        try:
            while pending:
                remaining = None if self.timeout_at is None else max(0.0, self.timeout_at - time.time())
                done, pending = await asyncio.wait(
                    pending, timeout=remaining, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    return self._event("timeout")
                for watch in sorted(done, key=watches.__getitem__):
                    verdict = watch.result()
                    if verdict.status != "completed":
                        return self._event(verdict.status, watches[watch], verdict.error)
        finally:
            for watch in pending:
                watch.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        return self._event("completed")

    def _event(
        self, status: str, index: int | None = None, error: InferenceError | None = None
    ) -> dict[str, Any]:
        facts = error.to_dict() if error else None
        return {"status": status, "index": index, "error": facts, "inferences": self.inferences}

    async def _watch(self, submission: Submission) -> Verdict:
        return await watch_output(
            submission.inference,
            share_key=(self.aws_conn_id, self.region_name, self.verify, repr(self.botocore_config)),
            open_client=self._open_client,
            schedule=PollSchedule(self.poll_interval, self.exponential_backoff, self.max_wait),
            deadline=submission.deadline,
            max_faults=self.max_faults,
            on_notice=self.log.warning,
        )

    def _open_client(self) -> AbstractAsyncContextManager[Any]:
        from airflow_provider_aiml.hooks.sagemaker_runtime import SageMakerRuntimeHook

        hook = SageMakerRuntimeHook(
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            config=self.botocore_config,
        )
        client: AbstractAsyncContextManager[Any] = hook.aopen_s3_client()
        return client
