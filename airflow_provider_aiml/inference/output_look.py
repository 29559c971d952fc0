"""One look at one inference's locations, through an S3 client that is passed in.

HEAD answers without a body, so its errors carry no code: a 404 may be a missing bucket, a 403 or 400 expired
keys. Where a HEAD found nothing, one LIST of a single key says which.

See https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.inference.outputs import Look, Seen

if TYPE_CHECKING:
    from airflow_provider_aiml.inference.outputs import AsyncInference

__all__ = [
    "ABSENT_CODES",
    "DENIED_CODES",
    "combine",
    "fault_code",
    "head_answer",
    "look",
    "unexplained",
]

DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "403", "Forbidden"})
"""What S3 calls a missing permission."""
ABSENT_CODES = frozenset({"404", "NoSuchKey", "NotFound"})
"""What S3 calls an object that is not there."""

_REFUSED_WITHOUT_REASON = frozenset({"400", "Bad Request", "BadRequest"})
_OWN_OPERATIONS = frozenset({"CreateSession", "HeadBucket", "HeadObject", "ListObjectsV2"})
_NO_CREDENTIALS = "CredentialRetrievalError"
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

    Credentials are renewed within a call, so an error of another operation is one of the service that gives
    them: STS's AccessDenied says nothing of the object.

    :param error: what the client raised; None if the object is there.
    :param found: what it means that the object is there.
    :raises Exception: ``error`` itself, if it is a bug.
    """
    if error is None:
        return Look(found)
    code = fault_code(error)
    if code is None:
        raise error
    if getattr(error, "operation_name", "HeadObject") not in _OWN_OPERATIONS:
        return Look(Seen.FAULT, _NO_CREDENTIALS)
    if code in ABSENT_CODES:
        return Look(Seen.NOTHING)
    return Look(Seen.FORBIDDEN, code) if code in DENIED_CODES else Look(Seen.FAULT, code)


def unexplained(look: Look) -> bool:
    """Say whether a HEAD was refused without a reason that can be trusted."""
    return look.seen is Seen.FORBIDDEN or look.code in _REFUSED_WITHOUT_REASON


def combine(*looks: Look) -> Look:
    """Make one look of several: what is there, else the fault, else the 403, else nothing."""
    for wanted in (Seen.OUTPUT, Seen.FAILURE, Seen.FAULT, Seen.FORBIDDEN):
        for one in looks:
            if one.seen is wanted:
                return one
    return Look(Seen.NOTHING)


def _explain(seen: Look, list_error: Exception | None) -> Look:
    """Correct a look by HEAD that found nothing by what went wrong with a LIST of the same bucket."""
    if list_error is None:
        return seen
    asked = head_answer(list_error, Seen.NOTHING)
    return asked if asked.seen is Seen.FAULT else seen


def look(client: Any, inference: AsyncInference) -> Look:
    """Look once, blocking: HEAD the output, then the failure; if neither is there, LIST to learn why.

    :param client: a boto3 S3 client.
    :param inference: what to look for.
    """
    looks: list[Look] = []
    for place, found in (
        (inference.output_location, Seen.OUTPUT),
        (inference.failure_location, Seen.FAILURE),
    ):
        if place is not None:
            looks.append(
                head_answer(_error_of(client.head_object, Bucket=place.bucket, Key=place.key), found)
            )
            if looks[-1].seen is found or (looks[-1].seen is Seen.FAULT and not unexplained(looks[-1])):
                return looks[-1]
    first = inference.output_location
    error = _error_of(client.list_objects_v2, Bucket=first.bucket, Prefix=first.key, MaxKeys=1)
    return _explain(combine(*looks), error)


def _error_of(call: Callable[..., object], **request: object) -> Exception | None:
    try:
        call(**request)
    except Exception as error:
        return error
    return None
