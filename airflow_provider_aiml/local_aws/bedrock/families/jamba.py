"""AI21 Jamba: chat completions.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-jamba.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.bedrock import tokens
from airflow_provider_aiml.local_aws.bedrock.bodies import check_body, schema_of
from airflow_provider_aiml.local_aws.bedrock.conversation import Answer, Block, Conversation, Tool, digest
from airflow_provider_aiml.local_aws.bedrock.refusals import invalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_aiml.local_aws.bedrock.families.family import Body
    from airflow_provider_aiml.local_aws.bedrock.model_ids import Model

__all__ = ["chunks", "read", "write"]

_MESSAGE = schema_of(
    "role",
    extra=True,
    role={"type": "string", "enum": ["system", "user", "assistant", "tool"]},
    content={"type": "string"},
    tool_call_id={"type": "string"},
    tool_calls={"type": "array", "items": {"type": "object"}},
)
_BODY = schema_of(
    "messages",
    extra=True,
    messages={"type": "array", "minItems": 1, "items": _MESSAGE},
    max_tokens={"type": "integer", "minimum": 1, "maximum": 4096},
    temperature={"type": "number", "minimum": 0, "maximum": 2},
    top_p={"type": "number", "minimum": 0, "maximum": 1},
    stop={"type": ["string", "array"], "items": {"type": "string"}},
    n={"type": "integer", "minimum": 1, "maximum": 16},
    frequency_penalty={"type": "number"},
    presence_penalty={"type": "number"},
    tools={"type": "array", "items": schema_of("type function", extra=True, function={"type": "object"})},
    response_format=schema_of("type", type={"type": "string", "enum": ["text", "json_object"]}),
)
_JSON_ANSWER = {"type": "object", "properties": {"answer": {"type": "string"}}}
_STOPS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}


def read(model: Model, body: Body) -> Conversation:
    """Check *body* and translate it.

    :raises ApiError: ``ValidationException``.
    """
    check_body(body, _BODY)
    stop = body.get("stop", [])
    messages = list(_messages(body["messages"]))
    if not messages or messages[-1]["role"] != "user":
        raise invalid("The last message must have the role user or tool.")
    if body.get("tools") and not model.can("tools"):
        raise invalid("This model doesn't support tool use.")
    wants_json = body.get("response_format", {}).get("type") == "json_object"
    return Conversation(
        model=model.name,
        messages=messages,
        system=[m.get("content", "") for m in body["messages"] if m["role"] == "system"],
        max_tokens=body.get("max_tokens", 4096),
        stop_sequences=[stop] if isinstance(stop, str) else stop,
        tools=[
            Tool(str(tool["function"].get("name")), tool["function"].get("parameters", {}))
            for tool in body.get("tools", [])
        ],
        schema=_JSON_ANSWER if wants_json else None,
    )


def _messages(messages: list[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for message in messages:
        content: list[Block] = [{"text": message["content"]}] if message.get("content") else []
        if message["role"] == "tool":
            result = {"toolUseId": message.get("tool_call_id", ""), "content": content}
            yield {"role": "user", "content": [{"toolResult": result}]}
        elif message["role"] == "assistant":
            yield {
                "role": "assistant",
                "content": content + [_tool_use(c) for c in message.get("tool_calls", [])],
            }
        elif message["role"] == "user":
            yield {"role": "user", "content": content}


def _tool_use(call: Mapping[str, Any]) -> Block:
    function = call.get("function", {})
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except ValueError:
        raise invalid("The arguments of a tool call are not JSON.") from None
    return {
        "toolUse": {"toolUseId": call.get("id", ""), "name": function.get("name", ""), "input": arguments}
    }


def _tool_calls(answer: Answer) -> list[dict[str, Any]]:
    uses = [block["toolUse"] for block in answer.blocks if "toolUse" in block]
    return [
        {
            "id": use["toolUseId"],
            "type": "function",
            "function": {"name": use["name"], "arguments": json.dumps(use["input"])},
        }
        for use in uses
    ]


def _usage(answer: Answer, choices: int = 1) -> dict[str, int]:
    written = answer.output_tokens * choices
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": written,
        "total_tokens": answer.input_tokens + written,
    }


def _id(conversation: Conversation) -> str:
    return f"chatcmpl-{digest(conversation.model, conversation.messages)[:32]}"


def write(conversation: Conversation, answer: Answer, body: Body) -> dict[str, Any]:
    """Write the response's body, with as many choices as ``n`` says."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if calls := _tool_calls(answer):
        message["tool_calls"] = calls
    reason = _STOPS.get(answer.stop_reason, answer.stop_reason)
    choices = body.get("n", 1)
    return {
        "id": _id(conversation),
        "choices": [
            {"index": index, "message": message, "finish_reason": reason} for index in range(choices)
        ],
        "usage": _usage(answer, choices),
        "meta": {"requestDurationMillis": 20 + answer.output_tokens},
        "model": conversation.model,
    }


def chunks(conversation: Conversation, answer: Answer, size: int) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a stream: role, pieces of text, tool calls, finish reason with usage."""

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {"id": _id(conversation), "choices": [choice], "model": conversation.model}

    yield chunk({"role": "assistant", "content": ""})
    for piece in tokens.pieces(answer.text, size):
        yield chunk({"content": piece})
    if calls := _tool_calls(answer):
        yield chunk({"tool_calls": [{"index": number, **call} for number, call in enumerate(calls)]})
    yield chunk({}, _STOPS.get(answer.stop_reason, answer.stop_reason)) | {"usage": _usage(answer)}
