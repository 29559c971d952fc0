"""Faults on demand: which request is to go wrong, how, and how often."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Fault", "FaultKind", "Faults", "Target"]

FaultKind = Literal["error", "delay", "model_error", "drop", "lose_answer", "truncate", "expire"]

# What AWS answers under each code, so that a test need only name the code.
_STATUS_OF_CODE = {
    "ThrottlingException": {"sagemaker": 400, "bedrock": 429},
    "SlowDown": {"*": 503},
    "ServiceUnavailable": {"*": 503},
    "ServiceUnavailableException": {"*": 503},
    "InternalFailure": {"*": 500},
    "InternalError": {"*": 500},
    "InternalServerException": {"*": 500},
    "InternalDependencyException": {"*": 530},
    "AccessDenied": {"*": 403},
    "AccessDeniedException": {"*": 403},
    "ExpiredToken": {"s3": 400, "*": 403},
    "ExpiredTokenException": {"*": 403},
    "InvalidAccessKeyId": {"*": 403},
    "UnrecognizedClientException": {"*": 403},
    "InvalidSignatureException": {"*": 403},
    "SignatureDoesNotMatch": {"*": 403},
    "ModelNotReadyException": {"*": 429},
    "ModelTimeoutException": {"*": 408},
    "ModelErrorException": {"*": 424},
    "ModelError": {"*": 424},
    "ModelStreamErrorException": {"*": 424},
    "ResourceNotFoundException": {"*": 404},
    "NoSuchKey": {"*": 404},
    "NoSuchBucket": {"*": 404},
}


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about, as faults and counters see it.

    :param operation: ``service:Operation``, the service being the signing name: ``sagemaker:InvokeEndpoint``,
        ``bedrock:Converse``, ``s3:HEAD``, ``s3:LIST``, ``sts:AssumeRole``. ``sagemaker:AsyncInference`` is
        the running of a queued inference.
    :param resource: the endpoint's name, the Bedrock model id, or the bucket.
    :param key: the S3 key, or the prefix of a LIST.
    """

    operation: str
    resource: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of thing that goes wrong.

    :param operation: which requests, by :attr:`Target.operation` with or without its service; ``*`` and ``?``
        match.
    :param kind: ``error``: AWS answers ``code``; ``delay``: wait ``seconds``, or until the fault is
        removed, then go on; ``model_error``: the container is not asked, its answer is taken to be
        ``status`` and ``message``; ``drop``: reset the connection before anything ran; ``lose_answer``:
        do it, then reset the connection instead of answering; ``truncate``: answer only the first
        ``keep_bytes`` of the body, or of a stream the first ``keep_bytes`` pieces.
        For ``sagemaker:AsyncInference``, the running of a queued inference: ``delay``, ``model_error``,
        ``expire`` (its time to live has passed), ``drop`` (it never runs, nothing is written) and
        ``lose_answer`` (it runs, nothing is written).
    :param code: AWS's error code, default ``InternalFailure``.
    :param status: the HTTP status; default: what AWS answers under that code, else 400. Of the container for
        ``model_error``, default 500.
    :param message: the error's message; None for SageMaker's throttling is its null message.
    :param seconds: of ``delay``.
    :param keep_bytes: of ``truncate``; default: half of the body, one piece of a stream.
    :param count: for so many requests; default 1, or with ``for_seconds`` any number.
    :param for_seconds: only within so many seconds from now; default: without end.
    :param resource: only for this endpoint, model id or bucket; ``*`` and ``?`` match.
    :param key_prefix: only for S3 keys, or LIST prefixes, that begin so.
    """

    operation: str
    kind: FaultKind = "error"
    code: str = "InternalFailure"
    status: int | None = None
    message: str | None = None
    seconds: float = 0.0
    keep_bytes: int | None = None
    count: int | None = None
    for_seconds: float | None = None
    resource: str = "*"
    key_prefix: str = ""
    fields: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"kind is one of {', '.join(get_args(FaultKind))}, not {self.kind!r}")
        if self.count is None and self.for_seconds is None:
            object.__setattr__(self, "count", 1)

    def matches(self, target: Target) -> bool:
        """Tell whether ``target`` is what this fault is for."""
        service, _, name = target.operation.partition(":")
        wanted = self.operation if ":" in self.operation else f"{service}:{self.operation}"
        return (
            fnmatchcase(f"{service}:{name}", wanted)
            and fnmatchcase(target.resource, self.resource)
            and target.key.startswith(self.key_prefix)
        )

    def status_for(self, target: Target) -> int:
        """Give the HTTP status of an ``error`` fault."""
        if self.status is not None:
            return self.status
        by_service = _STATUS_OF_CODE.get(self.code, {})
        return by_service.get(target.operation.partition(":")[0], by_service.get("*", 400))


class Faults:
    """The faults that are due. Each request takes at most one of each of the kinds that it asks for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ids = itertools.count(1)
        self._due: dict[str, tuple[Fault, float | None]] = {}
        self._delays: set[tuple[str, asyncio.Event]] = set()

    def add(self, fault: Fault) -> str:
        """Have ``fault`` happen from now on; give its id."""
        fault_id = f"fault-{next(self._ids)}"
        ends = None if fault.for_seconds is None else self._clock() + fault.for_seconds
        self._due[fault_id] = (fault, ends)
        return fault_id

    def remove(self, fault_id: str) -> bool:
        """Let a fault happen no more, and end its delays; tell whether it was to happen, or did just then."""
        ended = [over for one, over in self._delays if one == fault_id]
        for over in ended:
            over.set()
        return self._due.pop(fault_id, None) is not None or bool(ended)

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        self._due.clear()
        for _, over in self._delays:
            over.set()

    async def delay(self, target: Target) -> bool:
        """Wait as a ``delay`` that is due for ``target`` has it; tell whether there was one."""
        taken = self._take(target, "delay")
        if taken is None:
            return False
        fault_id, fault = taken
        under_way = fault_id, asyncio.Event()
        self._delays.add(under_way)
        try:
            async with asyncio.timeout(fault.seconds):
                await under_way[1].wait()
        except TimeoutError:
            pass
        finally:
            self._delays.discard(under_way)
        return True

    def take(self, target: Target, *kinds: FaultKind) -> Fault | None:
        """Give the first fault of ``kinds`` that is due for ``target``, and count it as happened."""
        taken = self._take(target, *kinds)
        return taken[1] if taken else None

    def _take(self, target: Target, *kinds: FaultKind) -> tuple[str, Fault] | None:
        now = self._clock()
        for fault_id, (fault, ends) in list(self._due.items()):
            if ends is not None and now >= ends:
                del self._due[fault_id]
            elif fault.kind in kinds and fault.matches(target):
                self._count_down(fault_id, fault, ends)
                return fault_id, fault
        return None

    def _count_down(self, fault_id: str, fault: Fault, ends: float | None) -> None:
        if fault.count is None:
            return
        if fault.count <= 1:
            del self._due[fault_id]
        else:
            self._due[fault_id] = (replace(fault, count=fault.count - 1), ends)
