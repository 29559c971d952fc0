"""Pictures of APIs, taken when a deployment is made. Moto's deployments hold none."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.messages import Answer, Request
    from airflow_provider_aiml.local_aws.moto_clients import MotoClients

__all__ = ["Deployments", "Picture", "Route"]

_CREATE = re.compile(r"/restapis/([^/]+)/deployments/?")


@dataclass(frozen=True, slots=True)
class Route:
    """A method that a request was found to be for.

    :param resource: the resource's path, with its variables: ``/{user_id}``.
    :param method: as API Gateway's GetMethod has it.
    :param path: the variables' values.
    """

    resource: str
    method: dict[str, Any]
    path: dict[str, str]


@dataclass(frozen=True, slots=True)
class Picture:
    """What a deployment serves."""

    resources: list[dict[str, Any]]
    validators: dict[str, dict[str, Any]]
    models: dict[str, Any]

    def find(self, http_method: str, segments: list[str]) -> Route | None:
        """Find the method for a path; a plain segment goes before a variable."""
        found = []
        for resource in self.resources:
            method = resource.get("resourceMethods", {}).get(http_method)
            path = _matched(resource["path"].strip("/").split("/"), segments)
            if method is not None and path is not None:
                found.append(Route(resource["path"], method, path))
        return min(found, key=lambda route: len(route.path), default=None)


def _matched(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    if pattern == [""]:
        return None if segments else {}
    values: dict[str, str] = {}
    for position, part in enumerate(pattern):
        if part.endswith("+}"):
            rest = segments[position:]
            return {**values, part[1:-2]: "/".join(rest)} if rest else None
        if position >= len(segments):
            return None
        if part.startswith("{"):
            values[part[1:-1]] = segments[position]
        elif part != segments[position]:
            return None
    return values if len(pattern) == len(segments) else None


class Deployments:
    """All pictures of one local AWS, by region, API and deployment."""

    def __init__(self) -> None:
        self._pictures: dict[tuple[str, str, str], Picture] = {}

    def clear(self) -> None:
        """Forget them."""
        self._pictures.clear()

    def get(self, region: str, api_id: str, deployment_id: str) -> Picture | None:
        """Give the picture of a deployment."""
        return self._pictures.get((region, api_id, deployment_id))

    def watch(self, clients: MotoClients, request: Request, answer: Answer) -> None:
        """Take a picture if this call has made a deployment; for worker threads."""
        made = _CREATE.fullmatch(request.raw_path)
        if made is None or request.method != "POST" or answer.status != 201:
            return
        assert isinstance(answer.body, bytes)
        api_id, deployment_id = made[1], json.loads(answer.body)["id"]
        self._pictures[request.region, api_id, deployment_id] = _picture(clients, request.region, api_id)


def _picture(clients: MotoClients, region: str, api_id: str) -> Picture:
    gateway = clients.get("apigateway", region)
    resources = gateway.get_resources(restApiId=api_id, limit=500, embed=["methods"])["items"]
    validators = gateway.get_request_validators(restApiId=api_id, limit=500)["items"]
    models = gateway.get_models(restApiId=api_id, limit=500)["items"]
    return Picture(
        resources,
        {one["id"]: one for one in validators},
        {one["name"]: json.loads(one.get("schema") or "{}") for one in models},
    )
