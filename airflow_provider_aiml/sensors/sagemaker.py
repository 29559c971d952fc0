"""Waiting for SageMaker's asynchronous inferences."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_aiml.async_output_task import AsyncOutputTask, end_of_wait
from airflow_provider_aiml.aws_task import check_s3_uri, deferral_timeout
from airflow_provider_aiml.exceptions import (
    InferenceError,
    ModelFailedError,
    OutputExpiredError,
    Problem,
    RequestError,
)
from airflow_provider_aiml.waiting_sensor import WaitingSensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from airflow_provider_aiml.inference.outputs import Verdict, Wait
    from airflow_provider_aiml.inference.submissions import Submission

LOOKED_AT_FIRST = 50
"""Inferences that a deferrable sensor looks at before it defers; more go to the triggerer at once."""


class SageMakerAsyncInferenceSensor(WaitingSensor, AsyncOutputTask):
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
    :param failure_location: with ``output_location``: the S3 URI of its failure object; without one a failure
        is not seen. Beside ``inference`` it is refused, for that brings its own. (templated)
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (inference is None) == (output_location is None):
            found = "none of them" if inference is None else "both"
            problem = Problem("inference / output_location", found, "exactly one")
            raise RequestError("There is nothing to wait for", problems=(problem,))
        if inference is not None and failure_location is not None:
            allowed = "given beside output_location; an inference brings its own"
            problem = Problem("failure_location", "given beside inference", allowed)
            raise RequestError("The arguments do not fit each other", problems=(problem,))
        check_s3_uri(inference, "inference")
        check_s3_uri(output_location, "output_location")
        check_s3_uri(failure_location, "failure_location")
        self.inference = inference
        self.output_location = output_location
        self.failure_location = failure_location
        self._waits: dict[int, Wait] = {}
        self._failures: dict[int, InferenceError] = {}
        self._submissions: Sequence[Submission] = ()
        self._failed = False
        self._forbidden = False
        self._tells_of_permission = False
        """The triggerer tells of it otherwise, or the look before the first reschedule did."""

    def execute(self, context: Context) -> Any:
        """Begin, then look."""
        with self.careful():
            self.check_places(context, several=self._several)
        return super().execute(context)

    def begin(self, *, resumed: bool) -> None:
        """Read what to wait for."""
        from airflow_provider_aiml.inference.outputs import Wait
        from airflow_provider_aiml.inference.submissions import read_submissions

        self._submissions = read_submissions(self._awaited(), now=self.started)
        self._waits = {
            index: Wait(
                one.inference, deadline=one.deadline, max_faults=self.max_faults, started=self.started
            )
            for index, one in enumerate(self._submissions)
        }
        self._failures = {}
        self._failed = False
        self._tells_of_permission = not self.deferrable and not resumed
        if self.mode == "poke" and not self.deferrable:
            self.tell_of_slot(end_of_wait(self._submissions, self.ends_at))

    def look_at_all(self) -> bool:
        """Look at what is still awaited, at a long list from the triggerer; say whether S3 had a fault."""
        from airflow_provider_aiml.inference.outputs import Seen

        if self.deferrable and len(self._waits) > LOOKED_AT_FIRST:
            _ = self.s3  # a connection or a region that is missing is said here, not by the triggerer
            self.hand_over()
        faulty = False
        for index, wait, seen in self.look_at_each(self._waits):
            faulty = faulty or seen.seen is Seen.FAULT
            self._settle(index, wait, wait.on_look(seen, time.time()))
        return faulty

    @property
    def over(self) -> bool:
        """Whether all are there, or more failed than may."""
        return not self._waits or self._failed

    def outcome(self) -> Any:
        """Give the result, once the wait is over."""
        return self.conclude(self._submissions, several=self._several, failures=self._failures)

    def hand_over(self) -> NoReturn:
        """Hand all to the triggerer, with what is there already, so that it can name them in their order."""
        self.defer(
            trigger=self.make_trigger(self._submissions, **self.schedule),
            method_name="execute_complete",
            kwargs={"ends_at": self.ends_at},
            timeout=deferral_timeout(end_of_wait(self._submissions, self.ends_at)),
        )

    def explained(self, message: str) -> str:
        """Add the permission that may be missing to a time-out's message."""
        from airflow_provider_aiml.inference.outputs import LIST_BUCKET_HINT

        return f"{message} Hint: {LIST_BUCKET_HINT}" if self._forbidden else message

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

    def _awaited(self) -> Any:
        if self.inference is not None:
            lazy = self._several and isinstance(self.inference, Iterable)  # what mapped tasks gave
            return list(self.inference) if lazy else self.inference
        places = {"output_location": self.output_location, "failure_location": self.failure_location}
        return {name: place for name, place in places.items() if place is not None}

    def _settle(self, index: int, wait: Wait, verdict: Verdict | None) -> None:
        if wait.take_permission_notice():
            if self._tells_of_permission:
                self.tell_of_permission(wait.inference.output_location)
            self._forbidden = True
        if verdict is None:
            return
        if verdict.error is not None:
            self._failures[index] = verdict.error
            failures, total = len(self._failures), len(self._submissions)
            self._failed = self._failed or self.policy.ends_with(verdict.error, failures, total)
        del self._waits[index]
