"""What really happened: every invocation that a model received, and how often each operation was called."""

from __future__ import annotations

import base64
import time
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Invocation", "Witness"]


@dataclass(slots=True)
class Invocation:
    """One request that a model's container accepted.

    :param endpoint: the endpoint's name, or the Bedrock model id.
    :param operation: the API operation, for example ``InvokeEndpointAsync``.
    :param body: the payload, as the model received it.
    :param headers: by lower-case name, as the model received them.
    :param inference_id: SageMaker's inference id, where there is one.
    :param time: when, in seconds since the epoch.
    :param status: the container's HTTP status; None while it runs, or if it never answered.
    """

    endpoint: str
    operation: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    inference_id: str | None = None
    time: float = field(default_factory=time.time)
    status: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give a JSON-safe form."""
        return {**asdict(self), "body": base64.b64encode(self.body).decode()}

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> Invocation:
        """Undo :meth:`to_dict`."""
        return cls(**{**facts, "body": base64.b64decode(facts["body"])})


class Witness:
    """The record of one local AWS since its start or its last reset."""

    def __init__(self) -> None:
        self._invocations: dict[str, list[Invocation]] = defaultdict(list)
        self._requests: Counter[str] = Counter()

    def clear(self) -> None:
        """Forget everything."""
        self._invocations.clear()
        self._requests.clear()

    def saw_invocation(self, invocation: Invocation) -> None:
        """Record that a model is being asked."""
        self._invocations[invocation.endpoint].append(invocation)

    def was_never_accepted(self, invocation: Invocation) -> None:
        """Take a record back: the container could not be reached, so the model saw nothing."""
        self._invocations[invocation.endpoint].remove(invocation)

    def saw_request(self, operation: str) -> None:
        """Count one request of ``service:Operation``."""
        self._requests[operation] += 1

    def invocations(self, endpoint: str) -> list[Invocation]:
        """Give what the model behind ``endpoint`` received, in order."""
        return list(self._invocations.get(endpoint, ()))

    def request_counts(self) -> dict[str, int]:
        """Give how many requests came in, by ``service:Operation``."""
        return dict(self._requests)
