"""How each model family streams through InvokeModelWithResponseStream, and what InvokeModel would answer.

The chunks of a stream are JSON objects in the family's own shape, and they, not the model's id, tell which
family it is: an id may be the ARN of a profile or a prompt. A family takes chunks one by one, so that an
answer of a hundred thousand chunks does not stay in memory as such.
"""

from __future__ import annotations

from typing import Any, ClassVar

from airflow_provider_aiml.exceptions import ModelFailedError, ResponseError
from airflow_provider_aiml.inference.stream_choices import Choices
from airflow_provider_aiml.inference.stream_converse import ConverseAssembly
from airflow_provider_aiml.inference.stream_family import (
    WHOLE,
    Chunk,
    StreamFamily,
    text_piece,
    tool_input,
)

__all__ = ["family_of_chunk"]


class Claude(StreamFamily):
    """Anthropic's Messages API.

    https://docs.anthropic.com/en/docs/build-with-claude/streaming
    """

    name = "Anthropic Claude"
    _PIECES: ClassVar[dict[str, tuple[str, str]]] = {
        "text_delta": ("text", "text"),
        "thinking_delta": ("thinking", "thinking"),
        "signature_delta": ("signature", "signature"),
        "input_json_delta": ("partial_json", "input"),
        "citations_delta": ("citation", "citations"),
    }
    """For each type of delta, the member that holds the piece and the block's member that it belongs to."""

    def __init__(self) -> None:
        self._message: Chunk = {}
        self._blocks: dict[int, Chunk] = {}
        self._pieces: dict[int, dict[str, list[Any]]] = {}
        self._stopped = False

    @classmethod
    def speaks(cls, chunk: Chunk) -> bool:
        """Tell by the first event of every message."""
        return chunk.get("type") == "message_start"

    @property
    def finished(self) -> bool:
        """Tell by the last event of every message."""
        return self._stopped

    def add(self, chunk: Chunk) -> None:
        """Take the next event."""
        kind = chunk.get("type")
        if kind == "message_start":
            self._message = dict(chunk["message"])
        elif kind == "content_block_start":
            self._begin_block(chunk["index"], chunk["content_block"])
        elif kind == "content_block_delta":
            self._add_delta(chunk["index"], chunk["delta"])
        elif kind == "message_delta":
            self._add_end(chunk)
        elif kind == "message_stop":
            self._stopped = True
        elif kind == "error":
            told = chunk.get("error") or {}
            raise ModelFailedError("The model failed within its stream", code=str(told.get("type", "error")))
        elif kind not in ("content_block_stop", "ping"):
            raise ResponseError(f"The stream of {self.name} holds an event that is not known: {kind}")

    def _begin_block(self, index: int, block: Chunk) -> None:
        if index in self._blocks:
            raise ResponseError(f"The stream of {self.name} begins a content block twice")
        self._blocks[index] = dict(block)

    def _add_delta(self, index: int, delta: Chunk) -> None:
        kind = delta.get("type")
        if kind not in self._PIECES:
            raise ResponseError(f"The stream of {self.name} holds a delta that is not known: {kind}")
        if index not in self._blocks:
            raise ResponseError(
                f"The stream of {self.name} holds a delta of a content block that did not begin"
            )
        member, target = self._PIECES[kind]
        piece = delta[member] if target == "citations" else text_piece(delta[member])
        self._pieces.setdefault(index, {}).setdefault(target, []).append(piece)

    def _add_end(self, chunk: Chunk) -> None:
        rest = {key: value for key, value in chunk.items() if key not in ("type", "delta", "usage")}
        usage = {**(self._message.get("usage") or {}), **(chunk.get("usage") or {})}
        self._message.update({**rest, **(chunk.get("delta") or {}), "usage": usage})

    def answer(self, *, strict: bool) -> Chunk:
        """Give the message."""
        strict = strict and self._message.get("stop_reason") in WHOLE
        content = [self._block(index, strict) for index in sorted(self._blocks)]
        return {**self._message, "content": content}

    def _block(self, index: int, strict: bool) -> Chunk:
        block = dict(self._blocks[index])
        for member, pieces in self._pieces.get(index, {}).items():
            if member == "input":
                block["input"] = tool_input("".join(pieces), strict=strict)
            elif member == "citations":
                block["citations"] = [*(block.get("citations") or []), *pieces]
            else:
                block[member] = (block.get(member) or "") + "".join(pieces)
        return block


class Nova(StreamFamily):
    """Amazon Nova: ConverseStream's events, each an object with one key.

    https://docs.aws.amazon.com/nova/latest/userguide/using-invoke-api.html
    """

    name = "Amazon Nova"

    def __init__(self) -> None:
        self._assembly = ConverseAssembly(self.name)
        self._stop_reason: str | None = None

    @classmethod
    def speaks(cls, chunk: Chunk) -> bool:
        """Tell by the first event of every message."""
        return "messageStart" in chunk

    @property
    def finished(self) -> bool:
        """Tell whether a stop reason has come; the metadata behind it may lack."""
        return self._stop_reason is not None

    def add(self, chunk: Chunk) -> None:
        """Take the next event."""
        self._assembly.add(chunk)
        if "messageStop" in chunk:
            self._stop_reason = str(chunk["messageStop"].get("stopReason"))

    def answer(self, *, strict: bool) -> Chunk:
        """Give the message, its stop reason and usage; metrics and trace are the stream's alone."""
        whole = self._assembly.result(counted=False) if strict else self._assembly.partial()
        return {key: value for key, value in whole.items() if key not in ("metrics", "trace")}


class _Plain(StreamFamily):
    """A family whose chunks hold a piece of text and, at last, the counts and the reason to stop."""

    text: ClassVar[str]
    reason: ClassVar[str]

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._facts: Chunk = {}

    @property
    def finished(self) -> bool:
        """Tell whether there is a reason to stop."""
        return bool(self._facts.get(self.reason))

    def add(self, chunk: Chunk) -> None:
        """Take the next chunk; of all but its text, what is not null counts."""
        for key, value in chunk.items():
            if key == self.text:
                self._texts.append(text_piece(value))
            elif value is not None or key not in self._facts:
                self._facts[key] = value


class Llama(_Plain):
    """Meta Llama.

    https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-meta.html
    """

    name = "Meta Llama"
    text = "generation"
    reason = "stop_reason"

    @classmethod
    def speaks(cls, chunk: Chunk) -> bool:
        """Tell by the member of the text."""
        return "generation" in chunk

    def answer(self, *, strict: bool) -> Chunk:
        """Give text, counts and reason."""
        return {"generation": "".join(self._texts), **self._facts}


class Titan(_Plain):
    """Amazon Titan Text.

    https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-text.html
    """

    name = "Amazon Titan Text"
    text = "outputText"
    reason = "completionReason"
    _OF_RESULT: ClassVar[dict[str, str]] = {
        "totalOutputTextTokenCount": "tokenCount",
        "completionReason": "completionReason",
    }

    @classmethod
    def speaks(cls, chunk: Chunk) -> bool:
        """Tell by the member of the text."""
        return "outputText" in chunk

    def answer(self, *, strict: bool) -> Chunk:
        """Give the one result, and what belongs to the whole beside it."""
        facts = {key: value for key, value in self._facts.items() if key != "index"}
        result = {ours: facts.pop(theirs) for theirs, ours in self._OF_RESULT.items() if theirs in facts}
        return {**facts, "results": [{"outputText": "".join(self._texts), **result}]}


class Mistral(StreamFamily):
    """Mistral's text completions.

    https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-mistral-text-completion.html
    """

    name = "Mistral text completion"

    def __init__(self) -> None:
        self._texts: dict[int, list[str]] = {}
        self._reasons: dict[int, Any] = {}
        self._facts: Chunk = {}

    @classmethod
    def speaks(cls, chunk: Chunk) -> bool:
        """Tell by the list of outputs."""
        outputs = chunk.get("outputs")
        return isinstance(outputs, list) and all(
            isinstance(output, dict) and "text" in output for output in outputs
        )

    @property
    def finished(self) -> bool:
        """Tell whether each output has its reason to stop."""
        return bool(self._reasons) and all(self._reasons.values())

    def add(self, chunk: Chunk) -> None:
        """Take the next chunk."""
        for index, output in enumerate(chunk.get("outputs", [])):
            self._texts.setdefault(index, []).append(text_piece(output["text"]))
            self._reasons[index] = output.get("stop_reason") or self._reasons.get(index)
        self._facts.update({key: value for key, value in chunk.items() if key != "outputs"})

    def answer(self, *, strict: bool) -> Chunk:
        """Give the outputs."""
        outputs = [
            {"text": "".join(texts), "stop_reason": self._reasons[index]}
            for index, texts in self._texts.items()
        ]
        return {**self._facts, "outputs": outputs}


class Cohere(StreamFamily):
    """Cohere Command R: its last event repeats the whole answer.

    https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-cohere-command-r-plus.html
    """

    name = "Cohere Command R"

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._whole: Chunk | None = None

    @classmethod
    def speaks(cls, chunk: Chunk) -> bool:
        """Tell by the type that each event has."""
        return "event_type" in chunk

    @property
    def finished(self) -> bool:
        """Tell whether the whole answer has come."""
        return self._whole is not None

    def add(self, chunk: Chunk) -> None:
        """Take the next event."""
        if chunk.get("event_type") == "stream-end":
            self._whole = dict(chunk.get("response") or {})
            self._whole.setdefault("finish_reason", chunk.get("finish_reason"))
        elif isinstance(chunk.get("text"), str):
            self._texts.append(chunk["text"])

    def answer(self, *, strict: bool) -> Chunk:
        """Give the whole answer, or the text that came."""
        return self._whole or {"text": "".join(self._texts)}


FAMILIES: tuple[type[StreamFamily], ...] = (Claude, Nova, Cohere, Choices, Titan, Llama, Mistral)


def family_of_chunk(chunk: Chunk) -> StreamFamily | None:
    """Begin the answer of the family to which a stream's first chunk belongs; None where it is not known."""
    return next((family() for family in FAMILIES if family.speaks(chunk)), None)
