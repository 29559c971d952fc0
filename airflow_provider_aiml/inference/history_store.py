"""A conversation in object storage: one JSON object to which each turn is appended.

It goes on across tasks and DAG runs without growing XCom. A turn is found again by who said it, so a retry
reads its answer there and pays for nothing. Turns are only ever appended; where the place has changed since
it was read, another writer was there, and nothing of either is lost.

The place is passed in: :class:`Place` says what it can do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from airflow_provider_aiml.exceptions import HistoryConflictError, Problem, RequestError, StoredAnswerError
from airflow_provider_aiml.inference.conversation import check_history, from_json, json_bytes
from airflow_provider_aiml.inference.stored_answer import insist

__all__ = [
    "ConflictError",
    "History",
    "HistoryTurn",
    "Place",
    "append_turn",
    "may_be_written",
    "without_attachments",
]

FORMAT: Final = "airflow-provider-aiml.history"
VERSION: Final = 1
ATTACHED: Final = ("document", "image", "video", "audio")


class ConflictError(Exception):
    """The place does not hold any more what was read there."""


class Place(Protocol):
    """Where a history is kept."""

    @property
    def uri(self) -> str:
        """The place as its user wrote it."""
        ...

    def read(self) -> tuple[bytes, str] | None:
        """Give what is there and its version; None where nothing is."""
        ...

    def write(self, content: bytes, version: str | None) -> None:
        """Write if the place still has the version; None: if nothing is there.

        :raises ConflictError: it has another.
        """
        ...

    def keep_beside(self, suffix: str, content: bytes, *, paid: bool = True) -> str:
        """Write another object whose name goes on with ``suffix``, and give its URI."""
        ...


@dataclass(frozen=True, slots=True)
class HistoryTurn:
    """What one task added to a conversation.

    :param identity: which task said what; a retry has the same.
    :param messages: the messages, JSON-safe: the user's, those with tools, and the model's answer.
    :param record: what else is known of the answer, JSON-safe.
    """

    identity: str
    messages: tuple[dict[str, Any], ...]
    record: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Give its JSON form."""
        return {"identity": self.identity, "messages": list(self.messages), "record": dict(self.record)}


@dataclass(frozen=True, slots=True)
class History:
    """A conversation as it was read.

    :param turns: its turns, oldest first.
    :param version: the version of the place that held them; None where it was empty.
    :param extra: what else the object holds, kept as it is.
    """

    turns: tuple[HistoryTurn, ...] = ()
    version: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, place: Place) -> History:
        """Read a conversation; an absent one is empty.

        :raises RequestError: the object is no history, or one of a later release.
        """
        found = place.read()
        if found is None:
            return cls()
        content, version = found
        try:
            record = json.loads(content)
        except ValueError:
            raise _unfit(place, f"{len(content)} bytes that are not JSON", "a JSON object") from None
        if not isinstance(record, Mapping) or record.get("format") != FORMAT:
            raise _unfit(place, "JSON of another format", f"an object whose format is {FORMAT}")
        if record.get("version") != VERSION:
            raise _unfit(place, "a history of another version", f"version {VERSION}")
        turns = record.get("turns")
        if not isinstance(turns, list):
            raise _unfit(place, "a history without turns", "a list of turns")
        read = tuple(_turn(turn, place, index) for index, turn in enumerate(turns))
        extra = {key: value for key, value in record.items() if key not in ("format", "version", "turns")}
        history = cls(read, version, extra)
        _check_roles(history)
        return history

    def before(self, identity: str) -> tuple[History, HistoryTurn | None]:
        """Give the conversation as it was before a turn, and that turn, where it was said already."""
        for index, turn in enumerate(self.turns):
            if turn.identity == identity:
                return replace(self, turns=self.turns[:index]), turn
        return self, None

    def messages(self) -> list[dict[str, Any]]:
        """Give all that was said, JSON-safe."""
        return [message for turn in self.turns for message in turn.messages]

    def to_json(self) -> bytes:
        """Give the bytes to write."""
        turns = [turn.to_dict() for turn in self.turns]
        record = {"format": FORMAT, "version": VERSION, **self.extra, "turns": turns}
        return json_bytes(record)


def append_turn(place: Place, history: History, turn: HistoryTurn) -> None:
    """Append what was said, which was paid for, to the conversation as it was read.

    :raises HistoryConflictError: another task extended it meanwhile; its turn stays, and the answer is not
        part of the conversation.
    :raises StoredAnswerError: the place cannot be written.
    """
    if history.before(turn.identity)[1] is not None:
        return
    content = replace(history, turns=(*history.turns, turn)).to_json()
    try:
        insist(lambda: place.write(content, history.version), paid=True, may_pass=may_be_written)
    except ConflictError:
        if _holds(place, turn):
            return
        failure = HistoryConflictError(
            f"{place.uri} was extended by another writer since this task read it",
            may_have_been_billed=True,
            hint="let tasks of one conversation run one after the other (depends_on_past, a pool of one "
            "slot); a retry reads the conversation anew and asks again",
        )
    else:
        return
    raise failure


def may_be_written(error: BaseException) -> bool:
    """Say whether a place that could not be written may be so in a moment."""
    return isinstance(error, StoredAnswerError) and error.retryable


def _holds(place: Place, turn: HistoryTurn) -> bool:
    """Say whether a turn is there: a write that botocore sent again conflicts with itself."""
    try:
        return History.load(place).before(turn.identity)[1] is not None
    except RequestError:
        return False


def without_attachments(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put a short text in the place of each document, image, video and audio that was sent before.

    Those within the result of a tool count, too.

    :param messages: what was said, with bytes as JSON or as they are.
    """
    return [
        {**message, "content": [_without_content(block) for block in message["content"]]}
        for message in messages
    ]


def _without_content(block: Any) -> Any:
    if not isinstance(block, Mapping):
        return block
    for kind in ATTACHED:
        if isinstance(inner := block.get(kind), Mapping):
            name = f" {inner['name']}" if inner.get("name") else ""
            return {"text": f"[{kind}{name} ({inner.get('format', 'txt')}): sent earlier, not sent again]"}
    result = block.get("toolResult")
    if isinstance(result, Mapping) and isinstance(given := result.get("content"), list):
        return {**block, "toolResult": {**result, "content": [_without_content(part) for part in given]}}
    return dict(block)


def _check_roles(history: History) -> None:
    """Refuse a conversation that no message can follow."""
    try:
        check_history(history.messages())
    except RequestError as error:
        failure = error.with_fields_called({"history": "history_uri"})
    else:
        return
    raise failure


def _turn(turn: Any, place: Place, index: int) -> HistoryTurn:
    fits = isinstance(turn, Mapping) and isinstance(turn.get("messages"), list)
    if not fits or not isinstance(turn.get("identity"), str):
        raise _unfit(place, f"a history whose turn {index} is none", "turns with identity and messages")
    record = turn.get("record")
    from_json(turn["messages"])
    messages = tuple(_in_blocks(message) for message in turn["messages"])
    return HistoryTurn(turn["identity"], messages, record if isinstance(record, Mapping) else {})


def _in_blocks(message: Any) -> Any:
    """Give a message whose text stands for a block, as people write it by hand, with the block itself."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, (str, list)):
        return message
    blocks = [content] if isinstance(content, str) else content
    return {**message, "content": [{"text": one} if isinstance(one, str) else one for one in blocks]}


def _unfit(place: Place, found: str, allowed: str) -> RequestError:
    return RequestError(f"{place.uri} is no conversation", problems=(Problem("history_uri", found, allowed),))
