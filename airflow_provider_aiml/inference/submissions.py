"""What a submitted asynchronous inference leaves behind: its locations and until when its output may come.

This is the form in which a submission travels: from the operator through XCom to the sensor, and from both
into a trigger's kwargs.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from airflow_provider_aiml.exceptions import Problem, RequestError
from airflow_provider_aiml.inference.outputs import AsyncInference, Location

LONGEST_TTL = 21_600
"""Seconds that SageMaker keeps a request in its queue at most, and by default."""
LONGEST_INVOCATION = 3_600
"""Seconds that a model may take for one asynchronous invocation at most."""
DEADLINE_MARGIN = 600
"""Seconds allowed on top: for the upload of the output, and for clocks that differ."""

_HTTPS = re.compile(
    r"https://((?P<bucket>[a-z0-9][a-z0-9.-]+)\.)?s3([.-][a-z0-9-]+){0,2}\.amazonaws\.com(\.cn)?(/(?P<path>.*))?"
)
_ALLOWED = "what SageMakerInvokeEndpointAsyncOperator returns, an s3:// location, or a list of them"


@dataclass(frozen=True, slots=True)
class Submission:
    """An asynchronous inference and its deadline.

    :param inference: its locations and id.
    :param deadline: seconds since the epoch after which no output can come any more.
    """

    inference: AsyncInference
    deadline: float

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON-safe form, with the deadline in ISO 8601; absent members are None."""
        deadline = dt.datetime.fromtimestamp(self.deadline, dt.UTC).isoformat()
        return {**self.inference.to_dict(), "deadline": deadline}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any], *, now: float, field: str = "inference") -> Submission:
        """Read :meth:`to_dict`'s form; without a deadline the longest that SageMaker allows is taken.

        :param facts: a submission; ``output_location`` is required.
        :param now: seconds since the epoch.
        :param field: the argument, for errors.
        :raises RequestError: a location or the deadline cannot be read.
        """
        if "output_location" not in facts:
            found = f"a mapping of {len(facts)} keys without output_location"
            raise RequestError("The wait has no location", problems=(Problem(field, found, _ALLOWED),))
        deadline = facts.get("deadline")
        if deadline is None:
            return cls(AsyncInference.from_dict(facts, field), longest_deadline(now))
        try:
            when = dt.datetime.fromisoformat(deadline)
            if when.tzinfo is None:
                when = when.replace(tzinfo=dt.UTC)
        except (TypeError, ValueError):
            problem = Problem(f"{field}.deadline", f"a {type(deadline).__name__}", "a time in ISO 8601")
            raise RequestError("The deadline cannot be read", problems=(problem,)) from None
        return cls(AsyncInference.from_dict(facts, field), when.timestamp())


def s3_uri(address: Any) -> Any:
    """Write an S3 address that begins with https, which SageMaker takes as well, as s3:// URI.

    :param address: ``https://bucket.s3.region.amazonaws.com/key``, ``https://s3.region.amazonaws.com/bucket/key``
        or anything else, which is given back as it is.
    """
    found = _HTTPS.fullmatch(address) if isinstance(address, str) else None
    if found is None:
        return address
    parts = (found["bucket"], unquote(found["path"] or ""))
    return f"s3://{'/'.join(part for part in parts if part)}"


def longest_deadline(now: float, ttl: int | None = None, invocation: int | None = None) -> float:
    """Give the time after which no output can come any more.

    :param now: when the request was sent, in seconds since the epoch.
    :param ttl: ``RequestTTLSeconds`` of the request; default: the longest, which is SageMaker's default too.
    :param invocation: ``InvocationTimeoutSeconds``; default: the longest that an endpoint may allow.
    """
    return now + (ttl or LONGEST_TTL) + (invocation or LONGEST_INVOCATION) + DEADLINE_MARGIN


def read_submissions(given: Any, *, now: float, field: str = "inference") -> list[Submission]:
    """Read what a DAG hands to a wait: one submission or a list, as mappings or as plain locations.

    :raises RequestError: it is something else, or empty.
    """
    if isinstance(given, (str, Mapping)):
        return [_read_one(given, now, field)]
    if isinstance(given, (bytes, bytearray)) or not isinstance(given, Sequence):
        raise RequestError(
            "There is nothing to wait for", problems=(Problem(field, type(given).__name__, _ALLOWED),)
        )
    if not given:
        raise RequestError("There is nothing to wait for", problems=(Problem(field, "empty", _ALLOWED),))
    return [_read_one(entry, now, f"{field}[{index}]") for index, entry in enumerate(given)]


def _read_one(entry: Any, now: float, field: str) -> Submission:
    if isinstance(entry, str):
        return Submission(AsyncInference(Location.parse(entry, field)), longest_deadline(now))
    if isinstance(entry, Mapping):
        return Submission.from_dict(entry, now=now, field=field)
    problem = Problem(field, f"a {type(entry).__name__}", _ALLOWED)
    raise RequestError("There is nothing to wait for", problems=(problem,))
