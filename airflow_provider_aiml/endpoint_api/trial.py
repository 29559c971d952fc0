"""A trial of the mapping templates, before anything is deployed."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_provider_aiml.endpoint_api.rendering import (
    Request,
    render_request,
    render_response,
    template_field,
)
from airflow_provider_aiml.endpoint_api.sample_values import SAMPLE_BODIES, SAMPLE_PARAMETER
from airflow_provider_aiml.endpoint_api.velocity import TemplateFaultError, parse
from airflow_provider_aiml.exceptions import Problem, RequestError
from airflow_provider_aiml.inference.json_text import is_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_provider_aiml.endpoint_api.api import EndpointApi

__all__ = ["open_parameters", "template_problems"]

_READS_BODY = re.compile(r"\$!?\{?input\.(body|json|path)\b")
_SPACED_DIRECTIVE = re.compile(r"(?<!#)#[ \t]+((?:set|if|foreach|elseif)(?=\s*\()|(?:else|end)\b)")
_RESPONSE = "response_mapping_template"
_COMMA = "#if( $foreach.hasNext ),#end"
_COMMA_BEFORE_ITEM = re.compile(r"\)\s*#\s*if\s*\(\s*\$foreach\.hasNext\s*\)\s*,\s*#\s*end")

_BREAKOUTS = (
    '{"aiml trial": 1}',  # where a value stands bare
    '1", "aiml trial": "1',  # in a text of an object
    '1", {"aiml trial": "1"}, "1',  # in a text of a list
)
_BROKEN_OUT = re.compile(r'"aiml trial"\s*:')


def template_problems(api: EndpointApi) -> Iterator[Problem]:
    """Name what is wrong with the templates of an API; see :meth:`EndpointApi.check_templates`."""
    for content_type, template in api.request_templates.items():
        problems = list(_of_syntax(template_field(content_type), template))
        problems = problems or list(_of_request(api, content_type, template))
        yield from (*problems, *_of_blanks(problems, template))
    if (answer := api.response_mapping_template) is not None:
        problems = list(_of_syntax(_RESPONSE, answer)) or list(_of_response(api))
        yield from (*problems, *_of_blanks(problems, answer))


def open_parameters(api: EndpointApi) -> list[str]:
    """Name the parameters through which a caller can write JSON of his own, as a value that does so shows."""
    return [full.split(".", 3)[3] for full in api.parameters if _is_open(api, full)]


def _is_open(api: EndpointApi, full: str) -> bool:
    for content_type, template in api.request_templates.items():
        body = SAMPLE_BODIES[0] if _READS_BODY.search(template) else None
        for value in _BREAKOUTS:
            given = {**dict.fromkeys(api.parameters, SAMPLE_PARAMETER), full: value}
            with suppress(RequestError):
                rendered = render_request(api, _sample(given, content_type), body)
                if is_json(rendered) and _BROKEN_OUT.search(rendered):
                    return True
    return False


def _of_syntax(field: str, template: str) -> Iterator[Problem]:
    try:
        parse(template)
    except TemplateFaultError as fault:
        yield fault.as_problem(field)


def _of_blanks(problems: Sequence[Problem], template: str) -> Iterator[Problem]:
    """Name directives that are plain text, where something is wrong: by themselves they may be meant so.

    AWS's page and README of the construct have them in 2026. To Velocity they are text, and the #end that
    they leave alone is an error (seen with 1.7 and 2.4.1).
    """
    if problems and (spaced := _SPACED_DIRECTIVE.search(template)):
        allowed = f"no blank behind the hash: #{spaced[1]}"
        if _COMMA_BEFORE_ITEM.search(template):
            allowed += f"; and {_COMMA} behind the item, not before it"
        yield Problem(problems[0].field, f"{spaced[0]!r}, which is plain text", allowed)


def _of_request(api: EndpointApi, content_type: str, template: str) -> Iterator[Problem]:
    """Render with all declared parameters, and with the required ones alone."""
    field = template_field(content_type)
    look = _of_body if _READS_BODY.search(template) else _of_rendering
    required = {name for name, needed in api.parameters.items() if needed}
    for names, given in (
        (set(api.parameters), "all parameters"),
        (required, "the required parameters alone"),
    ):
        sample = _sample(dict.fromkeys(names, SAMPLE_PARAMETER), content_type)
        problems = list(look(api, field, sample, given))
        if problems:
            yield from problems
            return


def _of_response(api: EndpointApi) -> Iterator[Problem]:
    """Render with sample answers of the model; as of a request's, one that gives JSON is enough."""
    verdicts = []
    for body in SAMPLE_BODIES:
        with suppress(RequestError):
            verdicts.append(is_json(render_response(api, 200, None, {}, body).body))
    if verdicts and not any(verdicts):
        yield Problem(_RESPONSE, "a template that gives no JSON, whatever the model answers", "JSON")


def _of_rendering(api: EndpointApi, field: str, request: Request, given: str) -> Iterator[Problem]:
    try:
        rendered = render_request(api, request)
    except RequestError as error:
        yield from error.problems
        return
    if not _is_good(api, rendered):
        yield _no_json(field, given)


def _of_body(api: EndpointApi, field: str, request: Request, given: str) -> Iterator[Problem]:
    """Render with sample bodies: one that gives JSON is enough, and where it fails the body may not fit."""
    verdicts = []
    for body in SAMPLE_BODIES:
        with suppress(RequestError):
            verdicts.append(_is_good(api, render_request(api, request, body)))
    if verdicts and not any(verdicts):
        yield _no_json(field, f"{given}, whatever the body")


def _is_good(api: EndpointApi, rendered: str) -> bool:
    return "json" not in api.content_type or is_json(rendered)


def _no_json(field: str, given: str) -> Problem:
    allowed = "JSON for whatever the validator lets through; declare what it uses in request_parameters"
    return Problem(field, f"a template that gives no JSON for {given}", allowed)


def _sample(values: Mapping[str, str], content_type: str) -> Request:
    places: dict[str, dict[str, str]] = {"path": {}, "querystring": {}, "header": {}}
    for full, value in values.items():
        _, _, place, name = full.split(".", 3)
        places[place][name] = value
    return Request(places["path"], places["querystring"], places["header"], None, content_type, {})
