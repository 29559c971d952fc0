"""Puts the guardrail before the question and behind the answer of one request."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.bedrock import guardrails
from airflow_provider_aiml.local_aws.bedrock.conversation import Answer, Block, Conversation, block_text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Guard"]


class Guard:
    """The guardrail of one request, and the trace of what it did.

    :param identifier: the guardrail's identifier; None asks for none.
    :param version: its version.
    :raises ApiError: ``ValidationException`` for a guardrail that there is not.
    """

    def __init__(self, identifier: str | None, version: str | None) -> None:
        self.on = guardrails.check_identifier(identifier, version)
        self.question: guardrails.Verdict | None = None
        self.answer: guardrails.Verdict | None = None
        self.said: list[str] = []

    def refuse_question(self, conversation: Conversation) -> Answer | None:
        """Look at the question; return the answer in its place if it is blocked."""
        if not self.on:
            return None
        self.question = guardrails.assess(list(_guarded_texts(conversation)), "INPUT")
        if not self.question.intervened:
            return None
        return Answer([{"text": text} for text in self.question.texts], "guardrail_intervened", 0, 0)

    def watch_answer(self, answer: Answer) -> Answer:
        """Look at the answer; return what may be said of it."""
        if not self.on:
            return answer
        self.said = [block["text"] for block in answer.blocks if "text" in block]
        self.answer = guardrails.assess(self.said, "OUTPUT")
        if not self.answer.intervened:
            return answer
        blocks: list[Block] = [{"text": text} for text in self.answer.texts]
        if self.answer.action == "ANONYMIZED":
            masked = iter(blocks)
            blocks = [next(masked) if "text" in block else block for block in answer.blocks]
        return replace(answer, blocks=blocks, stop_reason="guardrail_intervened")

    @property
    def intervened(self) -> bool:
        """Whether the guardrail did something to the question or the answer."""
        return any(verdict is not None and verdict.intervened for verdict in (self.question, self.answer))

    def trace(self) -> dict[str, Any] | None:
        """Return the trace of what the guardrail did; None without a guardrail."""
        if self.question is None:
            return None
        trace: dict[str, Any] = {"inputAssessment": {guardrails.IDENTIFIER: self.question.assessment}}
        if self.answer is not None:
            trace["modelOutput"] = self.said
            trace["outputAssessments"] = {guardrails.IDENTIFIER: [self.answer.assessment]}
        trace["actionReason"] = guardrails.reason((self.answer or self.question).action)
        return trace


def _guarded_texts(conversation: Conversation) -> Iterator[str]:
    """Yield what the guardrail looks at: the guarded blocks if there are any, else all that was said."""
    blocks = [block for message in conversation.messages for block in message["content"]]
    guarded = [block for block in blocks if "guardContent" in block] or blocks
    for block in guarded:
        if "text" in block or "guardContent" in block:
            yield block_text(block)
