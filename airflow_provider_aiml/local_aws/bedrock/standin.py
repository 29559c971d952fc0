"""The model that stands in for all of Bedrock's: deterministic, and says in each answer what it is.

What it can do, each so that a test or a demo can see that something arrived:

- It counts the user's turns and quotes the beginning of the latest text.
- It remembers: after ``My name is Ada`` it answers ``What is my name?``, for any ``my … is …``.
- It reads documents and images: ``line 2 of document-1`` is quoted, and cited where the document's citations
  are enabled; every new one is reported.
- ``Write 500 words`` gives 500 words, ``Say "…"`` gives what is quoted and nothing else.
- It calls tools (:mod:`.tools`) and fits JSON schemas (:mod:`.schema`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from airflow_provider_aiml.local_aws.bedrock import schema, tokens, tools
from airflow_provider_aiml.local_aws.bedrock.citing import citation, with_citations
from airflow_provider_aiml.local_aws.bedrock.conversation import (
    Answer,
    Block,
    Conversation,
    digest,
    message_text,
)
from airflow_provider_aiml.local_aws.bedrock.documents import (
    Document,
    GetObject,
    measure_image,
    read_document,
    source_bytes,
)

__all__ = ["answer"]

_QUOTED = 200
_MOST_WORDS = 1_000_000
_WORDS = ("the", "stand-in", "writes", "many", "plain", "words", "so", "that", "a", "stream", "has", "length")
_FACT = re.compile(r"\bmy ([a-z][a-z ]{0,40}?) is (?!what\b)([^.!?\n]{1,80})", re.I)
_QUESTION = re.compile(r"\bwhat(?:'s| is) my ([a-z][a-z ]{0,40}?)\s*\?", re.I)
_LINE = re.compile(
    r"\bline (\d{1,9}) of (?:the )?[\"'`]?([\w()\[\]-]+(?: [\w()\[\]-]+)*?)[\"'`]?(?=[\s,.;:?!]|$)", re.I
)
_SAY = re.compile(r'\A\s*say "(.*)"\s*\Z', re.I | re.DOTALL)
_WRITE = re.compile(r"\bwrite (\d{1,9}) words\b", re.I)


def answer(conversation: Conversation, get_object: GetObject | None = None) -> Answer:
    """Answer *conversation*.

    :param conversation: what is asked.
    :param get_object: reads documents and images that lie in S3.
    :raises ApiError: ``ValidationException`` for a document or a schema that cannot be read.
    """
    reader = _Reader(conversation, get_object)
    calls = tools.call_tools(conversation)
    if calls:
        text, stop_reason, stopped_by = "", "tool_use", None
    else:
        text, stop_reason, stopped_by = _limited(conversation, _text(conversation, reader))
    blocks: list[Block] = [_reasoning(conversation)] if conversation.reasoning else []
    blocks += with_citations(text, reader.cited)
    blocks += calls
    written = tokens.count(text) + sum(
        tokens.count(json.dumps(call["toolUse"]["input"])) + 8 for call in calls
    )
    return Answer(blocks, stop_reason, conversation.input_tokens(), written, stopped_by)


def _limited(conversation: Conversation, text: str) -> tuple[str, str, str | None]:
    """Cut *text* at the first stop sequence or at the token limit, whichever comes first."""
    short, cut_off = tokens.cut(text, conversation.max_tokens)
    hits = [(short.find(stop), stop) for stop in conversation.stop_sequences if stop and stop in short]
    if hits:
        at, stop = min(hits)
        return short[:at], "stop_sequence", stop
    return short, "max_tokens" if cut_off else "end_turn", None


def _reasoning(conversation: Conversation) -> Block:
    said = {"text": f"The stand-in does not reason. It looks at {len(conversation.messages)} message(s)."}
    if conversation.signs:
        said["signature"] = digest("reasoning", conversation.messages)[:32]
    return {"reasoningContent": {"reasoningText": said}}


def _text(conversation: Conversation, reader: _Reader) -> str:
    latest = message_text(conversation.messages[-1]) if conversation.messages else ""
    if conversation.schema is not None:
        asked = (conversation.user_texts() or [""])[-1]
        return json.dumps(schema.fit(conversation.schema, asked), ensure_ascii=False)
    if said := _SAY.match(latest):
        return said[1]
    if (wanted := _WRITE.search(latest)) and int(wanted[1]) <= _MOST_WORDS:
        return " ".join(_WORDS[number % len(_WORDS)] for number in range(int(wanted[1])))
    return " ".join(
        sentence for skill in _SKILLS for sentence in skill(conversation, reader, latest) if sentence
    )


class _Reader:
    """Reads the documents and images of a conversation once."""

    def __init__(self, conversation: Conversation, get_object: GetObject | None) -> None:
        self._get_object = get_object
        self.documents: list[Document] = []
        self.new_reports: list[str] = []
        self.cited: dict[str, dict[str, Any]] = {}
        last = len(conversation.messages) - 1
        for number, message in enumerate(conversation.messages):
            for block in _flat(list(message["content"])):
                report = self._read(block)
                if report and number == last:
                    self.new_reports.append(report)

    def _read(self, block: Block) -> str | None:
        if "document" in block:
            document = read_document(block["document"], self._get_object)
            self.documents.append(document)
            return document.report()
        if "image" in block:
            image = measure_image(source_bytes(block["image"]["source"], self._get_object))
            return image.report() if image else f"image ({block['image']['format']}): unreadable"
        return None


def _flat(blocks: list[Block]) -> list[Block]:
    inside = [part for block in blocks for part in block.get("toolResult", {}).get("content", [])]
    return blocks + inside


def _introduction(conversation: Conversation, reader: _Reader, latest: str) -> list[str]:
    turn = max(1, len(conversation.user_texts()))
    said = f"I am the local stand-in for {conversation.model}, not a real model. This is turn {turn}."
    told = "".join(conversation.system)
    return [said, f'My instructions begin: "{_short(told, 80)}".' if told else ""]


def _memory(conversation: Conversation, reader: _Reader, latest: str) -> list[str]:
    facts = {
        name.casefold(): value.strip()
        for text in conversation.user_texts()
        for name, value in _FACT.findall(text)
    }
    return [
        f"Your {name} is {facts[name.casefold()]}."
        if name.casefold() in facts
        else f"I was not told your {name}."
        for name in _QUESTION.findall(latest)
    ]


def _tool_results(conversation: Conversation, reader: _Reader, latest: str) -> list[str]:
    return tools.result_reports(conversation)


def _documents(conversation: Conversation, reader: _Reader, latest: str) -> list[str]:
    return [f"I read {report}." for report in reader.new_reports]


def _lines(conversation: Conversation, reader: _Reader, latest: str) -> list[str]:
    by_name = {document.name: (place, document) for place, document in enumerate(reader.documents)}
    said = []
    for number, name in _LINE.findall(latest):
        if name in by_name:
            place, document = by_name[name]
            at = int(number) - 1
            there = 0 <= at < len(document.lines)
            quoted = f'reads: "{document.lines[at]}"' if there else "does not exist"
            said.append(f"Line {number} of {name} {quoted}.")
            if there and document.cited:
                reader.cited[said[-1]] = citation(document, place, at)
    return said


def _echo(conversation: Conversation, reader: _Reader, latest: str) -> list[str]:
    return [f'You said: "{_short(latest, _QUOTED)}"' if latest else ""]


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


_Skill = Callable[[Conversation, _Reader, str], list[str]]
_SKILLS: tuple[_Skill, ...] = (_introduction, _memory, _tool_results, _documents, _lines, _echo)
