"""The turns of one task: what the model answered, what was answered to that, and where it stands.

A turn is written down as soon as the model has answered, again after each tool, and before the next request,
so that a retry goes on where the last try stopped: no turn is paid for twice, and no tool that finished runs
again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from airflow_provider_aiml.exceptions import InferenceError, StoredAnswerError
from airflow_provider_aiml.inference.conversation import carried, from_json, json_bytes, reply_of

__all__ = ["Progress", "Turn"]

FORMAT: Final = "airflow-provider-aiml.turns"
VERSION: Final = 1
Kind = Literal["tools", "correction"]


@dataclass(slots=True)
class Turn:
    """One answer of the model and, where the conversation goes on, the reply to it.

    :param response: Converse's response, JSON-safe.
    :param kind: what the reply is; None while there is none.
    :param reply: the content of the reply, JSON-safe; it grows with each tool.
    :param replied: whether the reply is whole.
    """

    response: dict[str, Any]
    kind: Kind | None = None
    reply: list[dict[str, Any]] = field(default_factory=list)
    replied: bool = False

    @property
    def message(self) -> dict[str, Any]:
        """The model's message, JSON-safe.

        :raises ResponseError: the response holds none.
        """
        return reply_of(self.response)

    @property
    def stop_reason(self) -> str:
        """Why the model stopped."""
        return str(self.response.get("stopReason", ""))

    def messages(self) -> list[dict[str, Any]]:
        """Give the turn as a request can carry it: the model's message, and the reply where it is whole."""
        said = [carried(self.message)]
        reply = carried({"role": "user", "content": [_without_status(block) for block in self.reply]})
        return [*said, reply] if self.replied else said


@dataclass(slots=True)
class Progress:
    """How far a task's conversation is.

    :param turns: the turns so far.
    :param mode: how the answer's shape was asked for; None without one, or before the first turn.
    """

    turns: list[Turn] = field(default_factory=list)
    mode: Literal["native", "tool", "offer"] | None = None

    def messages(self) -> list[dict[str, Any]]:
        """Give what was said after the task's own message, as a request has it."""
        said = [message for turn in self.turns for message in turn.messages()]
        restored: list[dict[str, Any]] = from_json(said)
        return restored

    def count(self, kind: Kind) -> int:
        """Count the turns that were answered with this kind of reply."""
        return sum(1 for turn in self.turns if turn.kind == kind)

    def join(self, error: BaseException, identity: str) -> None:
        """Give an error the turns so far: whatever became of the next one, these were paid for.

        :param error: what ended the conversation; one that has a result keeps that alone. What had arrived of
            the next turn stands beside the turns, as text under ``partial``.
        :param identity: who asked what.
        """
        if not self.turns or not isinstance(error, InferenceError):
            return
        error.may_have_been_billed = True
        if getattr(error, "result", None) is None:
            part = error.partial_body
            beside = {} if part is None else {"partial": part.decode("utf-8", "replace")}
            error.partial_body = json_bytes({**self._record(identity), **beside})

    def to_json(self, identity: str) -> bytes:
        """Write it down.

        :param identity: who asked what.
        """
        return json_bytes(self._record(identity))

    def _record(self, identity: str) -> dict[str, Any]:
        turns = [
            {"response": turn.response, "kind": turn.kind, "reply": turn.reply, "replied": turn.replied}
            for turn in self.turns
        ]
        return {
            "format": FORMAT,
            "version": VERSION,
            "identity": identity,
            "mode": self.mode,
            "turns": turns,
        }

    @classmethod
    def from_json(cls, content: bytes, identity: str, uri: str) -> Progress | None:
        """Read it again; None where it belongs to another request.

        :param content: what :meth:`to_json` wrote.
        :param identity: who asks what.
        :param uri: where it was, for errors.
        :raises StoredAnswerError: it is not ours, cut off, or of a later release: turns were paid for, so
            none is bought in its place.
        """
        try:
            record = json.loads(content)
        except ValueError:
            record = None
        if not isinstance(record, Mapping) or record.get("format") != FORMAT:
            raise _unreadable(uri, "is not a record of turns")
        if record.get("version") != VERSION:
            raise _unreadable(uri, "is of another release")
        if record.get("identity") != identity:
            return None
        try:
            turns = [_turn(facts) for facts in _listed(record["turns"])]
        except (KeyError, TypeError, ValueError):
            turns = None
        if turns is None:
            raise _unreadable(uri, "has turns that cannot be read")
        return cls(turns, record.get("mode"))


def _without_status(block: Mapping[str, Any]) -> dict[str, Any]:
    """Give a tool's result as every model takes it; its text says, too, that the tool failed.

    AWS gives the status to Claude and Nova alone, and Writer's models refuse it: "This model doesn't support
    the status field".
    """
    result = block.get("toolResult")
    if not isinstance(result, Mapping):
        return dict(block)
    return {**block, "toolResult": {name: value for name, value in result.items() if name != "status"}}


def _turn(facts: Mapping[str, Any]) -> Turn:
    return Turn(dict(facts["response"]), facts["kind"], _listed(facts["reply"]), bool(facts["replied"]))


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError
    return list(value)


def _unreadable(uri: str, why: str) -> StoredAnswerError:
    return StoredAnswerError(
        f"{uri} {why}",
        retryable=False,
        hint="remove the object to begin the conversation anew, or give another output_uri",
    )
