"""Answers Converse: from the request to the stand-in's conversation and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.bedrock import standin, tokens
from airflow_provider_aiml.local_aws.bedrock.conversation import (
    Answer,
    Block,
    Conversation,
    Tool,
    block_text,
    digest,
)
from airflow_provider_aiml.local_aws.bedrock.converse_rules import check_converse
from airflow_provider_aiml.local_aws.bedrock.guarding import Guard

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.bedrock.documents import GetObject
    from airflow_provider_aiml.local_aws.bedrock.faults import Fault
    from airflow_provider_aiml.local_aws.bedrock.model_ids import Model

__all__ = ["conversation_from", "converse", "cut_short", "latency"]

_DEFAULT_MAX_TOKENS = 4096


def converse(
    model: Model, request: Mapping[str, Any], fault: Fault, get_object: GetObject | None = None
) -> dict[str, Any]:
    """Answer Converse.

    :param model: the model asked.
    :param request: the request by member names.
    :param fault: what shall go wrong.
    :param get_object: reads S3.
    :return: the response by member names.
    :raises ApiError: ``ValidationException``.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
    """
    check_converse(model, request)
    conversation = conversation_from(model, request)
    config = request.get("guardrailConfig", {})
    guard = Guard(config.get("guardrailIdentifier"), config.get("guardrailVersion"))
    answer = guard.refuse_question(conversation)
    if answer is None:
        answer = guard.watch_answer(cut_short(standin.answer(conversation, get_object), fault))
    response: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": answer.blocks}},
        "stopReason": answer.stop_reason,
        "usage": _usage(conversation, answer),
        "metrics": {"latencyMs": latency(answer)},
    }
    if paths := request.get("additionalModelResponseFieldPaths"):
        response["additionalModelResponseFields"] = _picked(paths, conversation, answer)
    if (trace := guard.trace()) and config.get("trace", "disabled") != "disabled":
        response["trace"] = {"guardrail": trace}
    for member in ("performanceConfig", "serviceTier"):
        if member in request:
            response[member] = request[member]
    return response


def conversation_from(model: Model, request: Mapping[str, Any]) -> Conversation:
    """Translate a Converse request; CountTokens' has fewer members."""
    inference = request.get("inferenceConfig", {})
    config = request.get("toolConfig", {})
    text_format = request.get("outputConfig", {}).get("textFormat")
    extra = request.get("additionalModelRequestFields") or {}
    thinking = extra.get("thinking") or extra.get("reasoning_config") or {}
    return Conversation(
        model=model.name,
        messages=[*_prompt_message(model, request), *request.get("messages", [])],
        system=[text for block in request.get("system", []) if (text := block_text(block))],
        max_tokens=inference.get("maxTokens", _DEFAULT_MAX_TOKENS),
        stop_sequences=inference.get("stopSequences", []),
        tools=[
            Tool(tool["toolSpec"]["name"], tool["toolSpec"]["inputSchema"].get("json", {}))
            for tool in config.get("tools", [])
            if "toolSpec" in tool
        ],
        tool_choice=_tool_choice(config.get("toolChoice", {})),
        schema=json.loads(text_format["structure"]["jsonSchema"]["schema"]) if text_format else None,
        reasoning=isinstance(thinking, Mapping) and thinking.get("type") == "enabled",
        signs=model.family in ("anthropic", "any"),
    )


def _tool_choice(choice: Mapping[str, Any]) -> str:
    if "tool" in choice:
        return f"tool:{choice['tool']['name']}"
    return "any" if "any" in choice else "auto"


def _prompt_message(model: Model, request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give a managed prompt its text: the stand-in does not have it, so it says which and with what.

    The request's own messages are appended to it.
    """
    if not model.prompt:
        return []
    variables = ", ".join(
        f"{k}={v.get('text', '')}" for k, v in sorted(request.get("promptVariables", {}).items())
    )
    return [
        {
            "role": "user",
            "content": [{"text": f"managed prompt {model.name} with {variables or 'no variables'}"}],
        }
    ]


def cut_short(answer: Answer, fault: Fault) -> Answer:
    """Give *answer* the stop reason that *fault* asks for and, unless it is ``end_turn``, half its text."""
    if fault.stop_reason is None:
        return answer
    if fault.stop_reason == "end_turn":
        called = answer.stop_reason == "tool_use"
        return replace(answer, stop_reason=fault.stop_reason) if called else answer
    half, _ = tokens.cut(answer.text, max(1, tokens.count(answer.text) // 2))
    blocks: list[Block] = [{"text": half}] if half else []
    return replace(answer, blocks=blocks, stop_reason=fault.stop_reason, output_tokens=tokens.count(half))


def latency(answer: Answer) -> int:
    """Make up a latency in milliseconds, the same for the same answer."""
    return 20 + answer.output_tokens


def _usage(conversation: Conversation, answer: Answer) -> dict[str, Any]:
    cached = _cached_tokens(conversation) if answer.input_tokens else 0
    usage: dict[str, Any] = {
        "inputTokens": answer.input_tokens - cached,
        "outputTokens": answer.output_tokens,
        "totalTokens": answer.total_tokens,
    }
    if cached:
        usage |= {"cacheReadInputTokens": 0, "cacheWriteInputTokens": cached}
        usage["cacheDetails"] = [{"ttl": "5m", "inputTokens": cached}]
    return usage


def _cached_tokens(conversation: Conversation) -> int:
    """Count what stands before the last cache point of the messages: each request writes it anew."""
    so_far = cached = 0
    for message in conversation.messages:
        for block in message["content"]:
            so_far += tokens.count(block_text(block))
            if "cachePoint" in block:
                cached = so_far
    return cached


def _picked(paths: list[str], conversation: Conversation, answer: Answer) -> dict[str, Any]:
    native = {
        "id": f"msg_{digest(conversation.messages)[:24]}",
        "model": conversation.model,
        "stop_reason": answer.stop_reason,
        "stop_sequence": answer.stop_sequence,
        "usage": {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens},
    }
    picked: dict[str, Any] = {}
    for path in paths:
        value: Any = native
        steps = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]
        for step in steps:
            value = value.get(step, _Absent) if isinstance(value, dict) else _Absent
        if value is not _Absent:
            _plant(picked, steps, value)
    return picked


class _Absent:
    """Marks a path with nothing at its end."""


def _plant(into: dict[str, Any], steps: list[str], value: Any) -> None:
    for step in steps[:-1]:
        into = into.setdefault(step, {})
    into[steps[-1]] = value
