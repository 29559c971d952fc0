"""Streams of both runtimes, from the events that botocore gives to the answer of the same call without one.

======================================= ==================================================================
stream of                               is put together to
======================================= ==================================================================
``InvokeEndpointWithResponseStream``    the bytes of the body, by :func:`payload_parts`
``ConverseStream``                      the members of Converse's answer, by :func:`converse_answer`
``InvokeModelWithResponseStream``       the body in the model family's own shape, by :func:`model_answer`
======================================= ==================================================================

A stream that breaks leaves what had arrived in the error's ``partial_body``. An event that is not known is an
error, since what it says would be lost.
"""

from __future__ import annotations

import json
import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.exceptions import ResponseError, raise_alone
from airflow_provider_aiml.inference.conversation import json_bytes, to_json
from airflow_provider_aiml.inference.stream_converse import ConverseAssembly
from airflow_provider_aiml.inference.stream_families import family_of_chunk
from airflow_provider_aiml.inference.stream_family import MISSHAPEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from airflow_provider_aiml.inference.stream_family import StreamFamily

__all__ = [
    "ModelAnswer",
    "ModelAssembly",
    "StreamProgress",
    "converse_answer",
    "keeping_partial",
    "model_answer",
    "payload_parts",
]

log = logging.getLogger(__name__)

_OF_BEDROCK = "amazon-bedrock-"
_METRICS = "amazon-bedrock-invocationMetrics"


class StreamProgress:
    """Tells in the log how a stream goes: numbers, never content.

    :param what: the operation and its target.
    :param every: seconds between two lines. Default: 10.
    :param clock: the time in seconds.
    """

    def __init__(
        self, what: str, *, every: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what = what
        self._every = every
        self._clock = clock
        self._started = self._told = clock()
        self.chunks = 0
        self.bytes = 0
        self.seconds_to_first: float | None = None

    def note(self, size: int) -> None:
        """Count one more chunk.

        :param size: its content in bytes.
        """
        now = self._clock()
        self.chunks += 1
        self.bytes += size
        if self.seconds_to_first is None:
            self.seconds_to_first = now - self._started
        if now - self._told >= self._every:
            self._told = now
            log.info("%s: %s so far", self._what, str(self))

    def end(self, tokens_in: int | None = None, tokens_out: int | None = None) -> None:
        """Write the last line.

        :param tokens_in: the tokens that the model read, where it said so.
        :param tokens_out: the tokens that it wrote, where it said so.
        """
        seconds = self._clock() - self._started
        tokens = f", tokens {tokens_in} in, {tokens_out} out" if tokens_out is not None else ""
        log.info("%s: %s in %.3f s%s", self._what, str(self), seconds, tokens)

    def __str__(self) -> str:
        first = "" if self.seconds_to_first is None else f", the first after {self.seconds_to_first:.3f} s"
        return f"{self.chunks} chunks, {self.bytes} bytes{first}"


@contextmanager
def keeping_partial(partial: Callable[[], bytes]) -> Iterator[None]:
    """Put what arrived into what breaks a stream, unless it has it already, as its ``partial_body``.

    What arrived is paid for, so that is the end of a task as well, which Airflow raises where it stops one.

    :param partial: gives it.
    """
    try:
        yield
    except BaseException as error:
        broken: Any = error
        if getattr(error, "partial_body", None) is None:
            broken.partial_body = partial()
        raise


@contextmanager
def _as_written_by(model: str) -> Iterator[None]:
    """Say what it means that a stream is not as its model writes it: asking again would buy the same."""
    try:
        yield
    except MISSHAPEN as error:
        failure = ResponseError(f"The stream is not as {model} writes it: {type(error).__name__}")
    else:
        return
    raise_alone(failure)


def payload_parts(
    events: Iterable[Mapping[str, Any]], progress: StreamProgress | None = None
) -> Iterator[bytes]:
    """Give the bytes of each part of a SageMaker stream; joined, they are the body of InvokeEndpoint.

    :param events: the response's ``Body``.
    :param progress: is told of each part.
    :raises ResponseError: an event is not known.
    """
    for event in events:
        part = _only(event, "PayloadPart", "InvokeEndpointWithResponseStream").get("Bytes", b"")
        if progress is not None:
            progress.note(len(part))
        yield part


def converse_answer(
    events: Iterable[Mapping[str, Any]], progress: StreamProgress | None = None
) -> dict[str, Any]:
    """Put a stream of Converse together.

    :param events: the response's ``stream``.
    :param progress: is told of each event.
    :return: what Converse would have answered, without ``ResponseMetadata``.
    :raises ResponseError: the stream is cut off, or holds what is not known; ``partial_body`` is the answer
        so far as JSON, in which bytes are ``{"$base64": …}``.
    """
    assembly = ConverseAssembly()
    with keeping_partial(lambda: json_bytes(to_json(assembly.partial()))):
        for event in events:
            with _as_written_by("ConverseStream"):
                size = assembly.add(event)
            if progress is not None:
                progress.note(size)
        with _as_written_by("ConverseStream"):
            answer = assembly.result()
    if progress is not None:
        progress.end(assembly.usage.get("inputTokens"), assembly.usage.get("outputTokens"))
    return answer


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """A streamed answer of InvokeModel.

    :param body: the body that InvokeModel would have answered; where the model's family is not known the
        chunks as they came, as a JSON list if they are JSON, else joined.
    :param family: the family whose shape it has; None where it is not known.
    :param metrics: Bedrock's counts and latencies, where it gave them.
    """

    body: bytes
    family: str | None
    metrics: Mapping[str, Any] = field(default_factory=dict)


class ModelAssembly:
    """Takes the chunks of one InvokeModelWithResponseStream, and gives its body."""

    def __init__(self) -> None:
        self._family: StreamFamily | None = None
        self._raw: list[bytes] = []
        self._metrics: dict[str, Any] = {}
        self._of_bedrock: dict[str, Any] = {}
        self._all_json = True

    def add(self, chunk: bytes) -> None:
        """Take the next chunk.

        :raises ResponseError: it is not what its family writes.
        """
        with _as_written_by(self._model):
            self._add(chunk)

    def _add(self, chunk: bytes) -> None:
        parsed = _object(chunk)
        own = dict(parsed or {})
        told = {key: own.pop(key) for key in list(own) if key.startswith(_OF_BEDROCK)}
        self._metrics.update(told.pop(_METRICS, None) or {})
        self._of_bedrock.update(told)
        if parsed is not None and not own and not self._raw:
            return
        if self._family is None and not self._raw:
            self._family = family_of_chunk(own)
        if self._family is None:
            self._raw.append(chunk)
            self._all_json = self._all_json and parsed is not None
        elif parsed is None:
            raise ResponseError(f"A chunk of the stream of {self._family.name} is not a JSON object")
        else:
            self._family.add(own)

    def answer(self) -> ModelAnswer:
        """Give the answer of a stream that came to its end.

        :raises ResponseError: it is cut off.
        """
        if self._family is not None and not self._family.finished:
            raise ResponseError(
                f"The stream of {self._family.name} ended before the model said that it is done",
                code="StreamCut",
                retryable=True,
            )
        if self._family is None and not self._raw:
            raise ResponseError("The stream ended before it began", code="StreamCut", retryable=True)
        with _as_written_by(self._model):
            return self._answer(strict=True)

    def partial(self) -> bytes:
        """Give the body so far; where its pieces do not make one, the pieces as they came."""
        try:
            return self._answer(strict=False).body
        except (ResponseError, *MISSHAPEN):
            return json.dumps(vars(self._family), default=str, skipkeys=True).encode()

    @property
    def _model(self) -> str:
        return "its model" if self._family is None else self._family.name

    def _answer(self, *, strict: bool) -> ModelAnswer:
        if self._family is not None:
            body = {**self._family.answer(strict=strict), **self._of_bedrock}
            return ModelAnswer(json_bytes(body), self._family.name, self._metrics)
        listed = b"[" + b",".join(self._raw) + b"]"
        return ModelAnswer(listed if self._all_json else b"".join(self._raw), None, self._metrics)


def model_answer(events: Iterable[Mapping[str, Any]], progress: StreamProgress | None = None) -> ModelAnswer:
    """Put a stream of InvokeModel together.

    :param events: the response's ``body``.
    :param progress: is told of each chunk.
    :raises ResponseError: the stream is cut off, or holds what is not known; ``partial_body`` is the body so
        far.
    """
    assembly = ModelAssembly()
    with keeping_partial(assembly.partial):
        for event in events:
            chunk = _only(event, "chunk", "InvokeModelWithResponseStream").get("bytes", b"")
            assembly.add(chunk)
            if progress is not None:
                progress.note(len(chunk))
        answer = assembly.answer()
    if progress is not None:
        progress.end(answer.metrics.get("inputTokenCount"), answer.metrics.get("outputTokenCount"))
    return answer


def _only(event: Mapping[str, Any], name: str, operation: str) -> Mapping[str, Any]:
    """Give the members of an event of the one kind that a stream has."""
    for found in event:
        if found != name:
            raise ResponseError(f"{operation}: the stream holds an event that is not known: {found}")
    members: Mapping[str, Any] = event.get(name) or {}
    return members


def _object(chunk: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(chunk)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None
