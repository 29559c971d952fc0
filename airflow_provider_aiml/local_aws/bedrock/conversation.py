"""What the stand-in is asked and what it answers, whatever shape the request had.

Messages are Converse's own (``{"role", "content": [blocks]}``), as the service model names them; each family
translates its body into them and the answer back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_aiml.local_aws.bedrock import tokens

__all__ = ["Answer", "Block", "Conversation", "Message", "Tool", "block_text", "digest", "message_text"]

Block = dict[str, Any]
"""A Converse content block."""
Message = Mapping[str, Any]
"""A Converse message."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool which the model may call: its name and the JSON schema of its input."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A request to the stand-in model.

    :param model: the model's name.
    :param messages: Converse messages, oldest first.
    :param system: the system prompts.
    :param max_tokens: the most tokens that the answer may have.
    :param stop_sequences: strings that end the answer.
    :param tools: the tools that may be called.
    :param tool_choice: ``"auto"``, ``"any"``, or ``"tool:<name>"``.
    :param schema: the JSON schema that the answer must fit.
    :param reasoning: whether a reasoning block comes first.
    :param signs: whether it has a signature, as Claude's alone has.
    """

    model: str
    messages: Sequence[Message]
    system: Sequence[str] = ()
    max_tokens: int = 4096
    stop_sequences: Sequence[str] = ()
    tools: Sequence[Tool] = ()
    tool_choice: str = "auto"
    schema: Mapping[str, Any] | None = None
    reasoning: bool = False
    signs: bool = True

    def turns(self, role: str) -> list[Message]:
        """Return the messages of *role*, oldest first."""
        return [message for message in self.messages if message["role"] == role]

    def user_texts(self) -> list[str]:
        """Return the text of each user message that has some, oldest first."""
        return [text for message in self.turns("user") if (text := message_text(message))]

    def input_tokens(self) -> int:
        """Count the tokens of the system prompts, the messages and the tools."""
        said = sum(tokens.count(text) for text in self.system)
        said += sum(tokens.count(block_text(block)) for m in self.messages for block in m["content"])
        return said + sum(tokens.count(json.dumps([tool.name, tool.schema])) for tool in self.tools)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the stand-in answered.

    :param blocks: Converse content blocks.
    :param stop_reason: Converse's stop reason.
    :param input_tokens: tokens read.
    :param output_tokens: tokens written.
    :param stop_sequence: the stop sequence that ended the answer.
    """

    blocks: list[Block]
    stop_reason: str
    input_tokens: int
    output_tokens: int
    stop_sequence: str | None = None

    @property
    def text(self) -> str:
        """The text blocks and the cited ones, joined."""
        said = (block_text(block) for block in self.blocks if "text" in block or "citationsContent" in block)
        return "".join(said)

    @property
    def total_tokens(self) -> int:
        """Tokens read and written."""
        return self.input_tokens + self.output_tokens


def block_text(block: Mapping[str, Any]) -> str:
    """Return what of *block* counts as text for the tokenizer: texts as they are, the rest in brief."""
    if "text" in block:
        return str(block["text"])
    if "guardContent" in block:
        return str(block["guardContent"].get("text", {}).get("text", ""))
    if "toolUse" in block:
        return json.dumps(block["toolUse"].get("input", {}), default=repr)
    if "toolResult" in block:
        return "".join(_result_text(part) for part in block["toolResult"].get("content", []))
    if "reasoningContent" in block:
        return str(block["reasoningContent"].get("reasoningText", {}).get("text", ""))
    if "citationsContent" in block:
        return "".join(part.get("text", "") for part in block["citationsContent"].get("content", []))
    if "document" in block:
        return _source_text(block["document"])
    if "image" in block:
        return "image " * 64
    return ""


def _result_text(part: Mapping[str, Any]) -> str:
    return json.dumps(part["json"], default=repr) if "json" in part else block_text(part)


def _source_text(document: Mapping[str, Any]) -> str:
    source = document["source"]
    if "bytes" in source:
        return bytes(source["bytes"]).decode("utf-8", "replace")
    return str(source.get("text", ""))


def message_text(message: Message) -> str:
    """Return the text and guarded text of *message*, one block a line."""
    said = [block_text(block) for block in message["content"] if "text" in block or "guardContent" in block]
    return "\n".join(text for text in said if text)


def digest(*parts: Any) -> str:
    """Return a digest of JSON-like *parts*: the same question always gets the same ids."""
    data = json.dumps(parts, sort_keys=True, default=repr)
    return hashlib.sha256(data.encode()).hexdigest()
