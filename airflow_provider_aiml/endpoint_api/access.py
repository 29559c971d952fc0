"""The roles: the one that the gateway calls the endpoint as, and the account's, that it writes logs as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.endpoint_api import logical_ids as ids
from airflow_provider_aiml.endpoint_api.resources import present, resource, tag_list

if TYPE_CHECKING:
    from airflow_provider_aiml.endpoint_api.api import EndpointApi
    from airflow_provider_aiml.endpoint_api.surroundings import Surroundings

__all__ = ["INVOKE_POLICY_NAME", "account_resources", "invoke_resources"]

INVOKE_POLICY_NAME = "InvokeEndpoint"

_VERSION = "2012-10-17"
_LOG_ACTIONS = (
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:DescribeLogGroups",
    "logs:DescribeLogStreams",
    "logs:FilterLogEvents",
    "logs:GetLogEvents",
    "logs:PutLogEvents",
)


def invoke_resources(api: EndpointApi) -> dict[str, Any]:
    """Give the role that may invoke the endpoint and nothing else, unless one was passed in."""
    if api.api_gateway_execution_role_arn:
        return {}
    # SageMaker writes the name in lower case in the endpoint's ARN, and IAM compares ARNs with their case. In
    # the integration's URI the name stays as it was given: InvokeEndpoint takes no other.
    name = api.endpoint_name.lower()
    endpoint = f"arn:${{AWS::Partition}}:sagemaker:${{AWS::Region}}:${{AWS::AccountId}}:endpoint/{name}"
    policy = {
        "PolicyName": INVOKE_POLICY_NAME,
        "Roles": [{"Ref": ids.INVOKE_ROLE}],
        "PolicyDocument": _allow(["sagemaker:InvokeEndpoint"], {"Fn::Sub": endpoint}),
    }
    return {
        ids.INVOKE_ROLE: resource("AWS::IAM::Role", _role(api)),
        ids.INVOKE_POLICY: resource("AWS::IAM::Policy", policy),
    }


def account_resources(api: EndpointApi, surroundings: Surroundings) -> dict[str, Any]:
    """Give the account's logging role and its setting, or nothing, as ``account_logging_role`` has it."""
    mode = api.account_logging_role
    if mode == "leave" or (mode == "if_missing" and surroundings.has_logging_role):
        return {}
    kept = api.profile != "construct"
    if mode.startswith("arn:"):
        return {ids.ACCOUNT: _account(mode, kept)}
    logs = {"Fn::Sub": "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:*"}
    inline = {"PolicyName": "WriteApiLogs", "PolicyDocument": _allow(list(_LOG_ACTIONS), logs)}
    role = {**_role(api), "Policies": [inline]}
    return {
        ids.CLOUDWATCH_ROLE: resource("AWS::IAM::Role", role, kept=kept),
        ids.ACCOUNT: _account({"Fn::GetAtt": [ids.CLOUDWATCH_ROLE, "Arn"]}, kept),
    }


def _account(role: Any, kept: bool) -> dict[str, Any]:
    # API Gateway refuses the setting in an account that never had an API, so the API comes first.
    properties = {"CloudWatchRoleArn": role}
    return resource("AWS::ApiGateway::Account", properties, after=(ids.REST_API,), kept=kept)


def _role(api: EndpointApi) -> dict[str, Any]:
    trust = {
        "Version": _VERSION,
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "apigateway.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    return present({"AssumeRolePolicyDocument": trust, "Tags": tag_list(api)})


def _allow(actions: list[str], where: Any) -> dict[str, Any]:
    action = actions[0] if len(actions) == 1 else actions
    return {"Version": _VERSION, "Statement": [{"Effect": "Allow", "Action": action, "Resource": where}]}
