"""How a resource of a template is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_aiml.endpoint_api.api import EndpointApi

__all__ = ["KEPT", "present", "resource", "tag_list"]

KEPT = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
"""Of what outlives the stack."""


def resource(
    kind: str, properties: Mapping[str, Any], *, after: tuple[str, ...] = (), kept: bool = False
) -> dict[str, Any]:
    """Write one resource.

    :param kind: CloudFormation's type.
    :param after: the logical ids that must be there before, beyond those that the properties refer to.
    :param kept: whether it outlives the stack.
    """
    depends = {"DependsOn": list(after)} if after else {}
    return {"Type": kind, **(KEPT if kept else {}), **depends, "Properties": dict(properties)}


def present(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is None."""
    return {name: value for name, value in properties.items() if value is not None}


def tag_list(api: EndpointApi) -> list[dict[str, str]] | None:
    """Give the API's tags as CloudFormation wants them; None without any."""
    return [{"Key": key, "Value": api.tags[key]} for key in sorted(api.tags)] or None
