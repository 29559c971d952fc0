"""Many inferences in one wait: how many may fail, and what goes through Airflow's database."""

from __future__ import annotations

import json
import time

import pytest
from airflow_provider_aiml import waiting_sensor
from airflow_provider_aiml.exceptions import (
    ModelFailedError,
    OutputExpiredError,
    OutputUnreadableError,
    RequestError,
    StoredAnswerError,
)
from airflow_provider_aiml.inference import manifest_store
from airflow_provider_aiml.inference.failure_policy import FailurePolicy
from airflow_provider_aiml.inference.outputs import AsyncInference, Location, Look, Seen, Wait
from airflow_provider_aiml.inference.submissions import Submission
from airflow_provider_aiml.inference.wait_list import (
    compact,
    compact_failure,
    expand,
    expand_failures,
    read_manifest,
)
from airflow_provider_aiml.operators.sagemaker import SageMakerInvokeEndpointAsyncOperator
from airflow_provider_aiml.sensors.sagemaker import SageMakerAsyncInferenceSensor
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.running import defer, event_of, resume, run

names = st.text("abc/0-_.", min_size=1, max_size=12)
submissions = st.lists(
    st.builds(
        Submission,
        st.builds(
            AsyncInference,
            st.builds(Location, st.sampled_from(["b1", "b2"]), names.map("out/".__add__)),
            st.none() | st.builds(Location, st.just("b1"), names.map("err/".__add__)),
            st.none() | names,
        ),
        st.integers(1_000_000_000, 2_000_000_000).map(float),
    ),
    min_size=1,
    max_size=60,
)


def submitted(number: int, deadline: str = "2099-01-01T00:00:00+00:00") -> dict[str, str]:
    return {
        "inference_id": f"id-{number}",
        "output_location": f"s3://bucket/out/{number}",
        "failure_location": f"s3://bucket/err/{number}",
        "deadline": deadline,
    }


@pytest.fixture
def put(s3):
    return lambda key, body=b"{}": s3.put_object(
        Bucket="bucket", Key=key, Body=body, ContentType="application/json"
    )


def sensor(total, **kwargs):
    settled = {"task_id": "wait", "poke_interval": 0.05, "inference": [submitted(n) for n in range(total)]}
    return SageMakerAsyncInferenceSensor(**{**settled, **kwargs})


def finish(make, deferrable):
    if not deferrable:
        return run(make())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow_provider_aiml.sensors.sagemaker.LOOKED_AT_FIRST", 0)
        deferral = defer(make())
    return resume(make(), deferral, event_of(deferral.trigger))


both = pytest.mark.parametrize("deferrable", [False, True])


@given(listed=submissions)
def test_the_compact_form_says_the_same_as_the_plain_one(listed):
    assert expand(json.loads(json.dumps(compact(listed))), now=0) == listed


def test_the_compact_form_is_a_fraction_of_the_plain_one():
    many = [Submission(AsyncInference.from_dict(submitted(n)), 2e9) for n in range(1_000)]

    plain = json.dumps([one.to_dict() for one in many])
    assert len(json.dumps(compact(many))) < len(plain) / 4


@pytest.mark.parametrize("listed", [{"items": 3}, {"items": [[1, 2]], "shared": {}, "deadlines": []}])
def test_a_compact_list_that_cannot_be_read_is_refused(listed):
    with pytest.raises(RequestError, match="compact list"):
        expand(listed, now=0)


def test_a_manifest_that_is_no_manifest_is_named():
    with pytest.raises(OutputUnreadableError, match="s3://b/k"):
        read_manifest(b"rubbish", Location("b", "k"), now=0)


@pytest.mark.parametrize(
    ("policy", "total", "tolerated"),
    [
        (FailurePolicy(), 10, 0),
        (FailurePolicy(max_failures=3), 10, 3),
        (FailurePolicy(max_failure_rate=0.29), 100, 29),
        (FailurePolicy(max_failure_rate=0.05), 10, 0),
        (FailurePolicy(max_failures=3, max_failure_rate=0.2), 10, 2),
        (FailurePolicy(max_failure_rate=1), 7, 7),
    ],
)
def test_the_smaller_limit_counts(policy, total, tolerated):
    failed = ModelFailedError("The model failed")
    assert policy.tolerated(total) == tolerated
    assert not policy.failed([failed] * tolerated, total)
    assert policy.failed([failed] * (tolerated + 1), total)


def test_only_the_policy_first_ends_a_wait_early():
    assert FailurePolicy("first").ends(1, 10)
    assert not FailurePolicy("all").ends(10, 10)


@pytest.mark.parametrize(
    "bad",
    [
        {"failure_policy": "some"},
        {"max_failures": -1},
        {"max_failures": 1.5},
        {"max_failures": True},
        {"max_failure_rate": 1.1},
        {"max_failure_rate": "0.5"},
        {"manifest_to": "bucket"},
    ],
)
def test_a_policy_that_is_none_is_refused_where_the_dag_is_read(bad):
    with pytest.raises(RequestError, match=next(iter(bad))):
        sensor(2, **bad)


@both
def test_tolerated_failures_stand_in_the_result(aws, put, deferrable):
    put("out/0")
    put("err/1", b"Received client error (400) from model: no such column")
    put("out/2")
    result = finish(lambda: sensor(3, max_failures=1, deferrable=deferrable, result="body"), deferrable)

    assert [one["status"] for one in result] == ["completed", "failed", "completed"]
    assert result[1]["error"]["type"] == "ModelFailedError"
    assert "no such column" in result[1]["error"]["model_message"]
    assert result[1]["inference_id"] == "id-1"
    assert result[2]["body"] == {}


@both
def test_one_failure_too_many_fails_with_the_first_and_the_count(aws, put, deferrable):
    put("out/0")
    put("err/1", b"first")
    put("err/2", b"second")
    with pytest.raises(ModelFailedError, match="of 3 inferences did not complete, 1 may"):
        finish(lambda: sensor(3, max_failures=1, deferrable=deferrable), deferrable)


@both
def test_the_policy_all_waits_for_each_outcome(aws, put, deferrable):
    put("err/0")
    for number in range(1, 4):
        put(f"out/{number}")
    with pytest.raises(ModelFailedError, match="1 of 4 inferences"):
        finish(lambda: sensor(4, failure_policy="all", deferrable=deferrable), deferrable)


@both
def test_an_expired_inference_is_told_apart(aws, put, deferrable):
    past = [submitted(0), submitted(1, "2020-01-01T00:00:00+00:00")]
    put("out/0")
    result = finish(
        lambda: sensor(2, inference=past, max_failure_rate=0.5, deferrable=deferrable), deferrable
    )

    assert [one["status"] for one in result] == ["completed", "expired"]


def test_a_single_expired_one_still_fails(aws, put):
    with pytest.raises(OutputExpiredError):
        finish(lambda: sensor(1, inference=submitted(1, "2020-01-01T00:00:00+00:00")), False)


def test_thousands_leave_a_manifest_and_their_event_names_it(aws, s3, put, told):
    total = 1_000
    for number in range(total):
        put(f"out/{number}" if number % 4 else f"err/{number}")

    def make():
        return sensor(
            total,
            deferrable=True,
            manifest_to="s3://bucket/lists/",
            failure_policy="all",
            max_failure_rate=0.25,
        )

    deferral = defer(make())
    _, kwargs = deferral.trigger.serialize()
    event = event_of(deferral.trigger, seconds=60)
    result = resume(make(), deferral, event)

    assert len(json.dumps(kwargs)) < 2_000
    assert len(json.dumps(event)) < 2_000
    assert event["failures"]["manifest"].startswith("s3://bucket/lists/waits/")
    assert [one["status"] for one in result] == ["completed" if n % 4 else "failed" for n in range(total)]


def test_without_a_place_for_a_manifest_the_list_is_compact_and_its_size_is_told(aws, put, told):
    deferral = defer(sensor(600, deferrable=True))

    _, kwargs = deferral.trigger.serialize()
    assert len(json.dumps(kwargs)) < 60_000
    assert "set manifest_to" in told.text


def test_a_manifest_that_was_deleted_is_an_error_that_names_it(aws, s3, put):
    deferral = defer(sensor(600, deferrable=True, manifest_to="s3://bucket/lists/"))
    manifest = deferral.trigger.inferences["manifest"]
    s3.delete_object(Bucket="bucket", Key=manifest.removeprefix("s3://bucket/"))

    event = event_of(deferral.trigger)
    assert event["status"] == "error"
    with pytest.raises(OutputUnreadableError, match="NoSuchKey") as failure:
        resume(sensor(600, deferrable=True), deferral, event)
    assert manifest in str(failure.value)


def test_a_manifest_is_read_once_s3_answers_again(aws, s3, put, monkeypatch):
    monkeypatch.setattr(manifest_store, "FIRST_PAUSE", 0.01)
    deferral = defer(sensor(600, deferrable=True, manifest_to="s3://bucket/lists/"))
    for number in range(600):
        put(f"out/{number}")
    aws.add_fault("s3:GET", code="SlowDown", status=503, count=12)
    aws.add_fault("s3:GET", code="ExpiredToken", status=400, count=1)

    assert event_of(deferral.trigger, seconds=60)["status"] == "completed"


def test_a_manifest_that_s3_does_not_give_for_long_ends_the_wait_and_a_retry_can_help(aws, put, monkeypatch):
    monkeypatch.setattr(manifest_store, "FIRST_PAUSE", 0.01)
    deferral = defer(sensor(600, deferrable=True, manifest_to="s3://bucket/lists/"))
    aws.add_fault("s3:GET", code="SlowDown", status=503, for_seconds=60)
    deferral.trigger.max_faults = 2

    event = event_of(deferral.trigger, seconds=60)
    with pytest.raises(OutputUnreadableError, match="SlowDown") as failure:
        resume(sensor(600, deferrable=True), deferral, event)
    assert failure.value.retryable


def test_the_end_of_the_wait_is_kept_though_its_manifest_cannot_be_read(aws, put, monkeypatch):
    monkeypatch.setattr(manifest_store, "FIRST_PAUSE", 0.01)
    deferral = defer(sensor(600, deferrable=True, manifest_to="s3://bucket/lists/"))
    aws.add_fault("s3:GET", code="SlowDown", status=503, for_seconds=600)
    deferral.trigger.max_faults, deferral.trigger.timeout_at = None, time.time() + 1

    event = event_of(deferral.trigger, seconds=120)
    assert event["status"] == "timeout"
    assert event["error"]["type"] == "OutputUnreadableError"


def test_a_manifest_of_inferences_that_are_all_over_is_not_asked_for_for_ever(aws, put, monkeypatch):
    monkeypatch.setattr(manifest_store, "FIRST_PAUSE", 0.01)
    deferral = defer(sensor(600, deferrable=True, manifest_to="s3://bucket/lists/"))
    aws.add_fault("s3:GET", code="SlowDown", status=503, for_seconds=600)
    trigger = deferral.trigger
    trigger.max_faults, trigger.timeout_at, trigger.started_at = None, None, time.time() - 30_000

    assert event_of(trigger, seconds=120)["status"] == "error"


def test_a_read_of_a_manifest_that_hangs_is_tried_again(aws, put, monkeypatch):
    monkeypatch.setattr(manifest_store, "FIRST_PAUSE", 0.01)
    for name in ("SHORTEST_TRY", "LONGEST_TRY"):
        monkeypatch.setattr(manifest_store, name, 5.0)
    deferral = defer(sensor(600, deferrable=True, manifest_to="s3://bucket/lists/"))
    for number in range(600):
        put(f"out/{number}")
    aws.add_fault("s3:GET", "delay", seconds=30.0, count=1)

    assert event_of(deferral.trigger, seconds=120)["status"] == "completed"


def test_failures_that_cannot_be_written_beside_their_manifest_stand_in_the_event(aws, s3, put):
    deferral = defer(
        sensor(600, deferrable=True, manifest_to="s3://bucket/lists/", failure_policy="all", max_failures=150)
    )
    for number in range(600):
        put(f"out/{number}" if number % 4 else f"err/{number}")
    aws.add_fault("s3:PUT", code="AccessDenied", status=403, for_seconds=60)

    event = event_of(deferral.trigger, seconds=60)
    assert len(event["failures"]) == 150
    result = resume(sensor(600, deferrable=True, max_failures=150), deferral, event)
    assert [one["status"] for one in result].count("failed") == 150


def test_a_failure_is_told_by_little_and_read_whole():
    wait = Wait(
        AsyncInference(Location("b", "out/a"), Location("b", "err/a"), "id"), deadline=1_800_000_000.0
    )
    looks = [
        Look(Seen.FAILURE),
        Look(Seen.NOTHING),
        Look(Seen.FAULT, "SlowDown"),
        Look(Seen.FAULT, "NoSuchBucket"),
    ]
    verdicts = [wait.on_look(look, 1_900_000_000.0) for look in looks]
    listed = json.loads(json.dumps([compact_failure(at, one) for at, one in enumerate(verdicts)]))
    read = expand_failures(listed, [Submission(wait.inference, wait.deadline)] * 4)

    assert listed[:3] == [[0, "failed", None], [1, "expired", None], [2, "expired", "SlowDown"]]
    for at, verdict in enumerate(verdicts):
        told, meant = read[at].to_dict(), verdict.error.to_dict()
        assert meant.pop("message").replace(", after 0 s of looking", "") == told.pop("message")
        assert told == meant


def test_the_failures_of_thousands_fit_into_an_event_without_a_manifest():
    submissions = [
        Submission(AsyncInference(Location("b", f"o/{n}"), Location("b", f"e/{n}")), 1.0)
        for n in range(5_000)
    ]
    failed = [Wait(one.inference, deadline=1.0).on_look(Look(Seen.FAILURE), 0.0) for one in submissions]

    assert len(json.dumps([compact_failure(at, one) for at, one in enumerate(failed)])) < 150_000


@pytest.mark.parametrize("deferrable", [False, True])
def test_an_output_that_cannot_be_asked_for_is_never_tolerated(aws, put, deferrable, monkeypatch):
    monkeypatch.setattr(waiting_sensor, "MAX_FAULTS", 2)  # the triggerer's pauses between faults grow
    put("out/0")
    put("out/1")
    aws.add_fault("s3:*", code="InvalidRequest", status=400, for_seconds=60)

    def make():
        return sensor(2, deferrable=deferrable, max_failures=2, timeout=60)

    with pytest.raises(OutputUnreadableError) as failure:
        finish(make, deferrable)
    assert failure.value.retryable


def test_a_place_that_can_never_be_asked_for_counts_as_a_failure(aws, put):
    put("out/0")
    nowhere = {"output_location": "s3://no-such-bucket/out/1"}

    result = run(sensor(2, inference=[submitted(0), nowhere], max_failures=1))

    assert [one["status"] for one in result] == ["completed", "unreadable"]


def test_a_place_for_manifests_that_cannot_be_written_fails_before_the_wait(aws, put):
    aws.add_fault("s3:PUT", code="AccessDenied", status=403, count=9)
    with pytest.raises(StoredAnswerError, match="s3:PutObject"):
        defer(sensor(600, deferrable=True, manifest_to="s3://bucket/lists/"))


def test_the_asynchronous_operator_tolerates_failures_too(aws, s3):
    aws.add_endpoint("echo", s3_output_path="s3://bucket/out", s3_failure_path="s3://bucket/err")
    aws.add_fault("sagemaker:AsyncInference", "model_error", status=500, message="lost", count=1)
    result = run(
        SageMakerInvokeEndpointAsyncOperator(
            task_id="submit",
            endpoint_name="echo",
            payloads=[{"n": number} for number in range(4)],
            max_failures=1,
            waiter_delay=0.05,
        )
    )

    assert sorted(one["status"] for one in result) == ["completed", "completed", "completed", "failed"]
