"""Waiting for SageMaker's asynchronous inferences."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException
from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_aiml.async_output_task import AsyncOutputTask, check_s3_uri, deferral_timeout
from airflow_provider_aiml.aws_task import deferrable_default
from airflow_provider_aiml.exceptions import (
    InferenceError,
    ModelFailedError,
    OutputExpiredError,
    Problem,
    RequestError,
)
from airflow_provider_aiml.inference.outputs import LIST_BUCKET_HINT, Seen, Wait
from airflow_provider_aiml.inference.submissions import read_submissions
from airflow_provider_aiml.sensors.flags import flags_heeded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_aiml.inference.outputs import Verdict
    from airflow_provider_aiml.inference.submissions import Submission

LONGEST_FAULT_PAUSE = 30.0
"""Seconds between two looks at most while S3 cannot be asked."""
LOOKED_AT_FIRST = 50
"""Inferences that a deferrable sensor looks at before it defers; more go to the triggerer at once."""
MAX_FAULTS = 10
"""Looks in a row that may fail before the wait is given up."""


class SageMakerAsyncInferenceSensor(AsyncOutputTask, BaseSensorOperator):
    """Wait until asynchronous inferences have their outputs, or more of them failed than may.

    Both places are watched, the output's and the failure's, so a failure is seen with the next look. It gives
    ``{"inference_id", "output_location", "status"}``, for a list a list in the same order.

    ``poke_interval``, ``timeout``, ``soft_fail``, ``silent_fail``, ``never_fail``, ``exponential_backoff``
    and ``max_wait`` mean the same in poke, reschedule and deferred mode. ``never_fail`` also skips where the
    sensor's own ``timeout`` passed, as Airflow's does after a deferral. A failed or expired inference fails
    the task for good, for looking again cannot change it: clear the task that submitted it.

    https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-check-predictions.html

    :param inference: what
        :class:`~airflow_provider_aiml.operators.sagemaker.SageMakerInvokeEndpointAsyncOperator` returned with
        ``wait_for_completion=False``, or a list of that. (templated)
    :param output_location: or the S3 URI of one output. (templated)
    :param failure_location: with ``output_location``: the S3 URI of its failure object. (templated)
    :param deferrable: wait in the triggerer, without a worker slot. Default: ``[operators]
        default_deferrable``.
    :raises ModelFailedError: the model failed; its own words are quoted.
    :raises OutputExpiredError: no output can come any more.
    :raises OutputUnreadableError: S3 could not be asked ten times in a row.
    :raises NoticeQueueError: ``sqs_queue`` cannot be used.
    :raises AirflowSensorTimeout: the sensor's ``timeout`` passed.
    """

    template_fields = (
        *AsyncOutputTask.template_fields,
        "inference",
        "output_location",
        "failure_location",
    )

    def __init__(
        self,
        *,
        inference: Any = None,
        output_location: str | None = None,
        failure_location: str | None = None,
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (inference is None) == (output_location is None):
            found = "none of them" if inference is None else "both"
            problem = Problem("inference / output_location", found, "exactly one")
            raise RequestError("There is nothing to wait for", problems=(problem,))
        check_s3_uri(output_location, "output_location")
        check_s3_uri(failure_location, "failure_location")
        self.inference = inference
        self.output_location = output_location
        self.failure_location = failure_location
        self.deferrable = deferrable_default() if deferrable is None else deferrable
        self._waits: dict[int, Wait] = {}
        self._failures: dict[int, InferenceError] = {}
        self._submissions: Sequence[Submission] = ()
        self._started = 0.0
        self._forbidden = False
        self._tells_of_permission = False
        """The triggerer tells of it otherwise, or the look before the first reschedule did."""

    def execute(self, context: Context) -> Any:
        """Look; what follows from it (raise, skip, sleep, reschedule) is Airflow's own loop, in each mode."""
        self._begin(context)
        if self.mode == "poke" and not self.deferrable:
            self.tell_of_slot(min(self._ends_at, max(one.deadline for one in self._submissions)))
        try:
            return super().execute(context)
        except AirflowSensorTimeout as timeout:
            if self.never_fail:
                raise AirflowSkipException("Skipping due to never_fail is set to True.") from timeout
            raise AirflowSensorTimeout(self._with_hint(str(timeout))) from None

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look once at every inference that is still awaited; deferrable, leave the rest to the triggerer.

        While S3 cannot be asked, it is asked again from here, so that the faults in a row are counted in
        reschedule mode as well.
        """
        with self.careful():
            if self.deferrable and len(self._waits) > LOOKED_AT_FIRST:
                self._defer()
            faulty = self._look_at_all()
            while faulty and not self.deferrable and not self.silent_fail:
                pause = min(self.poke_interval, LONGEST_FAULT_PAUSE)
                if time.time() + pause > self._ends_at:
                    return False
                time.sleep(pause)
                faulty = self._look_at_all()
            if not self._waits or self.policy.ends(len(self._failures), len(self._submissions)):
                result = self.conclude(self._submissions, several=self._several, failures=self._failures)
                return PokeReturnValue(True, result)
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
        message = f"Sensor has timed out; the specified timeout of {self.timeout} s is over"
        return AirflowSensorTimeout(f"{message}. Hint: {error.hint}" if error.hint else message)

    def failure(self, error: InferenceError, submission: Submission) -> InferenceError:
        """Say that a failed inference stays failed, however often it is looked at."""
        error = super().failure(error, submission)
        if isinstance(error, ModelFailedError):
            error.retryable = False
        if isinstance(error, (ModelFailedError, OutputExpiredError)) and not error.retryable:
            cure = "looking again changes nothing: clear the task that submitted the inference"
            error.hint = f"{error.hint}; {cure}" if error.hint else cure
        return error

    @property
    def _several(self) -> bool:
        return self.inference is not None and not isinstance(self.inference, (str, dict))

    @property
    def _ends_at(self) -> float:
        return self._started + float(self.timeout)

    def _begin(self, context: Context) -> None:
        """Read what to wait for, and since when this try waits for it, reschedules included."""
        first = context["ti"].get_first_reschedule_date(context) if self.reschedule else None
        self._started = first.timestamp() if first else time.time()
        with self.careful():
            self.check_places(several=self._several)
            self._submissions = read_submissions(self._awaited(), now=self._started)
        self._waits = {
            index: Wait(
                one.inference, deadline=one.deadline, max_faults=self._max_faults, started=self._started
            )
            for index, one in enumerate(self._submissions)
        }
        self._failures = {}
        self._tells_of_permission = not self.deferrable and first is None

    def _awaited(self) -> Any:
        if self.inference is not None:
            lazy = self._several and isinstance(self.inference, Iterable)  # what mapped tasks gave
            return list(self.inference) if lazy else self.inference
        places = {"output_location": self.output_location, "failure_location": self.failure_location}
        return {name: place for name, place in places.items() if place is not None}

    @property
    def _max_faults(self) -> int | None:
        return None if self.silent_fail else MAX_FAULTS

    def _look_at_all(self) -> bool:
        """Look at what is still awaited; say whether S3 could not be asked for some of it."""
        faulty = False
        for index, wait, seen in self.look_at_each(self._waits):
            faulty = faulty or seen.seen is Seen.FAULT
            self._settle(index, wait, wait.on_look(seen, time.time()))
        return faulty

    def _settle(self, index: int, wait: Wait, verdict: Verdict | None) -> None:
        if wait.needs_permission_notice:
            if self._tells_of_permission and not self._forbidden:
                self.tell_of_permission(wait.inference.output_location)
            self._forbidden = True
        if verdict is None:
            return
        if verdict.error is not None:
            self._failures[index] = verdict.error
        del self._waits[index]

    def _with_hint(self, message: str) -> str:
        return f"{message} Hint: {LIST_BUCKET_HINT}" if self._forbidden else message

    def _defer(self) -> NoReturn:
        """Hand all to the triggerer, with what is there already, so that it can name them in their order."""
        self.defer(
            trigger=self.make_trigger(
                self._submissions,
                poll_interval=self.poke_interval,
                timeout_at=self._ends_at,
                exponential_backoff=self.exponential_backoff,
                max_wait=self.max_wait.total_seconds() if self.max_wait else None,
                max_faults=self._max_faults,
            ),
            method_name="execute_complete",
            timeout=deferral_timeout(self._submissions, time.time(), self._ends_at),
        )
