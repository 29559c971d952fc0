"""Amazon Titan and Cohere embeddings: unit vectors, near each other for texts that share words.

Each token adds to a few places of the vector, which its hash names (feature hashing).

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html and
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.bedrock import tokens
from airflow_provider_aiml.local_aws.bedrock.bodies import check_body, schema_of
from airflow_provider_aiml.local_aws.bedrock.conversation import digest
from airflow_provider_aiml.local_aws.bedrock.refusals import invalid, malformed

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.bedrock.families.family import Body
    from airflow_provider_aiml.local_aws.bedrock.model_ids import Model

__all__ = ["cohere", "embed", "titan_v1", "titan_v2"]

_MOST_TOKENS = 8192
_TEXT = {"type": "string", "minLength": 1}
_TITAN_V1 = schema_of("inputText", inputText=_TEXT)
_TITAN_V2 = schema_of(
    "inputText",
    inputText=_TEXT,
    dimensions={"type": "integer", "enum": [256, 512, 1024]},
    normalize={"type": "boolean"},
    embeddingTypes={"type": "array", "minItems": 1, "items": {"enum": ["float", "binary"]}},
)
_COHERE = schema_of(
    "texts input_type",
    texts={"type": "array", "minItems": 1, "items": {"type": "string"}},
    input_type={"enum": ["search_document", "search_query", "classification", "clustering"]},
    truncate={"enum": ["NONE", "LEFT", "RIGHT", "START", "END"]},
    embedding_types={"type": "array", "items": {"enum": ["float", "int8", "uint8", "binary", "ubinary"]}},
    output_dimension={"type": "integer", "enum": [256, 512, 1024, 1536]},
    max_tokens={"type": "integer", "minimum": 1},
)
_MOST_TEXTS = 96


def embed(text: str, dimensions: int) -> list[float]:
    """Return the unit vector of *text*."""
    vector = [0.0] * dimensions
    for token in ["", *(token.strip().casefold() for token in tokens.split(text))]:
        hashed = hashlib.sha256(token.encode()).digest()
        for at in range(0, 32, 4):
            place = int.from_bytes(hashed[at : at + 4], "big")
            vector[(place >> 1) % dimensions] += 1.0 if place & 1 else -1.0
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]


def _counted(text: str) -> int:
    count = tokens.count(text)
    if count > _MOST_TOKENS:
        raise invalid(
            f"400 Bad Request: Too many input tokens. Max input tokens: {_MOST_TOKENS}, request: {count}."
        )
    return count


def titan_v1(model: Model, body: Body) -> dict[str, Any]:
    """Answer Titan Embeddings G1: 1,536 dimensions.

    :raises ApiError: ``ValidationException``.
    """
    check_body(body, _TITAN_V1)
    count = _counted(body["inputText"])
    return {"embedding": embed(body["inputText"], 1536), "inputTextTokenCount": count}


def titan_v2(model: Model, body: Body) -> dict[str, Any]:
    """Answer Titan Text Embeddings V2: 256, 512 or 1,024 dimensions, floats and bits.

    :raises ApiError: ``ValidationException``.
    """
    check_body(body, _TITAN_V2)
    count = _counted(body["inputText"])
    vector = embed(body["inputText"], body.get("dimensions", 1024))
    if not body.get("normalize", True):
        vector = [value * (count + 1) for value in vector]
    by_type = {"float": vector, "binary": [int(value > 0) for value in vector]}
    wanted = body.get("embeddingTypes", ["float"])
    answer: dict[str, Any] = {"embeddingsByType": {kind: by_type[kind] for kind in wanted}}
    if "float" in wanted:
        answer["embedding"] = vector
    return answer | {"inputTextTokenCount": count}


def cohere(model: Model, body: Body) -> dict[str, Any]:
    """Answer Cohere Embed: 1,024 dimensions (version 4: 1,536 or as asked).

    :raises ApiError: ``ValidationException``.
    """
    check_body(body, _COHERE)
    texts = body["texts"]
    if len(texts) > _MOST_TEXTS:
        raise malformed([f"#/texts: expected maximum item count: {_MOST_TEXTS}, found: {len(texts)}"])
    is_v4 = "-v4" in model.name
    if "output_dimension" in body and not is_v4:
        raise malformed(["#: extraneous key [output_dimension] is not permitted"])
    dimensions = body.get("output_dimension", 1536) if is_v4 else 1024
    vectors = [embed(text, dimensions) for text in texts]
    answer = {"id": digest(texts)[:32], "texts": list(texts)}
    if "embedding_types" not in body:
        return {"embeddings": vectors, "response_type": "embeddings_floats", **answer}
    by_type = {kind: [_as_type(vector, kind) for vector in vectors] for kind in body["embedding_types"]}
    return {"embeddings": by_type, "response_type": "embeddings_by_type", **answer}


def _as_type(vector: list[float], kind: str) -> list[float] | list[int]:
    if kind == "float":
        return vector
    if kind in ("int8", "uint8"):
        shift = 128 if kind == "uint8" else 0
        return [round(value * 127) + shift for value in vector]
    packed = [
        sum((value > 0) << (7 - bit) for bit, value in enumerate(vector[at : at + 8]))
        for at in range(0, len(vector), 8)
    ]
    return packed if kind == "ubinary" else [byte - 128 for byte in packed]
