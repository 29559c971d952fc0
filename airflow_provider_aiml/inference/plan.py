"""What a try of a conversation's task is about to do, once its arguments are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_aiml.inference.output_schema import OutputSchema
    from airflow_provider_aiml.inference.talk import Talk
    from airflow_provider_aiml.inference.tool_schemas import Tool

__all__ = ["Plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a try is about to do.

    :param talk: what was said before.
    :param said: the messages to send; none for a managed prompt alone.
    :param request: the request's members by their snake_case names.
    :param tools: the tools that run here.
    :param schema: the shape of the answer.
    """

    talk: Talk
    said: list[dict[str, Any]]
    request: dict[str, Any]
    tools: Mapping[str, Tool]
    schema: OutputSchema | None

    @property
    def staged(self) -> bool:
        """Whether there may be more turns than one."""
        return bool(self.tools) or self.schema is not None

    @property
    def identified(self) -> dict[str, Any]:
        """What makes this request another than the next one."""
        asked = {"output_schema": self.schema.asked} if self.schema else {}
        return {**self.request, **asked}
