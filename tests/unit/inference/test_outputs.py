"""What follows from a look, without a clock, a network or a pause."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from airflow_provider_aiml.exceptions import (
    ModelFailedError,
    OutputExpiredError,
    OutputUnreadableError,
    RequestError,
)
from airflow_provider_aiml.inference.outputs import (
    CREDENTIAL_CODES,
    FATAL_CODES,
    AsyncInference,
    Location,
    Look,
    PollSchedule,
    Seen,
    Wait,
)
from hypothesis import given
from hypothesis import strategies as st

OUTPUT = Location("bkt", "out/a.out")
FAILURE = Location("bkt", "err/a-error.out")
INFERENCE = AsyncInference(OUTPUT, FAILURE, "id-1")
NOTHING = Look(Seen.NOTHING)
FAULT = Look(Seen.FAULT, "SlowDown")


def test_a_location_is_read_and_written_alike() -> None:
    location = Location.parse("s3://bkt/a/b c/ü.out", "output_location")
    assert location == Location("bkt", "a/b c/ü.out")
    assert str(location) == "s3://bkt/a/b c/ü.out"


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("https://bkt/key-canary", "does not start with s3://"),
        ("s3://", "without a bucket"),
        ("s3:///key-canary", "without a bucket"),
        ("s3://bkt", "without a key"),
        ("s3://bkt/", "without a key"),
        ("s3://bkt/" + "ü" * 513, "1026 bytes"),
        ("s3://bkt/\ud800", "not valid Unicode"),
        (None, "NoneType"),
        (7, "int"),
    ],
)
def test_a_location_that_is_not_one_is_refused_by_field_and_without_its_value(uri: Any, named: str) -> None:
    with pytest.raises(RequestError) as caught:
        Location.parse(uri, "failure_location")
    (problem,) = caught.value.problems
    assert problem.field == "failure_location"
    assert named in problem.found
    assert "canary" not in str(caught.value)


@given(
    bucket=st.text(min_size=1).filter(lambda text: not set("/@") & set(text)),
    key=st.text(min_size=1, max_size=200),
)
def test_every_location_survives_being_written_and_read(bucket: str, key: str) -> None:
    location = Location(bucket, key)
    assert Location.parse(str(location), "x") == location


@pytest.mark.parametrize(
    "inference",
    [INFERENCE, AsyncInference(OUTPUT), AsyncInference(OUTPUT, None, "id"), AsyncInference(OUTPUT, FAILURE)],
)
def test_an_inference_survives_json(inference: AsyncInference) -> None:
    facts = {**json.loads(json.dumps(inference.to_dict())), "deadline": "2026-11-20T12:00:00Z", "other": 1}
    assert AsyncInference.from_dict(facts) == inference


def test_an_inference_without_an_output_location_is_refused() -> None:
    with pytest.raises(RequestError, match="output_location"):
        AsyncInference.from_dict({"inference_id": "id"})


def test_an_output_completes_the_wait_even_after_the_deadline() -> None:
    wait = Wait(INFERENCE, deadline=100)
    assert wait.on_look(NOTHING, 99) is None
    verdict = wait.on_look(Look(Seen.OUTPUT), 500)
    assert verdict is not None
    assert (verdict.status, verdict.error) == ("completed", None)


def test_a_failure_counts_even_after_the_deadline_and_names_the_place_and_the_inference() -> None:
    verdict = Wait(INFERENCE, deadline=100).on_look(Look(Seen.FAILURE), 500)
    assert verdict is not None
    assert verdict.status == "failed"
    assert isinstance(verdict.error, ModelFailedError)
    assert verdict.error.model_message is None
    assert verdict.error.inference_id == "id-1"
    assert str(FAILURE) in str(verdict.error)


def test_an_expired_wait_says_how_long_it_looked_where_and_until_when() -> None:
    wait = Wait(INFERENCE, deadline=1_800_000_100)
    assert wait.on_look(NOTHING, 1_800_000_000) is None
    verdict = wait.on_look(NOTHING, 1_800_000_100)
    assert verdict is not None
    assert verdict.status == "expired"
    assert isinstance(verdict.error, OutputExpiredError)
    message = str(verdict.error)
    for part in (str(OUTPUT), str(FAILURE), "2027-01-15T08:01:40+00:00", "100 s", "id-1"):
        assert part in message
    assert "ListBucket" not in message
    assert "no failure location" not in message


def test_an_expired_wait_says_that_failures_could_not_be_seen() -> None:
    verdict = Wait(AsyncInference(OUTPUT), deadline=1, started=0).on_look(NOTHING, 2)
    assert verdict is not None
    assert "no failure location was watched" in str(verdict.error)


def test_a_wait_that_expires_during_a_fault_says_that_the_output_may_be_there() -> None:
    verdict = Wait(INFERENCE, deadline=1).on_look(FAULT, 2)
    assert verdict is not None
    assert verdict.status == "expired"
    assert verdict.error is not None
    assert (verdict.error.code, verdict.error.retryable) == ("SlowDown", True)
    assert "may be there" in str(verdict.error)


def test_a_deadline_beyond_every_calendar_is_still_named() -> None:
    verdict = Wait(INFERENCE, deadline=-1e18).on_look(NOTHING, 2)
    assert verdict is not None
    assert "-1e+18" in str(verdict.error)


def test_the_missing_permission_is_noticed_once_and_named_at_the_end() -> None:
    wait = Wait(INFERENCE, deadline=100)
    assert not wait.take_permission_notice()
    for now in (1, 2, 3):
        assert wait.on_look(Look(Seen.FORBIDDEN, "403"), now) is None
    assert [wait.take_permission_notice() for _ in range(3)] == [True, False, False]
    verdict = wait.on_look(NOTHING, 100)
    assert verdict is not None
    assert verdict.error is not None
    assert "s3:ListBucket" in str(verdict.error.hint)


def test_only_faults_in_a_row_end_a_wait() -> None:
    wait = Wait(INFERENCE, deadline=100, max_faults=3)
    for look in (FAULT, FAULT, NOTHING, FAULT, FAULT, Look(Seen.FORBIDDEN), FAULT, FAULT):
        assert wait.on_look(look, 1) is None
    verdict = wait.on_look(FAULT, 1)
    assert verdict is not None
    assert verdict.status == "unreadable"
    assert isinstance(verdict.error, OutputUnreadableError)
    assert (verdict.error.code, verdict.error.retryable) == ("SlowDown", True)
    assert "3 times in a row" in str(verdict.error)


def test_without_a_limit_faults_never_end_a_wait() -> None:
    wait = Wait(INFERENCE, deadline=100, max_faults=None)
    assert all(wait.on_look(FAULT, 1) is None for _ in range(1000))


@pytest.mark.parametrize("code", sorted(FATAL_CODES))
def test_a_fault_that_waiting_cannot_cure_ends_the_wait_at_once(code: str) -> None:
    verdict = Wait(INFERENCE, deadline=100, max_faults=None).on_look(Look(Seen.FAULT, code), 1)
    assert verdict is not None
    assert verdict.status == "unreadable"
    assert verdict.error is not None
    assert (verdict.error.code, verdict.error.retryable) == (code, False)
    assert verdict.error.hint


@pytest.mark.parametrize("code", sorted(CREDENTIAL_CODES))
def test_refused_credentials_are_named_when_they_end_a_wait(code: str) -> None:
    verdict = Wait(INFERENCE, deadline=100, max_faults=1).on_look(Look(Seen.FAULT, code), 1)
    assert verdict is not None
    assert verdict.error is not None
    assert "credentials" in str(verdict.error.hint)


looks = st.builds(Look, st.sampled_from(Seen), st.sampled_from([None, "SlowDown", "NoSuchBucket"]))


@given(
    seen=st.lists(looks, max_size=40), max_faults=st.none() | st.integers(1, 5), deadline=st.integers(0, 40)
)
def test_a_wait_ends_with_the_first_look_that_decides_it(
    seen: list[Look], max_faults: int | None, deadline: int
) -> None:
    wait = Wait(INFERENCE, deadline=deadline, max_faults=max_faults)
    faults = 0
    for now, look in enumerate(seen):
        verdict = wait.on_look(look, now)
        faults = faults + 1 if look.seen is Seen.FAULT else 0
        if look.seen in (Seen.OUTPUT, Seen.FAILURE):
            expected = "completed" if look.seen is Seen.OUTPUT else "failed"
        elif faults and (look.code == "NoSuchBucket" or (max_faults is not None and faults >= max_faults)):
            expected = "unreadable"
        elif now >= deadline:
            expected = "expired"
        else:
            assert verdict is None
            continue
        assert verdict is not None
        assert verdict.status == expected
        assert (verdict.error is None) == (expected == "completed")
        return


@pytest.mark.parametrize("pause", [timedelta(seconds=30), "30", float("inf"), float("nan")])
@pytest.mark.parametrize("field", ["interval", "max_wait"])
def test_a_pause_that_is_no_number_of_seconds_is_refused_by_name(field: str, pause: Any) -> None:
    with pytest.raises(RequestError, match=f"{field}: is "):
        PollSchedule(**{"interval": 10.0, field: pause})


def test_a_schedule_needs_an_interval() -> None:
    with pytest.raises(RequestError, match="interval: is of type NoneType"):
        PollSchedule(None)  # type: ignore[arg-type]


def test_without_back_off_every_pause_is_the_interval() -> None:
    assert {PollSchedule(7.5).delay(count) for count in range(50)} == {7.5}


@given(
    interval=st.floats(0, 1e4),
    count=st.integers(0, 10**6),
    seed=st.text(max_size=5),
    elapsed=st.floats(0, 1e7),
)
def test_back_off_stays_within_what_airflow_allows(
    interval: float, count: int, seed: str, elapsed: float
) -> None:
    schedule = PollSchedule(interval, exponential_backoff=True, max_wait=600.0, seed=seed)
    assert 0 < schedule.delay(count, elapsed) <= 600.0


@pytest.mark.parametrize(("max_wait", "longest"), [(None, 10.0), (4.0, 4.0)])
def test_a_look_that_was_not_answered_is_made_up_for_within_the_interval(
    max_wait: float | None, longest: float
) -> None:
    schedule = PollSchedule(10.0, exponential_backoff=True, max_wait=max_wait)
    pauses = [schedule.delay(polls, answered=False) for polls in range(9)]
    assert pauses[-1] == longest
    assert max(pauses) == longest


def test_back_off_doubles_with_jitter_that_the_seed_decides() -> None:
    schedule = PollSchedule(10.0, exponential_backoff=True, seed="dag#task")
    for count in range(2, 20):
        shortest = 10 * 2 ** (count - 2)
        assert shortest <= schedule.delay(count) < 2 * shortest
        assert schedule.delay(count) == PollSchedule(10.0, True, None, "dag#task").delay(count)
    assert len({PollSchedule(1000.0, True, None, str(seed)).delay(5) for seed in range(20)}) > 10


@pytest.mark.parametrize("max_wait", [None, 40.0])
def test_after_a_restart_the_pause_is_as_long_as_it_would_have_been(max_wait: float | None) -> None:
    schedule = PollSchedule(10.0, exponential_backoff=True, max_wait=max_wait)
    elapsed, count = 0.0, 0
    while elapsed < 500:
        count += 1
        elapsed += schedule.delay(count)
    assert schedule.delay(1, elapsed - 1) == schedule.delay(count)


def test_a_location_with_a_connection_in_it_is_refused_for_aws_would_not_find_it():
    with pytest.raises(RequestError, match="with an Airflow connection in it"):
        Location.parse("s3://aws_default@bucket/key", "input_location")
