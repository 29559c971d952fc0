"""Submitting asynchronous inferences so that none is bought twice.

First what earlier tries left is looked at: an output that is there is taken, an inference that is under way
is awaited, one that failed is sent again under the next ordinal. Then what is left is sent, a few at a time:
what is about to be sent is written down, it is sent, and what SageMaker answered is written down. A process
that dies between the two leaves a request of which nobody knows whether it was sent; it is looked for where
its output would be, for its names are derived from who asked what.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from queue import SimpleQueue
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_aiml.exceptions import InferenceError, OutputUnreadableError
from airflow_provider_aiml.inference.first_look import first_look
from airflow_provider_aiml.inference.output_look import combine, look
from airflow_provider_aiml.inference.outputs import FATAL_CODES, AsyncInference, Seen
from airflow_provider_aiml.inference.paid_submission import (
    Step,
    SubmissionRecord,
    step_after_look,
    submission_names,
    uncertain_until,
    unused_ordinal,
)
from airflow_provider_aiml.inference.retry import unless_over
from airflow_provider_aiml.inference.submissions import Submission, longest_deadline, s3_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_aiml.inference.identity import TaskIdentity
    from airflow_provider_aiml.inference.outputs import Location, Look
    from airflow_provider_aiml.inference.submission_ledger import SubmissionLedger

log = logging.getLogger(__name__)

NAMES = frozenset({"inference_id", "s3_output_path_extension", "filename"})
"""The members that name a submission and its output."""
WAVE = 32
"""Requests that are written down together, and of which a killed process leaves as many uncertain."""
SENDERS = 8
"""Requests under way at once, and looks at what earlier tries left."""
_MOST_ORDINALS = 20
"""Ordinals that are looked for, one by one, where nothing is written down."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What earlier tries left of one request.

    :param ordinal: the ordinal under which it was submitted, or else is to be sent.
    :param submission: what was submitted and is there or under way.
    :param there: whether its output is there.
    :param places: where its output would be, if it is not known whether it was sent.
    :param until: until when to wait for that, in seconds since the epoch.
    """

    ordinal: int
    submission: Submission | None = None
    there: bool = False
    places: list[AsyncInference] = field(default_factory=list)
    until: float | None = None


@dataclass(slots=True)
class LookBack:
    """What earlier tries left of a task's requests.

    :param settled: what was submitted and is there or under way, by identity.
    :param ordinals: the ordinals under which it was.
    :param there: whose outputs are there.
    :param unsent: the ordinal under which each of the others is to be sent.
    :param uncertain: where the output of a request would be of which it is not known whether it was sent.
    :param until: until when to wait for those, in seconds since the epoch.
    :param forbidden: a place where S3 answered 403, so that an output there may not have been seen.
    """

    settled: dict[str, Submission] = field(default_factory=dict)
    ordinals: dict[str, int] = field(default_factory=dict)
    there: set[str] = field(default_factory=set)
    unsent: dict[str, int] = field(default_factory=dict)
    uncertain: dict[str, list[AsyncInference]] = field(default_factory=dict)
    until: float = 0.0
    forbidden: Location | None = None

    def add(self, identity: str, finding: Finding) -> None:
        """Add what is left of one request."""
        if finding.submission is not None:
            self.settled[identity] = finding.submission
            self.ordinals[identity] = finding.ordinal
            if finding.there:
                self.there.add(identity)
        elif finding.until is not None:
            self.uncertain[identity] = finding.places
            self.until = min(self.until or finding.until, finding.until)
        else:
            self.unsent[identity] = finding.ordinal

    def renew(self, later: LookBack) -> None:
        """Take what a later look at what was uncertain found."""
        self.settled |= later.settled
        self.ordinals |= later.ordinals
        self.there |= later.there
        self.unsent |= later.unsent
        self.uncertain, self.until = later.uncertain, later.until


@dataclass(frozen=True)
class Submitter:
    """Submits the requests of one task instance.

    :param task: the task instance.
    :param ledger: where its submissions are written down.
    :param s3: a boto3 S3 client.
    :param send: sends the members of a request and gives SageMaker's answer.
    :param predict: gives the places where the output of a submission with these names may be.
    :param namable: the members of ``inference_id``, ``s3_output_path_extension`` and ``filename`` that the
        installed botocore knows.
    :param on_uncertain: wait for a request that may have been sent, or invoke again.
    :param uncertain_timeout: seconds to wait for it.
    :param earlier_tries: how many tries there were before this one.
    """

    task: TaskIdentity
    ledger: SubmissionLedger
    s3: Any
    send: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    predict: Callable[[Mapping[str, str]], list[AsyncInference]]
    namable: frozenset[str]
    on_uncertain: Literal["wait", "invoke"] = "wait"
    uncertain_timeout: float = 3_600.0
    earlier_tries: int = 0
    _predicting: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)
    _forbidden: list[Location] = field(default_factory=list, init=False, repr=False, compare=False)

    def look_back(self, requests: Mapping[str, Mapping[str, Any]], *, reinvoke: bool = False) -> LookBack:
        """Find what earlier tries bought.

        :param requests: the members of each request, without its body, by identity.
        :param reinvoke: buy all of them again, on purpose.
        :raises OutputUnreadableError: whether one was bought cannot be asked.
        """
        now = time.time()
        records = self.ledger.read(requests, now=now, whole=not reinvoke)
        if reinvoke:
            again = {key: record.ordinal + 1 for key, record in records.items()}
            return LookBack(unsent={key: again.get(key) or unused_ordinal(now) for key in requests})
        found = LookBack()
        for identity, place in self._look_at_first(requests, records).items():
            found.add(identity, Finding(1, Submission(place, longest_deadline(now)), there=True))
        others = [identity for identity in requests if identity not in found.settled]
        with ThreadPoolExecutor(SENDERS, thread_name_prefix="look-back") as lookers:
            findings = lookers.map(
                lambda identity: self._find(identity, requests[identity], records.get(identity), now),
                others,
            )
            for identity, finding in zip(others, findings, strict=True):
                found.add(identity, finding)
        found.forbidden = next(iter(self._forbidden), None)
        self._write_down(found, records, now)
        return found

    def submit(
        self, requests: Mapping[str, Mapping[str, Any]], unsent: Mapping[str, int]
    ) -> dict[str, Submission]:
        """Send what is unsent.

        :param requests: the members of each request, whole, by identity.
        :param unsent: the ordinal of each request to send.
        :return: the submissions, by identity.
        :raises InferenceError: the first failure; what was submitted until then is written down.
        """
        submitted: dict[str, Submission] = {}
        waiting = iter(unsent.items())
        with ThreadPoolExecutor(SENDERS, thread_name_prefix="submit") as senders:
            while wave := dict(islice(waiting, WAVE)):
                submitted |= self._submit_wave(requests, wave, senders)
        return submitted

    def _find(
        self, identity: str, request: Mapping[str, Any], record: SubmissionRecord | None, now: float
    ) -> Finding:
        if record is None:
            return self._find_unrecorded(identity, request, now)
        if record.state == "refused":
            return Finding(record.ordinal)
        if record.submission is None:
            return self._find_uncertain(identity, request, record, now)
        seen = look(self.s3, record.submission.inference)
        step = step_after_look(record, seen, now)
        if step is Step.STOP:
            raise cannot_tell(seen)
        if step is Step.SEND:
            return Finding(record.ordinal + 1)
        log.info(
            "An earlier try submitted this request as inference %s; its output %s %s and nothing is sent",
            record.submission.inference.inference_id,
            "is at" if step is Step.USE else "is awaited at",
            record.submission.inference.output_location,
        )
        return Finding(record.ordinal, record.submission, step is Step.USE)

    def _find_uncertain(
        self, identity: str, request: Mapping[str, Any], record: SubmissionRecord, now: float
    ) -> Finding:
        places = self._places(identity, request, record.ordinal)
        seen, taken = self._look_at_predicted(places, now)
        if taken is not None:
            return Finding(record.ordinal, taken, there=True)
        until = uncertain_until(record, self.on_uncertain, self.uncertain_timeout, now)
        if seen.seen is not Seen.FAILURE and until is not None and seen.code not in FATAL_CODES:
            return Finding(record.ordinal, places=places, until=until)
        if seen.seen is Seen.FAULT or (seen.seen is Seen.FORBIDDEN and self.on_uncertain == "wait"):
            raise cannot_tell(seen)
        return Finding(record.ordinal + 1)

    def _look_at_first(
        self, requests: Mapping[str, Mapping[str, Any]], records: Mapping[str, SubmissionRecord]
    ) -> dict[str, AsyncInference]:
        """Look, in a first try, for what a run of the same name left that was deleted with its records."""
        if self.earlier_tries:
            return {}
        new = [key for key in requests if key not in records and not self.ledger.absence_is_certain(key)]
        try:
            found = first_look(
                self.s3, {key: self.predict(self._names(key, requests[key], 1)) for key in new}
            )
        except InferenceError as error:
            log.info(
                "Whether an output is there already cannot be asked (%s); the request is sent",
                error.code or type(error).__name__,
            )
            return {}
        for place in found.values():
            log.info(
                "An output of the same task, run and request is at %s and nothing is sent; reinvoke=True "
                "would buy anew",
                place.output_location,
            )
        return found

    def _find_unrecorded(self, identity: str, request: Mapping[str, Any], now: float) -> Finding:
        """Look where the output would be, if an earlier try may have sent this without a record being left.

        Each try sends under the next ordinal at most, and SageMaker gives a failure object a name of its own,
        so that an ordinal where nothing is to be seen does not say that there was no further one.
        """
        free = 1
        if self.ledger.absence_is_certain(identity):
            return Finding(free)
        for ordinal in range(1, min(self.earlier_tries, _MOST_ORDINALS) + 1):
            places = self._places(identity, request, ordinal)
            seen, taken = self._look_at_predicted(places, now)
            if taken is not None:
                return Finding(ordinal, taken, there=True)
            if seen.seen is Seen.FAULT:
                raise cannot_tell(seen)
            free = ordinal + 1 if seen.seen is Seen.FAILURE else free
        return Finding(free)

    def _places(self, identity: str, request: Mapping[str, Any], ordinal: int) -> list[AsyncInference]:
        """Predict places, one thread at a time, as the first one asks SageMaker for what all need."""
        with self._predicting:
            return self.predict(self._names(identity, request, ordinal))

    def _look_at_predicted(self, places: list[AsyncInference], now: float) -> tuple[Look, Submission | None]:
        """Take an output that is where one was predicted; say what was seen at all these places."""
        looks: list[Look] = []
        for place in places:
            seen = look(self.s3, place)
            if seen.seen is Seen.OUTPUT:
                log.info("The output of an earlier try is at %s and nothing is sent", place.output_location)
                return seen, Submission(place, longest_deadline(now))
            if seen.seen is Seen.FORBIDDEN:
                if looks:  # the permissions of a task name the likeliest place, and need not name others
                    continue
                self._forbidden.append(place.output_location)
            looks.append(seen)
        return combine(*looks), None

    def _write_down(self, found: LookBack, records: Mapping[str, SubmissionRecord], now: float) -> None:
        """Write down what was found without a record, all of it before anything else is written."""
        news = {}
        for identity, submission in found.settled.items():
            record = records.get(identity)
            if record is None or record.submission is None:
                news[identity] = SubmissionRecord("submitted", found.ordinals[identity], now, submission)
        self.ledger.write(news)

    def _submit_wave(
        self, requests: Mapping[str, Mapping[str, Any]], wave: Mapping[str, int], senders: ThreadPoolExecutor
    ) -> dict[str, Submission]:
        asked_at = time.time()
        self.ledger.write({key: SubmissionRecord("asked", nth, asked_at) for key, nth in wave.items()})
        sent: dict[str, Future[Mapping[str, Any]]] = {}
        ended: SimpleQueue[str] = SimpleQueue()
        over = Event()
        try:
            for key, nth in wave.items():
                members = self._named(key, requests[key], nth)
                sent[key] = senders.submit(self._send, key, members, ended, over)
            # futures.wait() holds the lock of every future for a moment: interrupted there, none could end.
            for _ in sent:
                ended.get()
            submissions, failures = self._write_answers(requests, wave, sent, asked_at)
        except BaseException:  # the task's time is over: what is under way ends, and nothing more begins
            over.set()
            for future in sent.values():
                future.cancel()
            # Again, if need be: it may have been the writing that was interrupted.
            self._write_answers(requests, wave, sent, asked_at)
            raise
        if failures:
            raise failures[0]
        return submissions

    def _send(
        self, key: str, members: dict[str, Any], ended: SimpleQueue[str], over: Event
    ) -> Mapping[str, Any]:
        try:
            with unless_over(over):
                return self.send(members)
        finally:
            ended.put(key)

    def _write_answers(
        self,
        requests: Mapping[str, Mapping[str, Any]],
        wave: Mapping[str, int],
        sent: Mapping[str, Future[Mapping[str, Any]]],
        asked_at: float,
    ) -> tuple[dict[str, Submission], list[Exception]]:
        """Write down how each request of a wave ended."""
        records: dict[str, SubmissionRecord] = {}
        submissions: dict[str, Submission] = {}
        failures: list[Exception] = []
        for key, future in sent.items():
            try:
                submissions[key] = _submission(future.result(), requests[key], asked_at)
                records[key] = SubmissionRecord("submitted", wave[key], asked_at, submissions[key])
            except Exception as error:
                failures.append(error)
                if _surely_not_sent(future):
                    records[key] = SubmissionRecord("refused", wave[key], asked_at)
        self.ledger.write(records)
        return submissions, failures

    def _named(self, identity: str, request: Mapping[str, Any], ordinal: int) -> dict[str, Any]:
        return {**request, **self._names(identity, request, ordinal)}

    def _names(self, identity: str, request: Mapping[str, Any], ordinal: int) -> dict[str, str]:
        names = submission_names(self.task, identity, ordinal, request)
        return {key: name for key, name in names.items() if key in self.namable}


def cannot_tell(seen: Look) -> OutputUnreadableError:
    """Say why nothing is sent: the output may be there, and S3 could not say.

    :param seen: what was seen where the output would be: a fault, or a 403.
    """
    denied = "allow s3:GetObject on the outputs and s3:ListBucket on their bucket"
    return OutputUnreadableError(
        "S3 cannot be asked whether an output of an earlier try is there; nothing was sent",
        code=seen.code,
        retryable=seen.code not in FATAL_CODES,
        hint=denied if seen.seen is Seen.FORBIDDEN else FATAL_CODES.get(seen.code or ""),
    )


def _surely_not_sent(future: Future[Mapping[str, Any]]) -> bool:
    """Say whether a request never began or was refused; one whose answer cannot be read was sent."""
    if future.cancelled():
        return True
    error = future.exception()
    return isinstance(error, InferenceError) and not error.may_have_been_billed


def _submission(response: Mapping[str, Any], request: Mapping[str, Any], sent_at: float) -> Submission:
    facts = {
        "inference_id": response.get("InferenceId"),
        "output_location": s3_uri(response["OutputLocation"]),
        "failure_location": s3_uri(response.get("FailureLocation")),
    }
    ttl, invocation = request.get("request_ttl_seconds"), request.get("invocation_timeout_seconds")
    return Submission(AsyncInference.from_dict(facts), longest_deadline(sent_at, ttl, invocation))
