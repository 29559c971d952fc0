"""One look at one inference's locations, through an S3 client that is passed in.

HEAD answers without a body, so its errors carry no code: a 404 may be a missing bucket, a 403 or 400 expired
keys. Where a HEAD found nothing, one LIST of a single key says which.

See https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.inference.outputs import CREDENTIAL_CODES, FATAL_CODES, SLOW_DOWN_CODES, Look, Seen

if TYPE_CHECKING:
    from airflow_provider_aiml.inference.outputs import AsyncInference, Location

__all__ = [
    "ABSENT_CODES",
    "DENIED_CODES",
    "LASTING_CODES",
    "combine",
    "fault_code",
    "head",
    "head_answer",
    "look",
    "of_whole_bucket",
    "unexplained",
]

DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "403", "Forbidden"})
"""What S3 calls a missing permission."""
ABSENT_CODES = frozenset({"404", "NoSuchKey", "NotFound"})
"""What S3 calls an object that is not there."""
LASTING_CODES = DENIED_CODES | FATAL_CODES.keys()
"""What S3 answers again, however often it is asked."""

_REFUSED_WITHOUT_REASON = frozenset({"400", "Bad Request", "BadRequest"})
_OWN_OPERATIONS = frozenset({"CreateSession", "HeadBucket", "HeadObject", "ListObjectsV2"})
_NO_CREDENTIALS = "CredentialRetrievalError"
_OF_WHOLE_BUCKET = (CREDENTIAL_CODES | SLOW_DOWN_CODES | FATAL_CODES.keys()) - {"ParamValidationError"}
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


def of_whole_bucket(fault: Look) -> bool:
    """Say whether what went wrong for one key goes wrong for all keys of the bucket."""
    return fault.code in _OF_WHOLE_BUCKET


def combine(*looks: Look) -> Look:
    """Make one look of several: what is there, else the fault, else the 403, else nothing."""
    for wanted in (Seen.OUTPUT, Seen.FAILURE, Seen.FAULT, Seen.FORBIDDEN):
        for one in looks:
            if one.seen is wanted:
                return one
    return Look(Seen.NOTHING)


def look(client: Any, inference: AsyncInference) -> Look:
    """Look once, blocking: HEAD the output, then the failure; if neither is there, LIST to learn why.

    What LIST names is there, though HEAD may not say so: without s3:GetObject it answers 403.

    :param client: a boto3 S3 client.
    :param inference: what to look for.
    """
    looks: list[Look] = []
    places = [(inference.output_location, Seen.OUTPUT)]
    if inference.failure_location is not None:
        places.append((inference.failure_location, Seen.FAILURE))
    for place, found in places:
        looks.append(head(client, place, found))
        if looks[-1].seen is found or (looks[-1].seen is Seen.FAULT and not unexplained(looks[-1])):
            return looks[-1]
    for at, ((place, found), seen) in enumerate(zip(places, list(looks), strict=True)):
        if found is Seen.OUTPUT or unexplained(seen):
            listed = _list_one(client, place, found)
            if listed.seen is found:
                return listed
            if listed.seen is Seen.FAULT and (unexplained(seen) or of_whole_bucket(listed)):
                return listed
            if listed.seen is Seen.NOTHING and seen.seen is Seen.FORBIDDEN:
                looks[at] = listed
    return combine(*looks)


def head(client: Any, place: Location, found: Seen) -> Look:
    """Ask for one object, blocking.

    :param client: a boto3 S3 client.
    :param found: what it means that the object is there.
    """
    try:
        client.head_object(Bucket=place.bucket, Key=place.key)
    except Exception as error:
        return head_answer(error, found)
    return Look(found)


def _list_one(client: Any, place: Location, found: Seen) -> Look:
    try:
        answer = client.list_objects_v2(Bucket=place.bucket, Prefix=place.key, MaxKeys=1)
    except Exception as error:
        return head_answer(error, Seen.NOTHING)
    return Look(found if any(one["Key"] == place.key for one in answer.get("Contents", ())) else Seen.NOTHING)
