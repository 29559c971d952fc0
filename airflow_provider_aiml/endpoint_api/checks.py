"""What is refused before anything is deployed, every offending field in one error."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.endpoint_api.paths import is_parameter, is_segment, path_variables, split_path
from airflow_provider_aiml.exceptions import Problem, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_aiml.endpoint_api.api import EndpointApi

__all__ = ["check_api"]

_CHOICES: dict[str, tuple[Any, ...]] = {
    "profile": ("default", "construct"),
    "method": ("GET", "POST"),
    "endpoint_type": ("REGIONAL", "EDGE"),
    "authorization": ("AWS_IAM", "NONE"),
    "logging_level": ("OFF", "ERROR", "INFO"),
    "error_mapping": ("faithful", "construct"),
    "quota_period": (None, "DAY", "WEEK", "MONTH"),
}
_ROLE_ARN = r"arn:[a-z0-9-]+:iam::[0-9]{12}:role/[\w+=,.@/-]+"
_MEDIA_TYPE = r"[A-Za-z0-9!#&^_.+-]+/[A-Za-z0-9!#&^_.+*-]+"
# The endpoint's name becomes part of an ARN and of a URI, so its characters are checked here, without loading
# botocore's model of SageMaker for it.
_PATTERNS = {
    "name": (r"(?s).{1,1024}", "1 to 1,024 characters"),
    "endpoint_name": (r"(?=.{1,63}$)[A-Za-z0-9](-*[A-Za-z0-9])*", "up to 63 letters, digits and hyphens"),
    "stage_name": (r"[A-Za-z0-9_-]{1,128}", "up to 128 letters, digits, hyphens and underscores"),
    "content_type": (_MEDIA_TYPE, "a content type such as application/json"),
    "log_group_name": (
        r"(?!aws/)[A-Za-z0-9._/#-]{1,512}",
        "up to 512 letters, digits and . _ / # -, not aws/ first",
    ),
    "api_gateway_execution_role_arn": (_ROLE_ARN, "the ARN of an IAM role"),
}
_OPTIONAL = {"log_group_name", "api_gateway_execution_role_arn"}
_RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557)
_LONG_RETENTION_DAYS = (2922, 3288, 3653)
_LEAST_TIMEOUT = 0.05
_MOST_SECONDS = {"EDGE": 29, "REGIONAL": 300}
"""An EDGE API's limit is fixed; a REGIONAL one's 29 s can be raised by quota, to 300 s (2026-11).

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
"""
_MOST_REQUESTS = 2**31 - 1
_LONGEST_TEMPLATE = 300 * 1024
_MOST_TAGS = 50


def check_api(api: EndpointApi) -> None:
    """Look at every field.

    :raises RequestError: naming each one that cannot be deployed.
    """
    problems: list[Problem] = []
    for look in (
        _choices,
        _patterns,
        _route,
        _templates,
        _gate,
        _numbers,
        _stage,
        _tags,
        _logging_role,
        _mappings,
    ):
        problems.extend(look(api))
    if problems:
        raise RequestError("The API cannot be deployed", problems=tuple(problems))


def _choices(api: EndpointApi) -> Iterator[Problem]:
    for name, allowed in _CHOICES.items():
        if getattr(api, name) not in allowed:
            yield Problem(name, _described(getattr(api, name)), "one of " + ", ".join(map(str, allowed)))


def _patterns(api: EndpointApi) -> Iterator[Problem]:
    for name, (pattern, allowed) in _PATTERNS.items():
        value = getattr(api, name)
        if value is None and name in _OPTIONAL:
            continue
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            yield Problem(name, _described(value), allowed)


def _route(api: EndpointApi) -> Iterator[Problem]:
    for name in ("resource_name", "resource_path"):
        segments = split_path(getattr(api, name) or "")
        for number, segment in enumerate(segments, start=1):
            last = name == "resource_path" and number == len(segments)
            if not is_segment(segment, last=last):
                allowed = "letters, digits and . _ : -, {name}, or {name+} as the last one"
                yield Problem(f"{name}, segment {number}", repr(segment), allowed)
    variables = path_variables(api.path_segments)
    if len(set(variables)) < len(variables):
        yield Problem("resource_path", "a path with one variable twice", "each variable once")
    for name, required in api.request_parameters.items():
        yield from _parameter(name, required)


def _parameter(name: Any, required: Any) -> Iterator[Problem]:
    field = f"request_parameters[{name!r}]"
    if not is_parameter(str(name)):
        allowed = "letters, digits and . _ : -, after header. for a header; the path's are always declared"
        yield Problem(field, "no name of a query parameter or header", allowed)
    if not isinstance(required, bool):
        yield Problem(field, _described(required), "True for required, or False")


def _templates(api: EndpointApi) -> Iterator[Problem]:
    for content_type in api.additional_request_templates:
        field = f"additional_request_templates[{content_type!r}]"
        if str(content_type).lower() == "application/json":
            yield Problem(field, "application/json", "other types; use request_mapping_template for this one")
        elif not re.fullmatch(_MEDIA_TYPE, str(content_type)):
            yield Problem(field, "no content type", "a content type such as text/csv")
    texts = {"request_mapping_template": api.request_mapping_template, **api.additional_request_templates}
    if api.response_mapping_template is not None:
        texts["response_mapping_template"] = api.response_mapping_template
    for name, template in texts.items():
        if not isinstance(template, str) or not template.strip() or len(template) > _LONGEST_TEMPLATE:
            yield Problem(name, _described(template), "a template of 1 to 307,200 characters")


def _gate(api: EndpointApi) -> Iterator[Problem]:
    if api.api_key_required and not api.create_usage_plan:
        yield Problem("api_key_required", "True without a usage plan", "a key needs create_usage_plan=True")
    if api.request_model is not None and api.method != "POST":
        yield Problem("request_model", "set for GET, which has no body", 'None, or method="POST"')
    if api.quota_limit is not None and not api.create_usage_plan:
        yield Problem("quota_limit", "set without a usage plan", "a quota needs create_usage_plan=True")
    if api.quota_limit is not None and not api.api_key_required:
        allowed = "api_key_required=True: requests are counted by their key, and without one none is"
        yield Problem("quota_limit", "set while no caller needs a key", allowed)
    if (api.quota_limit is None) != (api.quota_period is None):
        yield Problem("quota_period", _described(api.quota_period), "set together with quota_limit")


def _numbers(api: EndpointApi) -> Iterator[Problem]:
    most = _MOST_SECONDS.get(api.endpoint_type, 29)
    if api.timeout is not None and not _is_between(api.timeout, _LEAST_TIMEOUT, most):
        allowed = f"{_LEAST_TIMEOUT} to {most} seconds for an API of type {api.endpoint_type}"
        yield Problem("timeout", _described(api.timeout), allowed)
    rate = api.throttle_rate_limit
    if rate is not None and not (_is_between(rate, 0, _MOST_REQUESTS) and rate > 0):
        yield Problem("throttle_rate_limit", _described(rate), "a number above 0")
    for name in ("throttle_burst_limit", "quota_limit"):
        value = getattr(api, name)
        if value is not None and not (_is_between(value, 1, _MOST_REQUESTS) and isinstance(value, int)):
            yield Problem(name, _described(value), "a whole number of at least 1")
    days = api.log_retention_days
    if days is not None and not (type(days) is int and days in _RETENTION_DAYS + _LONG_RETENTION_DAYS):
        yield Problem(
            "log_retention_days", _described(days), "one of CloudWatch's: 1, 3, 5, 7, 14, 30, …, 3653"
        )


def _stage(api: EndpointApi) -> Iterator[Problem]:
    for name, value in api.stage_variables.items():
        if not re.fullmatch(r"\w{1,64}", str(name), re.ASCII):
            yield Problem(
                f"stage_variables[{name!r}]", "no such name", "up to 64 letters, digits, underscores"
            )
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._~:/?#&=,-]{1,512}", value):
            allowed = "up to 512 letters, digits and - . _ ~ : / ? # & = ,"
            yield Problem(f"stage_variables[{name!r}]", _described(value), allowed)
    for media_type in api.binary_media_types:
        if not re.fullmatch(_MEDIA_TYPE + r"|\*/\*", str(media_type)):
            yield Problem("binary_media_types", repr(media_type), "content types such as image/png")


def _tags(api: EndpointApi) -> Iterator[Problem]:
    if len(api.tags) > _MOST_TAGS:
        yield Problem("tags", f"{len(api.tags)} tags", f"up to {_MOST_TAGS}")
    if len({str(key).casefold() for key in api.tags}) < len(api.tags):
        # The roles bear them too.
        yield Problem("tags", "one key in two cases", "each once: to IAM they are the same")
    for key, value in api.tags.items():
        if not re.fullmatch(r"(?!aws:)[\w .:/=+@-]{1,128}", str(key)) or not _is_tag_value(value):
            yield Problem(f"tags[{key!r}]", "no tag", "a key of up to 128 characters and a text of up to 256")


def _is_tag_value(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[\w .:/=+@-]{0,256}", value))


def _logging_role(api: EndpointApi) -> Iterator[Problem]:
    role = api.account_logging_role
    if role not in ("if_missing", "leave", "create") and not re.fullmatch(_ROLE_ARN, str(role)):
        yield Problem("account_logging_role", _described(role), "if_missing, leave, create, or a role's ARN")


def _mappings(api: EndpointApi) -> Iterator[Problem]:
    if api.request_model is not None:
        yield from _schema(api.request_model)
    for logical_id, properties in api.overrides.items():
        if not isinstance(properties, dict) or not _is_json_object(properties):
            yield Problem(f"overrides[{logical_id!r}]", _described(properties), "a dict of properties")


def _schema(schema: Any) -> Iterator[Problem]:
    """Look at the request model, as API Gateway would when it is made: too late, for the stack runs then."""
    if not _is_json_object(schema):
        yield Problem("request_model", _described(schema), "a JSON schema as a dict")
        return
    from jsonschema import Draft4Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft4Validator.check_schema(schema)
    except SchemaError as error:
        where = error.json_path.removeprefix("$")
        yield Problem(f"request_model{where}", error.message[:200], "a JSON schema of draft 4")
    if "*/" in json.dumps(schema):
        yield Problem("request_model", "a schema with */ in it", "none, for API Gateway makes comments of it")


def _is_json_object(value: Any) -> bool:
    try:
        return isinstance(value, dict) and bool(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return False


def _is_between(value: Any, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _described(value: Any) -> str:
    if isinstance(value, str):
        return repr(value) if len(value) <= 80 else f"text of {len(value)} characters"
    return repr(value) if isinstance(value, int | float | None) else f"a {type(value).__name__}"
