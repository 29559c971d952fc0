"""A request and an answer through the API's mapping templates, as the gateway would do it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.endpoint_api.error_mapping import integration_responses
from airflow_provider_aiml.endpoint_api.gateway_variables import gateway_variables
from airflow_provider_aiml.endpoint_api.sample_values import with_sample_body
from airflow_provider_aiml.endpoint_api.velocity import TemplateFaultError, render
from airflow_provider_aiml.exceptions import Problem, RequestError
from airflow_provider_aiml.inference.json_text import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_aiml.endpoint_api.api import EndpointApi

__all__ = ["RenderedResponse", "Request", "render_request", "render_response", "template_field"]

_SAMPLE_CONTEXT: dict[str, Any] = {
    "accountId": "111122223333",
    "apiId": "local",
    "extendedRequestId": "local",
    "identity": {"sourceIp": "127.0.0.1", "userAgent": "local", "caller": "local", "user": "local"},
    "path": "/",
    "protocol": "HTTP/1.1",
    "requestId": "00000000-0000-0000-0000-000000000000",
    "requestTime": "01/Jan/2026:00:00:00 +0000",
    "requestTimeEpoch": 1767225600000,
    "resourcePath": "/",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller sends, as :meth:`EndpointApi.render_request` takes it."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    content_type: str
    context: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RenderedResponse:
    """What a caller gets.

    :param status: the HTTP status, overridden by the template where it does so.
    :param body: the body's text.
    """

    status: int
    body: str


def template_field(content_type: str) -> str:
    """Name the argument that holds the request template of a content type."""
    if content_type == "application/json":
        return "request_mapping_template"
    return f"additional_request_templates[{content_type!r}]"


def render_request(api: EndpointApi, request: Request, sample_body: Any = None) -> str:
    """Give the body for the model; see :meth:`EndpointApi.render_request`.

    :param sample_body: found wherever the template looks in the body; default: what is there.
    """
    wanted = request.content_type.partition(";")[0].strip().lower()
    templates = {name.lower(): (name, text) for name, text in api.request_templates.items()}
    problems = list(_absent(api, request))
    if wanted not in templates:
        found = f"{wanted!r}, which the gateway answers with 415"
        problems.append(Problem("content_type", found, "one of " + ", ".join(sorted(templates))))
    if problems:
        raise RequestError("The gateway would refuse this request", problems=tuple(problems))
    name, template = templates[wanted]
    parameters = {"path": request.path, "querystring": request.query, "header": request.headers}
    variables = gateway_variables(
        parameters=parameters,
        body=_text(request.body),
        context=_context(api, request.context),
        stage_variables=api.stage_variables,
    )
    if sample_body is not None:
        variables = with_sample_body(variables, sample_body)
    return _rendered(template, variables, template_field(name))


def _absent(api: EndpointApi, request: Request) -> Iterator[Problem]:
    headers = {name.lower(): value for name, value in request.headers.items()}
    for full, required in api.parameters.items():
        _, _, place, name = full.split(".", 3)
        given = {"path": request.path, "querystring": request.query, "header": headers}[place]
        wanted = name.lower() if place == "header" else name
        if required and given.get(wanted) in (None, ""):
            argument = {"path": "path", "querystring": "query", "header": "headers"}[place]
            found = "blank" if wanted in given else "absent"
            yield Problem(f"{argument}[{name!r}]", found, "a value: the gateway's validator demands it")


def render_response(
    api: EndpointApi, status: int, body: Any, context: Mapping[str, Any], sample_body: Any = None
) -> RenderedResponse:
    """Give the caller's answer; see :meth:`EndpointApi.render_response`.

    :param sample_body: found wherever the template looks in the body; default: what is there.
    """
    response = _selected(integration_responses(api), str(status))
    template = response.get("ResponseTemplates", {}).get("application/json")
    text = _text(body)
    if template is None:
        return RenderedResponse(int(response["StatusCode"]), text)
    around = _context(api, context)
    nothing: Mapping[str, Mapping[str, str]] = {"path": {}, "querystring": {}, "header": {}}
    variables = gateway_variables(
        parameters=nothing, body=text, context=around, stage_variables=api.stage_variables
    )
    if sample_body is not None:
        variables = with_sample_body(variables, sample_body)
    rendered = _rendered(template, variables, "response_mapping_template")
    override = around["responseOverride"].get("status")
    return RenderedResponse(int(override or response["StatusCode"]), rendered)


def _selected(responses: list[dict[str, Any]], status: str) -> dict[str, Any]:
    for response in responses:
        if re.fullmatch(response.get("SelectionPattern", "(?!)"), status):
            return response
    return responses[0]


def _context(api: EndpointApi, over: Mapping[str, Any]) -> dict[str, Any]:
    """Give a context of its own to each rendering, for templates write into it."""
    return {
        **_SAMPLE_CONTEXT,
        "httpMethod": api.method,
        "stage": api.stage_name,
        "requestOverride": {"header": {}, "path": {}, "querystring": {}},
        "responseOverride": {"header": {}},
        **over,
    }


def _text(body: Any) -> str:
    if body is None:
        return ""
    return body if isinstance(body, str) else to_json(body, "body")


def _rendered(template: str, variables: dict[str, Any], field: str) -> str:
    try:
        return render(template, variables)
    except TemplateFaultError as fault:
        raise RequestError("A mapping template fails", problems=(fault.as_problem(field),)) from None
