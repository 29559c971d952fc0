"""Asking for an answer of a given shape, in one of three ways, and reading it.

``native`` gives the schema in ``outputConfig``; ``tool`` forces the call of a tool whose input has the
schema; ``offer`` lets the model choose to call it. Which models know the first, and which can be forced
(AWS says Claude 3 and Nova; Claude cannot while it thinks), changes by the month, so there is no table of
them here: ``auto`` asks in this order, and goes on where Bedrock refuses a way, which costs nothing.

https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from airflow_provider_aiml.exceptions import Problem, RequestError
from airflow_provider_aiml.inference.closed_schema import closed
from airflow_provider_aiml.inference.conversation import message_text
from airflow_provider_aiml.inference.output_schema import MisfitError, OutputSchema
from airflow_provider_aiml.inference.tool_calls import client_uses, with_tools

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ANSWER_TOOL",
    "Mode",
    "SchemaMode",
    "answer_message",
    "correction",
    "modes_left",
    "modes_of",
    "read_answer",
    "with_schema",
]

Mode: TypeAlias = Literal["native", "tool", "offer"]
SchemaMode: TypeAlias = Literal["auto", "native", "tool"]
ANSWER_TOOL: Final = "give_answer"
"""The tool whose input is the answer."""
_BY_TOOL: Final[tuple[Mode, ...]] = ("tool", "offer")
_ASKS: Final = "Give your answer by calling this tool, once, alone, with the whole answer as its input."


def modes_of(mode: SchemaMode, native: bool) -> tuple[Mode, ...]:
    """Give the ways to ask, in their order.

    :param mode: what the task's author wants.
    :param native: whether this botocore knows ``outputConfig``.
    """
    if mode == "native":
        return (mode,)
    return ("native", *_BY_TOOL) if native and mode == "auto" else _BY_TOOL


def modes_left(mode: Mode) -> tuple[Mode, ...]:
    """Give the ways that are left once the service took one.

    Beside other tools the answer's is forced by a correction at the earliest, so that may still be refused.

    :param mode: how the turns so far asked.
    """
    return _BY_TOOL if mode == "tool" else (mode,)


def with_schema(
    request: Mapping[str, Any], schema: OutputSchema, mode: Mode, *, forced: bool = False
) -> dict[str, Any]:
    """Give a request that asks for an answer of the schema's shape.

    :param request: members of Converse by their snake_case names.
    :param schema: the shape.
    :param mode: how to ask.
    :param forced: force the answer's tool beside others, too, which are then not called any more.
    :raises RequestError: the request has a text format or an answer tool of its own.
    """
    if mode == "native":
        return {**request, "output_config": _output_config(request.get("output_config"), schema)}
    config = _tool_config(request.get("tool_config"), schema)
    others = [tool for tool in config["tools"] if "cachePoint" not in tool][:-1]
    if mode == "tool" and (forced or not others):
        config["toolChoice"] = {"tool": {"name": ANSWER_TOOL}}
    return {**request, "tool_config": config}


def _output_config(config: Any, schema: OutputSchema) -> dict[str, Any]:
    given = dict(config or {})
    if "textFormat" in given:
        problem = Problem("output_config.textFormat", "given beside output_schema", "one of them")
        raise RequestError("The arguments do not fit each other", problems=(problem,))
    definition = {"schema": json.dumps(closed(schema.asked)), "name": ANSWER_TOOL}
    if schema.description:
        definition["description"] = schema.description
    return {**given, "textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}


def _tool_config(config: Any, schema: OutputSchema) -> dict[str, Any]:
    """Add the answer tool behind the others."""
    tools = list((config or {}).get("tools") or [])
    if any((tool.get("toolSpec") or {}).get("name") == ANSWER_TOOL for tool in tools):
        problem = Problem("tools", f"one named {ANSWER_TOOL}", "another name beside output_schema")
        raise RequestError("The arguments do not fit each other", problems=(problem,))
    told = f"{schema.description}\n\n{_ASKS}" if schema.description else _ASKS
    spec = {"name": ANSWER_TOOL, "description": told, "inputSchema": {"json": schema.asked}}
    return {**(config or {}), "tools": with_tools(tools, [{"toolSpec": spec}])}


def read_answer(message: Mapping[str, Any], schema: OutputSchema, mode: Mode) -> Any:
    """Read the object out of the model's message.

    :param message: the message, with bytes as JSON or as they are.
    :param schema: the shape that it shall have.
    :param mode: how it was asked for.
    :raises MisfitError: there is none, or it does not fit.
    """
    if mode != "native":
        for use in _answer_uses(message):
            return schema.read(use.get("input"))
    text = message_text(message)
    if not text.strip():
        problem = Problem("$", "a message without text", "an answer of the schema's shape")
        raise MisfitError((problem,), "There is no answer.")
    return schema.read_text(text)


def correction(message: Mapping[str, Any], misfit: MisfitError, mode: Mode) -> list[dict[str, Any]]:
    """Give the content of the user's message that asks for a better answer: each call gets its result.

    :param message: the model's message.
    :param misfit: what is wrong with it.
    :param mode: how the answer was asked for.
    """
    by_tool = ", with the JSON alone" if mode == "native" else f" by calling {ANSWER_TOOL}"
    told = f"The answer does not fit its JSON schema:\n{misfit.told}\nGive the whole answer again{by_tool}."
    uses = client_uses(message)
    if not uses:
        return [{"text": told}]
    return [
        {"toolResult": {"toolUseId": use["toolUseId"], "content": [{"text": told}], "status": "error"}}
        for use in uses
    ]


def answer_message(message: Mapping[str, Any], answer: Any, mode: Mode) -> dict[str, Any]:
    """Give the model's message as a history keeps it: the answer tool's call becomes text, others go.

    Bedrock refuses a conversation in which a tool's call has no result, or its tool is not there any more.
    What it ran itself has its result beside it, and stays.
    """
    calls = client_uses(message)
    if mode == "native" or not calls:
        return dict(message)
    rest = [block for block in message["content"] if block.get("toolUse") not in calls]
    if not _answer_uses(message):
        return {**message, "content": rest}
    return {**message, "content": [*rest, {"text": json.dumps(answer, ensure_ascii=False)}]}


def _answer_uses(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    uses = [block["toolUse"] for block in message["content"] if "toolUse" in block]
    return [use for use in uses if use.get("name") == ANSWER_TOOL]
