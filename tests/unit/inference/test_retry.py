"""What is sent again, how often, and after which wait."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest
from airflow_provider_aiml.exceptions import (
    AccessDeniedError,
    BusyError,
    ModelFailedError,
    RequestError,
    ResponseError,
    UnknownOutcomeError,
)
from airflow_provider_aiml.inference.errors import AskedToWaitError
from airflow_provider_aiml.inference.retry import (
    RetryPolicy,
    acall_with_retries,
    call_with_retries,
    unless_over,
)
from hypothesis import given
from hypothesis import strategies as st

AT_ONCE = RetryPolicy(attempts=4, base=0, cap=0)


class Service:
    """Fails with each of ``errors`` in turn, then answers."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = 0

    def call(self):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"

    async def acall(self):
        return self.call()


@pytest.fixture
def waits(monkeypatch):
    slept = []
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setattr("tenacity.nap.time.sleep", slept.append)
    return slept


def test_what_surely_did_not_run_is_sent_again():
    service = Service(BusyError("throttled"), BusyError("not reachable"))

    assert call_with_retries(service.call, AT_ONCE) == "answer"
    assert service.calls == 3


async def test_the_coroutine_twin_sends_again_alike():
    service = Service(BusyError("throttled"))

    assert await acall_with_retries(service.acall, AT_ONCE) == "answer"
    assert service.calls == 2


@pytest.mark.parametrize(
    "error",
    [
        UnknownOutcomeError("read timeout"),
        ModelFailedError("424", retryable=True),
        ResponseError("cut", retryable=True),
        AccessDeniedError("no"),
        ValueError("a fault of ours"),
    ],
)
def test_what_may_have_run_or_cannot_succeed_is_not_sent_again(error):
    service = Service(error)

    with pytest.raises(type(error)):
        call_with_retries(service.call, AT_ONCE)
    assert service.calls == 1


def test_the_last_error_is_raised_itself_when_the_attempts_are_used_up():
    errors = [BusyError(str(number)) for number in range(4)]
    service = Service(*errors)

    with pytest.raises(BusyError) as raised:
        call_with_retries(service.call, AT_ONCE)
    assert raised.value is errors[3]
    assert service.calls == 4


@given(attempt=st.integers(1, 12), base=st.floats(0, 10), cap=st.floats(0, 60))
def test_a_wait_lies_between_nothing_and_the_doubled_base_and_never_over_the_cap(attempt, base, cap):
    from airflow_provider_aiml.inference.retry import _Backoff
    from tenacity import RetryCallState

    state = RetryCallState(None, None, (), {})
    state.attempt_number = attempt

    wait = _Backoff(RetryPolicy(5, base, cap))(state)

    assert 0 <= wait <= min(cap, base * 2 ** (attempt - 1)) + 1e-9


def test_waits_are_drawn_and_not_fixed(waits):
    call_with_retries(Service(*(BusyError("x") for _ in range(9))).call, RetryPolicy(10, base=5, cap=5))

    assert len(waits) == 9
    assert len(set(waits)) > 1


def test_a_retry_after_is_waited_for(waits):
    call_with_retries(Service(AskedToWaitError("x", seconds=4)).call, RetryPolicy(2, base=0, cap=20))

    assert waits == [4]


def test_a_retry_after_beyond_the_cap_waits_for_the_cap(waits):
    call_with_retries(Service(AskedToWaitError("x", seconds=3600)).call, RetryPolicy(2, base=0, cap=20))

    assert waits == [20]


def test_each_attempt_that_did_not_run_leaves_a_line_with_its_code(caplog):
    with caplog.at_level(logging.WARNING):
        call_with_retries(Service(BusyError("x", code="ThrottlingException"), BusyError("y")).call, AT_ONCE)

    assert "Attempt 1 did not run (ThrottlingException)" in caplog.text
    assert "Attempt 2 did not run (BusyError)" in caplog.text


async def test_a_wait_can_be_cancelled():
    service = Service(BusyError("x"))
    task = asyncio.create_task(acall_with_retries(service.acall, RetryPolicy(2, base=1000, cap=1000)))
    while service.calls == 0:
        await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert service.calls == 1


def test_the_defaults_are_five_attempts_within_a_minute():
    assert RetryPolicy.from_args(None) == RetryPolicy(attempts=5, base=1.0, cap=20.0)


def test_arguments_override_the_defaults_one_by_one():
    assert RetryPolicy.from_args({"attempts": 2}) == RetryPolicy(attempts=2)


@pytest.mark.parametrize(("attempts", "bound", "expected"), [(5, 2, 2), (5, 9, 5), (5, None, 5), (5, 0, 1)])
def test_a_bound_lowers_the_attempts_and_never_raises_them(attempts, bound, expected):
    assert RetryPolicy.from_args({"attempts": attempts}, bound).attempts == expected


@pytest.mark.parametrize(
    ("retry_args", "field"),
    [
        ({"attempts": 0}, "attempts"),
        ({"attempts": 2.5}, "attempts"),
        ({"attempts": True}, "attempts"),
        ({"attempts": "3"}, "attempts"),
        ({"base": -1}, "base"),
        ({"base": float("nan")}, "base"),
        ({"cap": float("inf")}, "cap"),
        ({"cap": True}, "cap"),
        ({"cap": None}, "cap"),
        ({"stop_after_delay": 3}, "stop_after_delay"),
        ([("attempts", 1)], "retry_args"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(retry_args, field):
    with pytest.raises(RequestError) as raised:
        RetryPolicy.from_args(retry_args)

    assert field in raised.value.problems[0].field


def test_all_bad_arguments_are_named_at_once():
    with pytest.raises(RequestError) as raised:
        RetryPolicy.from_args({"attempts": 0, "base": -1, "cap": -1, "other": 1})

    assert len(raised.value.problems) == 4


@pytest.mark.parametrize("begins", [False, True])
def test_nothing_is_sent_again_once_it_is_over(begins: bool) -> None:
    over, sent = threading.Event(), []

    def call() -> None:
        sent.append(1)
        threading.Timer(0.01, over.set).start()
        raise BusyError("throttled")

    if not begins:
        over.set()
    with unless_over(over), pytest.raises(BusyError) as failure:
        call_with_retries(call, RetryPolicy(attempts=5, base=600.0, cap=600.0))
    assert len(sent) == begins
    assert not failure.value.may_have_been_billed
