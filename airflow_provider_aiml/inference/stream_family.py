"""What a model family is to the re-assembly of a stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final

from airflow_provider_aiml.exceptions import ResponseError
from airflow_provider_aiml.inference.json_text import MalformedError, from_json

__all__ = ["MISSHAPEN", "WHOLE", "Chunk", "StreamFamily", "text_piece", "tool_input"]

WHOLE: Final = frozenset({"tool_use", "end_turn", "stop_sequence"})
"""Stop reasons that promise a whole answer; with any other the input of a tool may end anywhere."""

MISSHAPEN: Final = (KeyError, TypeError, AttributeError, ValueError, RecursionError)
"""What Python raises over a stream that is not as its model writes it."""

Chunk = dict[str, Any]


class StreamFamily(ABC):
    """One family's answer as it comes."""

    name: ClassVar[str]

    @classmethod
    @abstractmethod
    def speaks(cls, chunk: Chunk) -> bool:
        """Tell whether a stream that begins with this chunk is of the family."""

    @abstractmethod
    def add(self, chunk: Chunk) -> None:
        """Take the next chunk.

        :raises ResponseError: it holds something that is not known.
        """

    @abstractmethod
    def answer(self, *, strict: bool) -> Chunk:
        """Give the body that InvokeModel would have answered.

        :param strict: whether what is unfinished is an error; else it is kept as it came.
        """

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Tell whether the model said that it is done."""


def text_piece(value: Any) -> str:
    """Read a piece of text; null is an empty one.

    :raises TypeError: it is no text.
    """
    if value is None or isinstance(value, str):
        return value or ""
    raise TypeError


def tool_input(text: str, *, strict: bool) -> Any:
    """Read a tool's input, which came as pieces of JSON; without any it is an empty object.

    :param strict: whether input that is not JSON is an error; else its text is kept.
    :raises ResponseError: it is not JSON.
    """
    try:
        return from_json(text) if text else {}
    except MalformedError as error:
        if strict:
            raise ResponseError(f"The input that the stream gives to a tool is {error}") from None
        return text
