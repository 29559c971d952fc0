"""The stage and what is around it: access log, deployment, usage plan and key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.endpoint_api import logical_ids as ids
from airflow_provider_aiml.endpoint_api.access import account_resources
from airflow_provider_aiml.endpoint_api.resources import present, resource, tag_list

if TYPE_CHECKING:
    from airflow_provider_aiml.endpoint_api.api import EndpointApi
    from airflow_provider_aiml.endpoint_api.surroundings import Surroundings

__all__ = ["log_resources", "stage_resources", "usage_resources"]

_ACCESS_LOG = {
    "requestId": "$context.requestId",
    "ip": "$context.identity.sourceIp",
    "user": "$context.identity.user",
    "caller": "$context.identity.caller",
    "requestTime": "$context.requestTime",
    "httpMethod": "$context.httpMethod",
    "resourcePath": "$context.resourcePath",
    "status": "$context.status",
    "protocol": "$context.protocol",
    "responseLength": "$context.responseLength",
}


def log_resources(api: EndpointApi, surroundings: Surroundings) -> dict[str, Any]:
    """Give the access log's group, kept on delete; nothing where an earlier stack has left it."""
    if _is_left_behind(api, surroundings):
        return {}
    properties = present(
        {
            "LogGroupName": api.log_group_name,
            "RetentionInDays": api.log_retention_days,
            "Tags": tag_list(api),
        }
    )
    group = resource("AWS::Logs::LogGroup", properties, kept=True)
    if api.profile != "construct":
        # A creation that fails leaves no group behind, which the next one would then not hold.
        group["DeletionPolicy"] = "RetainExceptOnCreate"
    return {ids.LOG_GROUP: group}


def _is_left_behind(api: EndpointApi, surroundings: Surroundings) -> bool:
    return api.log_group_name is not None and surroundings.has_log_group


def stage_resources(api: EndpointApi, surroundings: Surroundings) -> dict[str, Any]:
    """Give the deployment and the stage that serves it."""
    deployment = {"RestApiId": {"Ref": ids.REST_API}, "Description": "What the stage serves"}
    log_group = {"Fn::GetAtt": [ids.LOG_GROUP, "Arn"]}
    if _is_left_behind(api, surroundings):
        arn = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:"
        log_group = {"Fn::Sub": arn + str(api.log_group_name)}  # type: ignore[dict-item]
    stage = {
        "RestApiId": {"Ref": ids.REST_API},
        "DeploymentId": {"Ref": ids.DEPLOYMENT},
        "StageName": api.stage_name,
        "TracingEnabled": api.tracing,
        "Variables": dict(api.stage_variables) or None,
        "MethodSettings": [_method_settings(api)],
        "AccessLogSetting": {
            "DestinationArn": log_group,
            "Format": json.dumps(_ACCESS_LOG, separators=(",", ":")),
        },
        "Tags": tag_list(api),
    }
    # A stage that logs is refused in an account without a logging role.
    after = (ids.ACCOUNT,) if ids.ACCOUNT in account_resources(api, surroundings) else ()
    before: tuple[str, ...] = (ids.METHOD,)
    if api.profile != "construct" and not api.api_gateway_execution_role_arn:
        # Nothing is served before the role may call the endpoint.
        before = (ids.METHOD, ids.INVOKE_POLICY)
    return {
        ids.DEPLOYMENT: resource("AWS::ApiGateway::Deployment", deployment, after=before),
        ids.STAGE: resource("AWS::ApiGateway::Stage", present(stage), after=after),
    }


def _method_settings(api: EndpointApi) -> dict[str, Any]:
    return present(
        {
            "HttpMethod": "*",
            "ResourcePath": "/*",
            "LoggingLevel": api.logging_level,
            "DataTraceEnabled": False,
            "ThrottlingRateLimit": api.throttle_rate_limit,
            "ThrottlingBurstLimit": api.throttle_burst_limit,
        }
    )


def usage_resources(api: EndpointApi) -> dict[str, Any]:
    """Give the usage plan, and the key where callers need one."""
    if not api.create_usage_plan:
        return {}
    throttle = {"RateLimit": api.throttle_rate_limit, "BurstLimit": api.throttle_burst_limit}
    quota = {"Limit": api.quota_limit, "Period": api.quota_period}
    plan = {
        "ApiStages": [{"ApiId": {"Ref": ids.REST_API}, "Stage": {"Ref": ids.STAGE}}],
        "Throttle": present(throttle) or None,
        "Quota": present(quota) or None,
        "Tags": tag_list(api),
    }
    resources = {ids.USAGE_PLAN: resource("AWS::ApiGateway::UsagePlan", present(plan))}
    if api.api_key_required:
        key = present({"Enabled": True, "Tags": tag_list(api)})
        link = {"KeyId": {"Ref": ids.API_KEY}, "KeyType": "API_KEY", "UsagePlanId": {"Ref": ids.USAGE_PLAN}}
        resources[ids.API_KEY] = resource("AWS::ApiGateway::ApiKey", key)
        resources[ids.USAGE_PLAN_KEY] = resource("AWS::ApiGateway::UsagePlanKey", link)
    return resources
