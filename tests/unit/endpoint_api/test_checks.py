"""Bad input is refused when the API is described, every field in one error."""

from __future__ import annotations

from typing import Any

import pytest
from airflow_provider_aiml.exceptions import RequestError
from tests.unit.endpoint_api.samples import ROLE, api


def fields(**changes: Any) -> list[str]:
    with pytest.raises(RequestError) as raised:
        api(**changes)
    return [problem.field for problem in raised.value.problems]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"endpoint_name": "not_a_name"}, "endpoint_name"),
        ({"endpoint_name": "x" * 64}, "endpoint_name"),
        ({"endpoint_name": "a/../b"}, "endpoint_name"),
        ({"endpoint_name": "name\n"}, "endpoint_name"),
        ({"resource_path": "{user_id"}, "resource_path, segment 1"),
        ({"resource_path": "user_id}"}, "resource_path, segment 1"),
        ({"resource_path": "a{user}b"}, "resource_path, segment 1"),
        ({"resource_path": "{rest+}/more"}, "resource_path, segment 1"),
        ({"resource_path": "a//b"}, "resource_path, segment 2"),
        ({"resource_path": "{a}/{a}"}, "resource_path"),
        ({"resource_name": "{rest+}"}, "resource_name, segment 1"),
        ({"request_mapping_template": " "}, "request_mapping_template"),
        ({"request_mapping_template": "x" * 307_201}, "request_mapping_template"),
        ({"response_mapping_template": ""}, "response_mapping_template"),
        (
            {"additional_request_templates": {"application/json": "{}"}},
            "additional_request_templates['application/json']",
        ),
        (
            {"additional_request_templates": {"Application/JSON": "{}"}},
            "additional_request_templates['Application/JSON']",
        ),
        ({"additional_request_templates": {"csv": "[]"}}, "additional_request_templates['csv']"),
        ({"additional_request_templates": {"text/csv": ""}}, "text/csv"),
        ({"api_key_required": True, "create_usage_plan": False}, "api_key_required"),
        ({"quota_limit": 5, "quota_period": "DAY", "create_usage_plan": False}, "quota_limit"),
        ({"quota_limit": 5, "api_key_required": True}, "quota_period"),
        ({"quota_limit": 5, "quota_period": "DAY"}, "quota_limit"),
        ({"quota_period": "DAY"}, "quota_period"),
        ({"quota_limit": 0, "quota_period": "DAY", "api_key_required": True}, "quota_limit"),
        ({"throttle_rate_limit": 0}, "throttle_rate_limit"),
        ({"throttle_rate_limit": float("inf")}, "throttle_rate_limit"),
        ({"throttle_rate_limit": float("nan")}, "throttle_rate_limit"),
        ({"throttle_burst_limit": True}, "throttle_burst_limit"),
        ({"throttle_burst_limit": 1.5}, "throttle_burst_limit"),
        ({"quota_limit": 2.5, "quota_period": "DAY", "api_key_required": True}, "quota_limit"),
        ({"timeout": 29.5, "endpoint_type": "EDGE"}, "timeout"),
        ({"timeout": 301}, "timeout"),
        ({"timeout": 0.01}, "timeout"),
        ({"timeout": "5"}, "timeout"),
        ({"profile": "cdk"}, "profile"),
        ({"method": "PUT"}, "method"),
        ({"endpoint_type": "PRIVATE"}, "endpoint_type"),
        ({"authorization": "COGNITO"}, "authorization"),
        ({"logging_level": "DEBUG"}, "logging_level"),
        ({"error_mapping": "none"}, "error_mapping"),
        ({"stage_name": "a b"}, "stage_name"),
        ({"stage_variables": {"a-b": "c"}}, "stage_variables['a-b']"),
        ({"stage_variables": {"a": "{}"}}, "stage_variables['a']"),
        ({"content_type": "json"}, "content_type"),
        ({"log_group_name": "a b"}, "log_group_name"),
        ({"log_group_name": "aws/api"}, "log_group_name"),
        ({"log_retention_days": 2}, "log_retention_days"),
        ({"log_retention_days": True}, "log_retention_days"),
        ({"log_retention_days": 7.0}, "log_retention_days"),
        ({"binary_media_types": ["png"]}, "binary_media_types"),
        ({"tags": {"aws:x": "y"}}, "tags['aws:x']"),
        ({"tags": {"x": 1}}, "tags['x']"),
        ({"tags": {f"k{number}": "v" for number in range(51)}}, "tags"),
        ({"tags": {"Team": "a", "team": "b"}}, "tags"),
        ({"account_logging_role": "always"}, "account_logging_role"),
        ({"api_gateway_execution_role_arn": "role"}, "api_gateway_execution_role_arn"),
        ({"request_model": {"type": "object"}}, "request_model"),
        ({"request_model": "{}", "method": "POST"}, "request_model"),
        ({"request_model": {"required": "a"}, "method": "POST"}, "request_model.required"),
        (
            {"request_model": {"properties": {"x": {"type": "strng"}}}, "method": "POST"},
            "request_model.properties.x.type",
        ),
        ({"request_model": {"description": "a */ b"}, "method": "POST"}, "request_model"),
        ({"request_parameters": {"items": "yes"}}, "request_parameters['items']"),
        ({"request_parameters": {"path.user_id": True}}, "request_parameters['path.user_id']"),
        ({"request_parameters": {"a b": True}}, "request_parameters['a b']"),
        ({"overrides": {"Stage": "x"}}, "overrides['Stage']"),
        ({"overrides": {"Stage": {"X": float("nan")}}}, "overrides['Stage']"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_cannot_be_deployed_is_refused_and_its_field_is_named(
    changes: dict[str, Any], field: str
) -> None:
    assert field in fields(**changes)


def test_every_offending_field_is_in_one_error() -> None:
    named = fields(endpoint_name="a b", timeout=1000, stage_name="", tags={"aws:": "x"})
    assert named == ["endpoint_name", "stage_name", "timeout", "tags['aws:']"]


def test_a_long_template_is_not_quoted_in_its_error() -> None:
    with pytest.raises(RequestError) as raised:
        api(request_mapping_template="secret" * 100_000)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"timeout": 29, "endpoint_type": "EDGE"},
        {"timeout": 300},
        {"timeout": 0.05},
        {"resource_path": "/users/{user_id}/"},
        {"account_logging_role": ROLE},
        {"binary_media_types": ["*/*"]},
        {"log_retention_days": 3653},
        {"tags": {"cost center": "a=b"}},
        {"tags": {f"k{number}": "v" for number in range(50)}},
        {"throttle_rate_limit": 0.5, "throttle_burst_limit": 1},
        {"log_group_name": "/aws/api"},
        {"stage_variables": {"url": "https://example.com/?a=b"}},
    ],
    ids=str,
)
def test_what_aws_takes_is_taken(changes: dict[str, Any]) -> None:
    api(**changes).template()
