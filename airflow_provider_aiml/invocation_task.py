"""What the operator and the sensor of Bedrock's asynchronous invocations share: asking, and how a wait ends.

What a status means is decided in :mod:`airflow_provider_aiml.inference.invocations`, in the worker as in the
triggerer.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_aiml.aws_task import AwsTask, told_error
from airflow_provider_aiml.exceptions import InferenceError, ModelFailedError, OutputUnreadableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_aiml.inference.invocations import InvocationWait
    from airflow_provider_aiml.inference.outputs import Verdict
    from airflow_provider_aiml.triggers.bedrock import BedrockAsyncInvokeTrigger


class InvocationTask(AwsTask):
    """A task that ends when asynchronous invocations do."""

    hook_module: ClassVar[str] = "airflow_provider_aiml.hooks.bedrock_runtime"
    hook_name: ClassVar[str] = "BedrockRuntimeHook"

    @abstractmethod
    def overdue(self, error: InferenceError) -> Exception:
        """Give what to raise where the wait's own time is over."""

    def ask(self, arn: str) -> dict[str, Any]:
        """Ask how an invocation is doing."""
        answer: dict[str, Any] = self.hook.get_async_invoke(invocation_arn=arn)
        return answer

    def look(self, wait: InvocationWait) -> Verdict | None:
        """Ask once; None: it is still running, or could not be asked."""
        try:
            status = str(self.ask(wait.arn)["status"])
        except InferenceError as error:
            return wait.on_error(error, time.time())
        return wait.on_answer(status, time.time())

    def make_trigger(
        self, arns: Sequence[str], *, poll_interval: float, timeout_at: float | None, **more: Any
    ) -> BedrockAsyncInvokeTrigger:
        """Make the trigger that waits with this task's connection."""
        from airflow_provider_aiml.triggers.bedrock import BedrockAsyncInvokeTrigger

        return BedrockAsyncInvokeTrigger(
            invocations=list(arns),
            poll_interval=poll_interval,
            timeout_at=timeout_at,
            started_at=time.time(),
            **self.connection_arguments,
            **more,
        )

    def conclude_event(self, event: Mapping[str, Any] | None, *, several: bool) -> Any:
        """Give the result of a wait in the triggerer, or raise what ended it.

        :param event: what the trigger said; anything but ``completed`` raises, None too.
        """
        from airflow_provider_aiml.inference.invocations import read_invocations

        told: Mapping[str, Any] = event or {}
        status, index = told.get("status"), told.get("index")
        if status == "completed":
            return self.conclude(read_invocations(told.get("invocations")), several=several)
        error = told_error(told, OutputUnreadableError)
        if status == "expired":
            raise self.overdue(error)
        arn = None if index is None else read_invocations(told.get("invocations"))[index]
        raise self.failure(error, arn)

    def conclude(self, arns: Sequence[str], *, several: bool) -> Any:
        """Give the result of a wait in which every invocation completed."""
        from airflow_provider_aiml.inference.invocations import described

        results = [described(self.ask(arn)) for arn in arns]
        return results if several else results[0]

    def failure(self, error: InferenceError, arn: str | None) -> InferenceError:
        """Add to a failure the service's words for it."""
        if isinstance(error, ModelFailedError) and arn is not None and self.quote_model_errors:
            try:
                error.model_message = self.ask(arn).get("failureMessage") or None
            except InferenceError as other:
                self.log.warning("The failure's words are missing: %s", other)
        return error
