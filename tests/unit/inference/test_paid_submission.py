from __future__ import annotations

import json

import pytest
from airflow_provider_aiml.inference.identity import TaskIdentity, request_identity
from airflow_provider_aiml.inference.outputs import AsyncInference, Location, Look, Seen
from airflow_provider_aiml.inference.paid_submission import (
    Step,
    SubmissionRecord,
    output_names,
    step_after_look,
    submission_names,
    uncertain_until,
)
from airflow_provider_aiml.inference.requests import check_request, load_operation
from airflow_provider_aiml.inference.submissions import Submission
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_000_000.0
SUBMISSION = Submission(
    AsyncInference(Location("bucket", "out/1.out"), Location("bucket", "failed/1.out"), "id-1"), NOW + 100
)
SUBMITTED = SubmissionRecord("submitted", 1, NOW - 10, SUBMISSION)
ASKED = SubmissionRecord("asked", 1, NOW - 10)

names = st.text(min_size=1, max_size=250)
tasks = st.builds(TaskIdentity, names, names, names, st.integers(-1, 10_000))


@pytest.mark.parametrize(
    ("seen", "now", "step"),
    [
        (Seen.OUTPUT, NOW, Step.USE),
        (Seen.OUTPUT, NOW + 1_000, Step.USE),
        (Seen.FAILURE, NOW, Step.SEND),
        (Seen.NOTHING, NOW, Step.WAIT),
        (Seen.FORBIDDEN, NOW, Step.WAIT),
        (Seen.FAULT, NOW, Step.WAIT),
        (Seen.NOTHING, NOW + 100, Step.SEND),
        (Seen.FORBIDDEN, NOW + 100, Step.STOP),
        (Seen.FAULT, NOW + 100, Step.STOP),
    ],
)
def test_what_was_submitted_is_used_awaited_or_sent_again(seen: Seen, now: float, step: Step) -> None:
    assert step_after_look(SUBMITTED, Look(seen), now) is step


def test_an_uncertain_request_is_awaited_for_its_time_only() -> None:
    assert uncertain_until(ASKED, "wait", 60, NOW) == NOW + 50
    assert uncertain_until(ASKED, "wait", 60, NOW + 50) is None


def test_an_uncertain_request_is_sent_at_once_where_that_is_wanted() -> None:
    assert uncertain_until(ASKED, "invoke", 60, NOW) is None


@pytest.mark.parametrize("record", [ASKED, SUBMITTED])
def test_a_record_survives_json(record: SubmissionRecord) -> None:
    assert SubmissionRecord.from_dict(json.loads(json.dumps(record.to_dict())), now=NOW) == record


@pytest.mark.parametrize(
    "facts",
    [
        None,
        "text",
        {},
        {"state": "other"},
        {"state": "asked"},
        {"state": "asked", "ordinal": "x", "asked_at": 1},
        {"state": "submitted", "ordinal": 1, "asked_at": 1},
        {"state": "submitted", "ordinal": 1, "asked_at": 1, "submission": {"output_location": "ftp://x"}},
        {"state": "submitted", "ordinal": 1, "asked_at": 1, "submission": None},
    ],
)
def test_what_is_no_record_is_read_as_none(facts: object) -> None:
    assert SubmissionRecord.from_dict(facts, now=NOW) is None


@given(task=tasks, ordinal=st.integers(1, 10**14))
def test_the_names_of_a_submission_are_ones_that_sagemaker_takes(task: TaskIdentity, ordinal: int) -> None:
    named = output_names(task, request_identity(task, "InvokeEndpointAsync", {"body": b"x"}), ordinal)

    request = {"endpoint_name": "endpoint", "input_location": "s3://bucket/key", **named}
    check_request(load_operation("sagemaker-runtime", "InvokeEndpointAsync"), request)
    assert len(named["inference_id"]) <= 64
    assert len(named["filename"]) <= 32


@given(first=tasks, second=tasks, ordinals=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_two_submissions_never_share_a_name(
    first: TaskIdentity, second: TaskIdentity, ordinals: tuple[int, int]
) -> None:
    named = [
        output_names(task, request_identity(task, "InvokeEndpointAsync", {}), ordinal)
        for task, ordinal in zip((first, second), ordinals, strict=True)
    ]
    same = (first, ordinals[0]) == (second, ordinals[1])
    assert (named[0]["filename"] == named[1]["filename"]) is same
    assert (named[0]["inference_id"] == named[1]["inference_id"]) is same


def test_all_submissions_of_a_run_share_a_path() -> None:
    one, other = TaskIdentity("dag", "run", "a"), TaskIdentity("dag", "run", "b", 7)
    next_run = TaskIdentity("dag", "run2", "a")
    paths = [output_names(task, "0" * 40, 1)["s3_output_path_extension"] for task in (one, other, next_run)]
    assert paths[0] == paths[1] != paths[2]


@given(first=tasks, second=tasks, ordinals=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_a_file_name_of_the_users_never_makes_two_submissions_share_a_place(
    first: TaskIdentity, second: TaskIdentity, ordinals: tuple[int, int]
) -> None:
    own = {"filename": "latest.json", "s3_output_path_extension": "x" * 483}
    named = [
        submission_names(task, request_identity(task, "InvokeEndpointAsync", {}), ordinal, own)
        for task, ordinal in zip((first, second), ordinals, strict=True)
    ]
    for one in named:
        check_request(
            load_operation("sagemaker-runtime", "InvokeEndpointAsync"),
            {"endpoint_name": "endpoint", "input_location": "s3://bucket/key", **one},
        )
    assert (named[0] == named[1]) is ((first, ordinals[0]) == (second, ordinals[1]))
    assert named[0]["filename"] == named[1]["filename"] == "latest.json"
