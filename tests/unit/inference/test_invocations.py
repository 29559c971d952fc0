from __future__ import annotations

import datetime as dt

import pytest
from airflow_provider_aiml.exceptions import (
    AccessDeniedError,
    BusyError,
    ModelFailedError,
    OutputExpiredError,
    OutputUnreadableError,
    RequestError,
)
from airflow_provider_aiml.inference.invocations import (
    InvocationWait,
    described,
    output_folder,
    read_invocations,
)

ARN = "arn:aws:bedrock:us-east-1:123456789012:async-invoke/abcdef123456"
NOW = 1_800_000_000.0


def test_an_invocation_is_named_by_its_arn_or_by_what_the_operator_gave():
    assert read_invocations(ARN) == [ARN]
    assert read_invocations({"invocation_arn": ARN, "status": "in_progress"}) == [ARN]
    assert read_invocations([ARN, {"invocation_arn": ARN}]) == [ARN, ARN]


@pytest.mark.parametrize("given", [None, "", "name", {}, [], [3], {"invocation_arn": 3}])
def test_what_names_no_invocation_is_refused(given):
    with pytest.raises(RequestError, match="invocation"):
        read_invocations(given)


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("s3://bucket", "s3://bucket/abcdef123456/"),
        ("s3://bucket/videos/", "s3://bucket/videos/abcdef123456/"),
        ("s3://bucket/videos/abcdef123456", "s3://bucket/videos/abcdef123456/"),
        (None, None),
    ],
)
def test_the_output_lies_in_a_folder_of_the_invocations_name(uri, folder):
    assert output_folder(ARN, {"s3OutputDataConfig": {"s3Uri": uri}}) == folder


@pytest.mark.parametrize("config", [None, {}, {"s3OutputDataConfig": None}])
def test_an_output_elsewhere_has_no_folder(config):
    assert output_folder(ARN, config) is None


def test_an_invocation_is_described_without_the_models_words():
    moment = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    answer = {"invocationArn": ARN, "status": "Failed", "failureMessage": "words", "submitTime": moment}

    assert described(answer) == {
        "invocation_arn": ARN,
        "status": "failed",
        "submit_time": "2026-01-02T00:00:00+00:00",
    }
    assert described({"invocationArn": ARN, "status": "InProgress"})["status"] == "in_progress"


def test_an_invocation_that_ended_ends_the_wait_even_after_its_deadline():
    assert InvocationWait(ARN, NOW).on_answer("Completed", NOW + 1).status == "completed"
    failed = InvocationWait(ARN, NOW).on_answer("Failed", NOW + 1)
    assert failed.status == "failed"
    assert isinstance(failed.error, ModelFailedError)


@pytest.mark.parametrize("status", ["InProgress", "Paused"])
def test_one_that_runs_is_awaited_until_the_deadline(status):
    wait = InvocationWait(ARN, NOW)

    assert wait.on_answer(status, NOW - 1) is None
    late = wait.on_answer(status, NOW)
    assert late.status == "expired"
    assert isinstance(late.error, OutputExpiredError)
    assert late.error.retryable
    assert InvocationWait(ARN, None).on_answer(status, NOW) is None


def test_a_number_of_failed_questions_in_a_row_ends_the_wait():
    wait = InvocationWait(ARN, None, max_faults=3)
    busy = BusyError("later", code="ThrottlingException", hint="wait")

    assert wait.on_error(busy, NOW) is None
    assert wait.on_answer("InProgress", NOW) is None
    assert wait.faults == 0
    assert [wait.on_error(busy, NOW) for _ in range(2)] == [None, None]
    ended = wait.on_error(busy, NOW)
    assert ended.status == "unreadable"
    assert isinstance(ended.error, OutputUnreadableError)
    assert (ended.error.code, ended.error.hint) == ("ThrottlingException", "wait")


def test_without_a_number_it_never_gives_up_but_at_its_deadline():
    wait = InvocationWait(ARN, NOW, max_faults=None)

    assert all(wait.on_error(BusyError("later"), NOW - 1) is None for _ in range(50))
    assert wait.on_error(BusyError("later"), NOW).status == "expired"


def test_what_no_repetition_can_help_ends_the_wait_at_once():
    denied = AccessDeniedError("no")

    assert InvocationWait(ARN, None).on_error(denied, NOW).error is denied
