"""Throttles and quotas: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.execute_api.refusals import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Limits"]

_SECONDS = {"DAY": 86_400, "WEEK": 7 * 86_400, "MONTH": 30 * 86_400}


class Limits:
    """Token buckets and counters of all stages and keys."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._buckets: dict[Hashable, tuple[float, float]] = {}
        self._used: Counter[Hashable] = Counter()

    def clear(self) -> None:
        """Fill every bucket and forget every count."""
        self._buckets.clear()
        self._used.clear()

    def take(self, key: Hashable, throttle: dict[str, Any]) -> None:
        """Take one token.

        :param throttle: ``rateLimit`` tokens a second come in, ``burstLimit`` fit in; empty is no limit.
        :raises RefusedError: the bucket is empty.
        """
        rate, burst = throttle.get("rateLimit"), throttle.get("burstLimit")
        if rate is None and burst is None:
            return
        most = float(burst if burst is not None else max(rate or 0, 1))
        tokens, last = self._buckets.get(key, (most, self._clock()))
        now = self._clock()
        tokens = min(most, tokens + (now - last) * float(rate or 0))
        if tokens < 1:
            self._buckets[key] = (tokens, now)
            raise RefusedError(429, "Too Many Requests", "TooManyRequestsException")
        self._buckets[key] = (tokens - 1, now)

    def count(self, key: Hashable, quota: dict[str, Any]) -> None:
        """Count one request against a quota.

        :param quota: ``limit`` requests per ``period``; empty is no limit.
        :raises RefusedError: it is used up.
        """
        if not quota:
            return
        window = (key, int(self._clock() // _SECONDS[quota["period"]]))
        if self._used[window] >= int(quota["limit"]):
            raise RefusedError(429, "Limit Exceeded", "LimitExceededException")
        self._used[window] += 1
