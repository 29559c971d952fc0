"""A request to a deployed stage, from its route to its answer."""

from __future__ import annotations

import asyncio
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from airflow_provider_aiml.local_aws.cloudformation.stack import ACCOUNT
from airflow_provider_aiml.local_aws.execute_api.access_log import log_line, write_log
from airflow_provider_aiml.local_aws.execute_api.integration import (
    call_sagemaker,
    choose_response,
    role_may_invoke,
)
from airflow_provider_aiml.local_aws.execute_api.limits import Limits
from airflow_provider_aiml.local_aws.execute_api.mapping import run_template
from airflow_provider_aiml.local_aws.execute_api.refusals import RefusedError, failed, forbidden
from airflow_provider_aiml.local_aws.execute_api.signature import check_signature
from airflow_provider_aiml.local_aws.execute_api.validation import validate
from airflow_provider_aiml.local_aws.messages import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_aiml.local_aws.execute_api.deployments import Deployments, Picture, Route
    from airflow_provider_aiml.local_aws.execute_api.keyring import Keyring
    from airflow_provider_aiml.local_aws.moto_clients import MotoClients

__all__ = ["ExecuteApi", "Place", "place_of"]

_HOST = re.compile(r"([a-z0-9]+)\.execute-api\.([a-z0-9-]+)\.[a-z0-9.-]+")
_PATH = re.compile(r"/_aws/execute-api/([a-z0-9]+)(/.*)?")


@dataclass(frozen=True, slots=True)
class Place:
    """Which API a request is for.

    :param path: from the stage on, still encoded.
    """

    api_id: str
    region: str
    path: str


def place_of(request: Request) -> Place | None:
    """Say which API a request is for, by its host, or by the path ``/_aws/execute-api/<id>/<stage>/…``."""
    host = request.headers.get("host", "").partition(":")[0].lower()
    if by_host := _HOST.fullmatch(host):
        return Place(by_host[1], by_host[2], request.raw_path)
    if by_path := _PATH.fullmatch(request.raw_path):
        return Place(by_path[1], request.region, by_path[2] or "/")
    return None


@dataclass(slots=True)
class _Visit:
    """One request on its way through a stage."""

    request: Request
    place: Place
    stage: dict[str, Any]
    picture: Picture
    route: Route
    parameters: dict[str, dict[str, str]]
    context: dict[str, Any]


class ExecuteApi:
    """All deployed stages of one local AWS.

    :param send: the local AWS's front, for calls of SageMaker Runtime.
    """

    def __init__(
        self,
        clients: MotoClients,
        deployments: Deployments,
        keyring: Keyring,
        send: Callable[[Request], Awaitable[Answer]],
    ) -> None:
        self._clients = clients
        self._deployments = deployments
        self._keyring = keyring
        self._send = send
        self._limits = Limits()

    def clear(self) -> None:
        """Go back to the start."""
        self._limits.clear()

    async def handle(self, request: Request, place: Place) -> Answer:
        """Answer one request, and write the access log's line."""
        context = _first_context(request, place)
        stage: dict[str, Any] = {}
        try:
            stage = await self._stage(place)
            answer = await self._served(request, place, stage, context)
        except RefusedError as refusal:
            answer = refusal.answer()
        answer.headers += [("x-amzn-RequestId", context["requestId"]), ("x-amz-apigw-id", uuid.uuid4().hex)]
        assert isinstance(answer.body, bytes)
        context |= {"status": answer.status, "responseLength": len(answer.body)}
        if settings := stage.get("accessLogSettings"):
            line = log_line(settings.get("format", ""), context)
            where = (place.region, settings["destinationArn"], f"{place.api_id}-{stage['stageName']}")
            await _in_thread(write_log, self._clients, *where, line)
        return answer

    async def _stage(self, place: Place) -> dict[str, Any]:
        from botocore.exceptions import ClientError

        gateway = self._clients.get("apigateway", place.region)
        name = unquote(place.path.strip("/").partition("/")[0])
        try:
            stage: dict[str, Any] = await _in_thread(
                partial(gateway.get_stage, restApiId=place.api_id, stageName=name or "-")
            )
        except ClientError:
            raise forbidden() from None
        return stage

    async def _served(
        self, request: Request, place: Place, stage: dict[str, Any], context: dict[str, Any]
    ) -> Answer:
        visit = self._found(request, place, stage, context)
        method = visit.route.method
        if method.get("authorizationType") == "AWS_IAM":
            now = datetime.now(UTC)
            caller = check_signature(request, self._keyring.get, place.region, now)
            context["identity"] |= {"caller": caller, "user": caller, "accessKey": caller}
        if method.get("apiKeyRequired"):
            await self._check_key(visit)
        settings = stage.get("methodSettings", {}).get("*/*", {})
        throttle = {
            "rateLimit": settings.get("throttlingRateLimit"),
            "burstLimit": settings.get("throttlingBurstLimit"),
        }
        self._limits.take((place.region, place.api_id, stage["stageName"]), throttle)
        return await self._integrated(visit)

    def _found(
        self, request: Request, place: Place, stage: dict[str, Any], context: dict[str, Any]
    ) -> _Visit:
        picture = self._deployments.get(place.region, place.api_id, stage["deploymentId"])
        _, *segments = [unquote(part) for part in place.path.strip("/").split("/")]
        route = picture.find(request.method, segments) if picture else None
        if picture is None or route is None:
            raise RefusedError(403, "Missing Authentication Token", "MissingAuthenticationTokenException")
        context |= {
            "stage": stage["stageName"],
            "resourcePath": route.resource,
            "path": place.path,
        }
        parameters = {
            "path": route.path,
            "querystring": dict(parse_qsl(request.query, keep_blank_values=True)),
            "header": dict(request.headers),
        }
        return _Visit(request, place, stage, picture, route, parameters, context)

    async def _check_key(self, visit: _Visit) -> None:
        """Find the caller's key in a usage plan of the stage, and count the request against it."""
        value = visit.request.headers.get("x-api-key")
        plan, key_id = await _in_thread(self._plan_of, visit.place, visit.stage["stageName"], value)
        if plan is None:
            raise forbidden()
        visit.context["identity"]["apiKeyId"] = key_id
        self._limits.take((plan["id"], key_id), plan.get("throttle") or {})
        self._limits.count((plan["id"], key_id), plan.get("quota") or {})

    def _plan_of(
        self, place: Place, stage: str, value: str | None
    ) -> tuple[dict[str, Any] | None, str | None]:
        gateway = self._clients.get("apigateway", place.region)
        wanted = (place.api_id, stage)
        keys = gateway.get_api_keys(includeValues=True, limit=500)["items"]
        key = next((one for one in keys if one.get("value") == value and one.get("enabled")), None)
        if key is None:
            return None, None
        for plan in gateway.get_usage_plans(limit=500)["items"]:
            stages = [(one["apiId"], one["stage"]) for one in plan.get("apiStages", [])]
            members = gateway.get_usage_plan_keys(usagePlanId=plan["id"], limit=500)["items"]
            if wanted in stages and any(one["id"] == key["id"] for one in members):
                return plan, key["id"]
        return None, None

    async def _integrated(self, visit: _Visit) -> Answer:
        request, method = visit.request, visit.route.method
        body = request.body.decode("utf-8", "replace")
        content_type = request.headers.get("content-type", "application/json").partition(";")[0].strip()
        validate(visit.picture, method, visit.parameters, content_type, body)
        integration = method.get("methodIntegration") or {}
        rendered = self._rendered_request(visit, integration, content_type, body)
        answer = await call_sagemaker(
            integration,
            rendered,
            _mapped_headers(integration, visit.parameters),
            visit.place.region,
            may=partial(_in_thread, role_may_invoke, self._clients),
            send=self._send,
        )
        assert isinstance(answer.body, bytes)
        return self._rendered_answer(visit, choose_response(integration, answer.status), answer.body)

    def _rendered_request(
        self, visit: _Visit, integration: dict[str, Any], content_type: str, body: str
    ) -> str:
        templates = {name.lower(): text for name, text in (integration.get("requestTemplates") or {}).items()}
        template = templates.get(content_type.lower())
        if template is not None:
            return self._run(visit, template, body)
        if integration.get("passthroughBehavior") == "NEVER":
            raise RefusedError(415, "Unsupported Media Type", "BadRequestException")
        return body

    def _rendered_answer(self, visit: _Visit, response: dict[str, Any], body: bytes) -> Answer:
        headers = [("Content-Type", "application/json")]
        status = int(response["statusCode"])
        template = (response.get("responseTemplates") or {}).get("application/json")
        if not template:
            return Answer(status, headers, body)
        visit.context["responseOverride"] = {"header": {}}
        try:
            text = self._run(visit, template, body.decode("utf-8", "replace"))
        except RefusedError:
            raise failed() from None
        override = visit.context["responseOverride"]
        headers += [(name, str(value)) for name, value in override["header"].items()]
        return Answer(int(override.get("status") or status), headers, text.encode())

    def _run(self, visit: _Visit, template: str, body: str) -> str:
        variables = visit.stage.get("variables") or {}
        return run_template(
            template,
            parameters=visit.parameters,
            body=body,
            context=visit.context,
            stage_variables=variables,
        )


def _first_context(request: Request, place: Place) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "accountId": ACCOUNT,
        "apiId": place.api_id,
        "httpMethod": request.method,
        "identity": {"sourceIp": "127.0.0.1", "userAgent": request.headers.get("user-agent", "")},
        "protocol": "HTTP/1.1",
        "requestId": str(uuid.uuid4()),
        "requestOverride": {"header": {}, "path": {}, "querystring": {}},
        "requestTime": f"{now:%d/%b/%Y:%H:%M:%S +0000}",
        "requestTimeEpoch": int(now.timestamp() * 1000),
    }


def _mapped_headers(integration: dict[str, Any], parameters: dict[str, dict[str, str]]) -> dict[str, str]:
    """Give the headers that the integration sets: a text in single quotes, or a parameter of the method's."""
    headers = {"content-type": "application/json"}
    for target, source in (integration.get("requestParameters") or {}).items():
        name = target.removeprefix("integration.request.header.").lower()
        if name == target.lower():
            continue
        if source.startswith("'") and source.endswith("'"):
            headers[name] = source[1:-1]
        elif source.startswith("method.request."):
            _, _, place, wanted = source.split(".", 3)
            if value := parameters[place].get(wanted.lower() if place == "header" else wanted):
                headers[name] = value
    return headers


async def _in_thread(call: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, call, *arguments)
