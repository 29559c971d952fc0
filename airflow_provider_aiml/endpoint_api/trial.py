"""A trial of the mapping templates, before anything is deployed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider_aiml.endpoint_api.error_mapping import integration_responses
from airflow_provider_aiml.endpoint_api.rendering import Request, render_request, template_field
from airflow_provider_aiml.endpoint_api.velocity import TemplateFaultError, parse
from airflow_provider_aiml.exceptions import Problem, RequestError
from airflow_provider_aiml.inference.json_text import is_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_aiml.endpoint_api.api import EndpointApi

__all__ = ["template_problems"]

_SAMPLE = "1"
_READS_BODY = re.compile(r"\$!?\{?input\.(body|json|path)\b")
_SPACED_DIRECTIVE = re.compile(r"#\s+(set|if|foreach|elseif|else|end)\b")


def template_problems(api: EndpointApi) -> Iterator[Problem]:
    """Name what is wrong with the templates of an API; see :meth:`EndpointApi.check_templates`."""
    for content_type, template in api.request_templates.items():
        yield from _of_request(api, content_type, template)
    for response in integration_responses(api):
        template = response.get("ResponseTemplates", {}).get("application/json", "")
        yield from _of_syntax("response_mapping_template", template)


def _of_syntax(field: str, template: str) -> Iterator[Problem]:
    try:
        parse(template)
    except TemplateFaultError as fault:
        yield fault.as_problem(field)
    if spaced := _SPACED_DIRECTIVE.search(template):
        # As AWS's own page of the construct has them in 2026; Velocity takes such a line for text.
        yield Problem(field, f"{spaced[0]!r}, which is plain text", f"no blank behind the hash: #{spaced[1]}")


def _of_request(api: EndpointApi, content_type: str, template: str) -> Iterator[Problem]:
    """Render with all declared parameters, and with the required ones alone.

    A template that reads the body cannot be tried without one; that is what examples are for.
    """
    field = template_field(content_type)
    problems = list(_of_syntax(field, template))
    if not problems and not _READS_BODY.search(template):
        required = {name for name, needed in api.parameters.items() if needed}
        for names, given in (
            (set(api.parameters), "all parameters"),
            (required, "the required parameters alone"),
        ):
            problems = list(_of_rendering(api, field, content_type, names, given))
            if problems:
                break
    yield from problems


def _of_rendering(
    api: EndpointApi, field: str, content_type: str, names: set[str], given: str
) -> Iterator[Problem]:
    try:
        rendered = render_request(api, _sample(names, content_type))
    except RequestError as error:
        yield from error.problems
        return
    if "json" in api.content_type and not is_json(rendered):
        found = f"a template that gives no JSON for {given}"
        allowed = "JSON for whatever the validator lets through; declare what it uses in request_parameters"
        yield Problem(field, found, allowed)


def _sample(names: set[str], content_type: str) -> Request:
    places: dict[str, dict[str, str]] = {"path": {}, "querystring": {}, "header": {}}
    for full in names:
        _, _, place, name = full.split(".", 3)
        places[place][name] = _SAMPLE
    return Request(places["path"], places["querystring"], places["header"], None, content_type, {})
