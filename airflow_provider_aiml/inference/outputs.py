"""What an asynchronous inference leaves in S3, and what follows from looking there.

Pure decisions: the clock is passed in, nothing is read, nothing is slept. The sensor's poke and the trigger's
loop both ask :class:`Wait`, so the two cannot drift apart. Who looks is in
:mod:`airflow_provider_aiml.inference.output_look` and
:mod:`airflow_provider_aiml.inference.output_watch`; no AWS library may enter here.

See https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference.html.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_aiml.exceptions import (
    InferenceError,
    ModelFailedError,
    OutputExpiredError,
    OutputUnreadableError,
    Problem,
    RequestError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CREDENTIAL_CODES",
    "FATAL_CODES",
    "SLOW_DOWN_CODES",
    "AsyncInference",
    "Location",
    "Look",
    "PollSchedule",
    "Seen",
    "Verdict",
    "Wait",
]

LIST_BUCKET_HINT = (
    "the identity may lack s3:ListBucket on the bucket (S3 then answers 403 for an object that is not there "
    "yet) or s3:GetObject on the object"
)
_SCHEME = "s3://"
_LONGEST_KEY = 1024  # bytes of UTF-8, S3's own limit
_LONGEST_DELAY = 86_400.0 * 365  # seconds; Airflow caps at timedelta.max, which no timer takes
_LARGEST_DOUBLING = 40  # 2**40 s is longer than any wait; larger powers overflow a float

CREDENTIAL_CODES = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
        "CredentialRetrievalError",
        "NoCredentialsError",
        "PartialCredentialsError",
    }
)
"""Faults that new credentials may cure: the connection is worth reading anew."""

SLOW_DOWN_CODES = frozenset(
    {
        "SlowDown",
        "ServiceUnavailable",
        "503",
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "429",
    }
)
"""Faults by which S3 asks for fewer requests to a bucket."""

FATAL_CODES: Mapping[str, str] = {
    "NoSuchBucket": "the bucket does not exist; check the endpoint configuration's S3OutputPath",
    "InvalidBucketName": "the bucket's name is not a valid one",
    "ParamValidationError": "the bucket's name or the key is not a valid one",
    "PermanentRedirect": "the bucket is in another region: set region_name to the bucket's",
    "301": "the bucket is in another region: set region_name to the bucket's",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set region_name to the bucket's",
    "IllegalLocationConstraintException": "the bucket is in another region: set region_name to the bucket's",
    "AllAccessDisabled": "AWS has disabled all access to the bucket",
}
"""Faults that waiting cannot cure, each with what to change."""


@dataclass(frozen=True, slots=True)
class Location:
    """One object in S3.

    :param bucket: the bucket's name.
    :param key: the object's key, without a leading slash.
    """

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str, field: str) -> Location:
        """Read ``s3://bucket/key``.

        :param uri: the location.
        :param field: the argument that holds it, for the error.
        :raises RequestError: it is not the location of an object in S3.
        """
        found = _fault_in_uri(uri)
        if found is not None:
            problem = Problem(field, found, "s3://bucket/key")
            raise RequestError("The location cannot be used", problems=(problem,))
        bucket, _, key = uri.removeprefix(_SCHEME).partition("/")
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"{_SCHEME}{self.bucket}/{self.key}"


def _fault_in_uri(uri: object) -> str | None:
    if not isinstance(uri, str):
        return f"of type {type(uri).__name__}"
    if not uri.startswith(_SCHEME):
        return f"a string of {len(uri)} characters that does not start with {_SCHEME}"
    bucket, _, key = uri.removeprefix(_SCHEME).partition("/")
    if not bucket:
        return "a location without a bucket"
    if "@" in bucket:
        return "a location with an Airflow connection in it, s3://conn_id@bucket"
    if not key:
        return "a bucket without a key"
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "a key that is not valid Unicode"
    return f"a key of {size} bytes (the limit is {_LONGEST_KEY})" if size > _LONGEST_KEY else None


@dataclass(frozen=True, slots=True)
class AsyncInference:
    """One submitted inference, by the objects that it will leave.

    :param output_location: where the output appears, whole, when the inference is done.
    :param failure_location: where the error appears if it fails; None if the endpoint has no S3FailurePath,
        and then a failure shows only as an output that never comes.
    :param inference_id: SageMaker's id of the inference, where known.
    """

    output_location: Location
    failure_location: Location | None = None
    inference_id: str | None = None

    def to_dict(self) -> dict[str, str | None]:
        """Give a JSON-safe form, which :meth:`from_dict` reverses."""
        return {
            "inference_id": self.inference_id,
            "output_location": str(self.output_location),
            "failure_location": None if self.failure_location is None else str(self.failure_location),
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any], field: str = "inference") -> AsyncInference:
        """Read what the submitting operator returned; keys that are not ours are ignored.

        :param facts: ``output_location``, and perhaps ``failure_location`` and ``inference_id``.
        :param field: the argument, for errors.
        :raises RequestError: a location is missing or is not one.
        """
        failure = facts.get("failure_location")
        inference_id = facts.get("inference_id")
        return cls(
            Location.parse(facts.get("output_location"), f"{field}.output_location"),  # type: ignore[arg-type]
            None if failure is None else Location.parse(failure, f"{field}.failure_location"),
            None if inference_id is None else str(inference_id),
        )


class Seen(StrEnum):
    """What one look found."""

    NOTHING = "nothing"
    OUTPUT = "output"
    FAILURE = "failure"
    FORBIDDEN = "forbidden"
    """A 403 on a key: without s3:ListBucket, S3 says that also of an object which is not there yet."""
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Look:
    """The answer of one look at both locations.

    :param seen: what was found.
    :param code: for a fault, the AWS error code, or the exception's class where AWS gave none.
    """

    seen: Seen
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a wait ended.

    :param status: ``completed``: the output is there; ``failed``: the failure object is there; ``expired``:
        neither came before the deadline; ``unreadable``: S3 could not be asked.
    :param error: what to raise; None for ``completed``. For ``failed`` it holds none of the model's words:
        they stand in the failure object, which the one who has a worker reads.
    """

    status: Literal["completed", "failed", "expired", "unreadable"]
    error: InferenceError | None = None


COMPLETED = Verdict("completed")


class Wait:
    """The decisions of one wait.

    :param inference: what is waited for.
    :param deadline: seconds since the epoch. A look made later still counts if it finds something.
    :param max_faults: how many faults in a row end the wait. Default 10; None: never give up.
    :param started: seconds since the epoch, for the message of an expired wait. Default: the first look.
    """

    __slots__ = ("_forbidden", "_noticed", "_started", "deadline", "faults", "inference", "max_faults")

    def __init__(
        self,
        inference: AsyncInference,
        *,
        deadline: float,
        max_faults: int | None = 10,
        started: float | None = None,
    ) -> None:
        self.inference = inference
        self.deadline = deadline
        self.max_faults = max_faults
        self._started = started
        self.faults = 0
        self._forbidden = False
        self._noticed = False

    def take_permission_notice(self) -> bool:
        """Say whether to tell the user now of the permission that seems to be missing: once, after a 403."""
        due = self._forbidden and not self._noticed
        self._noticed = self._noticed or due
        return due

    def on_look(self, look: Look, now: float) -> Verdict | None:
        """Decide what follows from a look.

        :param look: what was seen.
        :param now: seconds since the epoch.
        :return: how the wait ended, or None: look again.
        """
        if self._started is None:
            self._started = now
        if look.seen is Seen.OUTPUT:
            return COMPLETED
        if look.seen is Seen.FAILURE:
            return Verdict("failed", self.failure())
        if look.seen is Seen.FAULT:
            if (error := self._after_fault(look.code or "unknown")) is not None:
                return Verdict("unreadable", error)
        else:
            self.faults = 0
            self._forbidden = self._forbidden or look.seen is Seen.FORBIDDEN
        return Verdict("expired", self.expiry(look, now)) if now >= self.deadline else None

    def failure(self) -> ModelFailedError:
        """Say that the inference failed, without the model's words."""
        where = self.inference.failure_location
        return ModelFailedError(
            f"The inference failed; its error is in {where}", inference_id=self.inference.inference_id
        )

    def _after_fault(self, code: str) -> OutputUnreadableError | None:
        self.faults += 1
        facts: dict[str, Any] = {"code": code, "inference_id": self.inference.inference_id}
        where = self._watched()
        if (cure := FATAL_CODES.get(code)) is not None:
            return OutputUnreadableError(
                f"S3 cannot be asked for {where}", retryable=False, hint=cure, **facts
            )
        if self.max_faults is None or self.faults < self.max_faults:
            return None
        hint = "check the connection's credentials" if code in CREDENTIAL_CODES else None
        message = f"S3 could not be asked for {where}, {self.faults} times in a row"
        return OutputUnreadableError(message, hint=hint, **facts)

    def expiry(self, look: Look, now: float) -> OutputExpiredError:
        """Say that nothing came before the deadline, given what the last look saw."""
        message = f"Nothing appeared at {self._watched()} before the deadline {_iso(self.deadline)}"
        if self._started is not None:
            message += f", after {max(0.0, now - self._started):.0f} s of looking"
        if self.inference.failure_location is None:
            message += "; no failure location was watched, so a failed inference could not be seen"
        faulted = look.seen is Seen.FAULT
        if faulted:
            message += "; the last look itself failed, so the output may be there"
        return OutputExpiredError(
            message,
            code=look.code if faulted else None,
            inference_id=self.inference.inference_id,
            retryable=faulted,
            hint=LIST_BUCKET_HINT if self._forbidden else None,
        )

    def _watched(self) -> str:
        failure = self.inference.failure_location
        output = str(self.inference.output_location)
        return output if failure is None else f"{output} or {failure}"


def _is_seconds(value: object) -> bool:
    return isinstance(value, (int, float)) and -math.inf < value < math.inf


def _found(value: object) -> str:
    return str(value) if isinstance(value, float) else f"of type {type(value).__name__}"


def _iso(moment: float) -> str:
    try:
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return f"{moment} (seconds since the epoch)"


@dataclass(frozen=True, slots=True)
class PollSchedule:
    """How long to pause between two looks; the formula is that of Airflow's own sensors.

    :param interval: seconds.
    :param exponential_backoff: whether the pause doubles from look to look, with jitter. Default False.
    :param max_wait: the longest pause with back-off, in seconds. Default None: no limit.
    :param seed: what the jitter is drawn from, for example dag and task id. Default "".
    :raises RequestError: a pause is not a number of seconds. A wait shares its polling task with those of
        other DAGs, so such a schedule must not come to be.
    """

    interval: float
    exponential_backoff: bool = False
    max_wait: float | None = None
    seed: str = ""

    def __post_init__(self) -> None:
        problems = [
            Problem(field, _found(value), "a finite number of seconds")
            for field, value in (("interval", self.interval), ("max_wait", self.max_wait))
            if not (_is_seconds(value) or (value is None and field == "max_wait"))
        ]
        if problems:
            raise RequestError("The pauses between looks cannot be kept", problems=tuple(problems))

    def delay(self, poll_count: int, elapsed: float = 0.0, *, answered: bool = True) -> float:
        """Give the pause after a look, in seconds.

        :param poll_count: how many looks were answered, this one included.
        :param elapsed: seconds that were waited before the counting began (reschedule mode, a restart): the
            count is then estimated from them, as Airflow does. Default 0.
        :param answered: whether this one was. Default True. Otherwise the pause is ``interval`` at most.
        """
        if not self.exponential_backoff:
            return self.interval
        if elapsed > 0:
            poll_count += self._polls_within(elapsed) - 1
        pauses = (self._doubled(poll_count), self.max_wait, None if answered else self.interval)
        return min(pause for pause in pauses if pause is not None)

    def _polls_within(self, elapsed: float) -> int:
        passed, polls = 0.0, 0
        while passed <= elapsed:
            polls += 1
            pause = self._doubled(polls)
            if self.max_wait is not None and pause >= self.max_wait > 0:
                return polls + math.floor((elapsed - passed) / self.max_wait)
            if polls > _LARGEST_DOUBLING + 2:  # from here on it grows no more
                return polls + math.floor((elapsed - passed) / pause)
            passed += pause
        return polls

    def _doubled(self, poll_count: int) -> float:
        doubling = min(poll_count - 2, _LARGEST_DOUBLING)
        shortest = max(int(self.interval * 2.0**doubling), 1)
        drawn = hashlib.sha1(f"{self.seed}#{poll_count}".encode(), usedforsecurity=False).hexdigest()
        return min(float(shortest + int(drawn, 16) % shortest), _LONGEST_DELAY)
