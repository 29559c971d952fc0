"""What a type of resource must be able to do."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.cloudformation.stack import Made
    from airflow_provider_aiml.local_aws.moto_clients import MotoClients

__all__ = ["Place", "ResourceFailedError", "ResourceType", "camel"]


class ResourceFailedError(Exception):
    """A resource cannot be made, changed or deleted; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a resource is made."""

    clients: MotoClients
    region: str
    stack_name: str
    logical_id: str

    def client(self, service: str) -> Any:
        """Give the client of a service in the stack's region."""
        return self.clients.get(service, self.region)

    def made_up_name(self, longest: int = 64) -> str:
        """Give a name as CloudFormation makes them up."""
        end = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(12))
        return f"{self.stack_name}-{self.logical_id}"[: longest - 13] + f"-{end}"


class ResourceType:
    """One type. Its methods run in a worker thread and may raise botocore's ClientError.

    :cvar properties: every property that the type has here.
    :cvar required: those that must be there.
    :cvar create_only: those whose change makes another resource.
    """

    properties: ClassVar[frozenset[str]]
    required: ClassVar[frozenset[str]] = frozenset()
    create_only: ClassVar[frozenset[str]] = frozenset()

    def create(self, place: Place, properties: dict[str, Any]) -> Made:
        """Make it."""
        raise ResourceFailedError("This type cannot be made")

    def update(self, place: Place, made: Made, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Change it in place."""
        raise ResourceFailedError("This type cannot be changed")

    def delete(self, place: Place, made: Made, properties: dict[str, Any]) -> None:
        """Take it away."""

    def check(self, properties: dict[str, Any]) -> None:
        """Refuse properties as CloudFormation's own schemas do.

        :raises ResourceFailedError: one is unknown, or missing.
        """
        kind = "Properties validation failed for resource with message:\n#: "
        for name in properties:
            if name not in self.properties:
                raise ResourceFailedError(f"{kind}extraneous key [{name}] is not permitted")
        for name in sorted(self.required - properties.keys()):
            raise ResourceFailedError(f"{kind}required key [{name}] not found")


def camel(properties: dict[str, Any], *names: str) -> dict[str, Any]:
    """Give those of ``names`` that are set, as API Gateway spells them."""
    return {
        name[0].lower() + name[1:]: properties[name] for name in names if properties.get(name) is not None
    }
