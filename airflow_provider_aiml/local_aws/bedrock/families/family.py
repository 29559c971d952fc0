"""What a model family is to InvokeModel: three translations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.bedrock.conversation import Answer, Conversation
    from airflow_provider_aiml.local_aws.bedrock.model_ids import Model

__all__ = ["Body", "Family"]

Body = Mapping[str, Any]
"""A parsed JSON body."""


@dataclass(frozen=True, slots=True)
class Family:
    """The body shape of a model family.

    :param read: checks a body and translates it; raises ``ValidationException``.
    :param write: translates an answer into the response's body.
    :param chunks: translates an answer into the chunks of a stream, of at most so many tokens.
    """

    read: Callable[[Model, Body], Conversation]
    write: Callable[[Conversation, Answer, Body], dict[str, Any]]
    chunks: Callable[[Conversation, Answer, int], Iterator[dict[str, Any]]]
