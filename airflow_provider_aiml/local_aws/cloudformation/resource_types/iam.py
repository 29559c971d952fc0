"""IAM."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_aiml.local_aws.cloudformation.resource_types.resource_type import Place, ResourceType
from airflow_provider_aiml.local_aws.cloudformation.stack import Made

__all__ = ["Policy", "Role"]


class Role(ResourceType):
    """AWS::IAM::Role."""

    properties = frozenset(
        {
            "AssumeRolePolicyDocument",
            "Description",
            "ManagedPolicyArns",
            "MaxSessionDuration",
            "Path",
            "Policies",
            "RoleName",
            "Tags",
        }
    )
    required = frozenset({"AssumeRolePolicyDocument"})
    create_only = frozenset({"RoleName", "Path"})

    def create(self, place: Place, properties: dict[str, Any]) -> Made:
        """Make the role with its inline policies."""
        name = properties.get("RoleName") or place.made_up_name()
        given = {
            key: properties[key]
            for key in ("Description", "MaxSessionDuration", "Path", "Tags")
            if key in properties
        }
        trust = json.dumps(properties["AssumeRolePolicyDocument"])
        role = place.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust, **given)["Role"]
        made = Made(name, {"Arn": role["Arn"], "RoleId": role["RoleId"]})
        self._set_policies(place, name, {}, properties)
        return made

    def update(self, place: Place, made: Made, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Change trust, texts and policies."""
        iam = place.client("iam")
        trust = json.dumps(new["AssumeRolePolicyDocument"])
        iam.update_assume_role_policy(RoleName=made.physical_id, PolicyDocument=trust)
        iam.update_role(
            RoleName=made.physical_id,
            Description=new.get("Description", ""),
            MaxSessionDuration=new.get("MaxSessionDuration", 3600),
        )
        self._set_policies(place, made.physical_id, old, new)

    def delete(self, place: Place, made: Made, properties: dict[str, Any]) -> None:
        """Take its policies off, then delete it."""
        self._set_policies(place, made.physical_id, properties, {})
        place.client("iam").delete_role(RoleName=made.physical_id)

    def _set_policies(self, place: Place, name: str, old: dict[str, Any], new: dict[str, Any]) -> None:
        iam = place.client("iam")
        inline = {one["PolicyName"]: one["PolicyDocument"] for one in new.get("Policies", [])}
        for one in old.get("Policies", []):
            if one["PolicyName"] not in inline:
                iam.delete_role_policy(RoleName=name, PolicyName=one["PolicyName"])
        for policy, document in inline.items():
            iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))
        was, managed = set(old.get("ManagedPolicyArns", [])), set(new.get("ManagedPolicyArns", []))
        for arn in sorted(was - managed):
            iam.detach_role_policy(RoleName=name, PolicyArn=arn)
        for arn in sorted(managed - was):
            iam.attach_role_policy(RoleName=name, PolicyArn=arn)


class Policy(ResourceType):
    """AWS::IAM::Policy: one inline policy of one or more roles."""

    properties = frozenset({"PolicyDocument", "PolicyName", "Roles"})
    required = frozenset({"PolicyDocument", "PolicyName", "Roles"})
    create_only = frozenset({"PolicyName"})

    def create(self, place: Place, properties: dict[str, Any]) -> Made:
        """Put it into its roles."""
        made = Made(place.made_up_name())
        self.update(place, made, {}, properties)
        return made

    def update(self, place: Place, made: Made, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Put it into its roles, and take it from those that no longer have it."""
        for role in new["Roles"]:
            place.client("iam").put_role_policy(
                RoleName=role,
                PolicyName=new["PolicyName"],
                PolicyDocument=json.dumps(new["PolicyDocument"]),
            )
        gone = [role for role in old.get("Roles", []) if role not in new["Roles"]]
        self._take_from(place, gone, old)

    def delete(self, place: Place, made: Made, properties: dict[str, Any]) -> None:
        """Take it from its roles."""
        self._take_from(place, properties["Roles"], properties)

    def _take_from(self, place: Place, roles: list[str], properties: dict[str, Any]) -> None:
        for role in roles:
            place.client("iam").delete_role_policy(RoleName=role, PolicyName=properties["PolicyName"])
