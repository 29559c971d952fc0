"""Where a try writes down what it submits, for the next try to find.

Airflow's task state store where there is one (Airflow 3.3 and newer): it belongs to the task instance,
outlives its tries, and is written through the supervisor, so a process whose supervisor is gone cannot write
and stops before it sends. Else an object beside the uploaded bodies. Else nowhere.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_aiml.exceptions import StoredAnswerError
from airflow_provider_aiml.inference.output_look import fault_code
from airflow_provider_aiml.inference.paid_submission import SubmissionRecord

if TYPE_CHECKING:
    from airflow_provider_aiml.inference.outputs import Location

log = logging.getLogger(__name__)
KEY_PREFIX = "aiml.submission."


class SubmissionLedger(Protocol):
    """One record of one request."""

    durable: bool

    def read(self, *, now: float) -> SubmissionRecord | None:
        """Give what an earlier try wrote, or None."""
        ...

    def write(self, record: SubmissionRecord) -> None:
        """Replace what is written."""
        ...


@dataclass(frozen=True, slots=True)
class TaskStateLedger:
    """A key of Airflow's task state store.

    :param store: ``context["task_state_store"]``.
    :param identity: the request's identity.
    """

    store: Any
    identity: str
    durable = True

    def read(self, *, now: float) -> SubmissionRecord | None:
        """Give what an earlier try wrote, or None.

        :raises StoredAnswerError: Airflow cannot be asked; nothing was sent.
        """
        try:
            return SubmissionRecord.from_dict(self.store.get(KEY_PREFIX + self.identity), now=now)
        except Exception as error:
            raise _unusable("Airflow's task state store", error) from error

    def write(self, record: SubmissionRecord) -> None:
        """Replace what is written.

        :raises StoredAnswerError: Airflow does not take it: the supervisor is gone, or the task instance was
            retried meanwhile. This process must not send.
        """
        try:
            self.store.set(KEY_PREFIX + self.identity, record.to_dict())
        except Exception as error:
            raise _unusable("Airflow's task state store", error) from error


@dataclass(frozen=True, slots=True)
class ObjectLedger:
    """An object on S3.

    :param client: a boto3 S3 client.
    :param location: the object.
    """

    client: Any
    location: Location
    durable = True

    def read(self, *, now: float) -> SubmissionRecord | None:
        """Give what an earlier try wrote, or None.

        :raises StoredAnswerError: S3 cannot be asked; nothing was sent.
        """
        try:
            found = self.client.get_object(Bucket=self.location.bucket, Key=self.location.key)
            with found["Body"] as body:
                return SubmissionRecord.from_dict(json.loads(body.read()), now=now)
        except ValueError:
            return None
        except Exception as error:
            if fault_code(error) in ("NoSuchKey", "404"):
                return None
            raise _unusable(str(self.location), error) from error

    def write(self, record: SubmissionRecord) -> None:
        """Replace what is written.

        :raises StoredAnswerError: S3 does not take it.
        """
        body = json.dumps(record.to_dict()).encode()
        try:
            self.client.put_object(
                Bucket=self.location.bucket,
                Key=self.location.key,
                Body=body,
                ContentType="application/json",
            )
        except Exception as error:
            raise _unusable(str(self.location), error) from error


class NoLedger:
    """Nowhere to write: Airflow before 3.3, and no folder of our own on S3."""

    durable = False

    def read(self, *, now: float) -> SubmissionRecord | None:
        """Give nothing."""
        return None

    def write(self, record: SubmissionRecord) -> None:
        """Write nothing."""


def _unusable(place: str, error: Exception) -> StoredAnswerError:
    return StoredAnswerError(
        f"{place} cannot keep what is submitted: {fault_code(error) or type(error).__name__}",
        hint="without it a retry could buy the inference again, so nothing was sent",
    )
