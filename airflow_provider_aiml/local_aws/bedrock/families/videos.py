"""Amazon Nova Reel, which makes a video of a text: the stand-in only notes what the video should show.

https://docs.aws.amazon.com/nova/latest/userguide/video-gen-access.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.bedrock.bodies import check_body, schema_of
from airflow_provider_aiml.local_aws.bedrock.refusals import invalid

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.bedrock.families.family import Body
    from airflow_provider_aiml.local_aws.bedrock.model_ids import Model

__all__ = ["reel"]

_LONGEST_TEXT = 512
_SECONDS = 6
_REEL = schema_of(
    "taskType textToVideoParams videoGenerationConfig",
    taskType={"type": "string", "enum": ["TEXT_VIDEO"]},
    textToVideoParams=schema_of(
        "text", text={"type": "string", "minLength": 1}, images={"type": "array", "minItems": 1}
    ),
    videoGenerationConfig=schema_of(
        "durationSeconds fps dimension",
        durationSeconds={"type": "integer", "enum": [_SECONDS]},
        fps={"type": "integer", "enum": [24]},
        dimension={"type": "string", "enum": ["1280x720"]},
        seed={"type": "integer", "minimum": 0, "maximum": 2_147_483_646},
    ),
)


def reel(model: Model, body: Body) -> dict[str, Any]:
    """Answer Nova Reel's task TEXT_VIDEO.

    :raises ApiError: ``ValidationException``.
    """
    check_body(body, _REEL)
    text = body["textToVideoParams"]["text"]
    if len(text) > _LONGEST_TEXT:
        raise invalid(f"The text must have at most {_LONGEST_TEXT} characters.")
    note = f"I am the local stand-in for {model.name}, not a real model. No video was made."
    return {"note": note, "text": text, "durationSeconds": _SECONDS}
