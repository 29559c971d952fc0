"""A submission that is interrupted, or held up by one request in doubt: nothing known is lost."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from concurrent.futures import Future
from queue import SimpleQueue

import pytest
from airflow_provider_aiml.exceptions import (
    BusyError,
    OutputUnreadableError,
    RequestError,
    UnknownOutcomeError,
)
from airflow_provider_aiml.inference import submitter
from airflow_provider_aiml.inference.identity import TaskIdentity
from airflow_provider_aiml.inference.retry import RetryPolicy, call_with_retries
from airflow_provider_aiml.inference.submission_ledger import SubmissionLedger, TaskStatePages
from airflow_provider_aiml.inference.submitter import NAMES, SENDERS, WAVE, Submitter
from airflow_provider_aiml.operators.sagemaker import SageMakerInvokeEndpointAsyncOperator
from tests.unit.running import StateStore, defer, run


class TimeOverError(BaseException):
    """What Airflow raises in a task whose execution_timeout is over."""


@pytest.fixture
def store():
    return StateStore()


@pytest.fixture
def endpoint(aws, s3):
    aws.add_endpoint("stuck", s3_output_path="s3://bucket/out", s3_failure_path="s3://bucket/err", delay=600)
    return aws


def make(**kwargs):
    return SageMakerInvokeEndpointAsyncOperator(task_id="submit", endpoint_name="stuck", **kwargs)


def records_in(store):
    return [record for page in store.values.values() for record in json.loads(page).values()]


@pytest.fixture
def time_over():
    """Give what ends the main thread's time once, wherever it is, as Airflow's execution_timeout does.

    A thread that is about to wait for a lock sees a signal only when it has the lock, or at the next signal.
    """
    over = threading.Event()

    def end(*_):
        if not over.is_set():
            over.set()
            raise TimeOverError

    def until_over():
        for _ in range(600):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            if over.wait(0.1):
                return
        raise AssertionError("The main thread saw no signal")

    before = signal.signal(signal.SIGUSR1, end)
    yield until_over
    signal.signal(signal.SIGUSR1, before)


def test_what_is_under_way_when_the_tasks_time_is_over_is_written_down_and_nothing_more_is_sent(
    store, time_over, monkeypatch
):
    sent, cancelled = [], []
    waiting, all_cancelled = threading.Event(), threading.Event()

    class Ended(SimpleQueue):
        def get(self):
            waiting.set()
            return super().get()

    def cancel(future, whole=Future.cancel):
        cancelled.append(whole(future))
        if len(cancelled) == WAVE:
            all_cancelled.set()

    def send(members):
        sent.append(members["inference_id"])
        if len(sent) == SENDERS:
            assert waiting.wait(60)
            time_over()
        assert all_cancelled.wait(60)
        if members["inference_id"].startswith("0" * 40):
            raise UnknownOutcomeError("Nobody knows whether it ran")
        return {"OutputLocation": f"s3://bucket/out/{members['inference_id']}"}

    monkeypatch.setattr(submitter, "SimpleQueue", Ended)
    monkeypatch.setattr(Future, "cancel", cancel)
    submission = Submitter(
        task=TaskIdentity("dag", "run", "task", -1),
        ledger=SubmissionLedger(TaskStatePages(store, None)),
        s3=None,
        send=send,
        predict=lambda names: [],
        namable=NAMES,
    )
    requests = {f"{number:040}": {} for number in range(2 * WAVE)}

    with pytest.raises(TimeOverError):
        submission.submit(requests, dict.fromkeys(requests, 1))

    assert len(sent) == SENDERS
    states = Counter(record["state"] for record in records_in(store))
    assert states == {"submitted": SENDERS - 1, "asked": 1, "refused": WAVE - SENDERS}


def test_answers_whose_writing_is_interrupted_are_written_once_more(store, time_over):
    class Interrupted(TaskStatePages):
        def put(self, name, value):
            if any(record["state"] == "submitted" for record in value.values()) and not rung:
                rung.append(name)
                time_over()
            super().put(name, value)

    rung = []
    submission = Submitter(
        task=TaskIdentity("dag", "run", "task", -1),
        ledger=SubmissionLedger(Interrupted(store, None)),
        s3=None,
        send=lambda members: {"OutputLocation": f"s3://bucket/out/{members['inference_id']}"},
        predict=lambda names: [],
        namable=NAMES,
    )
    requests = {f"{number:02}{'0' * 38}": {} for number in range(20)}

    with pytest.raises(TimeOverError):
        submission.submit(requests, dict.fromkeys(requests, 1))
    assert Counter(record["state"] for record in records_in(store)) == {"submitted": 20}


def test_a_throttled_request_is_not_sent_again_once_the_tasks_time_is_over(store, time_over, monkeypatch):
    sent, waiting = [], threading.Event()

    class Ended(SimpleQueue):
        def get(self):
            waiting.set()
            return super().get()

    def throttled(name):
        sent.append(name)
        if len(sent) == 3:
            assert waiting.wait(60)
            time_over()
        raise BusyError("throttled")

    monkeypatch.setattr(submitter, "SimpleQueue", Ended)
    patient = RetryPolicy(attempts=5, base=36_000.0, cap=36_000.0)
    submission = Submitter(
        task=TaskIdentity("dag", "run", "task", -1),
        ledger=SubmissionLedger(TaskStatePages(store, None)),
        s3=None,
        send=lambda members: call_with_retries(lambda: throttled(members["inference_id"]), patient),
        predict=lambda names: [],
        namable=NAMES,
    )
    requests = {f"{number:040}": {} for number in range(3)}

    with pytest.raises(TimeOverError):
        submission.submit(requests, dict.fromkeys(requests, 1))
    assert len(sent) == 3
    assert Counter(record["state"] for record in records_in(store)) == {"refused": 3}


def test_a_request_whose_answer_cannot_be_read_was_sent_and_stays_in_doubt(store):
    submission = Submitter(
        task=TaskIdentity("dag", "run", "task", -1),
        ledger=SubmissionLedger(TaskStatePages(store, None)),
        s3=None,
        send=lambda members: {"OutputLocation": "nowhere"},
        predict=lambda names: [],
        namable=NAMES,
    )

    with pytest.raises(RequestError, match="output_location"):
        submission.submit({"0" * 40: {}}, {"0" * 40: 1})
    assert [record["state"] for record in records_in(store)] == ["asked"]


def test_an_answer_that_names_its_places_by_https_is_no_doubt(store):
    submission = Submitter(
        task=TaskIdentity("dag", "run", "task", -1),
        ledger=SubmissionLedger(TaskStatePages(store, None)),
        s3=None,
        send=lambda members: {"OutputLocation": "https://bucket.s3.us-east-1.amazonaws.com/out/x.out"},
        predict=lambda names: [],
        namable=NAMES,
    )

    submission.submit({"0" * 40: {}}, {"0" * 40: 1})
    (record,) = records_in(store)
    assert record["submission"]["output_location"] == "s3://bucket/out/x.out"


def forget_the_answer(store):
    """Leave what a process leaves that was killed between its intent and SageMaker's answer."""
    for name, page in store.values.items():
        asked = {
            key: {"state": "asked", "ordinal": one["ordinal"], "asked_at": one["asked_at"]}
            for key, one in json.loads(page).items()
        }
        store.values[name] = json.dumps(asked)


def test_what_is_in_doubt_does_not_hold_up_what_is_not(endpoint, store):
    run(make(payloads=[{"n": 0}], wait_for_completion=False), state_store=store)
    forget_the_answer(store)

    deferral = defer(
        make(payloads=[{"n": number} for number in range(5)], deferrable=True),
        state_store=store,
        try_number=2,
    )

    assert deferral.method_name == "look_again"
    assert endpoint.pending() == 5
    assert Counter(record["state"] for record in records_in(store)) == {"asked": 1, "submitted": 4}


@pytest.mark.parametrize(
    ("operation", "code", "status"), [("s3:LIST", "NoSuchBucket", 404), ("s3:HEAD", "PermanentRedirect", 301)]
)
def test_a_doubt_that_s3_will_never_clear_up_is_not_waited_for(endpoint, store, operation, code, status):
    run(make(payload={"n": 0}, wait_for_completion=False), state_store=store)
    forget_the_answer(store)
    endpoint.add_fault(operation, code=code, status=status, for_seconds=600)

    with pytest.raises(OutputUnreadableError, match="nothing was sent") as failure:
        run(make(payload={"n": 0}, deferrable=True), state_store=store, try_number=2)
    assert not failure.value.retryable
    assert endpoint.pending() == 1
