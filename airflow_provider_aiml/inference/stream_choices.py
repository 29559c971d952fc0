"""The stream of a model that speaks the shape of chat completions, and the completion that it amounts to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.inference.stream_family import Chunk, StreamFamily

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Choices"]


class Choices(StreamFamily):
    """OpenAI's shape, which AI21 Jamba, Mistral's chat models, DeepSeek, Writer and others speak.

    https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-jamba.html
    """

    name = "chat completions"
    _FRAGMENTS = frozenset({"content", "text", "reasoning_content", "reasoning", "refusal"})

    def __init__(self) -> None:
        self._top: Chunk = {}
        self._choices: dict[int, Chunk] = {}
        self._fragments: dict[tuple[int, str, str], list[str]] = {}
        self._calls: dict[int, dict[int, Chunk]] = {}

    @classmethod
    def speaks(cls, chunk: Chunk) -> bool:
        """Tell by the list of choices."""
        choices = chunk.get("choices")
        return isinstance(choices, list) and all(isinstance(choice, dict) for choice in choices)

    @property
    def finished(self) -> bool:
        """Tell whether each choice has its reason to stop."""
        return bool(self._choices) and all(
            choice.get("finish_reason") or choice.get("stop_reason") for choice in self._choices.values()
        )

    def add(self, chunk: Chunk) -> None:
        """Take the next chunk."""
        for key, value in chunk.items():
            if key == "choices":
                for number, choice in enumerate(value):
                    self._add_choice(number, choice)
            elif value is not None or key not in self._top:
                self._top[key] = value

    def _add_choice(self, number: int, given: Chunk) -> None:
        index = given.get("index", number)
        choice = self._choices.setdefault(index, {})
        for key, value in given.items():
            if key in ("delta", "message"):
                self._add_message(index, choice.setdefault("message", {}), value or {})
            elif key == "logprobs" and isinstance(value, dict):
                _extend(choice, "logprobs", value)
            else:
                self._put(index, "choice", choice, key, value)

    def _add_message(self, index: int, message: Chunk, given: Chunk) -> None:
        for key, value in given.items():
            if key == "tool_calls":
                message.setdefault("tool_calls", None)
                for number, call in enumerate(value or []):
                    self._add_call(index, call.get("index", number), call)
            else:
                self._put(index, "message", message, key, value)

    def _add_call(self, index: int, number: int, given: Chunk) -> None:
        call = self._calls.setdefault(index, {}).setdefault(number, {})
        for key, value in given.items():
            if key == "function":
                function = call.setdefault("function", {})
                for name, piece in (value or {}).items():
                    # A name comes whole and may be repeated, arguments come in pieces.
                    function[name] = function.get(name, "") + piece if name == "arguments" else piece
            elif key != "index" and value is not None:
                call[key] = value

    def _put(self, index: int, where: str, into: Chunk, key: str, value: Any) -> None:
        """Join pieces of text; of anything else the last one that is not null counts."""
        if key in self._FRAGMENTS and isinstance(value, str):
            into[key] = ""
            self._fragments.setdefault((index, where, key), []).append(value)
        elif value is not None or key not in into:
            into[key] = value

    def answer(self, *, strict: bool) -> Chunk:
        """Give the completion."""
        top = dict(self._top)
        if str(top.get("object", "")).endswith(".chunk"):
            top["object"] = top["object"].removesuffix(".chunk")
        return {**top, "choices": [self._choice(index) for index in sorted(self._choices)]}

    def _choice(self, index: int) -> Chunk:
        choice = dict(self._choices[index])
        if "message" in choice:
            choice["message"] = dict(choice["message"])
        for (number, where, key), pieces in self._fragments.items():
            if number == index:
                (choice if where == "choice" else choice["message"])[key] = "".join(pieces)
        if calls := self._calls.get(index):
            choice["message"]["tool_calls"] = [calls[number] for number in sorted(calls)]
        elif "message" in choice and choice["message"].get("tool_calls", 0) is None:
            del choice["message"]["tool_calls"]
        return choice


def _extend(into: Chunk, key: str, given: Mapping[str, Any]) -> None:
    """Join the lists of two mappings; of anything else the last one counts."""
    found = into.get(key)
    known = dict(found) if isinstance(found, dict) else {}
    for name, value in given.items():
        both = isinstance(value, list) and isinstance(known.get(name), list)
        known[name] = [*known[name], *value] if both else value
    into[key] = known
