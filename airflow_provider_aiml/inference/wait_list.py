"""Thousands of submissions in one wait, without carrying thousands of them through Airflow's database.

A trigger's kwargs hold a list while it is short. A longer one is written compactly: what the locations share
once, then the rest of each. Above a size it is a manifest, an object on S3 that holds the compact form.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_aiml.exceptions import (
    InferenceError,
    OutputUnreadableError,
    Problem,
    RequestError,
    error_from_dict,
)
from airflow_provider_aiml.inference.outputs import Location, Look, Seen, Verdict, Wait
from airflow_provider_aiml.inference.submissions import Submission, read_submissions

PLAIN_LIMIT = 20
"""Submissions that are listed as they are."""
COMPACT_LIMIT = 500
"""Submissions that are listed compactly; of more a manifest is made where there is a folder for it."""
_FORMAT = 1


def compact(submissions: Sequence[Submission]) -> list[dict[str, Any]] | dict[str, Any]:
    """Give the shortest JSON-safe form of a list of submissions.

    :param submissions: what is waited for.
    """
    if len(submissions) <= PLAIN_LIMIT:
        return [submission.to_dict() for submission in submissions]
    facts = [submission.to_dict() for submission in submissions]
    shared = {
        name: os.path.commonprefix([one[name] for one in facts if one.get(name)])  # noqa: RUF071  # characters
        for name in ("output_location", "failure_location")
    }
    deadlines = sorted({one["deadline"] for one in facts})
    places = {deadline: number for number, deadline in enumerate(deadlines)}
    items = [
        [
            one["output_location"][len(shared["output_location"]) :],
            _rest(one.get("failure_location"), shared["failure_location"]),
            one.get("inference_id"),
            places[one["deadline"]],
        ]
        for one in facts
    ]
    return {"format": _FORMAT, "shared": shared, "deadlines": deadlines, "items": items}


def expand(listed: Any, *, now: float) -> list[Submission]:
    """Read what :func:`compact` gave, or a plain list of submissions.

    :param now: seconds since the epoch, for submissions without a deadline.
    :raises RequestError: it is neither.
    """
    if not isinstance(listed, Mapping) or "items" not in listed:
        return read_submissions(listed, now=now, field="inferences")
    try:
        shared, deadlines = listed["shared"], listed["deadlines"]
        facts = [
            {
                "output_location": shared["output_location"] + output,
                "failure_location": None if failure is None else shared["failure_location"] + failure,
                "inference_id": inference_id,
                "deadline": deadlines[place],
            }
            for output, failure, inference_id, place in listed["items"]
        ]
    except (KeyError, TypeError, ValueError, IndexError):
        problem = Problem("inferences", "a compact list that cannot be read", "what this provider wrote")
        raise RequestError("There is nothing to wait for", problems=(problem,)) from None
    return read_submissions(facts, now=now, field="inferences")


def compact_failure(index: int, verdict: Verdict) -> list[Any]:
    """Give the shortest JSON-safe form of one of many failures: index, status, and what follows from no list.

    That is nothing, the code of an expired wait's last fault, or the error as a mapping.

    :param index: which of the submissions it is.
    :param verdict: how its wait ended.
    """
    error = verdict.error
    if error is None or (verdict.status == "failed" and error.hint is None):
        return [index, verdict.status, None]
    if verdict.status == "expired" and error.hint is None:
        return [index, verdict.status, error.code]
    return [index, verdict.status, error.to_dict()]


def expand_failures(listed: Any, submissions: Sequence[Submission]) -> dict[int, InferenceError]:
    """Read what :func:`compact_failure` gave of each, by index.

    :param submissions: the list that was awaited.
    """
    failures = {}
    for index, status, told in listed:
        if isinstance(told, dict):
            failures[index] = error_from_dict(told)
            continue
        one = submissions[index]
        wait = Wait(one.inference, deadline=one.deadline)
        last = Look(Seen.FAULT, told) if told else Look(Seen.NOTHING)
        failures[index] = wait.failure() if status == "failed" else wait.expiry(last, one.deadline)
    return failures


def first_places(listed: Any, count: int) -> list[str]:
    """Name where the first outputs of a list will be, or its manifest, for a log.

    :param listed: any form of a list of submissions; what cannot be read is left out.
    :param count: how many.
    """
    if isinstance(listed, list):
        return [str(one["output_location"]) for one in listed[:count] if "output_location" in one]
    if not isinstance(listed, Mapping) or "items" not in listed:
        return [f"the places that {place} lists"] if (place := manifest_of(listed)) else []
    return [str(listed["shared"]["output_location"] + one[0]) for one in listed["items"][:count]]


def manifest_of(listed: Any) -> Location | None:
    """Give the manifest's location, where a list of submissions is one.

    :raises RequestError: it is no location on S3.
    """
    if isinstance(listed, Mapping) and "manifest" in listed:
        return Location.parse(listed["manifest"], "inferences.manifest")
    return None


def manifest_body(listed: Any) -> bytes:
    """Write a compact list as the body of a manifest."""
    return json.dumps(listed).encode()


def read_manifest(body: bytes, location: Location, *, now: float) -> list[Submission]:
    """Read the body of a manifest.

    :raises OutputUnreadableError: it is not one.
    """
    try:
        return expand(json.loads(body), now=now)
    except (ValueError, RequestError):
        raise OutputUnreadableError(
            f"The manifest {location} cannot be read",
            retryable=False,
            hint="it was changed since it was written",
        ) from None


def _rest(location: str | None, shared: str) -> str | None:
    return None if location is None else location[len(shared) :]
