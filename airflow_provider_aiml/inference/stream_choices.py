"""The stream of a model that speaks the shape of chat completions, and the completion that it amounts to.

The shape has no list of what may come in pieces, and models add to it. So what is not known to be joined must
say the same in each chunk: a second, other value would be a part of the answer that is lost, and is an error.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.exceptions import ResponseError
from airflow_provider_aiml.inference.stream_family import Chunk, StreamFamily

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Choices"]

_TEXTS = frozenset({"content", "text", "reasoning_content", "reasoning", "refusal", "thinking", "arguments"})
"""What comes in pieces: of text, or blocks of content."""

_LAST = frozenset({"finish_reason", "stop_reason", "role"})
"""Of these the last one that is not null counts."""


class _Pieces(list[Any]):
    """The pieces of a member that comes in pieces."""


class _Calls(dict[int, Chunk]):
    """The calls of tools by their number."""


class Choices(StreamFamily):
    """OpenAI's shape, which AI21 Jamba, Mistral's chat models, DeepSeek, Writer and others speak.

    https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-jamba.html
    """

    name = "chat completions"

    def __init__(self) -> None:
        self._top: Chunk = {}
        self._choices: dict[int, Chunk] = {}

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
        """Take the next chunk; of what stands beside the choices the last one that is not null counts."""
        for key, value in chunk.items():
            if key == "choices":
                for number, choice in enumerate(value):
                    self._add_choice(number, choice)
            elif value is not None or key not in self._top:
                self._top[key] = value

    def _add_choice(self, number: int, given: Chunk) -> None:
        choice = self._choices.setdefault(_index(given, number), {})
        for key, value in given.items():
            if key in ("delta", "message"):
                _merge(choice.setdefault("message", {}), value or {})
            else:
                _merge(choice, {key: value})

    def answer(self, *, strict: bool) -> Chunk:
        """Give the completion."""
        top = dict(self._top)
        if str(top.get("object", "")).endswith(".chunk"):
            top["object"] = top["object"].removesuffix(".chunk")
        return {**top, "choices": [_whole(self._choices[index]) for index in sorted(self._choices)]}


def _index(given: Chunk, number: int) -> int:
    """Give the number of a choice or call; one that does not say it has that of its place."""
    index = given.get("index")
    return number if index is None else int(index)


def _merge(into: Chunk, given: Mapping[str, Any]) -> None:
    """Add what a chunk says to what is known.

    :raises ResponseError: it says a second thing of what is not known to come in pieces.
    """
    for key, value in given.items():
        known = into.get(key)
        into[key] = known if value is None else _added(key, known, value)


def _added(key: str, known: Any, value: Any) -> Any:
    into = _begun(key, value) if known is None else known
    match into, value:
        case _Calls(), list():
            for number, call in enumerate(value):
                _merge(into.setdefault(_index(call, number), {}), call)
        case _Pieces(), str():
            into.append(value)
        case list(), list():
            into.extend(value)
        case dict(), dict():
            _merge(into, value)
        case _ if into in (None, "") or key in _LAST:
            return value
        case _ if value not in ("", into):
            raise ResponseError(
                f"The stream of {Choices.name} holds pieces of a member that is not known: {key}",
                hint="stream=False goes without",
            )
    return into


def _begun(key: str, value: Any) -> Any:
    """Give what takes a first value and those to come; None where there is one value only."""
    if isinstance(value, list) and key == "tool_calls":
        return _Calls()
    if isinstance(value, (str, list)) and key in _TEXTS:
        return _Pieces()
    return type(value)() if isinstance(value, (dict, list)) else None


def _whole(value: Any) -> Any:
    """Give a value as it is without a stream."""
    if isinstance(value, _Calls):
        calls = [value[number] for number in sorted(value)]
        return [_whole({key: said for key, said in call.items() if key != "index"}) for call in calls]
    if isinstance(value, _Pieces):
        return _joined(value)
    if isinstance(value, dict):
        return {key: _whole(said) for key, said in value.items() if said or key != "tool_calls"}
    return value


def _joined(pieces: list[Any]) -> Any:
    """Join pieces of text; where there are blocks of content too, text becomes blocks as well."""
    if pieces and all(isinstance(piece, str) for piece in pieces):
        return "".join(pieces)
    blocks = [
        {"type": "text", "text": piece} if isinstance(piece, str) else piece
        for piece in pieces
        if piece != ""
    ]
    return [block for kind, group in groupby(blocks, _kind) for block in _rejoined(kind, group)]


def _kind(block: Any) -> str | None:
    """Give the type of a block of which the next one goes on with the same; None of any other."""
    kind = block.get("type") if isinstance(block, dict) else None
    fits = kind in ("text", "thinking") and block.keys() == {"type", kind}
    return kind if fits and isinstance(block[kind], (str, list)) else None


def _rejoined(kind: str | None, blocks: Iterator[Any]) -> Iterator[Any]:
    if kind is None:
        yield from blocks
        return
    block: Chunk = {}
    for piece in blocks:
        _merge(block, piece)
    yield _whole(block)
