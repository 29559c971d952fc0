"""Waiting for Bedrock's asynchronous invocations."""

from __future__ import annotations

from typing import Any, NoReturn

from airflow_provider_aiml.aws_task import deferral_timeout
from airflow_provider_aiml.exceptions import InferenceError, ModelFailedError
from airflow_provider_aiml.inference.invocations import InvocationWait, read_invocations
from airflow_provider_aiml.invocation_task import InvocationTask
from airflow_provider_aiml.waiting_sensor import WaitingSensor


class BedrockAsyncInvokeSensor(WaitingSensor, InvocationTask):
    """Wait until asynchronous invocations have completed, or the first one fails.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_GetAsyncInvoke.html

    Gives ``{"invocation_arn", "status", "output_location", "submit_time", "end_time"}``, for a list a list in
    the same order; ``output_location`` is the folder that holds the outputs.

    ``poke_interval``, ``timeout``, ``soft_fail``, ``silent_fail``, ``never_fail``, ``exponential_backoff``
    and ``max_wait`` mean the same in poke, reschedule and deferred mode. ``never_fail`` also skips where the
    sensor's own ``timeout`` passed. A failed invocation fails the task for good, for asking again cannot
    change it: clear the task that started it.

    :param invocation: what
        :class:`~airflow_provider_aiml.operators.bedrock.BedrockStartAsyncInvokeOperator` gave with
        ``wait_for_completion=False``, an ARN, or a list of these. (templated)
    :param deferrable: wait in the triggerer, without a worker slot. Default: ``[operators]
        default_deferrable``.
    :raises ModelFailedError: an invocation failed; the service's words are quoted.
    :raises OutputUnreadableError: Bedrock could not be asked ten times in a row.
    :raises AirflowSensorTimeout: the sensor's ``timeout`` passed.
    """

    template_fields = (*InvocationTask.template_fields, "invocation")

    def __init__(self, *, invocation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.invocation = invocation
        self._waits: dict[int, InvocationWait] = {}
        self._arns: list[str] = []

    def begin(self, *, resumed: bool) -> None:
        """Read what to wait for; Airflow's own loop ends this wait, so it has no deadline of its own."""
        self._arns = read_invocations(self.invocation)
        self._waits = {
            index: InvocationWait(arn, None, self.max_faults) for index, arn in enumerate(self._arns)
        }

    def look_at_all(self) -> bool:
        """Ask for what is still awaited; say whether some of it could not be asked for.

        :raises InferenceError: how the first invocation that did not complete ended.
        """
        faulty = False
        for index, wait in list(self._waits.items()):
            verdict = self.look(wait)
            faulty = faulty or (verdict is None and wait.faults > 0)
            if verdict is None:
                continue
            if verdict.error is not None:
                raise self.failure(verdict.error, wait.arn)
            del self._waits[index]
        return faulty

    @property
    def over(self) -> bool:
        """Whether there is nothing to wait for any more."""
        return not self._waits

    def outcome(self) -> Any:
        """Give the result, once the wait is over."""
        return self.conclude(self._arns, several=self._several)

    def hand_over(self) -> NoReturn:
        """Leave the wait to the triggerer."""
        self.defer(
            trigger=self.make_trigger(self._arns, **self.schedule),
            method_name="execute_complete",
            kwargs={"ends_at": self.ends_at},
            timeout=deferral_timeout(self.ends_at),
        )

    def failure(self, error: InferenceError, arn: str | None) -> InferenceError:
        """Say that a failed invocation stays failed, however often it is asked for."""
        error = super().failure(error, arn)
        if isinstance(error, ModelFailedError):
            error.hint = "asking again changes nothing: clear the task that started the invocation"
        return error

    @property
    def _several(self) -> bool:
        return not isinstance(self.invocation, (str, dict))
