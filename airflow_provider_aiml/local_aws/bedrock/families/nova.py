"""Amazon Nova: the messages of Converse as a JSON body, bytes in base64.

https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.bedrock.bodies import check_body, schema_of
from airflow_provider_aiml.local_aws.bedrock.converse import conversation_from
from airflow_provider_aiml.local_aws.bedrock.converse_rules import check_messages
from airflow_provider_aiml.local_aws.bedrock.converse_stream import answer_events
from airflow_provider_aiml.local_aws.bedrock.refusals import invalid

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.bedrock.conversation import Answer, Conversation
    from airflow_provider_aiml.local_aws.bedrock.families.family import Body
    from airflow_provider_aiml.local_aws.bedrock.model_ids import Model

__all__ = ["chunks", "read", "write"]

_MESSAGE = schema_of(
    "role content",
    role={"type": "string", "enum": ["user", "assistant"]},
    content={"type": "array", "items": {"type": "object"}},
)
_INFERENCE = schema_of(
    "",
    maxTokens={"type": "integer", "minimum": 1},
    max_new_tokens={"type": "integer", "minimum": 1},
    stopSequences={"type": "array", "items": {"type": "string"}},
    temperature={"type": "number", "minimum": 0, "maximum": 1},
    topK={"type": "integer", "minimum": 0},
    topP={"type": "number", "minimum": 0, "maximum": 1},
    reasoningConfig={"type": "object"},
)
_BODY = schema_of(
    "messages",
    schemaVersion={"type": "string", "enum": ["messages-v1"]},
    messages={"type": "array", "minItems": 1, "items": _MESSAGE},
    system={"type": "array", "items": schema_of("text", text={"type": "string"})},
    inferenceConfig=_INFERENCE,
    toolConfig={"type": "object"},
)


def read(model: Model, body: Body) -> Conversation:
    """Check *body* and translate it.

    :raises ApiError: ``ValidationException``.
    """
    check_body(body, _BODY)
    try:
        request = {**body, "messages": _with_bytes(body["messages"])}
        check_messages(model, request)
        inference = dict(body.get("inferenceConfig", {}))
        inference["maxTokens"] = inference.get("maxTokens", inference.get("max_new_tokens", 4096))
        return conversation_from(model, {**request, "inferenceConfig": inference})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise invalid(
            f"Malformed input request: {error!r}, please reformat your input and try again."
        ) from None


def _with_bytes(value: Any) -> Any:
    """Decode each ``bytes`` member of *value*, which JSON carries in base64."""
    if isinstance(value, list):
        return [_with_bytes(item) for item in value]
    if isinstance(value, Mapping):
        return {
            key: base64.b64decode(item, validate=True) if key == "bytes" else _with_bytes(item)
            for key, item in value.items()
        }
    return value


def write(conversation: Conversation, answer: Answer, body: Body) -> dict[str, Any]:
    """Write the response's body."""
    return {
        "output": {"message": {"content": answer.blocks, "role": "assistant"}},
        "stopReason": answer.stop_reason,
        "usage": {
            "inputTokens": answer.input_tokens,
            "outputTokens": answer.output_tokens,
            "totalTokens": answer.total_tokens,
            "cacheReadInputTokenCount": 0,
            "cacheWriteInputTokenCount": 0,
        },
    }


def chunks(conversation: Conversation, answer: Answer, size: int) -> Iterator[dict[str, Any]]:
    """Yield the events of a stream: those of ConverseStream, each an object with one key."""
    for name, payload in answer_events(answer.blocks, answer.stop_reason, size):
        yield {name: payload}
    usage = write(conversation, answer, {})["usage"]
    yield {"metadata": {"usage": usage, "metrics": {}, "trace": {}}}
