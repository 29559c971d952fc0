"""Amazon Titan Text.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-text.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.bedrock import tokens
from airflow_provider_aiml.local_aws.bedrock.bodies import check_body, schema_of
from airflow_provider_aiml.local_aws.bedrock.conversation import Answer, Conversation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_aiml.local_aws.bedrock.families.family import Body
    from airflow_provider_aiml.local_aws.bedrock.model_ids import Model

__all__ = ["chunks", "read", "write"]

_GENERATION = schema_of(
    "",
    maxTokenCount={"type": "integer", "minimum": 1, "maximum": 8192},
    stopSequences={"type": "array", "items": {"type": "string"}},
    temperature={"type": "number", "minimum": 0, "maximum": 1},
    topP={"type": "number", "minimum": 0, "maximum": 1},
)
_BODY = schema_of("inputText", inputText={"type": "string", "minLength": 1}, textGenerationConfig=_GENERATION)
_STOPS = {
    "content_filtered": "CONTENT_FILTERED",
    "guardrail_intervened": "CONTENT_FILTERED",
    "max_tokens": "LENGTH",
    "stop_sequence": "STOP_CRITERIA_MET",
}


def read(model: Model, body: Body) -> Conversation:
    """Check *body* and translate it.

    :raises ApiError: ``ValidationException``.
    """
    check_body(body, _BODY)
    config = body.get("textGenerationConfig", {})
    return Conversation(
        model=model.name,
        messages=[{"role": "user", "content": [{"text": body["inputText"]}]}],
        max_tokens=config.get("maxTokenCount", 512),
        stop_sequences=config.get("stopSequences", []),
    )


def write(conversation: Conversation, answer: Answer, body: Body) -> dict[str, Any]:
    """Write the response's body."""
    result = {
        "tokenCount": answer.output_tokens,
        "outputText": answer.text,
        "completionReason": _STOPS.get(answer.stop_reason, "FINISH"),
    }
    return {"inputTextTokenCount": answer.input_tokens, "results": [result]}


def chunks(conversation: Conversation, answer: Answer, size: int) -> Iterator[dict[str, Any]]:
    """Yield pieces of text; the last chunk has the counts and the reason."""
    common = {"index": 0, "inputTextTokenCount": answer.input_tokens}
    pieces = list(tokens.pieces(answer.text, size)) or [""]
    for piece in pieces[:-1]:
        yield common | {"outputText": piece, "totalOutputTextTokenCount": None, "completionReason": None}
    yield common | {
        "outputText": pieces[-1],
        "totalOutputTextTokenCount": answer.output_tokens,
        "completionReason": _STOPS.get(answer.stop_reason, "FINISH"),
    }
