"""CloudWatch Logs."""

from __future__ import annotations

from typing import Any

from airflow_provider_aiml.local_aws.cloudformation.resource_types.resource_type import Place, ResourceType
from airflow_provider_aiml.local_aws.cloudformation.stack import ACCOUNT, Made

__all__ = ["LogGroup"]


class LogGroup(ResourceType):
    """AWS::Logs::LogGroup."""

    properties = frozenset({"LogGroupName", "RetentionInDays", "Tags"})
    create_only = frozenset({"LogGroupName"})

    def create(self, place: Place, properties: dict[str, Any]) -> Made:
        """Make the group; one of that name must not be there."""
        name = properties.get("LogGroupName") or place.made_up_name(512)
        tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
        place.client("logs").create_log_group(logGroupName=name, **({"tags": tags} if tags else {}))
        arn = f"arn:aws:logs:{place.region}:{ACCOUNT}:log-group:{name}:*"
        made = Made(name, {"Arn": arn})
        self.update(place, made, {}, properties)
        return made

    def update(self, place: Place, made: Made, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Set how long entries are kept."""
        logs = place.client("logs")
        if days := new.get("RetentionInDays"):
            logs.put_retention_policy(logGroupName=made.physical_id, retentionInDays=int(days))
        elif old.get("RetentionInDays"):
            logs.delete_retention_policy(logGroupName=made.physical_id)

    def delete(self, place: Place, made: Made, properties: dict[str, Any]) -> None:
        """Delete the group and all that is in it."""
        place.client("logs").delete_log_group(logGroupName=made.physical_id)
