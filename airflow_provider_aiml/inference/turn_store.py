"""Where the turns of a task are kept, at its ``output_uri``: each one before the next is paid for.

A task of one turn keeps its raw answer, nothing else. One with tools or a schema keeps its turns beside it,
and the last raw answer at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from airflow_provider_aiml.inference.conversation import json_bytes
from airflow_provider_aiml.inference.stored_answer import Answer, AnswerStore
from airflow_provider_aiml.inference.turns import Progress, Turn

__all__ = ["TURNS_SUFFIX", "TurnStore"]

TURNS_SUFFIX: Final = ".turns.json"
"""What the name of the object with the turns ends with."""


@dataclass(frozen=True, slots=True)
class TurnStore:
    """Keeps the turns of one task.

    :param answers: the place; None keeps nothing.
    :param staged: whether there may be more turns than one.
    """

    answers: AnswerStore | None
    staged: bool

    def load(self) -> Progress:
        """Give the turns that earlier tries paid for.

        :raises StoredAnswerError: they cannot be read.
        :raises ResponseError: the kept answer is none of Converse.
        """
        if self.answers is None:
            return Progress()
        if not self.staged:
            answer = self.answers.load()
            return Progress([Turn(answer.response("Converse"))]) if answer else Progress()
        kept = self.answers.load_beside(TURNS_SUFFIX)
        uri = self.answers.uri + TURNS_SUFFIX
        found = None if kept is None else Progress.from_json(kept, self.answers.identity, uri)
        return found or Progress()

    def announce(self, progress: Progress) -> None:
        """Show, before the first call, that the place can be written.

        :raises StoredAnswerError: it cannot.
        """
        if self.answers is not None and not progress.turns:
            self.answers.announce()

    def save(self, progress: Progress) -> None:
        """Keep the turns so far.

        :raises StoredAnswerError: they cannot be written; they were paid for.
        """
        if self.answers is None:
            return
        if self.staged:
            self.answers.save_beside(TURNS_SUFFIX, progress.to_json(self.answers.identity))
        else:
            self._keep_answer(progress, self.answers)

    def finish(self, progress: Progress) -> None:
        """Keep the last answer, once the turns have ended.

        :raises StoredAnswerError: it cannot be written.
        """
        if self.answers is not None and self.staged and progress.turns:
            self._keep_answer(progress, self.answers)

    def keep_partial(self, body: bytes | None) -> None:
        """Keep what arrived of an answer that broke off."""
        if self.answers is not None and body:
            self.answers.save_partial(body)

    def _keep_answer(self, progress: Progress, answers: AnswerStore) -> None:
        body = json_bytes(progress.turns[-1].response)
        answers.save(Answer(body, {"content_type": "application/json"}))
