"""Decides when the stand-in calls a tool, and with what input.

- A forced choice (``any`` or a named tool) always calls.
- ``use tool NAME with {json}`` in the latest text of the user calls NAME with that input, or with one made
  from its schema where there is no ``with``. NAME need not be declared, so a test can ask for an unknown one,
  and for one that no tool can have, as models do (``functions.add``, ``$READFILE``, of any length); so the
  input may be a JSON array or a string, which is none for a tool.
- Several of these joined by ``and`` are called in one turn, joined by ``then`` one turn after the other.
- ``use tool NAME forever`` calls it again at each turn.
- Otherwise a declared tool whose name (``get_weather`` or ``get weather``) the text mentions is called once.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.bedrock import schema
from airflow_provider_aiml.local_aws.bedrock.conversation import (
    Block,
    Conversation,
    Tool,
    block_text,
    digest,
    message_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["call_tools", "result_reports"]

_USE = re.compile(
    r"\buse (?:the )?tool [\"'`]?(?P<name>[$A-Za-z0-9_-]+(?:[.:/]+[$A-Za-z0-9_-]+)*)[\"'`]?"
    r"(?P<with>\s+with\s+(?=[\[{\"]))?",
    re.I,
)


_Call = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class _Wish:
    name: str
    input: Any
    forever: bool
    after: bool


def call_tools(conversation: Conversation) -> list[Block]:
    """Return the ``toolUse`` blocks of the next answer; none if it calls no tool."""
    if not conversation.tools:
        return []
    text, made = _latest_question(conversation)
    names = _forced(conversation, text)
    if names:
        calls: list[_Call] = [(name, None) for name in names]
    else:
        calls = _wished(text, made) or _mentioned(conversation, text, made)
    return [
        _block(conversation, number, name, _input(conversation, name, given, text))
        for number, (name, given) in enumerate(calls)
    ]


def _latest_question(conversation: Conversation) -> tuple[str, int]:
    """Return the user's latest text and how many turns of the model followed it."""
    turns = 0
    for message in reversed(conversation.messages):
        if message["role"] == "assistant":
            turns += 1
        elif message["role"] == "user" and (text := message_text(message)):
            return text, turns
    return "", turns


def _forced(conversation: Conversation, text: str) -> list[str]:
    choice = conversation.tool_choice
    if choice.startswith("tool:"):
        return [choice.removeprefix("tool:")]
    if choice != "any":
        return []
    declared = [tool.name for tool in conversation.tools]
    named = [wish.name for wish in _wishes(text)]
    return [next((name for name in named if name in declared), declared[0])]


def _wishes(text: str) -> Iterator[_Wish]:
    end = 0
    for found in _USE.finditer(text):
        between = text[end : found.start()]
        given, end = None, found.end()
        if found["with"]:
            try:
                given, end = json.JSONDecoder().raw_decode(text, found.end())
            except ValueError:
                given = None
        forever = text[end:].lstrip().lower().startswith("forever")
        yield _Wish(found["name"], given, forever, after=re.search(r"\bthen\b", between, re.I) is not None)


def _wished(text: str, made: int) -> list[_Call]:
    groups: list[list[_Wish]] = []
    for wish in _wishes(text):
        if wish.after or not groups:
            groups.append([wish])
        else:
            groups[-1].append(wish)
    if not groups:
        return []
    wanted = groups[min(made, len(groups) - 1)]
    return [(wish.name, wish.input) for wish in wanted if made < len(groups) or wish.forever]


def _mentioned(conversation: Conversation, text: str, made: int) -> list[_Call]:
    if made or _USE.search(text):
        return []
    said = text.casefold()
    for tool in conversation.tools:
        name = tool.name.casefold()
        if any(
            re.search(rf"(?<!\w){re.escape(form)}(?!\w)", said) for form in (name, name.replace("_", " "))
        ):
            return [(tool.name, None)]
    return []


def _input(conversation: Conversation, name: str, given: Any, text: str) -> Any:
    if given is not None:
        return given
    tool = next((tool for tool in conversation.tools if tool.name == name), Tool(name, {}))
    return schema.fit({"type": "object", **tool.schema}, text)


def _block(conversation: Conversation, number: int, name: str, arguments: Any) -> Block:
    key = digest("tool", conversation.messages, number, name)
    return {"toolUse": {"toolUseId": f"tooluse_{key[:22]}", "name": name, "input": arguments}}


def result_reports(conversation: Conversation) -> list[str]:
    """Say what each tool answered whose results stand in the latest message."""
    if not conversation.messages:
        return []
    names = {
        block["toolUse"]["toolUseId"]: block["toolUse"]["name"]
        for message in conversation.turns("assistant")
        for block in message["content"]
        if "toolUse" in block
    }
    reports = []
    for block in conversation.messages[-1]["content"]:
        if result := block.get("toolResult"):
            verb = "failed" if result.get("status") == "error" else "answered"
            name = names.get(result["toolUseId"], result["toolUseId"])
            reports.append(f"The tool {name} {verb}: {block_text(block)}")
    return reports
