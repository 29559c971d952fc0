"""Model ids: which model family an id names, and what a model of that family can do.

Ids come plain (``ai21.jamba-1-5-mini-v1:0``), with an inference profile's region before them
(``us.amazon.nova-pro-v1:0``), or as ARNs. An ARN which does not name a foundation model (a provisioned or
custom model, an application inference profile, a managed prompt) stands for a model that can do everything
and whose InvokeModel body tells its family.

Capabilities follow `Supported models and model features
<https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-supported-models-features.html>`__
in broad strokes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from airflow_provider_aiml.local_aws.bedrock.refusals import invalid

__all__ = ["Model", "find_model"]

ALL: Final = frozenset(
    {"converse", "count", "documents", "forced tools", "images", "schema", "stream", "system", "tools"}
)
_CHAT: Final = frozenset({"converse", "documents", "stream", "system"})
_EMBED: Final[frozenset[str]] = frozenset()
_VIDEO: Final[frozenset[str]] = frozenset()

_MODELS: Final = (
    (r"ai21\.jamba-instruct.*", "jamba", _CHAT - {"documents"}),
    (r"ai21\.jamba-.*", "jamba", _CHAT | {"tools"}),
    (r"anthropic\.claude-.*", "anthropic", ALL),
    (r"amazon\.nova-micro.*", "nova", _CHAT | {"forced tools", "tools"}),
    (r"amazon\.nova-(lite|pro|premier|2-).*", "nova", _CHAT | {"forced tools", "images", "tools"}),
    (r"amazon\.nova-reel-.*", "nova-reel", _VIDEO),
    (r"amazon\.titan-embed-text-v1.*", "titan-embed-v1", _EMBED),
    (r"amazon\.titan-embed-(g1-)?text-.*", "titan-embed-v2", _EMBED),
    (r"amazon\.titan-(text|tg1)-.*", "titan", _CHAT - {"system"}),
    (r"cohere\.embed-.*", "cohere-embed", _EMBED),
    (r"meta\.llama3-1-.*", "llama", _CHAT | {"tools"}),
    (r"meta\.llama(3-2|3-3|4)-.*", "llama", _CHAT | {"images", "tools"}),
    (r"meta\.llama[23]-.*", "llama", _CHAT),
    (r"mistral\.mi[sx]tral-.*", "mistral", _CHAT | {"schema", "tools"}),
    (r"test\.[a-z0-9-]+-v1:0", "jamba", ALL),
)

_REGION_PREFIX = re.compile(r"(us|eu|apac|jp|au|ca|us-gov|global)\.(?=[a-z0-9]+\.)")
_ARN = re.compile(r"arn:aws[^:]*:(bedrock|sagemaker):[^:]*:[^:]*:(?P<kind>[a-z-]+)/(?P<name>.+)")
_NAMED = {"foundation-model", "inference-profile", "system-tool"}


@dataclass(frozen=True, slots=True)
class Model:
    """What a model id stands for.

    :param id: the id as the request gave it.
    :param name: the foundation model's id without region prefix and ARN; of another ARN its last part.
    :param family: whose body shape InvokeModel speaks; ``"any"`` where only the body tells.
    :param abilities: of converse, count, documents, forced tools (``toolChoice.tool``, which AWS gives to
        Claude and Nova), images, schema, stream, system, tools.
    :param prompt: whether the id is the ARN of a managed prompt.
    """

    id: str
    name: str
    family: str
    abilities: frozenset[str]
    prompt: bool = False

    def can(self, ability: str) -> bool:
        """Say whether the model has *ability*."""
        return ability in self.abilities

    @property
    def arn(self) -> str:
        """The ARN, made up for a foundation model in us-east-1."""
        if self.id.startswith("arn:"):
            return self.id
        return f"arn:aws:bedrock:us-east-1::foundation-model/{self.name}"


def find_model(model_id: str) -> Model:
    """Find what *model_id* stands for.

    :raises ApiError: ``ValidationException`` for an id that no model has.
    """
    name = model_id
    if arn := _ARN.fullmatch(model_id):
        name = arn["name"]
        if arn["kind"] not in _NAMED:
            return Model(model_id, name, "any", ALL, prompt=arn["kind"] == "prompt")
    name = _REGION_PREFIX.sub("", name, count=1)
    for pattern, family, abilities in _MODELS:
        if re.fullmatch(pattern, name):
            return Model(model_id, name, family, abilities)
    raise invalid("The provided model identifier is invalid.")
