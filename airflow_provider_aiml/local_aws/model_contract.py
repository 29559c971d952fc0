"""What a model is asked and what it says: all that a model's own module needs to know of its container."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

__all__ = ["ModelAnswer", "ModelRequest"]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What a model is asked.

    :param body: the payload.
    :param headers: by lower-case name; SageMaker's own begin with ``x-amzn-sagemaker-``.
    """

    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What a model says.

    :param body: the answer; an iterator is sent piece by piece.
    :param content_type: its media type.
    :param status: the container's HTTP status; anything but 2xx becomes a ModelError.
    :param headers: further headers, for example ``X-Amzn-SageMaker-Custom-Attributes``.
    """

    body: bytes | AsyncIterator[bytes]
    content_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
