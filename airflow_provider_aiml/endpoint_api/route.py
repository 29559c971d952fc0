"""The REST API, its resources, validator, model, method and integration: what a deployment serves."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.endpoint_api import logical_ids as ids
from airflow_provider_aiml.endpoint_api.error_mapping import integration_responses
from airflow_provider_aiml.endpoint_api.resources import present, resource, tag_list

if TYPE_CHECKING:
    from airflow_provider_aiml.endpoint_api.api import EndpointApi

__all__ = ["route_resources"]

_JSON = re.compile(r"[/+]json$", re.IGNORECASE)


def route_resources(api: EndpointApi) -> dict[str, Any]:
    """Give what is served: one route."""
    resources = {
        ids.REST_API: resource("AWS::ApiGateway::RestApi", _rest_api(api)),
        ids.REQUEST_VALIDATOR: resource("AWS::ApiGateway::RequestValidator", _validator(api)),
    }
    if api.request_model is not None:
        model = {
            "RestApiId": {"Ref": ids.REST_API},
            "ContentType": "application/json",
            # As text: in a map CloudFormation takes a property named Ref for a function, and refuses a null.
            "Schema": json.dumps(api.request_model, sort_keys=True, separators=(",", ":")),
        }
        resources[ids.REQUEST_MODEL] = resource("AWS::ApiGateway::Model", model)
    parent: dict[str, Any] = {"Fn::GetAtt": [ids.REST_API, "RootResourceId"]}
    for name, segment in _named_segments(api):
        properties = {"RestApiId": {"Ref": ids.REST_API}, "ParentId": parent, "PathPart": segment}
        resources[name] = resource("AWS::ApiGateway::Resource", properties)
        parent = {"Ref": name}
    resources[ids.METHOD] = resource("AWS::ApiGateway::Method", _method(api, parent))
    return resources


def _named_segments(api: EndpointApi) -> list[tuple[str, str]]:
    segments = api.path_segments
    names = [ids.NAME_RESOURCE] if api.resource_name else []
    count = len(segments) - len(names)
    names += [ids.PATH_RESOURCE + (str(number) if number else "") for number in range(count)]
    return list(zip(names, segments, strict=True))


def _rest_api(api: EndpointApi) -> dict[str, Any]:
    return present(
        {
            "Name": api.name,
            "Description": api.description,
            "EndpointConfiguration": {"Types": [api.endpoint_type]},
            "BinaryMediaTypes": list(api.binary_media_types) or None,
            "Tags": tag_list(api),
        }
    )


def _validator(api: EndpointApi) -> dict[str, Any]:
    return present(
        {
            "RestApiId": {"Ref": ids.REST_API},
            "Name": "request-param-validator",
            "ValidateRequestParameters": True,
            "ValidateRequestBody": True if api.request_model is not None else None,
        }
    )


def _method(api: EndpointApi, parent: dict[str, Any]) -> dict[str, Any]:
    responses = integration_responses(api)
    return present(
        {
            "RestApiId": {"Ref": ids.REST_API},
            "ResourceId": parent,
            "HttpMethod": api.method,
            "AuthorizationType": api.authorization,
            "ApiKeyRequired": True if api.api_key_required else None,
            "RequestParameters": _declared(api) or None,
            "RequestModels": _models(api) or None,
            "RequestValidatorId": {"Ref": ids.REQUEST_VALIDATOR},
            "MethodResponses": [{"StatusCode": one["StatusCode"]} for one in responses],
            "Integration": _integration(api, responses),
        }
    )


def _declared(api: EndpointApi) -> dict[str, bool]:
    """Give the method's parameters; the construct declares none, so its profile has the given ones alone."""
    declared = api.parameters
    if api.profile == "construct":
        return {name: required for name, required in declared.items() if ".path." not in name}
    return declared


def _models(api: EndpointApi) -> dict[str, Any]:
    """Give the model for each content type that is JSON, or a caller would go round it with another one."""
    if api.request_model is None:
        return {}
    return {name: {"Ref": ids.REQUEST_MODEL} for name in api.request_templates if _JSON.search(name)}


def _integration(api: EndpointApi, responses: list[dict[str, Any]]) -> dict[str, Any]:
    role = api.api_gateway_execution_role_arn or {"Fn::GetAtt": [ids.INVOKE_ROLE, "Arn"]}
    uri = (
        "arn:${AWS::Partition}:apigateway:${AWS::Region}:runtime.sagemaker:path/endpoints/"
        f"{api.endpoint_name}/invocations"
    )
    return present(
        {
            "Type": "AWS",
            "IntegrationHttpMethod": "POST",
            "Uri": {"Fn::Sub": uri},
            "Credentials": role,
            "PassthroughBehavior": "NEVER",
            "RequestParameters": {"integration.request.header.Content-Type": f"'{api.content_type}'"},
            "RequestTemplates": api.request_templates,
            "IntegrationResponses": responses,
            "TimeoutInMillis": api.timeout_millis,
        }
    )
