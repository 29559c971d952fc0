"""API Gateway: stages, plans, keys and the account's setting."""

from __future__ import annotations

from typing import Any

from airflow_provider_aiml.local_aws.cloudformation.resource_types.api import patch
from airflow_provider_aiml.local_aws.cloudformation.resource_types.resource_type import (
    Place,
    ResourceFailedError,
    ResourceType,
    camel,
)
from airflow_provider_aiml.local_aws.cloudformation.stack import Made

__all__ = ["Account", "ApiKey", "Stage", "UsagePlan", "UsagePlanKey"]

_SETTINGS = {
    "LoggingLevel": "logging/loglevel",
    "DataTraceEnabled": "logging/dataTrace",
    "MetricsEnabled": "metrics/enabled",
    "ThrottlingRateLimit": "throttling/rateLimit",
    "ThrottlingBurstLimit": "throttling/burstLimit",
}
_UNSET = {
    "LoggingLevel": "OFF",
    "DataTraceEnabled": False,
    "MetricsEnabled": False,
    "ThrottlingRateLimit": 10_000.0,
    "ThrottlingBurstLimit": 5_000,
}
_NO_ROLE = "CloudWatch Logs role ARN must be set in account settings to enable logging"


class Stage(ResourceType):
    """AWS::ApiGateway::Stage."""

    properties = frozenset(
        {
            "AccessLogSetting",
            "CacheClusterEnabled",
            "CacheClusterSize",
            "DeploymentId",
            "Description",
            "MethodSettings",
            "RestApiId",
            "StageName",
            "Tags",
            "TracingEnabled",
            "Variables",
        }
    )
    required = frozenset({"RestApiId"})
    create_only = frozenset({"RestApiId", "StageName"})

    def create(self, place: Place, properties: dict[str, Any]) -> Made:
        """Make the stage, then set what only patches can set."""
        _check_logging(place, properties)
        given = camel(
            properties,
            "RestApiId",
            "StageName",
            "DeploymentId",
            "Description",
            "Variables",
            "TracingEnabled",
            "CacheClusterEnabled",
            "CacheClusterSize",
        )
        if tags := properties.get("Tags"):
            given["tags"] = {tag["Key"]: tag["Value"] for tag in tags}
        place.client("apigateway").create_stage(**given)
        self._patch(place, properties, _settings({}, properties))
        return Made(properties["StageName"])

    def update(self, place: Place, made: Made, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Serve another deployment, or the same otherwise."""
        _check_logging(place, new)
        operations = [
            patch("replace", "/deploymentId", new["DeploymentId"]),
            patch("replace", "/description", new.get("Description", "")),
            patch("replace", "/tracingEnabled", new.get("TracingEnabled", False)),
        ]
        was, wanted = old.get("Variables", {}), new.get("Variables", {})
        operations += [patch("remove", f"/variables/{name}") for name in was if name not in wanted]
        operations += [patch("replace", f"/variables/{name}", value) for name, value in wanted.items()]
        self._patch(place, new, operations + _settings(old, new))

    def delete(self, place: Place, made: Made, properties: dict[str, Any]) -> None:
        """Delete it."""
        place.client("apigateway").delete_stage(restApiId=properties["RestApiId"], stageName=made.physical_id)

    def _patch(self, place: Place, properties: dict[str, Any], operations: list[dict[str, Any]]) -> None:
        if operations:
            place.client("apigateway").update_stage(
                restApiId=properties["RestApiId"],
                stageName=properties["StageName"],
                patchOperations=operations,
            )


def _settings(old: dict[str, Any], new: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the patches of method settings and access log; a setting that is gone goes back to its default."""
    operations = []
    wanted = {_where(one): one for one in new.get("MethodSettings", [])}
    for where in {*wanted, *(_where(one) for one in old.get("MethodSettings", []))}:
        values = {**_UNSET, **{name: wanted.get(where, {}).get(name) for name in _SETTINGS}}
        for name, path in _SETTINGS.items():
            value = _UNSET[name] if values[name] is None else values[name]
            operations.append(patch("replace", f"/{where}/{path}", value))
    if log := new.get("AccessLogSetting"):
        # moto goes by the last part of the path, whatever is in it.
        arn = log["DestinationArn"].removesuffix(":*")
        operations.append(patch("replace", "/accessLogSettings/destinationArn", arn))
        operations.append(patch("replace", "/accessLogSettings/format", log.get("Format", "")))
    elif old.get("AccessLogSetting"):
        operations.append(patch("remove", "/accessLogSettings"))
    return operations


def _where(setting: dict[str, Any]) -> str:
    path = str(setting.get("ResourcePath", "/*")).lstrip("/").replace("/", "~1")
    return f"{path or '*'}/{setting.get('HttpMethod', '*')}"


def _check_logging(place: Place, properties: dict[str, Any]) -> None:
    logs = bool(properties.get("AccessLogSetting")) or any(
        one.get("LoggingLevel", "OFF") != "OFF" for one in properties.get("MethodSettings", [])
    )
    if logs and not place.client("apigateway").get_account().get("cloudwatchRoleArn"):
        raise ResourceFailedError(f"{_NO_ROLE} (Service: ApiGateway, Status Code: 400)")


class UsagePlan(ResourceType):
    """AWS::ApiGateway::UsagePlan."""

    properties = frozenset({"ApiStages", "Description", "Quota", "Tags", "Throttle", "UsagePlanName"})

    def create(self, place: Place, properties: dict[str, Any]) -> Made:
        """Make it on its stages."""
        given: dict[str, Any] = {"name": properties.get("UsagePlanName") or place.made_up_name()}
        given |= camel(properties, "Description")
        given["apiStages"] = [camel(one, "ApiId", "Stage") for one in properties.get("ApiStages", [])]
        for name in ("Throttle", "Quota"):
            if value := properties.get(name):
                given[name.lower()] = camel(value, *value)
        made = place.client("apigateway").create_usage_plan(**given)
        return Made(made["id"], {"Id": made["id"]})

    def update(self, place: Place, made: Made, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Change its stages and limits."""
        operations = []
        was = [f"{one['ApiId']}:{one['Stage']}" for one in old.get("ApiStages", [])]
        wanted = [f"{one['ApiId']}:{one['Stage']}" for one in new.get("ApiStages", [])]
        operations += [patch("remove", "/apiStages", one) for one in was if one not in wanted]
        operations += [patch("add", "/apiStages", one) for one in wanted if one not in was]
        for name in ("Throttle", "Quota"):
            operations.append(patch("remove", f"/{name.lower()}"))
            for key, value in new.get(name, {}).items():
                operations.append(patch("add", f"/{name.lower()}/{key[0].lower()}{key[1:]}", value))
        place.client("apigateway").update_usage_plan(usagePlanId=made.physical_id, patchOperations=operations)

    def delete(self, place: Place, made: Made, properties: dict[str, Any]) -> None:
        """Delete it."""
        place.client("apigateway").delete_usage_plan(usagePlanId=made.physical_id)


class ApiKey(ResourceType):
    """AWS::ApiGateway::ApiKey."""

    properties = frozenset({"Description", "Enabled", "GenerateDistinctId", "Name", "Tags", "Value"})
    create_only = frozenset({"GenerateDistinctId", "Name", "Value"})

    def create(self, place: Place, properties: dict[str, Any]) -> Made:
        """Make it; its value is made up where none is given."""
        given = camel(properties, "Description", "Enabled", "Value", "GenerateDistinctId")
        name = properties.get("Name") or place.made_up_name()
        made = place.client("apigateway").create_api_key(name=name, **given)
        return Made(made["id"], {"APIKeyId": made["id"]})

    def update(self, place: Place, made: Made, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Switch it on or off."""
        operations = [patch("replace", "/enabled", new.get("Enabled", False))]
        place.client("apigateway").update_api_key(apiKey=made.physical_id, patchOperations=operations)

    def delete(self, place: Place, made: Made, properties: dict[str, Any]) -> None:
        """Delete it."""
        place.client("apigateway").delete_api_key(apiKey=made.physical_id)


class UsagePlanKey(ResourceType):
    """AWS::ApiGateway::UsagePlanKey."""

    properties = frozenset({"KeyId", "KeyType", "UsagePlanId"})
    required = properties
    create_only = properties

    def create(self, place: Place, properties: dict[str, Any]) -> Made:
        """Tie a key to a plan."""
        made = place.client("apigateway").create_usage_plan_key(
            usagePlanId=properties["UsagePlanId"], keyId=properties["KeyId"], keyType=properties["KeyType"]
        )
        return Made(f"{made['id']}:{properties['UsagePlanId']}", {"Id": made["id"]})

    def delete(self, place: Place, made: Made, properties: dict[str, Any]) -> None:
        """Untie them."""
        place.client("apigateway").delete_usage_plan_key(
            usagePlanId=properties["UsagePlanId"], keyId=properties["KeyId"]
        )


class Account(ResourceType):
    """AWS::ApiGateway::Account: a setting of the account; deleting the resource leaves it."""

    properties = frozenset({"CloudWatchRoleArn"})

    def create(self, place: Place, properties: dict[str, Any]) -> Made:
        """Set it, whatever it was."""
        self.update(place, Made(""), {}, properties)
        return Made(place.made_up_name(), {"Id": place.logical_id})

    def update(self, place: Place, made: Made, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Set it."""
        operations = [patch("replace", "/cloudwatchRoleArn", new.get("CloudWatchRoleArn", ""))]
        place.client("apigateway").update_account(patchOperations=operations)
