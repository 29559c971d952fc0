"""A task that submits asynchronous inferences, finds what earlier tries bought, and waits or goes.

What was bought is decided in :mod:`airflow_provider_aiml.inference.submitter`; here it is given what it needs
of Airflow and AWS.
"""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_aiml.async_output_task import AsyncOutputTask, end_of_wait
from airflow_provider_aiml.aws_task import deferrable_default, deferral_timeout, task_identity
from airflow_provider_aiml.exceptions import (
    InferenceError,
    OutputExpiredError,
    Problem,
    RequestError,
    UnknownOutcomeError,
)
from airflow_provider_aiml.inference.arguments import read_flag, read_seconds
from airflow_provider_aiml.inference.identity import request_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_aiml.inference.output_prediction import OutputBase
    from airflow_provider_aiml.inference.outputs import AsyncInference
    from airflow_provider_aiml.inference.submission_ledger import SubmissionLedger
    from airflow_provider_aiml.inference.submissions import Submission
    from airflow_provider_aiml.inference.submitter import LookBack, Submitter

_DOUBT = "An earlier try died while it sent this request, and perhaps it was sent"


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One request that the task wants answered.

    :param members: its members by their snake_case names, without what has to be uploaded first.
    :param upload: a body that does not fit into the request.
    """

    members: dict[str, Any]
    upload: bytes | None = None


class SubmissionTask(AsyncOutputTask):
    """A task that submits asynchronous inferences.

    :param wait_for_completion: wait for the output. Default: True.
    :param deferrable: wait in the triggerer, without a worker slot. Default: ``[operators]
        default_deferrable``.
    :param waiter_delay: seconds between two looks. Default: 30.
    :param wait_timeout: seconds to wait at most, the time of ``on_uncertain`` included; default: as long as
        an output can still come.
    :param on_uncertain: what to do where an earlier try died while it sent a request, so that nobody knows
        whether it was sent. ``wait`` looks for its output for ``uncertain_timeout`` seconds before it is sent
        again, and where its place cannot be predicted fails, for a retry after that time to send it;
        ``invoke`` sends it at once, and it may be bought twice. Default: ``wait``.
    :param uncertain_timeout: seconds from the moment of sending. Default: 3,600.
    :param reinvoke: True submits, and pays, again what earlier tries bought. So does every further try: set
        ``retries=0`` with it. Default: False. (templated)
    :param manifest_to: an S3 folder, ``s3://bucket/folder/``, for the list of what is awaited where it is
        long (over 500). Default: ``output_uri``, if it is a folder on S3, else ``upload_to``. (templated)
    """

    operation: ClassVar[str] = "InvokeEndpointAsync"
    endpoint_name: str
    template_fields: Sequence[str] = (*AsyncOutputTask.template_fields, "reinvoke")

    def __init__(
        self,
        *,
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        waiter_delay: float = 30,
        wait_timeout: float | None = None,
        on_uncertain: Literal["wait", "invoke"] = "wait",
        uncertain_timeout: float = 3_600,
        reinvoke: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable_default() if deferrable is None else deferrable
        self.waiter_delay = read_seconds(waiter_delay, "waiter_delay")
        self.wait_timeout = None if wait_timeout is None else read_seconds(wait_timeout, "wait_timeout")
        self.on_uncertain = on_uncertain
        self.uncertain_timeout = read_seconds(uncertain_timeout, "uncertain_timeout")
        self.reinvoke = reinvoke
        if on_uncertain not in ("wait", "invoke"):
            problem = Problem("on_uncertain", "something else", "'wait' or 'invoke'")
            raise RequestError("The submission cannot be made", problems=(problem,))
        if not wait_for_completion and (self.output_uri is not None or self.result == "body"):
            found = "given with wait_for_completion=False"
            problem = Problem("output_uri / result", found, "given to the sensor that waits")
            raise RequestError("The arguments do not fit each other", problems=(problem,))

    @property
    @abstractmethod
    def several(self) -> bool:
        """Whether a list of inferences is submitted, and a list given."""

    @abstractmethod
    def plan(self) -> list[PlannedRequest]:
        """Give the requests, checked; nothing is sent or uploaded yet."""

    @abstractmethod
    def upload(self, body: bytes, name: str) -> str:
        """Put a body on S3 and give its location."""

    @property
    def manifest_folder(self) -> str | None:
        """A folder on S3 for long lists of what is awaited; the one for uploads serves, too."""
        return super().manifest_folder or self.ledger_folder

    @property
    @abstractmethod
    def ledger_folder(self) -> str | None:
        """A folder on S3 for what is submitted, for an Airflow that has no task state store."""

    def execute(self, context: Context) -> Any:
        """Submit what was not submitted yet, and then wait in the triggerer, wait here, or go."""
        return self._execute(context, time.time())

    def _execute(self, context: Context, started: float) -> Any:
        with self.careful():
            self.check_places(context, several=self.several)
            limited = self.wait_for_completion and self.wait_timeout is not None
            until = started + (self.wait_timeout or 0) if limited else None
            submissions, there = self._submissions(context, started, until)
            if not self.wait_for_completion:
                facts = [submission.to_dict() for submission in submissions]
                return self.give(facts if self.several else facts[0])
            failures = {} if there else self._wait(submissions, until)
            return self.conclude(submissions, several=self.several, failures=failures)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Go on after the deferral."""
        with self.careful():
            return self.conclude_event(event, several=self.several)

    def look_again(
        self, context: Context, event: Mapping[str, Any] | None = None, started: float | None = None
    ) -> Any:
        """Go on after waiting for a request that may have been sent, however that wait ended.

        :param started: when the task began, in seconds since the epoch.
        """
        return self._execute(context, started or time.time())

    def overdue(self, error: InferenceError) -> InferenceError:
        """Say that ``wait_timeout`` passed: the inference goes on, and a retry waits for the same one."""
        return OutputExpiredError(
            f"wait_timeout of {self.wait_timeout} s is over, the inference is not: {error.message}",
            inference_id=error.inference_id,
            hint="; ".join(filter(None, ("raise wait_timeout, or clear the task to wait again", error.hint))),
        )

    def _submissions(
        self, context: Context, started: float, until: float | None
    ) -> tuple[list[Submission], bool]:
        """Find or make the submissions; say whether all their outputs are there already."""
        task = task_identity(context)
        region = self.hook.conn_region_name
        planned = self.plan()
        identities = [
            request_identity(task, self.operation, {**one.members, "body": _body(one), "region": region})
            for one in planned
        ]
        requests = dict(zip(identities, planned, strict=True))
        submitter = self._submitter(context)
        members = {identity: request.members for identity, request in requests.items()}
        found = submitter.look_back(members, reinvoke=read_flag(self.reinvoke, "reinvoke"))
        if found.forbidden is not None:
            self.tell_of_permission(found.forbidden)
        self._send_unsent(submitter, requests, found)
        if found.uncertain:
            self._tell_of_doubt(found, until, len(members))
        while found.uncertain:
            self._await_uncertain(found, started, until)
            in_doubt = {identity: members[identity] for identity in found.uncertain}
            found.renew(submitter.look_back(in_doubt))
            self._send_unsent(submitter, requests, found)
        return [found.settled[identity] for identity in identities], found.there.issuperset(identities)

    def _send_unsent(
        self, submitter: Submitter, requests: Mapping[str, PlannedRequest], found: LookBack
    ) -> None:
        """Send what earlier tries did not send, and is not in doubt."""
        members = {identity: self._sendable(identity, requests[identity]) for identity in found.unsent}
        sent = submitter.submit(members, found.unsent)
        self._tell(sent)
        found.settled |= sent
        found.unsent.clear()

    def _tell_of_doubt(self, found: LookBack, until: float | None, total: int) -> None:
        """Say, before the first pause, what is in doubt, and for how long its outputs are awaited.

        :param total: how many requests there are.
        :raises UnknownOutcomeError: where to look for it is not known.
        """
        if not all(found.uncertain.values()):
            raise UnknownOutcomeError(
                f"{_DOUBT}; where its output would be is not known",
                hint="allow sagemaker:DescribeEndpoint and sagemaker:DescribeEndpointConfig, or set "
                "on_uncertain='invoke'; after uncertain_timeout it is sent again",
            )
        self.log.warning(
            "An earlier try died while it was sending: of %d of %d requests it is not known whether they "
            "were sent. Their outputs are awaited for %.0f s before they are sent again (on_uncertain)",
            len(found.uncertain),
            total,
            max(0.0, found.until - time.time()),
        )
        if not self.deferrable:
            self.tell_of_slot(found.until if until is None else min(found.until, until))

    def _await_uncertain(self, found: LookBack, started: float, until: float | None) -> None:
        """Wait for outputs of which it is not known whether they will come; then they are looked at again."""
        from airflow_provider_aiml.inference.submissions import Submission

        end, now = found.until if until is None else min(found.until, until), time.time()
        if now >= end and end == until:
            raise self.overdue(UnknownOutcomeError(_DOUBT))
        if not self.deferrable:
            time.sleep(max(0.0, min(self.waiter_delay, end - now)))
            return
        awaited = [Submission(places[0], end) for places in found.uncertain.values()]
        self.defer(
            trigger=self.make_trigger(
                awaited, poll_interval=self.waiter_delay, timeout_at=None, sqs_queue=None
            ),
            method_name="look_again",
            kwargs={"started": started},
            timeout=deferral_timeout(end),
        )

    def _sendable(self, identity: str, request: PlannedRequest) -> dict[str, Any]:
        if request.upload is None:
            return request.members
        return {**request.members, "input_location": self.upload(request.upload, identity)}

    def _submitter(self, context: Context) -> Submitter:
        from airflow_provider_aiml.inference.requests import api_members, load_operation
        from airflow_provider_aiml.inference.submitter import NAMES, Submitter

        known = api_members(load_operation("sagemaker-runtime", self.operation))
        tries = context["ti"].try_number - 1
        return Submitter(
            task=task_identity(context),
            ledger=self._ledger(context),
            s3=self.s3,
            send=lambda members: self.hook.invoke_endpoint_async(**members),
            predict=partial(self._predict, cache(partial(self._output_base, first=tries == 0))),
            namable=frozenset(NAMES & known.keys()),
            on_uncertain=self.on_uncertain,
            uncertain_timeout=self.uncertain_timeout,
            earlier_tries=tries,
        )

    def _ledger(self, context: Context) -> SubmissionLedger:
        """Give the place where this task instance's submissions are written down."""
        from airflow_provider_aiml.inference import submission_ledger as places

        pages: places.Pages
        if store := context.get("task_state_store"):
            import airflow.sdk

            pages = places.TaskStatePages(store, getattr(airflow.sdk, "NEVER_EXPIRE", None))
        elif self.ledger_folder:
            from airflow_provider_aiml.inference.outputs import Location

            own = request_identity(task_identity(context), self.operation, {})
            folder = f"{self.ledger_folder.rstrip('/')}/submissions/{own}"
            pages = places.ObjectPages(self.s3, Location.parse(folder, "upload_to"))
        else:
            pages = places.NoPages()
        return places.SubmissionLedger(pages)

    def _predict(
        self, ask_base: Callable[[], OutputBase | None], names: Mapping[str, str]
    ) -> list[AsyncInference]:
        from airflow_provider_aiml.inference.output_prediction import candidates

        if "filename" not in names:
            return []
        base = ask_base()
        extension = names["s3_output_path_extension"]
        return candidates(base, extension, names["filename"], names["inference_id"]) if base else []

    def _output_base(self, *, first: bool) -> OutputBase | None:
        """Ask where outputs go; a first try, which can do without, neither insists nor complains."""
        from airflow_provider_aiml.inference.output_prediction import describe_output_base

        client = self.hook.control_client(brief=first)
        level = logging.INFO if first else logging.WARNING
        return describe_output_base(client, self.endpoint_name, level=level)

    def _tell(self, sent: Mapping[str, Submission]) -> None:
        for submission in sent.values():
            inference = submission.inference
            self.log.info(
                "Submitted inference %s to %s; its output will be %s",
                inference.inference_id,
                self.endpoint_name,
                inference.output_location,
            )
        if any(submission.inference.failure_location is None for submission in sent.values()):
            self.log.warning(
                "Endpoint %s has no S3FailurePath: a failure of this inference cannot be seen and looks like "
                "waiting until its deadline. Set AsyncInferenceConfig.OutputConfig.S3FailurePath.",
                self.endpoint_name,
            )

    def _wait(self, submissions: Sequence[Submission], until: float | None) -> dict[int, InferenceError]:
        """Wait for all of them, or until more failed than may; give those that did, by index."""
        end = end_of_wait(submissions, until)
        if self.deferrable:
            self.defer(
                trigger=self.make_trigger(submissions, poll_interval=self.waiter_delay, timeout_at=until),
                method_name="execute_complete",
                timeout=deferral_timeout(end),
            )
        self.tell_of_slot(end)
        return self._look_until(submissions, until)

    def _look_until(
        self, submissions: Sequence[Submission], until: float | None
    ) -> dict[int, InferenceError]:
        """Look in this worker until each has its outcome, or more failed than may."""
        from airflow_provider_aiml.inference.outputs import Wait

        ends = [one.deadline if until is None else min(one.deadline, until) for one in submissions]
        waits = {
            index: Wait(one.inference, deadline=end)
            for index, (one, end) in enumerate(zip(submissions, ends, strict=True))
        }
        failures: dict[int, InferenceError] = {}
        over = False
        while waits and not over:
            for index, wait, seen in self.look_at_each(waits):
                verdict = wait.on_look(seen, time.time())
                if wait.take_permission_notice():
                    self.tell_of_permission(wait.inference.output_location)
                if verdict is None:
                    continue
                del waits[index]
                if verdict.error is not None:
                    if verdict.status == "expired" and ends[index] < submissions[index].deadline:
                        raise self.overdue(verdict.error)
                    failures[index] = verdict.error
                    over = over or self.policy.ends_with(verdict.error, len(failures), len(submissions))
            if waits and not over:
                time.sleep(max(0.0, min(self.waiter_delay, max(ends) - time.time())))
        return failures


def _body(request: PlannedRequest) -> Any:
    return request.members.get("body") if request.upload is None else request.upload
