"""What the sensor and the asynchronous operator share: how a wait ends, and what it gives.

The wait is decided in :mod:`airflow_provider_aiml.inference.outputs`, in the worker as in the triggerer.
"""

from __future__ import annotations

import re
import time
from abc import abstractmethod
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_aiml.answer_task import ResultTask, decoded_body
from airflow_provider_aiml.aws_task import check_place, has_jinja
from airflow_provider_aiml.exceptions import (
    InferenceError,
    ModelFailedError,
    OutputUnreadableError,
    Problem,
    RequestError,
    error_from_dict,
)
from airflow_provider_aiml.inference.notice_queue import QueueRef
from airflow_provider_aiml.inference.outputs import FATAL_CODES, LIST_BUCKET_HINT, Location
from airflow_provider_aiml.inference.submissions import read_submissions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import timedelta

    from airflow_provider_aiml.inference.submissions import Submission
    from airflow_provider_aiml.triggers.sagemaker import SageMakerAsyncInferenceTrigger

FAILURE_QUOTE_BYTES = 2_048
"""How much of a failure object is quoted."""
CHUNK_BYTES = 1024 * 1024
"""How much of an output is copied at a time."""
DEFERRAL_MARGIN = 900
"""Seconds by which Airflow's own deferral timeout lies behind the last deadline: ours speaks first."""


class AsyncOutputTask(ResultTask):
    """A task that ends when asynchronous inferences do.

    :param result: ``location`` gives where the output is, ``body`` fetches and decodes it.
    :param output_uri: where to copy the output; it does not steer where SageMaker writes. For several
        inferences it must end with ``/``. (templated)
    :param sqs_queue: the URL, ARN or name of an SQS queue that the endpoint's SNS success and error topics
        feed: a deferred wait goes on as soon as its notice comes, and looks at S3 every five minutes only
        until then. A wait in a worker does not use it. Default: None, there is none. (templated)
    """

    hook_module: ClassVar[str] = "airflow_provider_aiml.hooks.sagemaker_runtime"
    hook_name: ClassVar[str] = "SageMakerRuntimeHook"
    template_fields: Sequence[str] = (*ResultTask.template_fields, "sqs_queue")

    def __init__(
        self,
        *,
        result: Literal["location", "body"] = "location",
        sqs_queue: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if result not in ("location", "body"):
            problem = Problem("result", f"{result!r}", "'location' or 'body'")
            raise RequestError("The result cannot be given", problems=(problem,))
        self.result = result
        self.sqs_queue = sqs_queue
        if isinstance(sqs_queue, str) and not has_jinja(sqs_queue):
            QueueRef.parse(sqs_queue)

    @abstractmethod
    def overdue(self, error: InferenceError) -> Exception:
        """Give what to raise where the task's own time limit passed, before the inference's deadline did.

        :param error: how the wait ended.
        """

    def make_trigger(
        self,
        submissions: Sequence[Submission],
        *,
        poll_interval: float,
        timeout_at: float | None,
        **more: Any,
    ) -> SageMakerAsyncInferenceTrigger:
        """Make the trigger that waits for ``submissions`` with this task's connection."""
        from airflow_provider_aiml.triggers.sagemaker import SageMakerAsyncInferenceTrigger

        return SageMakerAsyncInferenceTrigger(
            inferences=[submission.to_dict() for submission in submissions],
            poll_interval=poll_interval,
            timeout_at=timeout_at,
            started_at=time.time(),
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            botocore_config=self.botocore_config,
            **{"sqs_queue": self.sqs_queue, **more},
        )

    def tell_of_slot(self, until: float) -> None:
        """Say what a wait in a worker costs.

        :param until: seconds since the epoch at which it ends at the latest.
        """
        self.log.info(
            "This wait holds a worker slot for up to %.0f s. Set deferrable=True to wait in the triggerer.",
            max(0.0, until - time.time()),
        )
        if self.sqs_queue is not None:
            self.log.info("A wait in a worker polls S3: sqs_queue serves waits in the triggerer.")

    def tell_of_permission(self, location: Location) -> None:
        """Say that a permission seems to be missing."""
        self.log.warning("S3 answers 403 for %s: %s", location, LIST_BUCKET_HINT)

    def conclude_event(self, event: Mapping[str, Any] | None, *, several: bool) -> Any:
        """Give the result of a wait in the triggerer, or raise what ended it.

        :param event: what the trigger said; anything but ``completed`` raises, None too. It names the
            inferences, as ``DAG.test()`` drops what a deferral leaves for its task (Airflow 3.3.2).
        """
        told: Mapping[str, Any] = event or {}
        status, facts, index = told.get("status"), told.get("error"), told.get("index")
        if status == "completed":
            return self.conclude(read_submissions(told.get("inferences"), now=time.time()), several=several)
        if not facts:
            raise OutputUnreadableError(f"The trigger ended without saying why: {status or 'no event'}")
        error = error_from_dict(facts)
        if status == "timeout":
            raise self.overdue(error)
        if index is None:
            raise error
        raise self.failure(error, read_submissions(told.get("inferences"), now=time.time())[index])

    def check_places(self, *, several: bool) -> None:
        """Refuse one object for the outputs of several inferences, and a queue that is none."""
        check_place(self.output_uri, "output_uri", folder=True)
        if self.sqs_queue is not None:
            QueueRef.parse(self.sqs_queue)
        if self.output_uri and several and not self.output_uri.endswith("/"):
            problem = Problem("output_uri", "one object for several inferences", "a folder, ending with '/'")
            raise RequestError("The outputs cannot be copied", problems=(problem,))

    def conclude(self, submissions: Sequence[Submission], *, several: bool) -> Any:
        """Give the result of a wait in which every inference completed."""
        names = [submission.inference.output_location.key.rpartition("/")[2] for submission in submissions]
        results = []
        for index, (submission, name) in enumerate(zip(submissions, names, strict=True)):
            own_name = name if names.count(name) == 1 else f"{index}-{name}"
            results.append(self._result_of(submission, own_name))
        return self.give(results if several else results[0])

    def failure(self, error: InferenceError, submission: Submission) -> InferenceError:
        """Add to a model's failure what its failure object says: the status, and its own words."""
        location = submission.inference.failure_location
        if not isinstance(error, ModelFailedError) or location is None:
            return error
        words = self._read_failure(location) or ""
        if status := re.search(r"Received (?:client|server) error \((\d{3})\)", words):
            error.original_status = int(status[1])
            error.retryable = error.original_status >= 500 or error.original_status == 429
        error.model_message = words or None if self.quote_model_errors else None
        return error

    def _read_failure(self, location: Location) -> str | None:
        wanted = f"bytes=0-{FAILURE_QUOTE_BYTES - 1}"
        try:
            with s3_reading(location):
                found = self.s3.get_object(Bucket=location.bucket, Key=location.key, Range=wanted)
                with found["Body"] as body:
                    return str(body.read(FAILURE_QUOTE_BYTES).decode("utf-8", "ignore"))
        except OutputUnreadableError as error:
            self.log.warning("The model's words are missing: %s", error)
            return None

    def _result_of(self, submission: Submission, name: str) -> dict[str, Any]:
        inference = submission.inference
        result: dict[str, Any] = {
            "output_location": str(inference.output_location),
            "status": "completed",
        }
        if inference.inference_id:
            result["inference_id"] = inference.inference_id
        if self.output_uri:
            result["output_uri"] = self._copy(inference.output_location, name)
        if self.result == "body":
            result |= self._fetch(inference.output_location)
        return result

    def _fetch(self, location: Location) -> dict[str, Any]:
        with s3_reading(location):
            found = self.s3.get_object(Bucket=location.bucket, Key=location.key)
            with found["Body"] as body:
                content = body.read()
        content_type = found.get("ContentType")
        return {**decoded_body(content, content_type), "content_type": content_type}

    def _copy(self, location: Location, name: str) -> str:
        from airflow_provider_aiml.inference.stored_answer import copy_object

        uri = str(self.output_uri) + (name if str(self.output_uri).endswith("/") else "")
        copy_object(self.object_path(uri), uri, self._pieces(location))
        return uri

    def _pieces(self, location: Location) -> Iterator[bytes]:
        with s3_reading(location):
            found = self.s3.get_object(Bucket=location.bucket, Key=location.key)
            # botocore's body, entered as a context, gives urllib3's response, which has no chunks.
            with closing(found["Body"]) as body:
                yield from body.iter_chunks(CHUNK_BYTES)


@contextmanager
def s3_reading(location: Location) -> Iterator[None]:
    """Turn what goes wrong with S3 into an error of ours.

    :raises OutputUnreadableError: the object cannot be read.
    """
    from airflow_provider_aiml.inference.output_look import DENIED_CODES, fault_code

    try:
        yield
    except Exception as error:
        code = fault_code(error)
        if code is None:
            raise
        denied = code in DENIED_CODES
        failure = OutputUnreadableError(
            f"{location} cannot be read from S3",
            code=code,
            retryable=not denied and code not in FATAL_CODES and code != "NoSuchKey",
            hint="the connection needs s3:GetObject there" if denied else FATAL_CODES.get(code),
        )
    else:
        return
    raise failure


def deferral_timeout(submissions: Sequence[Submission], now: float, timeout_at: float | None) -> timedelta:
    """Give Airflow's own limit for a deferral, which lies behind every limit of ours."""
    from datetime import timedelta

    last = max(submission.deadline for submission in submissions)
    if timeout_at is not None:
        last = min(last, timeout_at)
    return timedelta(seconds=max(0.0, last - now) + DEFERRAL_MARGIN)


def check_s3_uri(uri: object, field: str) -> None:
    """Refuse a plain string that names no object on S3; a template is judged once it is rendered.

    :raises RequestError: it is not ``s3://bucket/key``.
    """
    if isinstance(uri, str) and not has_jinja(uri):
        Location.parse(uri, field)
