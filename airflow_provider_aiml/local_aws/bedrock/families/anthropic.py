"""Anthropic Claude: the Messages API.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html
"""

from __future__ import annotations

import base64
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

_PART = schema_of("type", extra=True, type={"type": "string"})
_CONTENT = {"type": ["string", "array"], "items": _PART, "minItems": 1, "minLength": 1}
_MESSAGE = schema_of("role content", role={"type": "string", "enum": ["user", "assistant"]}, content=_CONTENT)
_TOOL = schema_of("name", extra=True, name={"type": "string"}, input_schema={"type": "object"})
_BODY = schema_of(
    "anthropic_version max_tokens messages",
    anthropic_version={"type": "string", "enum": ["bedrock-2023-05-31"]},
    anthropic_beta={"type": "array"},
    max_tokens={"type": "integer", "minimum": 1},
    messages={"type": "array", "minItems": 1, "items": _MESSAGE},
    metadata={"type": "object"},
    output_config={"type": "object"},
    stop_sequences={"type": "array", "items": {"type": "string"}},
    system={"type": ["string", "array"], "items": _PART},
    temperature={"type": "number", "minimum": 0, "maximum": 1},
    thinking=_PART,
    tool_choice=_PART,
    tools={"type": "array", "items": _TOOL},
    top_k={"type": "integer", "minimum": 0},
    top_p={"type": "number", "minimum": 0, "maximum": 1},
)
_STOPS = {
    "content_filtered": "refusal",
    "guardrail_intervened": "end_turn",
    "malformed_model_output": "end_turn",
    "malformed_tool_use": "end_turn",
}


def read(model: Model, body: Body) -> Conversation:
    """Check *body* and translate it.

    :raises ApiError: ``ValidationException``.
    """
    check_body(body, _BODY)
    if body["messages"][-1]["role"] != "user":
        raise invalid(
            "This model does not support assistant message prefill. "
            "The conversation must end with a user message."
        )
    system = body.get("system", [])
    choice = body.get("tool_choice", {"type": "auto"})
    kind = choice["type"]
    return Conversation(
        model=model.name,
        messages=[
            {"role": message["role"], "content": _blocks(message["content"], f"messages.{number}.content")}
            for number, message in enumerate(body["messages"])
        ],
        system=[system] if isinstance(system, str) else [str(part.get("text", "")) for part in system],
        max_tokens=body["max_tokens"],
        stop_sequences=body.get("stop_sequences", []),
        tools=[]
        if kind == "none"
        else [Tool(t["name"], t.get("input_schema", {})) for t in body.get("tools", [])],
        tool_choice=f"tool:{choice.get('name')}" if kind == "tool" else kind,
        reasoning=body.get("thinking", {}).get("type") == "enabled",
    )


def _blocks(content: str | list[Mapping[str, Any]], path: str) -> list[Block]:
    if isinstance(content, str):
        return [{"text": content}]
    return [_block(part, f"{path}.{number}") for number, part in enumerate(content)]


def _block(part: Mapping[str, Any], path: str) -> Block:
    try:
        return _translated(part, path)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise invalid(f"{path}: Input should be a valid {part['type']} block: {error}") from None


def _translated(part: Mapping[str, Any], path: str) -> Block:
    kind = part["type"]
    if kind == "text":
        return {"text": str(part["text"])}
    if kind == "image":
        return {"image": {"format": part["source"]["media_type"].partition("/")[2], "source": _source(part)}}
    if kind == "document":
        name = part.get("title") or path
        form = "pdf" if part["source"].get("media_type") == "application/pdf" else "txt"
        return {"document": {"name": name, "format": form, "source": _source(part)}}
    if kind == "tool_use":
        return {"toolUse": {"toolUseId": part["id"], "name": part["name"], "input": part["input"]}}
    if kind == "tool_result":
        status = "error" if part.get("is_error") else "success"
        content = _blocks(part.get("content", []), f"{path}.content")
        return {"toolResult": {"toolUseId": part["tool_use_id"], "content": content, "status": status}}
    if kind == "thinking":
        return {"reasoningContent": {"reasoningText": {"text": part["thinking"]}}}
    raise invalid(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags.")


def _source(part: Mapping[str, Any]) -> dict[str, Any]:
    source = part["source"]
    if source["type"] == "text":
        return {"text": str(source["data"])}
    return {"bytes": base64.b64decode(source["data"], validate=True)}


def _part(block: Block) -> dict[str, Any]:
    if "toolUse" in block:
        use = block["toolUse"]
        return {"type": "tool_use", "id": use["toolUseId"], "name": use["name"], "input": use["input"]}
    if "reasoningContent" in block:
        said = block["reasoningContent"]["reasoningText"]
        return {"type": "thinking", "thinking": said["text"], "signature": said["signature"]}
    return {"type": "text", "text": block["text"]}


def write(conversation: Conversation, answer: Answer, body: Body) -> dict[str, Any]:
    """Write the response's body."""
    return {
        "id": f"msg_bdrk_{digest(conversation.model, conversation.messages)[:24]}",
        "type": "message",
        "role": "assistant",
        "model": conversation.model,
        "content": [_part(block) for block in answer.blocks],
        "stop_reason": _STOPS.get(answer.stop_reason, answer.stop_reason),
        "stop_sequence": answer.stop_sequence,
        "usage": {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens},
    }


def chunks(conversation: Conversation, answer: Answer, size: int) -> Iterator[dict[str, Any]]:
    """Yield the events of a stream, from ``message_start`` to ``message_stop``."""
    whole = write(conversation, answer, {})
    begun: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None}
    usage = {"input_tokens": answer.input_tokens, "output_tokens": 1}
    yield {"type": "message_start", "message": whole | begun | {"usage": usage}}
    for index, part in enumerate(whole["content"]):
        start, deltas = _deltas(part, size)
        yield {"type": "content_block_start", "index": index, "content_block": start}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    stop = {"stop_reason": whole["stop_reason"], "stop_sequence": answer.stop_sequence}
    yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": answer.output_tokens}}
    yield {"type": "message_stop"}


def _deltas(part: Mapping[str, Any], size: int) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """Return how a content part starts, and the pieces that follow."""
    if part["type"] == "tool_use":
        pieces = tokens.pieces(json.dumps(part["input"]), size)
        return {**part, "input": {}}, (
            {"type": "input_json_delta", "partial_json": piece} for piece in pieces
        )
    if part["type"] == "thinking":
        return {"type": "thinking", "thinking": "", "signature": ""}, _thinking(part, size)
    pieces = tokens.pieces(part["text"], size)
    return {"type": "text", "text": ""}, ({"type": "text_delta", "text": piece} for piece in pieces)


def _thinking(part: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:
    for piece in tokens.pieces(part["thinking"], size):
        yield {"type": "thinking_delta", "thinking": piece}
    yield {"type": "signature_delta", "signature": part["signature"]}
