"""The CloudFormation template, put together: resources, overrides, the deployment's digest, outputs."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.endpoint_api import logical_ids as ids
from airflow_provider_aiml.endpoint_api.access import (
    INVOKE_POLICY_NAME,
    account_resources,
    invoke_resources,
)
from airflow_provider_aiml.endpoint_api.route import route_resources
from airflow_provider_aiml.endpoint_api.surroundings import Surroundings
from airflow_provider_aiml.endpoint_api.traffic import log_resources, stage_resources, usage_resources
from airflow_provider_aiml.exceptions import Problem, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_aiml.endpoint_api.api import EndpointApi

__all__ = ["build_template"]

# What a deployment is a picture of. The stage, plans, keys and logs are read live.
_SERVED = {
    "AWS::ApiGateway::Resource",
    "AWS::ApiGateway::Method",
    "AWS::ApiGateway::RequestValidator",
    "AWS::ApiGateway::Model",
}
# Names, texts and tags of the REST API are read live; what of it is served is the rest.
_LIVE_OF_REST_API = {"Name", "Description", "Tags", "EndpointConfiguration"}
# A role with another name or path is another role, with another ARN in the method.
_IDENTITY_OF_ROLE = {"RoleName", "Path"}


def build_template(api: EndpointApi, surroundings: Surroundings) -> dict[str, Any]:
    """Give the template of an API; see :meth:`EndpointApi.template`."""
    resources = _resources(api, surroundings)
    _override(resources, api.overrides, known=_resources(api, Surroundings()))
    if api.profile != "construct":
        _name_policy(resources)
    _name_deployment(resources, surroundings)
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"API Gateway in front of the SageMaker endpoint {api.endpoint_name}",
        "Resources": resources,
        "Outputs": _outputs(api, resources),
    }
    # What the caller handed in must not be reachable through what he got.
    return copy.deepcopy(template)


def _resources(api: EndpointApi, surroundings: Surroundings) -> dict[str, Any]:
    return {
        **log_resources(api, surroundings),
        **route_resources(api),
        **invoke_resources(api),
        **account_resources(api, surroundings),
        **stage_resources(api, surroundings),
        **usage_resources(api),
    }


def _override(
    resources: dict[str, Any], overrides: Mapping[str, Mapping[str, Any]], known: Mapping[str, Any]
) -> None:
    """Lay overrides over the resources.

    :param known: the resources without surroundings. One that is left out because the account has it already
        needs no override, and an API that was deployed before must not be refused for it.
    """
    problems = [
        Problem(f"overrides[{name!r}]", "no resource of the template", "one of " + ", ".join(sorted(known)))
        for name in overrides
        if name not in known
    ]
    if problems:
        raise RequestError("The overrides do not fit the template", problems=tuple(problems))
    for name in overrides.keys() & resources.keys():
        resources[name]["Properties"] = _merged(resources[name].get("Properties", {}), overrides[name])


def _merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Lay properties over properties. An intrinsic function is one value: it is replaced whole."""
    merged = dict(ours)
    for name, value in theirs.items():
        mine = merged.get(name)
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict) and isinstance(mine, dict) and not _is_intrinsic(mine, value):
            merged[name] = _merged(mine, value)
        else:
            merged[name] = _without_none(value)
    return merged


def _without_none(value: Any) -> Any:
    """Remove properties deeper down, too: CloudFormation refuses a null wherever it is."""
    if isinstance(value, dict):
        return {name: _without_none(one) for name, one in value.items() if one is not None}
    return [_without_none(one) for one in value] if isinstance(value, list | tuple) else value


def _is_intrinsic(*values: Mapping[str, Any]) -> bool:
    return any(len(value) == 1 and next(iter(value)).startswith(("Ref", "Fn::")) for value in values)


def _name_policy(resources: dict[str, Any]) -> None:
    """Put a digest of what the policy allows, and to whom, into its logical id and its name.

    What the stage serves until the end of an update still calls as the old policy has it. So another policy
    must come beside the old one, which CloudFormation takes away in its cleanup, and not over it. A name that
    was overridden cannot be there twice: such a policy is changed in place.
    """
    policy = resources.get(ids.INVOKE_POLICY, {}).get("Properties", {})
    if policy.get("PolicyName") != INVOKE_POLICY_NAME:
        return
    role = resources[ids.INVOKE_ROLE]["Properties"]
    digest = _digest([policy, {name: role.get(name) for name in sorted(_IDENTITY_OF_ROLE)}])
    policy["PolicyName"] = f"{INVOKE_POLICY_NAME}-{digest}"
    _rename(resources, ids.INVOKE_POLICY, ids.INVOKE_POLICY + digest)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _rename(resources: dict[str, Any], old: str, new: str) -> None:
    """Give a resource another logical id, in its place and wherever something waits for it."""
    for name in list(resources):
        one = resources.pop(name)
        if old in one.get("DependsOn", []):
            one["DependsOn"] = [new if needed == old else needed for needed in one["DependsOn"]]
        resources[new if name == old else name] = one


def _name_deployment(resources: dict[str, Any], surroundings: Surroundings) -> None:
    """Put a digest of what is served into the deployment's logical id.

    A deployment is a picture that cannot be changed: CloudFormation takes a new one only under a new id.
    """
    served = {name: part for name in resources if (part := _served_part(resources[name])) is not None}
    if surroundings.has_old_route:
        served["OldRoute"] = {}
    named = ids.DEPLOYMENT + _digest(served)
    _rename(resources, ids.DEPLOYMENT, named)
    stage = resources[ids.STAGE]["Properties"]
    if stage.get("DeploymentId") == {"Ref": ids.DEPLOYMENT}:
        stage["DeploymentId"] = {"Ref": named}


def _served_part(resource: Mapping[str, Any]) -> dict[str, Any] | None:
    properties = resource.get("Properties", {})
    if resource["Type"] in _SERVED:
        return dict(properties)
    if resource["Type"] == "AWS::ApiGateway::RestApi":
        return {name: value for name, value in properties.items() if name not in _LIVE_OF_REST_API}
    if resource["Type"] == "AWS::IAM::Role":
        return {name: value for name, value in properties.items() if name in _IDENTITY_OF_ROLE} or None
    return None


def _outputs(api: EndpointApi, resources: Mapping[str, Any]) -> dict[str, Any]:
    url = f"https://${{{ids.REST_API}}}.execute-api.${{AWS::Region}}.${{AWS::URLSuffix}}/${{{ids.STAGE}}}/"
    outputs = {"Url": {"Description": "Where the API is", "Value": {"Fn::Sub": url}}}
    if api.profile == "construct":
        return outputs
    named = {
        "RestApiId": ids.REST_API,
        "StageName": ids.STAGE,
        "LogGroupName": ids.LOG_GROUP,
        "UsagePlanId": ids.USAGE_PLAN,
        "ApiKeyId": ids.API_KEY,
    }
    roles = {"InvokeRoleArn": ids.INVOKE_ROLE, "CloudWatchRoleArn": ids.CLOUDWATCH_ROLE}
    for output, name in named.items():
        if name in resources:
            outputs[output] = {"Value": {"Ref": name}}
    for output, name in roles.items():
        if name in resources:
            outputs[output] = {"Value": {"Fn::GetAtt": [name, "Arn"]}}
    return outputs
