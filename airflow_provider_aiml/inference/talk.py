"""The conversation that a message continues: a list from an earlier task, or a history in object storage.

What was attached once is not sent again: a history in object storage sends a mention in its place, and a
document or image that is given once more is left out, for it stands in the conversation already.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from airflow_provider_aiml.exceptions import StoredAnswerError
from airflow_provider_aiml.inference.conversation import Message, check_history, from_json, json_bytes
from airflow_provider_aiml.inference.documents import ATTACHED_TEXT, attached, document_names
from airflow_provider_aiml.inference.history_store import (
    ATTACHED,
    History,
    HistoryTurn,
    Place,
    append_turn,
    may_be_written,
    without_attachments,
)
from airflow_provider_aiml.inference.stored_answer import RECORD_SUFFIX, insist

__all__ = ["Attach", "Talk"]

log = logging.getLogger(__name__)

Block = dict[str, Any]
Attach: TypeAlias = Callable[[Sequence[str]], list[Block]]
"""Gives the content blocks of the attachments; gets the names that are taken."""


@dataclass(frozen=True, slots=True)
class Talk:
    """What was said before a task's message.

    :param said: the messages, attachments included, as a history keeps them.
    :param place: where the history is; None for a list.
    :param history: the history as it was read, without what this task added to it.
    :param resend: send the attachments of a history again. Default: False.
    :param identity: who says what.
    :param turn: what this task added to the history, in an earlier try.
    """

    said: Sequence[Mapping[str, Any]] = ()
    place: Place | None = None
    history: History = field(default_factory=History)
    resend: bool = False
    identity: str = ""
    turn: HistoryTurn | None = None

    @classmethod
    def of(cls, history: Any, *, appended: bool = False) -> Talk:
        """Take a history that an earlier task returned.

        :param appended: whether a managed prompt's messages come before it.
        :raises RequestError: it is none.
        """
        return cls([] if history is None else check_history(history, appended=appended))

    @classmethod
    def load(cls, place: Place, identity: str, *, resend: bool, anew: bool) -> Talk:
        """Read a history.

        :param place: where it is.
        :param identity: who says what.
        :param resend: send its attachments again.
        :param anew: say it once more, though it was said.
        :raises RequestError: the object is no history.
        :raises StoredAnswerError: it cannot be read.
        """
        history = History.load(place)
        if anew:
            own = f"{identity}-{len(history.turns)}"
            return cls(history.messages(), place, history, resend, own)
        before, turn = history.before(identity)
        return cls(before.messages(), place, before, resend, identity, turn)

    def earlier(self) -> list[Message]:
        """Give what is sent of it."""
        if self.place is None:
            return [dict(message) for message in self.said]
        return check_history(self.said if self.resend else without_attachments(self.said))

    def content(self, message: Any, attach: Attach) -> Any:
        """Give the content of the new message, with what is attached to it for the first time.

        :param message: the message's text or content blocks; None where there is none.
        :param attach: gives the content blocks of the attachments.
        """
        known = [_source(block) for block in self._attachments()]
        within = message if isinstance(message, (list, tuple)) else ()
        own = {"content": [block for block in within if isinstance(block, Mapping)]}
        given: list[Block] = from_json(attach(document_names([*self.said, own])))
        fresh = [block for block in given if _source(block) not in known]
        self._tell_of([block for block in given if _source(block) in known])
        if given and not fresh and message is None:
            return [{"text": ATTACHED_TEXT}]
        content = attached(message, fresh)
        if _crowds_results(content):
            log.warning(
                "A document or video stands beside the result of a tool, which Claude, Llama and Mistral "
                "refuse: answer the call first, and give it with the next message"
            )
        return content

    def _tell_of(self, left_out: Sequence[Block]) -> None:
        if left_out:
            log.info(
                "%d of what is attached stand in the conversation already, and are not attached again",
                len(left_out),
            )
        located = sum("s3Location" in (_source(block) or ()) for block in left_out)
        if located and not self.resend:
            log.warning(
                "%d of these are known by their location alone: if something else lies there by now, "
                "resend_documents=True lets the model read it",
                located,
            )

    def _attachments(self) -> list[Block]:
        return [
            from_json(block)
            for message in self.said
            for block in message["content"]
            if any(kind in block for kind in ATTACHED)
        ]

    def append(self, messages: Sequence[dict[str, Any]], record: Mapping[str, Any]) -> None:
        """Write down what was said; a list needs nothing.

        :param messages: the user's message, those with tools, and the model's answer, JSON-safe.
        :param record: what else is known of the answer, JSON-safe.
        :raises HistoryConflictError: another task extended the history meanwhile.
        :raises StoredAnswerError: it cannot be written. In both cases what was said is kept beside the
            history, and is the error's ``partial_body``.
        """
        if self.place is None:
            return
        turn = HistoryTurn(self.identity, tuple(messages), record)
        try:
            append_turn(self.place, self.history, turn)
        except StoredAnswerError as error:
            error.may_have_been_billed = True
            error.partial_body = json_bytes(turn.to_dict())
            error.hint = f"{error.hint}; {self._keep(self.place, error.partial_body)}"
            raise

    def announce(self) -> None:
        """Show, before the first call, that a turn can be written; a list needs nothing.

        :raises StoredAnswerError: it cannot; nothing was sent.
        """
        if (place := self.place) is None:
            return
        probe = json_bytes({"state": "asked", "identity": self.identity})
        insist(
            lambda: place.keep_beside(RECORD_SUFFIX, probe, paid=False), paid=False, may_pass=may_be_written
        )

    def _keep(self, place: Place, content: bytes) -> str:
        """Keep a turn that is not part of the conversation, and say where it is."""
        suffix = f".{self.identity}.json"
        try:
            kept = insist(lambda: place.keep_beside(suffix, content), paid=True, may_pass=may_be_written)
        except StoredAnswerError:
            return "nothing can be written beside it either: the answer is in the error's partial_body alone"
        return f"the answer is kept at {kept}"


def _crowds_results(content: Any) -> bool:
    """Tell a message that Nova takes and others do not (pydantic-ai, issue 6081; seen in July 2026)."""
    blocks = content if isinstance(content, (list, tuple)) else ()
    kinds = {kind for block in blocks if isinstance(block, Mapping) for kind in block}
    return "toolResult" in kinds and bool(kinds & {"document", "video"})


def _source(block: Mapping[str, Any]) -> Any:
    inner = [block[kind] for kind in ATTACHED if isinstance(block.get(kind), Mapping)]
    return inner[0].get("source") if inner else None
