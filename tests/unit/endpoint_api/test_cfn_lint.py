"""cfn-lint finds nothing in any template, whatever the options."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from airflow_provider_aiml.endpoint_api import Surroundings
from cfnlint.api import lint as find
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.unit.endpoint_api.samples import MANY_LINES, ONE_LINE, RATINGS, ROLE, api

# Linting one template takes a tenth of a second and more, and shrinking thousands of them.
SLOW = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],
)
NAMES = st.text(string.ascii_letters + string.digits, min_size=1, max_size=20)
# cfn-lint takes a tag called "false" for the same as any other tag (1.58), and IAM knows no case of theirs.
TAGS = NAMES.map(str.lower).filter(lambda name: name != "false")
EVERY_METHOD = {"HttpMethod": "*", "ResourcePath": "/*"}
OVERRIDES: list[dict[str, Any]] = [
    {},
    {"Stage": {"CacheClusterEnabled": False, "MethodSettings": None}},
    {"Stage": {"AccessLogSetting": None, "Description": "quiet"}},
    {"Stage": {"MethodSettings": [{**EVERY_METHOD, "LoggingLevel": None, "MetricsEnabled": True}]}},
    {"Method": {"Integration": {"TimeoutInMillis": 1000}}, "RestApi": {"ApiKeySourceType": "HEADER"}},
    {"Method": {"Integration": {"ContentHandling": "CONVERT_TO_TEXT"}, "OperationName": "score"}},
    {"RestApi": {"EndpointConfiguration": {"Types": ["REGIONAL"]}, "DisableExecuteApiEndpoint": True}},
    {"RestApi": {"Policy": {"Version": "2012-10-17", "Statement": []}}, "RequestValidator": {"Name": "v"}},
    {"Deployment": {"Description": {"Fn::Sub": "of ${AWS::StackName}"}}},
]
OF_OWN_ROLE: list[dict[str, Any]] = [
    {"InvokeRole": {"Description": "calls the model", "Path": "/service/"}},
    {"InvokeRole": {"ManagedPolicyArns": ["arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess"]}},
    {"InvokePolicy": {"PolicyName": "mine"}},
]
OF_OWN_LOG: list[dict[str, Any]] = [{"AccessLogGroup": {"RetentionInDays": 7, "LogGroupClass": "STANDARD"}}]
NAMED_ANYHOW = st.sampled_from(["Ref", "Fn::Sub", "type", "$ref", "ä"]) | NAMES
SCALARS = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "number", ["string", "null"]])},
    optional={"enum": st.just(["a", None, 1]), "description": NAMES},
)
SCHEMAS = st.recursive(
    SCALARS,
    lambda inner: (
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(NAMED_ANYHOW, inner, max_size=3)},
            optional={"required": st.just(["Ref"]), "additionalProperties": st.booleans()},
        )
        | st.fixed_dictionaries({"type": st.just("array"), "items": inner})
    ),
    max_leaves=6,
)


OTHER_TYPES = {"text/csv": "[$input.body]", "application/vnd.acme+json": "$input.body"}


def lint(template: dict[str, Any]) -> list[str]:
    """Give every error and warning, as the cfn-lint command does by itself."""
    return [f"{match.rule.id} {match.message}" for match in find(json.dumps(template))]


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw options that fit each other."""
    chosen: dict[str, Any] = {
        "name": draw(NAMES),
        "resource_path": draw(st.sampled_from(["", "scores", "{user_id}", "users/{id}/{rest+}"])),
        "resource_name": draw(st.sampled_from([None, "ratings"])),
        "request_mapping_template": draw(st.sampled_from([ONE_LINE, MANY_LINES, '{"a": "${x}"}'])),
        "response_mapping_template": draw(st.sampled_from([None, RATINGS])),
        "additional_request_templates": draw(st.sampled_from([{}, OTHER_TYPES])),
        "profile": draw(st.sampled_from(["default", "construct"])),
        "request_parameters": draw(st.dictionaries(NAMES, st.booleans(), max_size=3)),
        "timeout": draw(st.sampled_from([None, 0.05, 29])),
        "endpoint_type": draw(st.sampled_from(["REGIONAL", "EDGE"])),
        "authorization": draw(st.sampled_from(["AWS_IAM", "NONE"])),
        "binary_media_types": draw(st.sampled_from([(), ("image/png",)])),
        "stage_variables": draw(st.sampled_from([{}, {"a": "b"}])),
        "tracing": draw(st.booleans()),
        "logging_level": draw(st.sampled_from(["OFF", "ERROR", "INFO"])),
        "log_group_name": draw(st.sampled_from([None, "/api/log"])),
        "log_retention_days": draw(st.sampled_from([None, 30])),
        "throttle_rate_limit": draw(st.sampled_from([None, 5, 0.5])),
        "throttle_burst_limit": draw(st.sampled_from([None, 10])),
        "account_logging_role": draw(st.sampled_from(["if_missing", "leave", "create", ROLE])),
        "error_mapping": draw(st.sampled_from(["faithful", "construct"])),
        "tags": draw(st.dictionaries(TAGS, NAMES, max_size=2)),
        "description": draw(st.sampled_from([None, "what it is for"])),
    }
    chosen["method"] = draw(st.sampled_from(["GET", "POST"]))
    if chosen["method"] == "POST":
        chosen["request_model"] = draw(st.none() | SCHEMAS)
    chosen["create_usage_plan"] = draw(st.booleans())
    if chosen["create_usage_plan"]:
        chosen["api_key_required"] = draw(st.booleans())
        if chosen["api_key_required"]:
            chosen.update(draw(st.sampled_from([{}, {"quota_limit": 5, "quota_period": "MONTH"}])))
    possible = [*OVERRIDES, *OF_OWN_LOG]
    if draw(st.booleans()):
        chosen["api_gateway_execution_role_arn"] = ROLE
    else:
        possible += OF_OWN_ROLE
    chosen["overrides"] = draw(st.sampled_from(possible))
    return chosen


@pytest.mark.timeout(300)
@SLOW
@given(options(), st.booleans())
def test_no_template_has_a_finding(chosen: dict[str, Any], found: bool) -> None:
    one = api(**chosen)
    around = Surroundings(
        has_logging_role=found,
        has_log_group=found,
        has_old_route=found,
    )
    assert lint(one.template(around)) == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("own_role", [True, False])
@pytest.mark.parametrize("overrides", [*OVERRIDES, *OF_OWN_LOG, *OF_OWN_ROLE], ids=json.dumps)
def test_no_kind_of_override_has_a_finding(overrides: dict[str, Any], own_role: bool) -> None:
    role = {} if own_role or overrides in OF_OWN_ROLE else {"api_gateway_execution_role_arn": ROLE}
    assert lint(api(overrides=overrides, **role).template()) == []


def test_the_linter_does_find_what_is_wrong() -> None:
    findings = lint(api(overrides={"Stage": {"StageNam": "prod"}}).template())
    assert any("StageNam" in finding for finding in findings)
