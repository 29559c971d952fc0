"""One look at one inference's locations, through an S3 client that is passed in.

HEAD answers without a body, so its errors carry no code: a 404 may be a missing bucket, a 403 or 400 expired
keys. Where a HEAD found nothing, one LIST of a single key says which.

See https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.inference.outputs import Look, Seen

if TYPE_CHECKING:
    from airflow_provider_aiml.inference.outputs import AsyncInference, Location

__all__ = ["alook", "fault_code", "head_answer", "look"]

DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "403", "Forbidden"})
"""What S3 calls a missing permission."""

_ABSENT_CODES = frozenset({"404", "NoSuchKey", "NotFound"})
_LIBRARIES = frozenset({"aiobotocore", "aiohttp", "botocore", "urllib3"})


def fault_code(error: BaseException) -> str | None:
    """Name what went wrong in a call to S3.

    :param error: what the client raised.
    :return: the AWS error code, or the exception's class where AWS gave none; None if this is no fault of S3,
        the network or the credentials, but a bug, which must not be ridden through.
    """
    response = getattr(error, "response", None)
    if isinstance(response, Mapping) and (code := response.get("Error", {}).get("Code")):
        return str(code)
    from_library = any(base.__module__.partition(".")[0] in _LIBRARIES for base in type(error).__mro__)
    return type(error).__name__ if from_library or isinstance(error, OSError) else None


def head_answer(error: Exception | None, found: Seen) -> Look:
    """Read the outcome of a HEAD.

    :param error: what the client raised; None if the object is there.
    :param found: what it means that the object is there.
    :raises Exception: ``error`` itself, if it is a bug.
    """
    if error is None:
        return Look(found)
    code = fault_code(error)
    if code is None:
        raise error
    if code in _ABSENT_CODES:
        return Look(Seen.NOTHING)
    return Look(Seen.FORBIDDEN, code) if code in DENIED_CODES else Look(Seen.FAULT, code)


def combine(output: Look, failure: Look | None) -> Look:
    """Make one look of two: what is there, else the fault, else the 403, else nothing."""
    looks = [output] if failure is None else [output, failure]
    for wanted in (Seen.OUTPUT, Seen.FAILURE, Seen.FAULT, Seen.FORBIDDEN):
        for one in looks:
            if one.seen is wanted:
                return one
    return Look(Seen.NOTHING)


def explain(seen: Look, list_error: Exception | None) -> Look:
    """Correct a look that found nothing by what a LIST of the same bucket answered.

    :param seen: the look by HEAD.
    :param list_error: what the LIST raised; None if it succeeded.
    """
    if list_error is None:
        return seen
    asked = head_answer(list_error, Seen.NOTHING)
    return asked if asked.seen is Seen.FAULT else seen


def _places(inference: AsyncInference) -> list[tuple[Location, Seen]]:
    places = [(inference.output_location, Seen.OUTPUT)]
    if inference.failure_location is not None:
        places.append((inference.failure_location, Seen.FAILURE))
    return places


def _one_key(place: Location) -> dict[str, Any]:
    return {"Bucket": place.bucket, "Prefix": place.key, "MaxKeys": 1}


def look(client: Any, inference: AsyncInference) -> Look:
    """Look once, blocking: HEAD the output, then the failure; if neither is there, LIST to learn why.

    :param client: a boto3 S3 client.
    :param inference: what to look for.
    """
    looks: list[Look] = []
    for place, found in _places(inference):
        error: Exception | None = None
        try:
            client.head_object(Bucket=place.bucket, Key=place.key)
        except Exception as raised:
            error = raised
        looks.append(head_answer(error, found))
        if looks[-1].seen is found:
            return looks[-1]
    error = None
    try:
        client.list_objects_v2(**_one_key(inference.output_location))
    except Exception as raised:
        error = raised
    return explain(combine(looks[0], looks[1] if len(looks) > 1 else None), error)


async def alook(client: Any, inference: AsyncInference) -> Look:
    """Look once without blocking; as :func:`look`.

    :param client: an aiobotocore S3 client.
    :param inference: what to look for.
    """
    looks: list[Look] = []
    for place, found in _places(inference):
        error: Exception | None = None
        try:
            await client.head_object(Bucket=place.bucket, Key=place.key)
        except Exception as raised:
            error = raised
        looks.append(head_answer(error, found))
        if looks[-1].seen is found:
            return looks[-1]
    error = None
    try:
        await client.list_objects_v2(**_one_key(inference.output_location))
    except Exception as raised:
        error = raised
    return explain(combine(looks[0], looks[1] if len(looks) > 1 else None), error)
