"""What the sensor and the asynchronous operator share: how a wait ends, and what it gives.

The wait is decided in :mod:`airflow_provider_aiml.inference.outputs`, in the worker as in the triggerer.
"""

from __future__ import annotations

import re
import shutil
import time
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_aiml.answer_task import ResultTask, decoded_body
from airflow_provider_aiml.aws_task import has_jinja
from airflow_provider_aiml.exceptions import (
    InferenceError,
    ModelFailedError,
    OutputUnreadableError,
    Problem,
    RequestError,
    error_from_dict,
)
from airflow_provider_aiml.inference.outputs import LIST_BUCKET_HINT, Location, Wait
from airflow_provider_aiml.inference.submissions import read_submissions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow_provider_aiml.inference.submissions import Submission
    from airflow_provider_aiml.triggers.sagemaker import SageMakerAsyncInferenceTrigger

FAILURE_QUOTE_BYTES = 2_048
"""How much of a failure object is quoted."""
DEFERRAL_MARGIN = 900
"""Seconds by which Airflow's own deferral timeout lies behind the last deadline: ours speaks first."""


class AsyncOutputTask(ResultTask):
    """A task that ends when asynchronous inferences do.

    :param result: ``location`` gives where the output is, ``body`` fetches and decodes it.
    :param output_uri: where to copy the output; it does not steer where SageMaker writes. For several
        inferences it must end with ``/``. (templated)
    """

    hook_module: ClassVar[str] = "airflow_provider_aiml.hooks.sagemaker_runtime"
    hook_name: ClassVar[str] = "SageMakerRuntimeHook"

    def __init__(self, *, result: Literal["location", "body"] = "location", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if result not in ("location", "body"):
            problem = Problem("result", f"{result!r}", "'location' or 'body'")
            raise RequestError("The result cannot be given", problems=(problem,))
        self.result = result

    def make_trigger(
        self,
        submissions: Sequence[Submission],
        *,
        poll_interval: float,
        timeout_at: float | None = None,
        **schedule: Any,
    ) -> SageMakerAsyncInferenceTrigger:
        """Make the trigger that waits for ``submissions`` with this task's connection."""
        from airflow_provider_aiml.triggers.sagemaker import SageMakerAsyncInferenceTrigger

        return SageMakerAsyncInferenceTrigger(
            inferences=[submission.to_dict() for submission in submissions],
            poll_interval=poll_interval,
            timeout_at=timeout_at,
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            botocore_config=self.botocore_config,
            **schedule,
        )

    def wait_here(self, submissions: Sequence[Submission], delay: float) -> None:
        """Wait in this worker, until all are there or the first one fails.

        :param delay: seconds between two looks.
        :raises InferenceError: how the first one failed.
        """
        from airflow_provider_aiml.inference.output_look import look

        self.tell_of_slot(submissions)
        client = self.hook.s3_client()
        waits = {Wait(one.inference, deadline=one.deadline): one for one in submissions}
        while True:
            for wait, submission in list(waits.items()):
                verdict = wait.on_look(look(client, wait.inference), time.time())
                self.mind_permission(wait)
                if verdict is not None:
                    del waits[wait]
                if verdict is not None and verdict.error is not None:
                    raise self.failure(verdict.error, submission)
            if not waits:
                return
            time.sleep(delay)

    def tell_of_slot(self, submissions: Sequence[Submission]) -> None:
        """Say once what a wait in a worker costs."""
        longest = max(submission.deadline for submission in submissions) - time.time()
        self.log.info(
            "This wait holds a worker slot for up to %.0f s. Set deferrable=True to wait in the triggerer.",
            max(0.0, longest),
        )

    def mind_permission(self, wait: Wait) -> None:
        """Say once that a permission seems to be missing."""
        if wait.needs_permission_notice:
            self.log.warning("S3 answers 403 for %s: %s", wait.inference.output_location, LIST_BUCKET_HINT)

    def conclude_event(
        self,
        event: Mapping[str, Any] | None,
        submissions: Sequence[Mapping[str, Any]],
        awaited: Sequence[int],
        *,
        several: bool,
    ) -> Any:
        """Give the result of a wait in the triggerer, or raise what ended it.

        :param event: what the trigger said; anything but ``completed`` raises, None too.
        :param submissions: all that the result is about.
        :param awaited: which of them the trigger waited for, by their index.
        """
        status = (event or {}).get("status")
        if event and status == "completed":
            return self.conclude(read_submissions(submissions, now=time.time()), several=several)
        facts = event.get("error") if event else None
        if not event or not facts:
            raise OutputUnreadableError(f"The trigger ended without saying why: {status or 'no event'}")
        known = read_submissions(submissions, now=time.time())
        index = event.get("index")
        raise self.failure(error_from_dict(facts), None if index is None else known[awaited[index]])

    def conclude(self, submissions: Sequence[Submission], *, several: bool) -> Any:
        """Give the result of a wait in which every inference completed."""
        if self.output_uri and several and not self.output_uri.endswith("/"):
            problem = Problem("output_uri", "one object for several inferences", "a folder, ending with '/'")
            raise RequestError("The outputs cannot be copied", problems=(problem,))
        results = [self._result_of(submission) for submission in submissions]
        return self.give(results if several else results[0])

    def failure(self, error: InferenceError, submission: Submission | None) -> InferenceError:
        """Add the model's own words to the error of a wait, where it left some."""
        location = submission.inference.failure_location if submission else None
        if not isinstance(error, ModelFailedError) or location is None or not self.quote_model_errors:
            return error
        error.model_message = self._read_failure(location)
        if status := re.search(r"\((\d{3})\)", error.model_message or ""):
            error.original_status = int(status[1])
            error.retryable = error.original_status >= 500
        return error

    def _read_failure(self, location: Location) -> str | None:
        try:
            found = self.hook.s3_client().get_object(
                Bucket=location.bucket, Key=location.key, Range=f"bytes=0-{FAILURE_QUOTE_BYTES - 1}"
            )
            with found["Body"] as body:
                return str(body.read(FAILURE_QUOTE_BYTES).decode("utf-8", "ignore"))
        except Exception as error:
            self.log.warning("The failure object at %s cannot be read: %s", location, type(error).__name__)
            return None

    def _result_of(self, submission: Submission) -> dict[str, Any]:
        inference = submission.inference
        result: dict[str, Any] = {
            "output_location": str(inference.output_location),
            "status": "completed",
        }
        if inference.inference_id:
            result["inference_id"] = inference.inference_id
        if self.output_uri:
            result["output_uri"] = self._copy(submission)
        if self.result == "body":
            result |= self._fetch(inference.output_location)
        return result

    def _fetch(self, location: Location) -> dict[str, Any]:
        found = self.hook.s3_client().get_object(Bucket=location.bucket, Key=location.key)
        with found["Body"] as body:
            content = body.read()
        content_type = found.get("ContentType")
        return {**decoded_body(content, content_type), "content_type": content_type}

    def _copy(self, submission: Submission) -> str:
        location = submission.inference.output_location
        uri = str(self.output_uri)
        if uri.endswith("/"):
            uri += location.key.rpartition("/")[2]
        target = self.object_path(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        found = self.hook.s3_client().get_object(Bucket=location.bucket, Key=location.key)
        with found["Body"] as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1024 * 1024)
        return uri


def awaited_of(event: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Give what a trigger waited for, as its event says.

    A task resumes with what it left in its deferral's kwargs, but ``DAG.test()`` drops them (seen on Airflow
    3.3.2).
    """
    return list((event or {}).get("inferences") or ())


def deferral_timeout(submissions: Sequence[Submission], now: float, timeout_at: float | None) -> timedelta:
    """Give Airflow's own limit for a deferral, which lies behind every limit of ours."""
    from datetime import timedelta

    last = max(submission.deadline for submission in submissions)
    if timeout_at is not None:
        last = min(last, timeout_at)
    return timedelta(seconds=max(0.0, last - now) + DEFERRAL_MARGIN)


def check_s3_uri(uri: Any, field: str) -> None:
    """Refuse a plain string that names nothing on S3, where it is not a template.

    :raises RequestError: it is not ``s3://bucket/key``.
    """
    if isinstance(uri, str) and not has_jinja(uri) and not uri.startswith("https://"):
        Location.parse(uri, field)
