"""What the sensor and the asynchronous operator share: how a wait ends, and what it gives.

The wait is decided in :mod:`airflow_provider_aiml.inference.outputs`, in the worker as in the triggerer.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from abc import abstractmethod
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_aiml.answer_task import ResultTask, decoded_body
from airflow_provider_aiml.aws_task import check_s3_uri, has_jinja, own_s3_uri, task_identity, told_error
from airflow_provider_aiml.exceptions import (
    InferenceError,
    ModelFailedError,
    OutputExpiredError,
    OutputUnreadableError,
    Problem,
    RequestError,
    public_class,
)
from airflow_provider_aiml.inference.failure_policy import FailurePolicy, is_open
from airflow_provider_aiml.inference.identity import request_identity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_aiml.inference.outputs import Location, Look, Wait
    from airflow_provider_aiml.inference.submissions import Submission
    from airflow_provider_aiml.triggers.sagemaker import SageMakerAsyncInferenceTrigger

FAILURE_QUOTE_BYTES = 2_048
"""How much of a failure object is quoted."""
LOOKERS = 10
"""Looks at once of a wait in a worker: as many as a client of botocore keeps connections for."""


class AsyncOutputTask(ResultTask):
    """A task that ends when asynchronous inferences do.

    :param result: ``location`` gives where the output is, ``body`` fetches and decodes it.
    :param output_uri: where to copy the output; it does not steer where SageMaker writes. For several
        inferences it must end with ``/``; the instances of a mapped task need a folder, or
        ``{{ ti.map_index }}`` in the name. (templated)
    :param sqs_queue: the URL, ARN or name of an SQS queue that the endpoint's SNS success and error topics
        feed: a deferred wait goes on as soon as its notice comes, and looks at S3 every five minutes only
        until then. A wait in a worker does not use it. Default: None, there is none. (templated)
    :param failure_policy: of several inferences: ``first`` ends the wait as soon as more failed than may,
        ``all`` waits until each has its outcome. Default: ``first``.
    :param max_failures: how many of several may fail; the result then says of each what became of it.
        Default: 0.
    :param max_failure_rate: which share of several may fail, 0 to 1; the smaller of both counts.
    :param manifest_to: an S3 folder, ``s3://bucket/folder/``, for the list of what is awaited where it is
        long (over 500): else it goes through Airflow's database. Default: ``output_uri``, if it is a folder
        on S3. (templated)
    """

    no_xcom = "or result='location' to leave it where it is"
    hook_module: ClassVar[str] = "airflow_provider_aiml.hooks.sagemaker_runtime"
    hook_name: ClassVar[str] = "SageMakerRuntimeHook"
    template_fields: Sequence[str] = (*ResultTask.template_fields, "manifest_to", "sqs_queue")

    def __init__(
        self,
        *,
        result: Literal["location", "body"] = "location",
        sqs_queue: str | None = None,
        failure_policy: Literal["first", "all"] = "first",
        max_failures: int | None = None,
        max_failure_rate: float | None = None,
        manifest_to: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if result not in ("location", "body"):
            problem = Problem("result", f"{result!r}", "'location' or 'body'")
            raise RequestError("The result cannot be given", problems=(problem,))
        self.result = result
        self.sqs_queue = sqs_queue
        self.failure_policy = failure_policy
        self.max_failures = max_failures
        self.max_failure_rate = max_failure_rate
        self.manifest_to = manifest_to
        self._permission_told = False
        _ = self.policy
        check_s3_uri(manifest_to, "manifest_to", folder=True)
        if isinstance(sqs_queue, str) and not has_jinja(sqs_queue):
            check_queue(sqs_queue)

    @property
    def policy(self) -> FailurePolicy:
        """How many of several inferences may fail."""
        return FailurePolicy(self.failure_policy, self.max_failures, self.max_failure_rate)

    @property
    def manifest_folder(self) -> str | None:
        """A folder on S3 for long lists of what is awaited."""
        copies = self.output_uri if (self.output_uri or "").endswith("/") else None
        return self.manifest_to or own_s3_uri(copies or "")

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
            inferences=self._listed(submissions),
            poll_interval=poll_interval,
            timeout_at=timeout_at,
            started_at=time.time(),
            **self.connection_arguments,
            failure_policy=asdict(self.policy),
            **{"sqs_queue": self.sqs_queue, **more},
        )

    def _listed(self, submissions: Sequence[Submission]) -> Any:
        """Give what is awaited in a form that Airflow's database can bear."""
        from airflow_provider_aiml.inference.outputs import Location
        from airflow_provider_aiml.inference.s3_objects import write_json
        from airflow_provider_aiml.inference.wait_list import COMPACT_LIMIT, compact, manifest_body

        listed = compact(submissions)
        if len(submissions) <= COMPACT_LIMIT:
            return listed
        body = manifest_body(listed)
        if self.manifest_folder is None:
            self.log.warning(
                "The list of %d inferences, %d bytes, goes through Airflow's database; set manifest_to",
                len(submissions),
                len(body),
            )
            return listed
        name = hashlib.sha256(body).hexdigest()[:40]
        place = Location.parse(f"{self.manifest_folder.rstrip('/')}/waits/{name}.json", "manifest_to")
        write_json(self.s3, place, body)
        return {"manifest": str(place)}

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
        """Say, the first time only, that a permission seems to be missing."""
        from airflow_provider_aiml.inference.outputs import LIST_BUCKET_HINT

        if self._permission_told:
            return
        self._permission_told = True
        self.log.warning("S3 answers 403 for %s: %s", location, LIST_BUCKET_HINT)

    def look_at_each(self, waits: Mapping[int, Wait]) -> Iterator[tuple[int, Wait, Look]]:
        """Look once at what each of many waits is about; many at a time where there are many."""
        from concurrent.futures import ThreadPoolExecutor

        from airflow_provider_aiml.inference.output_look import look

        client = self.s3
        with ThreadPoolExecutor(min(LOOKERS, len(waits) or 1)) as lookers:
            inferences = [wait.inference for wait in waits.values()]
            looks = lookers.map(lambda inference: look(client, inference), inferences)
            for (index, wait), seen in zip(list(waits.items()), looks, strict=True):
                yield index, wait, seen

    def conclude_event(self, event: Mapping[str, Any] | None, *, several: bool) -> Any:
        """Give the result of a wait in the triggerer, or raise what ended it.

        :param event: what the trigger said; anything but ``completed`` raises, None too. It names the
            inferences, as ``DAG.test()`` drops what a deferral leaves for its task (Airflow 3.3.2).
        """
        from airflow_provider_aiml.inference.wait_list import expand_failures

        told: Mapping[str, Any] = event or {}
        status, index = told.get("status"), told.get("index")
        if status == "completed":
            return self.conclude(self._awaited_by(told), several=several)
        error = told_error(told, OutputUnreadableError)
        if status == "timeout":
            raise self.overdue(error)
        if index is None:
            raise error
        awaited = self._awaited_by(told)
        failures = {index: error}
        if "failures" in told:
            failures = expand_failures(self._read_listed(told["failures"]), awaited)
        return self.conclude(awaited, several=several, failures=failures)

    def _awaited_by(self, told: Mapping[str, Any]) -> list[Submission]:
        from airflow_provider_aiml.inference.wait_list import expand

        return expand(self._read_listed(told.get("inferences")), now=time.time())

    def _read_listed(self, listed: Any) -> Any:
        """Read a manifest where one is named."""
        from airflow_provider_aiml.inference.s3_objects import read_object
        from airflow_provider_aiml.inference.wait_list import manifest_of

        place = manifest_of(listed)
        if place is None:
            return listed
        body, _ = read_object(self.s3, place)
        try:
            return json.loads(body)
        except ValueError:
            raise OutputUnreadableError(f"{place} is not JSON any more", retryable=False) from None

    @property
    def copied_name(self) -> str:
        """The name that the copy gets in a folder, where it is known before the output is."""
        return ""

    def check_places(self, context: Context, *, several: bool) -> None:
        """Refuse what the outputs could not be given with, and a queue that is none.

        Of mapped instances that are given one object for their copies one takes it, which is written down
        beside it.
        """
        self.check_result()
        check_s3_uri(self.manifest_to, "manifest_to", folder=True)
        if self.sqs_queue is not None:
            check_queue(self.sqs_queue)
        if not self.output_uri:
            return
        folder = self.output_uri.endswith("/")
        if several and not folder:
            problem = Problem("output_uri", "one object for several inferences", "a folder, ending with '/'")
            raise RequestError("The outputs cannot be copied", problems=(problem,))
        task = task_identity(context)
        if task.map_index >= 0 and (self.copied_name or not folder):
            uri = self.output_uri + (self.copied_name if folder else "")
            self.place(context, uri, request_identity(task, "copy", {})).announce()

    def conclude(
        self,
        submissions: Sequence[Submission],
        *,
        several: bool,
        failures: Mapping[int, InferenceError] | None = None,
    ) -> Any:
        """Give the result of a wait that is over, or raise what failed of it.

        :param submissions: what was awaited.
        :param failures: what did not complete, by its index.
        """
        failures = failures or {}
        if self.policy.failed(failures.values(), len(submissions)):
            raise self._first_of(failures, submissions)
        names = [submission.inference.output_location.key.rpartition("/")[2] for submission in submissions]
        shared = {name for name, times in Counter(names).items() if times > 1}
        results = []
        for index, (submission, name) in enumerate(zip(submissions, names, strict=True)):
            if (error := failures.get(index)) is not None:
                results.append(self._failure_of(submission, self.failure(error, submission)))
            else:
                results.append(self._result_of(submission, f"{index}-{name}" if name in shared else name))
        return self.give(results if several else results[0])

    def _first_of(
        self, failures: Mapping[int, InferenceError], submissions: Sequence[Submission]
    ) -> InferenceError:
        first = next(iter(failures))
        index = next((at for at, error in failures.items() if is_open(error)), first)
        error = self.failure(failures[index], submissions[index])
        if len(submissions) > 1:
            may = self.policy.tolerated(len(submissions))
            counted = f"{len(failures)} of {len(submissions)} inferences did not complete, {may} may"
            error.hint = f"{error.hint}; {counted}" if error.hint else counted
        return error

    def _failure_of(self, submission: Submission, error: InferenceError) -> dict[str, Any]:
        """Give what a result says of an inference that failed and may."""
        status = {ModelFailedError: "failed", OutputExpiredError: "expired"}.get(public_class(type(error)))
        result = {
            "output_location": str(submission.inference.output_location),
            "status": status or "unreadable",
            "error": {**error.to_dict(), "model_message": getattr(error, "model_message", None)},
        }
        if submission.inference.inference_id:
            result["inference_id"] = submission.inference.inference_id
        return result

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
        from airflow_provider_aiml.inference.s3_objects import s3_reading

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
        from airflow_provider_aiml.inference.s3_objects import read_object

        content, content_type = read_object(self.s3, location)
        return {**decoded_body(content, content_type), "content_type": content_type}

    def _copy(self, location: Location, name: str) -> str:
        from airflow_provider_aiml.inference.s3_objects import object_pieces
        from airflow_provider_aiml.inference.stored_answer import copy_object

        uri = str(self.output_uri) + (name if str(self.output_uri).endswith("/") else "")
        copy_object(self.object_path(uri), uri, object_pieces(self.s3, location))
        return uri


def end_of_wait(submissions: Sequence[Submission], until: float | None) -> float:
    """Give when a wait is over at the latest: with the last deadline, or before.

    :param until: the wait's own end, in seconds since the epoch; None: it has none.
    """
    last = max(submission.deadline for submission in submissions)
    return last if until is None else min(last, until)


def check_queue(queue: str) -> None:
    """Refuse what names no SQS queue.

    :raises RequestError: it is no URL, ARN or name of one.
    """
    from airflow_provider_aiml.inference.notice_queue import QueueRef

    QueueRef.parse(queue)
