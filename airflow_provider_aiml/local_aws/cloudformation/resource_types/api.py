"""API Gateway: what a deployment is a picture of, and the deployment."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_aiml.local_aws.cloudformation.resource_types.resource_type import (
    Place,
    ResourceFailedError,
    ResourceType,
    camel,
)
from airflow_provider_aiml.local_aws.cloudformation.stack import Made

__all__ = ["ApiModel", "ApiResource", "Deployment", "Method", "RequestValidator", "RestApi"]


def patch(op: str, path: str, value: Any = None) -> dict[str, Any]:
    """Write one patch operation."""
    return {"op": op, "path": path} | ({} if value is None else {"value": _text(value)})


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class RestApi(ResourceType):
    """AWS::ApiGateway::RestApi."""

    properties = frozenset(
        {
            "ApiKeySourceType",
            "BinaryMediaTypes",
            "Description",
            "DisableExecuteApiEndpoint",
            "EndpointConfiguration",
            "MinimumCompressionSize",
            "Name",
            "Policy",
            "Tags",
        }
    )
    required = frozenset({"Name"})

    def create(self, place: Place, properties: dict[str, Any]) -> Made:
        """Make an API with nothing but its root."""
        given = camel(
            properties,
            "Name",
            "Description",
            "BinaryMediaTypes",
            "MinimumCompressionSize",
            "DisableExecuteApiEndpoint",
        )
        if source := properties.get("ApiKeySourceType"):
            given["apiKeySource"] = source
        if policy := properties.get("Policy"):
            given["policy"] = json.dumps(policy)
        if tags := properties.get("Tags"):
            given["tags"] = {tag["Key"]: tag["Value"] for tag in tags}
        if endpoint := properties.get("EndpointConfiguration"):
            given["endpointConfiguration"] = {"types": endpoint["Types"]}
        made = place.client("apigateway").create_rest_api(**given)
        # moto forgets the media types of a new API (5.2), and takes them as patches.
        kinds = set(properties.get("BinaryMediaTypes", [])) - set(made.get("binaryMediaTypes", []))
        if kinds:
            place.client("apigateway").update_rest_api(
                restApiId=made["id"], patchOperations=_media_types("add", kinds)
            )
        root = made["rootResourceId"]
        return Made(made["id"], {"RootResourceId": root, "RestApiId": made["id"]})

    def update(self, place: Place, made: Made, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Change texts, media types and the kind of endpoint."""
        operations = [patch("replace", "/name", new["Name"])]
        operations.append(patch("replace", "/description", new.get("Description", "")))
        operations += [patch("replace", "/endpointConfiguration/types/EDGE", _endpoint_type(new))]
        was, wanted = set(old.get("BinaryMediaTypes", [])), set(new.get("BinaryMediaTypes", []))
        operations += _media_types("remove", was - wanted) + _media_types("add", wanted - was)
        place.client("apigateway").update_rest_api(restApiId=made.physical_id, patchOperations=operations)

    def delete(self, place: Place, made: Made, properties: dict[str, Any]) -> None:
        """Delete the API with all that is left of it."""
        place.client("apigateway").delete_rest_api(restApiId=made.physical_id)


def _media_types(op: str, kinds: set[str]) -> list[dict[str, Any]]:
    return [patch(op, f"/binaryMediaTypes/{kind.replace('/', '~1')}", kind) for kind in sorted(kinds)]


def _endpoint_type(properties: dict[str, Any]) -> str:
    types = properties.get("EndpointConfiguration", {}).get("Types", ["EDGE"])
    return str(types[0])


class RequestValidator(ResourceType):
    """AWS::ApiGateway::RequestValidator."""

    properties = frozenset({"Name", "RestApiId", "ValidateRequestBody", "ValidateRequestParameters"})
    required = frozenset({"RestApiId"})
    create_only = frozenset({"Name", "RestApiId"})

    def create(self, place: Place, properties: dict[str, Any]) -> Made:
        """Make it."""
        given = camel(properties, "RestApiId", "Name", "ValidateRequestBody", "ValidateRequestParameters")
        made = place.client("apigateway").create_request_validator(**given)
        return Made(made["id"], {"RequestValidatorId": made["id"]})

    def update(self, place: Place, made: Made, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Change what it looks at."""
        operations = [
            patch("replace", f"/{name[0].lower()}{name[1:]}", new.get(name, False))
            for name in ("ValidateRequestBody", "ValidateRequestParameters")
        ]
        place.client("apigateway").update_request_validator(
            restApiId=new["RestApiId"], requestValidatorId=made.physical_id, patchOperations=operations
        )

    def delete(self, place: Place, made: Made, properties: dict[str, Any]) -> None:
        """Delete it."""
        place.client("apigateway").delete_request_validator(
            restApiId=properties["RestApiId"], requestValidatorId=made.physical_id
        )


class ApiModel(ResourceType):
    """AWS::ApiGateway::Model."""

    properties = frozenset({"ContentType", "Description", "Name", "RestApiId", "Schema"})
    required = frozenset({"RestApiId"})
    create_only = frozenset({"ContentType", "Name", "RestApiId"})

    def create(self, place: Place, properties: dict[str, Any]) -> Made:
        """Make it."""
        name = properties.get("Name") or "".join(filter(str.isalnum, place.made_up_name()))
        self._put(place, name, properties)
        return Made(name)

    def update(self, place: Place, made: Made, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Give it another schema; moto has no update, so it is made anew under its name."""
        self.delete(place, made, old)
        self._put(place, made.physical_id, new)

    def delete(self, place: Place, made: Made, properties: dict[str, Any]) -> None:
        """Delete it."""
        place.client("apigateway").delete_model(restApiId=properties["RestApiId"], modelName=made.physical_id)

    def _put(self, place: Place, name: str, properties: dict[str, Any]) -> None:
        schema = properties.get("Schema", {})
        place.client("apigateway").create_model(
            restApiId=properties["RestApiId"],
            name=name,
            contentType=properties.get("ContentType", "application/json"),
            description=properties.get("Description", ""),
            schema=schema if isinstance(schema, str) else json.dumps(schema),
        )


class ApiResource(ResourceType):
    """AWS::ApiGateway::Resource: one segment of a path."""

    properties = frozenset({"ParentId", "PathPart", "RestApiId"})
    required = properties
    create_only = properties

    def create(self, place: Place, properties: dict[str, Any]) -> Made:
        """Make it; moto does not look at its siblings, as the real one does."""
        gateway = place.client("apigateway")
        part, parent = properties["PathPart"], properties["ParentId"]
        for other in gateway.get_resources(restApiId=properties["RestApiId"], limit=500)["items"]:
            if other.get("parentId") != parent:
                continue
            if other["pathPart"] == part:
                raise ResourceFailedError(
                    f"Another resource with the same parent already has this name: {part}"
                )
            if part.startswith("{") and other["pathPart"].startswith("{"):
                raise ResourceFailedError(
                    f"A sibling ({other['pathPart']}) of this resource already has a variable path part -- "
                    "only one is allowed"
                )
        made = gateway.create_resource(restApiId=properties["RestApiId"], parentId=parent, pathPart=part)
        return Made(made["id"], {"ResourceId": made["id"]})

    def delete(self, place: Place, made: Made, properties: dict[str, Any]) -> None:
        """Delete it."""
        place.client("apigateway").delete_resource(
            restApiId=properties["RestApiId"], resourceId=made.physical_id
        )


class Method(ResourceType):
    """AWS::ApiGateway::Method, with its integration and all responses."""

    properties = frozenset(
        {
            "ApiKeyRequired",
            "AuthorizationType",
            "HttpMethod",
            "Integration",
            "MethodResponses",
            "OperationName",
            "RequestModels",
            "RequestParameters",
            "RequestValidatorId",
            "ResourceId",
            "RestApiId",
        }
    )
    required = frozenset({"HttpMethod", "ResourceId", "RestApiId"})
    create_only = frozenset({"HttpMethod", "ResourceId", "RestApiId"})

    def create(self, place: Place, properties: dict[str, Any]) -> Made:
        """Make the method, its integration and their responses."""
        gateway, where = place.client("apigateway"), self._where(properties)
        given = camel(
            properties,
            "ApiKeyRequired",
            "OperationName",
            "RequestModels",
            "RequestParameters",
            "RequestValidatorId",
        )
        gateway.put_method(**where, authorizationType=properties.get("AuthorizationType", "NONE"), **given)
        for response in properties.get("MethodResponses", []):
            rest = camel(response, "ResponseModels", "ResponseParameters")
            gateway.put_method_response(**where, statusCode=str(response["StatusCode"]), **rest)
        if integration := properties.get("Integration"):
            self._put_integration(gateway, where, integration)
        return Made("|".join(where.values()))

    def _put_integration(self, gateway: Any, where: dict[str, str], integration: dict[str, Any]) -> None:
        given = camel(
            integration,
            "Type",
            "IntegrationHttpMethod",
            "Uri",
            "Credentials",
            "RequestParameters",
            "RequestTemplates",
            "PassthroughBehavior",
            "ContentHandling",
            "TimeoutInMillis",
            "CacheNamespace",
        )
        gateway.put_integration(**where, **given)
        for response in integration.get("IntegrationResponses", []):
            rest = camel(
                response, "SelectionPattern", "ResponseTemplates", "ResponseParameters", "ContentHandling"
            )
            gateway.put_integration_response(**where, statusCode=str(response["StatusCode"]), **rest)

    def update(self, place: Place, made: Made, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Make it anew; nobody sees it before it is deployed."""
        self.delete(place, made, old)
        self.create(place, new)

    def delete(self, place: Place, made: Made, properties: dict[str, Any]) -> None:
        """Delete it."""
        place.client("apigateway").delete_method(**self._where(properties))

    def _where(self, properties: dict[str, Any]) -> dict[str, str]:
        return {
            "restApiId": properties["RestApiId"],
            "resourceId": properties["ResourceId"],
            "httpMethod": properties["HttpMethod"],
        }


class Deployment(ResourceType):
    """AWS::ApiGateway::Deployment: a picture of the API, which never changes."""

    properties = frozenset({"Description", "RestApiId", "StageName"})
    required = frozenset({"RestApiId"})
    create_only = frozenset({"RestApiId", "StageName"})

    def create(self, place: Place, properties: dict[str, Any]) -> Made:
        """Take the picture."""
        given = camel(properties, "RestApiId", "Description", "StageName")
        made = place.client("apigateway").create_deployment(**given)
        return Made(made["id"], {"DeploymentId": made["id"]})

    def update(self, place: Place, made: Made, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Nothing but its description can change, and moto does not keep that."""

    def delete(self, place: Place, made: Made, properties: dict[str, Any]) -> None:
        """Delete it, unless a stage serves it; moto looks only at stages made together with it."""
        gateway, api = place.client("apigateway"), properties["RestApiId"]
        for stage in gateway.get_stages(restApiId=api)["item"]:
            if stage["deploymentId"] == made.physical_id:
                raise ResourceFailedError(
                    "Active stages pointing to this deployment must be moved or deleted"
                )
        gateway.delete_deployment(restApiId=api, deploymentId=made.physical_id)
