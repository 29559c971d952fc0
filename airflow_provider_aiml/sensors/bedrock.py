"""Waiting for Bedrock's asynchronous invocations."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException
from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_aiml.aws_task import deferrable_default
from airflow_provider_aiml.exceptions import InferenceError, ModelFailedError
from airflow_provider_aiml.inference.invocations import InvocationWait, read_invocations
from airflow_provider_aiml.invocation_task import InvocationTask, deferral_timeout
from airflow_provider_aiml.sensors.flags import flags_heeded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

MAX_FAULTS = 10
"""Questions in a row that may fail before the wait is given up."""
LONGEST_FAULT_PAUSE = 30.0
"""Seconds between two questions at most while Bedrock cannot be asked."""


class BedrockAsyncInvokeSensor(InvocationTask, BaseSensorOperator):
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

    def __init__(self, *, invocation: Any, deferrable: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.invocation = invocation
        self.deferrable = deferrable_default() if deferrable is None else deferrable
        self._waits: dict[int, InvocationWait] = {}
        self._arns: list[str] = []
        self._started = 0.0

    def execute(self, context: Context) -> Any:
        """Ask; what follows from it (raise, skip, sleep, reschedule) is Airflow's own loop, in each mode."""
        first = context["ti"].get_first_reschedule_date(context) if self.reschedule else None
        self._started = first.timestamp() if first else time.time()
        with self.careful():
            self._arns = read_invocations(self.invocation)
        max_faults = None if self.silent_fail else MAX_FAULTS
        # Airflow's own loop ends this wait, so it has no deadline of its own.
        self._waits = {index: InvocationWait(arn, None, max_faults) for index, arn in enumerate(self._arns)}
        try:
            return super().execute(context)
        except AirflowSensorTimeout as timeout:
            if self.never_fail:
                raise AirflowSkipException("Skipping due to never_fail is set to True.") from timeout
            raise

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Ask once for every invocation that is still awaited; deferrable, leave the rest to the triggerer.

        While Bedrock cannot be asked, it is asked again from here, so that the faults in a row are counted in
        reschedule mode as well.
        """
        with self.careful():
            faulty = self._ask_all()
            while faulty and not self.deferrable and not self.silent_fail:
                pause = min(self.poke_interval, LONGEST_FAULT_PAUSE)
                if time.time() + pause > self._ends_at:
                    return False
                time.sleep(pause)
                faulty = self._ask_all()
            if not self._waits:
                return PokeReturnValue(True, self.conclude(self._arns, several=self._several))
        if self.deferrable:
            self._defer()
        return False

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Go on after the deferral.

        :param event: what the trigger said.
        """
        with self.careful():
            return self.conclude_event(event, several=self._several)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after the deferral, however it ended; the flags mean what they mean in the other modes."""
        with flags_heeded(self):
            return super().resume_execution(next_method, next_kwargs, context)

    def overdue(self, error: InferenceError) -> Exception:
        """Time out as Airflow's sensors do."""
        return AirflowSensorTimeout(f"Sensor has timed out; its timeout of {self.timeout} s is over")

    def failure(self, error: InferenceError, arn: str | None) -> InferenceError:
        """Say that a failed invocation stays failed, however often it is asked for."""
        error = super().failure(error, arn)
        if isinstance(error, ModelFailedError):
            error.hint = "asking again changes nothing: clear the task that started the invocation"
        return error

    @property
    def _several(self) -> bool:
        return not isinstance(self.invocation, (str, dict))

    @property
    def _ends_at(self) -> float:
        return self._started + float(self.timeout)

    def _ask_all(self) -> bool:
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

    def _defer(self) -> NoReturn:
        self.defer(
            trigger=self.make_trigger(
                self._arns,
                poll_interval=self.poke_interval,
                timeout_at=self._ends_at,
                exponential_backoff=self.exponential_backoff,
                max_wait=self.max_wait.total_seconds() if self.max_wait else None,
                max_faults=None if self.silent_fail else MAX_FAULTS,
            ),
            method_name="execute_complete",
            timeout=deferral_timeout(self._ends_at),
        )
