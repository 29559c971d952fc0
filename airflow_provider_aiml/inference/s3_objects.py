"""Whole objects on S3, and what goes wrong with them as errors of ours. The client is passed in."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.exceptions import OutputUnreadableError, StoredAnswerError, raise_alone
from airflow_provider_aiml.inference.output_look import ABSENT_CODES, DENIED_CODES, LASTING_CODES, fault_code
from airflow_provider_aiml.inference.outputs import FATAL_CODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_aiml.inference.outputs import Location

CHUNK_BYTES = 1024 * 1024
"""How much of an object is copied at a time."""


@contextmanager
def s3_reading(location: Location) -> Iterator[None]:
    """Turn what goes wrong with S3 into an error of ours.

    :raises OutputUnreadableError: the object cannot be read.
    """
    try:
        yield
    except Exception as error:
        code = fault_code(error)
        if code is None:
            raise
        denied = code in DENIED_CODES
        failure = OutputUnreadableError(
            f"{location} cannot be read from S3",
            code=code,
            retryable=code not in LASTING_CODES | ABSENT_CODES,
            hint="the connection needs s3:GetObject there" if denied else FATAL_CODES.get(code),
        )
    else:
        return
    raise_alone(failure)


def read_object(client: Any, location: Location) -> tuple[bytes, str | None]:
    """Give an object's bytes and its content type.

    :param client: a boto3 S3 client.
    :raises OutputUnreadableError: it cannot be read.
    """
    with s3_reading(location):
        found = client.get_object(Bucket=location.bucket, Key=location.key)
        with closing(found["Body"]) as body:
            return body.read(), found.get("ContentType")


def object_pieces(client: Any, location: Location) -> Iterator[bytes]:
    """Give an object's bytes piece by piece.

    :param client: a boto3 S3 client.
    :raises OutputUnreadableError: it cannot be read.
    """
    with s3_reading(location):
        found = client.get_object(Bucket=location.bucket, Key=location.key)
        with closing(found["Body"]) as body:
            yield from body.iter_chunks(CHUNK_BYTES)


def write_json(client: Any, location: Location, body: bytes) -> None:
    """Write an object of JSON.

    :param client: a boto3 S3 client.
    :raises StoredAnswerError: it cannot be written.
    """
    try:
        client.put_object(Bucket=location.bucket, Key=location.key, Body=body, ContentType="application/json")
    except Exception as error:
        code = fault_code(error)
        if code is None:
            raise
    else:
        return
    raise StoredAnswerError(
        f"{location} cannot be written",
        code=code,
        retryable=code not in LASTING_CODES,
        hint="the connection needs s3:PutObject there",
    )
