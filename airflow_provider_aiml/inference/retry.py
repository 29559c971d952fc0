"""Which failures may be sent again, and how: the only place where a paid call is repeated.

An inference costs money, so only a :class:`~airflow_provider_aiml.exceptions.BusyError` is sent again: it
says that the model surely did not run. The wait before each further attempt is drawn evenly from zero to
``base`` seconds, doubled with each attempt, at most ``cap``: "full jitter"
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). A Retry-After of the service is a
lower bound for it, up to ``cap``.
"""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from tenacity import AsyncRetrying, RetryCallState, Retrying
from tenacity.retry import retry_if_exception_type
from tenacity.stop import stop_after_attempt, stop_when_event_set
from tenacity.wait import wait_base, wait_random_exponential

from airflow_provider_aiml.exceptions import BusyError, Problem, RequestError
from airflow_provider_aiml.inference.errors import retry_after

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from threading import Event

__all__ = ["RetryPolicy", "acall_with_retries", "call_with_retries", "unless_over"]

T = TypeVar("T")
log = logging.getLogger(__name__)
_over: ContextVar[Event | None] = ContextVar("airflow_provider_aiml_over", default=None)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how fast to send again what surely did not run.

    :param attempts: calls in all, the first one included. Default: 5.
    :param base: seconds, the upper end of the first wait; it doubles with each further one. Default: 1.
    :param cap: seconds, the longest wait. Default: 20.
    """

    attempts: int = 5
    base: float = 1.0
    cap: float = 20.0

    @classmethod
    def from_args(cls, retry_args: Mapping[str, Any] | None, bound: int | None = None) -> RetryPolicy:
        """Read an operator's ``retry_args``.

        :param retry_args: any of ``attempts``, ``base``, ``cap``; None takes the defaults.
        :param bound: attempts that the connection allows at most; None sets no bound.
        :raises RequestError: a key is unknown or a value cannot be used; all of them are named.
        """
        if retry_args is not None and not hasattr(retry_args, "keys"):
            found = f"a {type(retry_args).__name__}"
            raise _refused(Problem("retry_args", found, "a mapping with attempts, base or cap"))
        given = dict(retry_args or {})
        if problems := tuple(_problems(given)):
            raise _refused(*problems)
        policy = cls(**given)
        if bound is None or policy.attempts <= bound:
            return policy
        return cls(max(bound, 1), policy.base, policy.cap)


def _refused(*problems: Problem) -> RequestError:
    return RequestError("retry_args cannot be used", problems=problems)


def _problems(given: Mapping[str, Any]) -> list[Problem]:
    known = [field.name for field in fields(RetryPolicy)]
    problems = [
        Problem(f"retry_args[{key!r}]", "unknown", f"one of {', '.join(known)}")
        for key in given
        if key not in known
    ]
    attempts = given.get("attempts", 1)
    if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
        problems.append(
            Problem("retry_args['attempts']", repr(attempts)[:40], "a whole number of at least 1")
        )
    for key in ("base", "cap"):
        seconds = given.get(key, 1.0)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
            problems.append(Problem(f"retry_args[{key!r}]", repr(seconds)[:40], "seconds, 0 or more"))
    return problems


@contextmanager
def unless_over(over: Event) -> Iterator[None]:
    """Let this thread's calls within the context send nothing more, not even after a wait, once it is over.

    :param over: is set when it is.
    """
    token = _over.set(over)
    try:
        yield
    finally:
        _over.reset(token)


def call_with_retries(call: Callable[[], T], policy: RetryPolicy) -> T:
    """Make a call, and make it again as long as it surely did not run.

    :param call: makes one attempt and raises errors of :mod:`airflow_provider_aiml.exceptions`.
    :param policy: how often and how fast.
    :raises InferenceError: the last attempt's error.
    """
    settings, over = _settings(policy), _over.get()
    if over is None:
        return Retrying(**settings)(call)

    def attempt() -> T:
        if over.is_set():
            raise BusyError("The task's time is over; the request was not sent")
        return call()

    settings |= {"stop": settings["stop"] | stop_when_event_set(over), "sleep": over.wait}
    return Retrying(**settings)(attempt)


async def acall_with_retries(call: Callable[[], Awaitable[T]], policy: RetryPolicy) -> T:
    """Do as :func:`call_with_retries` on an event loop; it can be cancelled at any point, waits included."""

    async def attempt() -> T:
        return await call()

    return await AsyncRetrying(**_settings(policy))(attempt)


def _settings(policy: RetryPolicy) -> dict[str, Any]:
    return {
        "retry": retry_if_exception_type(BusyError),
        "stop": stop_after_attempt(policy.attempts),
        "wait": _Backoff(policy),
        "before_sleep": _log_wait,
        "reraise": True,
    }


class _Backoff(wait_base):
    def __init__(self, policy: RetryPolicy) -> None:
        self.policy = policy
        self.jitter = wait_random_exponential(multiplier=policy.base, max=policy.cap)

    def __call__(self, retry_state: RetryCallState) -> float:
        asked = retry_after(_error_of(retry_state)) or 0.0
        return max(self.jitter(retry_state), min(asked, self.policy.cap))


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _log_wait(state: RetryCallState) -> None:
    error = _error_of(state)
    wait = state.next_action.sleep if state.next_action else 0.0
    log.warning(
        "Attempt %d did not run (%s); the next one goes out in %.1f s",
        state.attempt_number,
        getattr(error, "code", None) or type(error).__name__,
        wait,
    )
