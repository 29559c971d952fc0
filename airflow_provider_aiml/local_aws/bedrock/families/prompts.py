"""Meta Llama and Mistral: one prompt in, text out.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-meta.html and
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-mistral-text-completion.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.bedrock import tokens
from airflow_provider_aiml.local_aws.bedrock.bodies import check_body, schema_of
from airflow_provider_aiml.local_aws.bedrock.conversation import Answer, Conversation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_aiml.local_aws.bedrock.families.family import Body
    from airflow_provider_aiml.local_aws.bedrock.model_ids import Model

__all__ = [
    "chunks_llama",
    "chunks_mistral",
    "read_llama",
    "read_mistral",
    "write_llama",
    "write_mistral",
]

_LLAMA = schema_of(
    "prompt",
    prompt={"type": "string", "minLength": 1},
    images={"type": "array", "items": {"type": "string"}},
    max_gen_len={"type": "integer", "minimum": 1, "maximum": 8192},
    temperature={"type": "number", "minimum": 0, "maximum": 1},
    top_p={"type": "number", "minimum": 0, "maximum": 1},
)
_MISTRAL = schema_of(
    "prompt",
    prompt={"type": "string", "minLength": 1},
    max_tokens={"type": "integer", "minimum": 1, "maximum": 8192},
    stop={"type": "array", "items": {"type": "string"}},
    temperature={"type": "number", "minimum": 0, "maximum": 1},
    top_k={"type": "number"},
    top_p={"type": "number", "minimum": 0, "maximum": 1},
)
_LLAMA_TURN = re.compile(
    r"<\|(?:start_header_id|header_start)\|>(\w+)<\|(?:end_header_id|header_end)\|>\s*(.*?)(?=<\||\Z)",
    re.DOTALL,
)
_MISTRAL_TURN = re.compile(r"\[INST\]\s*(.*?)\s*\[/INST\]\s*(.*?)\s*(?=\[INST\]|</s>|\Z)", re.DOTALL)
_STOPS = {"max_tokens": "length"}


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"text": text}]}


def read_llama(model: Model, body: Body) -> Conversation:
    """Check *body* and translate it; a prompt in Llama's chat template gives several messages.

    :raises ApiError: ``ValidationException``.
    """
    check_body(body, _LLAMA)
    turns = [(role, text.strip()) for role, text in _LLAMA_TURN.findall(body["prompt"]) if text.strip()]
    said = [_message(role, text) for role, text in turns if role in ("user", "assistant")]
    return Conversation(
        model=model.name,
        messages=said or [_message("user", body["prompt"])],
        system=[text for role, text in turns if role == "system"],
        max_tokens=body.get("max_gen_len", 512),
    )


def write_llama(conversation: Conversation, answer: Answer, body: Body) -> dict[str, Any]:
    """Write the response's body."""
    return {
        "generation": answer.text,
        "prompt_token_count": answer.input_tokens,
        "generation_token_count": answer.output_tokens,
        "stop_reason": _STOPS.get(answer.stop_reason, "stop"),
    }


def chunks_llama(conversation: Conversation, answer: Answer, size: int) -> Iterator[dict[str, Any]]:
    """Yield pieces of text, then the counts and the reason."""
    for number, piece in enumerate(tokens.pieces(answer.text, size)):
        yield {
            "generation": piece,
            "prompt_token_count": None if number else answer.input_tokens,
            "generation_token_count": min((number + 1) * size, answer.output_tokens),
            "stop_reason": None,
        }
    yield write_llama(conversation, answer, {}) | {"generation": "", "prompt_token_count": None}


def read_mistral(model: Model, body: Body) -> Conversation:
    """Check *body* and translate it; ``[INST] … [/INST]`` gives several messages.

    :raises ApiError: ``ValidationException``.
    """
    check_body(body, _MISTRAL)
    said = [
        _message(role, text)
        for question, reply in _MISTRAL_TURN.findall(body["prompt"])
        for role, text in (("user", question), ("assistant", reply))
        if text
    ]
    return Conversation(
        model=model.name,
        messages=said or [_message("user", body["prompt"])],
        max_tokens=body.get("max_tokens", 512),
        stop_sequences=body.get("stop", []),
    )


def write_mistral(conversation: Conversation, answer: Answer, body: Body) -> dict[str, Any]:
    """Write the response's body."""
    return {"outputs": [{"text": answer.text, "stop_reason": _STOPS.get(answer.stop_reason, "stop")}]}


def chunks_mistral(conversation: Conversation, answer: Answer, size: int) -> Iterator[dict[str, Any]]:
    """Yield pieces of text, then the reason."""
    for piece in tokens.pieces(answer.text, size):
        yield {"outputs": [{"text": piece, "stop_reason": None}]}
    yield {"outputs": [{"text": "", "stop_reason": _STOPS.get(answer.stop_reason, "stop")}]}
