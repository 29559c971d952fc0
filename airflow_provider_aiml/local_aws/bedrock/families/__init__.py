"""The shapes in which each model family takes an InvokeModel body and answers it.

A family translates its body into a :class:`Conversation` and the stand-in's answer back, whole or in chunks.
Families that embed text stand in :data:`EMBEDDERS`, those that make videos in :data:`VIDEO_MAKERS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow_provider_aiml.local_aws.bedrock.families import (
    anthropic,
    embeddings,
    jamba,
    nova,
    prompts,
    titan,
    videos,
)
from airflow_provider_aiml.local_aws.bedrock.families.family import Body, Family

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_aiml.local_aws.bedrock.model_ids import Model

__all__ = ["EMBEDDERS", "FAMILIES", "VIDEO_MAKERS", "Body", "Family", "family_of"]

FAMILIES: Final[dict[str, Family]] = {
    "anthropic": Family(anthropic.read, anthropic.write, anthropic.chunks),
    "jamba": Family(jamba.read, jamba.write, jamba.chunks),
    "llama": Family(prompts.read_llama, prompts.write_llama, prompts.chunks_llama),
    "mistral": Family(prompts.read_mistral, prompts.write_mistral, prompts.chunks_mistral),
    "nova": Family(nova.read, nova.write, nova.chunks),
    "titan": Family(titan.read, titan.write, titan.chunks),
}
"""Families that talk, by name."""

EMBEDDERS: Final[dict[str, Callable[[Model, Body], dict[str, Any]]]] = {
    "cohere-embed": embeddings.cohere,
    "titan-embed-v1": embeddings.titan_v1,
    "titan-embed-v2": embeddings.titan_v2,
}
"""Families that embed, by name."""

VIDEO_MAKERS: Final[dict[str, Callable[[Model, Body], dict[str, Any]]]] = {"nova-reel": videos.reel}
"""Families that make videos, asynchronously only, by name."""

_TELLTALES: Final = (
    ("anthropic_version", "anthropic"),
    ("schemaVersion", "nova"),
    ("inferenceConfig", "nova"),
    ("inputText", "titan"),
    ("max_gen_len", "llama"),
    ("prompt", "mistral"),
)


def family_of(model: Model, body: Mapping[str, Any]) -> Family:
    """Return the family of a model that talks; where the id does not tell, the body does."""
    if model.family != "any":
        return FAMILIES[model.family]
    return FAMILIES[next((family for key, family in _TELLTALES if key in body), "jamba")]
