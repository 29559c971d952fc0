"""The default profile's template: what it adds to the construct, and how stable it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow_provider_aiml.endpoint_api import Surroundings
from airflow_provider_aiml.exceptions import RequestError
from tests.unit.endpoint_api.samples import MANY_LINES, RATINGS, ROLE, api, of_type, only


def deployment_id(**changes: Any) -> str:
    (name,) = of_type(api(**changes).template(), "ApiGateway::Deployment")
    return name


def properties(name: str, **changes: Any) -> dict[str, Any]:
    return dict(api(**changes).template()["Resources"][name]["Properties"])


def test_equal_apis_give_equal_templates_whatever_the_order_of_their_maps() -> None:
    forwards = api(tags={"a": "1", "b": "2"}, request_parameters={"x": True, "y": False})
    backwards = api(tags={"b": "2", "a": "1"}, request_parameters={"y": False, "x": True})
    texts = [json.dumps(one.template(), sort_keys=True) for one in (forwards, backwards, forwards)]
    assert texts[0] == texts[1] == texts[2]


def test_what_a_caller_does_to_a_template_does_not_reach_the_api() -> None:
    one = api(overrides={"Stage": {"CanarySetting": {"StageVariableOverrides": {}}}})
    setting = one.template()["Resources"]["Stage"]["Properties"]["CanarySetting"]
    setting["StageVariableOverrides"]["x"] = "y"
    again = one.template()["Resources"]["Stage"]["Properties"]["CanarySetting"]
    assert again == {"StageVariableOverrides": {}}


def test_a_map_that_is_changed_later_does_not_change_the_api() -> None:
    tags = {"team": "a"}
    one = api(tags=tags)
    tags["team"] = "b"
    assert one.tags == {"team": "a"}


@pytest.mark.parametrize(
    "changes",
    [
        {"request_mapping_template": MANY_LINES},
        {"response_mapping_template": RATINGS},
        {"additional_request_templates": {"text/csv": "[$input.body]"}},
        {"endpoint_name": "other"},
        {"resource_path": "{customer}"},
        {"resource_name": "ratings"},
        {"method": "POST"},
        {"method": "POST", "request_model": {"type": "object"}},
        {"request_parameters": {"items": True}},
        {"authorization": "NONE"},
        {"api_key_required": True},
        {"error_mapping": "construct"},
        {"timeout": 5},
        {"content_type": "text/csv"},
        {"binary_media_types": ["image/png"]},
        {"api_gateway_execution_role_arn": ROLE},
        {"overrides": {"Method": {"OperationName": "predict"}}},
        {"overrides": {"RestApi": {"MinimumCompressionSize": 100}}},
        {"overrides": {"InvokeRole": {"RoleName": "other-role"}}},
        {"overrides": {"RequestValidator": {"Name": "validator"}}},
    ],
    ids=json.dumps,
)
def test_a_change_to_what_is_served_makes_a_new_deployment(changes: dict[str, Any]) -> None:
    assert deployment_id(**changes) != deployment_id()


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"description": "other"},
        {"endpoint_type": "EDGE"},
        {"tags": {"team": "a"}},
        {"stage_name": "test"},
        {"stage_variables": {"a": "b"}},
        {"tracing": False},
        {"logging_level": "OFF"},
        {"log_group_name": "/api/log"},
        {"log_retention_days": 30},
        {"throttle_rate_limit": 5.5, "throttle_burst_limit": 10},
        {"create_usage_plan": False},
        {"account_logging_role": "leave"},
        {"overrides": {"Stage": {"CacheClusterEnabled": False}}},
        {"overrides": {"InvokeRole": {"MaxSessionDuration": 7200}}},
        {"overrides": {"Deployment": {"Description": "mine"}}},
    ],
    ids=json.dumps,
)
def test_a_change_to_anything_else_keeps_the_deployment(changes: dict[str, Any]) -> None:
    assert deployment_id(**changes) == deployment_id()


def test_a_deployment_for_the_way_has_an_id_of_its_own_and_nothing_else_differs() -> None:
    on_the_way = api().template(Surroundings(has_old_route=True))
    (name,) = of_type(on_the_way, "ApiGateway::Deployment")
    assert name != deployment_id()
    assert json.loads(json.dumps(on_the_way).replace(name, deployment_id())) == api().template()


def test_a_quota_keeps_the_deployment() -> None:
    quota = {"quota_limit": 5, "quota_period": "DAY"}
    assert deployment_id(api_key_required=True, **quota) == deployment_id(api_key_required=True)


def test_the_stage_serves_the_deployment_of_the_template() -> None:
    template = api().template()
    assert template["Resources"]["Stage"]["Properties"]["DeploymentId"] == {
        "Ref": next(iter(of_type(template, "ApiGateway::Deployment")))
    }


def test_no_logical_id_but_the_deployments_and_the_policys_depends_on_the_options() -> None:
    plain = set(api().template()["Resources"])
    changed = set(api(request_mapping_template=MANY_LINES, stage_name="x", name="y").template()["Resources"])
    assert {name.startswith("Deployment") for name in plain ^ changed} == {True}
    other = set(api(endpoint_name="other").template()["Resources"])
    assert {name.rstrip("0123456789abcdef") for name in plain ^ other} == {"Deployment", "InvokePolicy"}


def policy_of(**changes: Any) -> tuple[str, dict[str, Any]]:
    ((name, one),) = of_type(api(**changes).template(), "IAM::Policy").items()
    return name, dict(one["Properties"])


@pytest.mark.parametrize(
    "changes",
    [
        {"endpoint_name": "other"},
        {"overrides": {"InvokePolicy": {"PolicyDocument": {"Version": "2012-10-18"}}}},
        {"overrides": {"InvokeRole": {"RoleName": "other-role"}}},
    ],
    ids=json.dumps,
)
def test_another_policy_comes_beside_the_old_one_and_does_not_overwrite_it(changes: dict[str, Any]) -> None:
    (plain, before), (changed, after) = policy_of(), policy_of(**changes)
    assert changed != plain
    assert after["PolicyName"] != before["PolicyName"]


def test_a_change_to_the_template_alone_keeps_the_policy() -> None:
    assert policy_of(request_mapping_template=MANY_LINES) == policy_of()


def test_a_policy_with_a_name_of_ones_own_keeps_it_and_its_id() -> None:
    name, properties = policy_of(overrides={"InvokePolicy": {"PolicyName": "mine"}})
    assert (name, properties["PolicyName"]) == ("InvokePolicy", "mine")


def test_nothing_is_served_before_the_role_may_call_the_endpoint() -> None:
    name, _ = policy_of()
    assert only(api().template(), "ApiGateway::Deployment")["DependsOn"] == ["Method", name]
    passed_in = api(api_gateway_execution_role_arn=ROLE).template()
    assert only(passed_in, "ApiGateway::Deployment")["DependsOn"] == ["Method"]


def test_the_invoke_role_may_call_that_endpoint_and_nothing_else() -> None:
    template = api().template()
    assert "Policies" not in template["Resources"]["InvokeRole"]["Properties"]
    assert "ManagedPolicyArns" not in template["Resources"]["InvokeRole"]["Properties"]
    policies = of_type(template, "IAM::Policy")
    (policy,) = policies.values()
    assert policy["Properties"]["Roles"] == [{"Ref": "InvokeRole"}]
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Action": "sagemaker:InvokeEndpoint",
        "Resource": {
            "Fn::Sub": "arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}:endpoint/my-endpoint"
        },
    }


@pytest.mark.parametrize("profile", ["default", "construct"])
def test_the_endpoint_is_allowed_by_its_arn_in_lower_case_and_called_by_its_name(profile: str) -> None:
    template = api(endpoint_name="My-Endpoint", profile=profile).template()
    statement = only(template, "IAM::Policy")["Properties"]["PolicyDocument"]["Statement"][0]
    assert statement["Resource"]["Fn::Sub"].endswith(":endpoint/my-endpoint")
    uri = only(template, "ApiGateway::Method")["Properties"]["Integration"]["Uri"]["Fn::Sub"]
    assert uri.endswith("/endpoints/My-Endpoint/invocations")


def test_a_role_that_was_passed_in_gets_no_policy() -> None:
    template = api(api_gateway_execution_role_arn=ROLE, account_logging_role="leave").template()
    assert of_type(template, "IAM::Role") == of_type(template, "IAM::Policy") == {}
    assert only(template, "ApiGateway::Method")["Properties"]["Integration"]["Credentials"] == ROLE


def test_an_api_is_regional_and_its_stage_logs_traces_and_writes_an_access_log() -> None:
    template = api().template()
    assert template["Resources"]["RestApi"]["Properties"]["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    stage = template["Resources"]["Stage"]["Properties"]
    assert stage["TracingEnabled"] is True
    assert stage["MethodSettings"][0]["LoggingLevel"] == "INFO"
    assert stage["AccessLogSetting"]["DestinationArn"] == {"Fn::GetAtt": ["AccessLogGroup", "Arn"]}


def test_the_access_log_outlives_the_stack_but_not_a_creation_that_failed() -> None:
    group = api(log_group_name="/api/log", log_retention_days=30).template()["Resources"]["AccessLogGroup"]
    assert (group["DeletionPolicy"], group["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert group["Properties"] == {"LogGroupName": "/api/log", "RetentionInDays": 30}


def test_a_log_group_that_an_earlier_stack_left_is_used_and_not_made_again() -> None:
    template = api(log_group_name="/api/log").template(Surroundings(has_log_group=True))
    assert of_type(template, "Logs::LogGroup") == {}
    destination = template["Resources"]["Stage"]["Properties"]["AccessLogSetting"]["DestinationArn"]
    assert destination["Fn::Sub"].endswith(":${AWS::AccountId}:log-group:/api/log")
    assert "LogGroupName" not in template["Outputs"]


def test_a_log_group_without_a_name_of_ours_is_always_made() -> None:
    assert of_type(api().template(Surroundings(has_log_group=True)), "Logs::LogGroup")


def test_a_logging_role_is_made_where_the_account_has_none_and_outlives_the_stack() -> None:
    template = api().template()
    for name in ("CloudWatchRole", "Account"):
        assert template["Resources"][name]["DeletionPolicy"] == "Retain"
    assert template["Resources"]["Stage"]["DependsOn"] == ["Account"]


def test_a_logging_role_that_the_account_has_is_never_overwritten() -> None:
    template = api().template(Surroundings(has_logging_role=True))
    assert of_type(template, "ApiGateway::Account") == {}
    assert list(of_type(template, "IAM::Role")) == ["InvokeRole"]
    assert "DependsOn" not in template["Resources"]["Stage"]


def test_leave_touches_no_account_setting() -> None:
    assert of_type(api(account_logging_role="leave").template(), "ApiGateway::Account") == {}


def test_create_sets_the_account_whatever_it_has() -> None:
    template = api(account_logging_role="create").template(Surroundings(has_logging_role=True))
    assert of_type(template, "ApiGateway::Account")


def test_a_logging_role_of_ones_own_is_set_and_none_is_made() -> None:
    template = api(account_logging_role=ROLE).template()
    assert template["Resources"]["Account"]["Properties"] == {"CloudWatchRoleArn": ROLE}
    assert "CloudWatchRole" not in template["Resources"]


def test_the_parameters_of_the_path_are_always_declared_and_required() -> None:
    declared = properties(
        "Method", resource_path="users/{user_id}", request_parameters={"items": True, "header.X-Trace": False}
    )["RequestParameters"]
    assert declared == {
        "method.request.path.user_id": True,
        "method.request.querystring.items": True,
        "method.request.header.X-Trace": False,
    }


def test_a_parameter_may_have_api_gateways_own_name() -> None:
    given = {"method.request.querystring.items": True, "querystring.top": False}
    declared = properties("Method", resource_path="scores", request_parameters=given)["RequestParameters"]
    assert declared == {"method.request.querystring.items": True, "method.request.querystring.top": False}


@pytest.mark.parametrize(
    "name",
    [
        "method.request.multivaluequerystring.items",
        "multivalueheader.X-A",
        "method.request.body.items",
        "method.request.items",
        "path.user_id",
    ],
)
def test_a_parameter_of_a_place_that_no_method_declares_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="no name of a query parameter or header"):
        api(request_parameters={name: True})


@pytest.mark.parametrize("name", ["path", "items.path", "body.items", "querystring.multivaluequerystring.a"])
def test_a_query_parameter_may_be_called_like_a_place(name: str) -> None:
    assert (
        f"method.request.querystring.{name.removeprefix('querystring.')}"
        in api(request_parameters={name: True}).parameters
    )


def test_a_path_of_several_segments_is_a_chain_of_resources() -> None:
    resources = api(resource_name="v1", resource_path="users/{id}/{rest+}").template()["Resources"]
    chain = [("NameResource", "v1"), ("PathResource", "users"), ("PathResource1", "{id}")]
    for name, part in [*chain, ("PathResource2", "{rest+}")]:
        assert resources[name]["Properties"]["PathPart"] == part
    assert resources["PathResource1"]["Properties"]["ParentId"] == {"Ref": "PathResource"}
    assert resources["Method"]["Properties"]["ResourceId"] == {"Ref": "PathResource2"}


def test_without_a_path_the_method_is_on_the_root() -> None:
    parent = properties("Method", resource_path="")["ResourceId"]
    assert parent == {"Fn::GetAtt": ["RestApi", "RootResourceId"]}


def test_a_body_is_validated_by_its_model() -> None:
    schema = {"type": "object", "required": ["instances"], "properties": {"Ref": {"enum": ["a", None]}}}
    template = api(method="POST", request_model=schema).template()
    assert json.loads(only(template, "ApiGateway::Model")["Properties"]["Schema"]) == schema
    method = only(template, "ApiGateway::Method")["Properties"]
    assert method["RequestModels"] == {"application/json": {"Ref": "RequestModel"}}
    validator = only(template, "ApiGateway::RequestValidator")["Properties"]
    assert validator["ValidateRequestBody"] is True


def test_a_body_of_another_type_that_is_json_is_validated_too() -> None:
    others = dict.fromkeys(["application/vnd.acme+json", "text/JSON", "text/csv"], "$input.body")
    described = api(method="POST", request_model={"type": "object"}, additional_request_templates=others)
    method = only(described.template(), "ApiGateway::Method")["Properties"]
    assert list(method["RequestModels"]) == ["application/json", "application/vnd.acme+json", "text/JSON"]


def test_a_key_is_made_and_tied_to_the_plan_where_callers_need_one() -> None:
    resources = api(api_key_required=True).template()["Resources"]
    assert resources["Method"]["Properties"]["ApiKeyRequired"] is True
    assert resources["UsagePlanKey"]["Properties"] == {
        "KeyId": {"Ref": "ApiKey"},
        "KeyType": "API_KEY",
        "UsagePlanId": {"Ref": "UsagePlan"},
    }
    assert "Value" not in resources["ApiKey"]["Properties"]


def test_throttles_hold_for_the_stage_and_quotas_for_the_plan() -> None:
    resources = api(
        throttle_rate_limit=5,
        throttle_burst_limit=7,
        quota_limit=9,
        quota_period="WEEK",
        api_key_required=True,
    ).template()["Resources"]
    settings = resources["Stage"]["Properties"]["MethodSettings"][0]
    assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == (5, 7)
    plan = resources["UsagePlan"]["Properties"]
    assert plan["Throttle"] == {"RateLimit": 5, "BurstLimit": 7}
    assert plan["Quota"] == {"Limit": 9, "Period": "WEEK"}


def test_the_outputs_name_what_a_caller_needs_and_no_secret() -> None:
    outputs = api(api_key_required=True).template()["Outputs"]
    assert set(outputs) == {
        "Url",
        "RestApiId",
        "StageName",
        "LogGroupName",
        "UsagePlanId",
        "ApiKeyId",
        "InvokeRoleArn",
        "CloudWatchRoleArn",
    }


def test_overrides_are_merged_last_and_into_nested_properties() -> None:
    changed = properties(
        "Method", overrides={"Method": {"Integration": {"TimeoutInMillis": 100, "CacheNamespace": "x"}}}
    )["Integration"]
    assert (changed["TimeoutInMillis"], changed["CacheNamespace"]) == (100, "x")
    assert changed["Type"] == "AWS"


def test_an_override_of_none_removes_a_property() -> None:
    assert "TracingEnabled" not in properties("Stage", overrides={"Stage": {"TracingEnabled": None}})


def test_an_override_of_none_removes_a_property_of_a_list_too() -> None:
    settings = [{"HttpMethod": "*", "ResourcePath": "/*", "LoggingLevel": None}]
    changed = properties("Stage", overrides={"Stage": {"MethodSettings": settings}})
    assert changed["MethodSettings"] == [{"HttpMethod": "*", "ResourcePath": "/*"}]


def test_an_override_replaces_an_intrinsic_function_whole() -> None:
    role = {"Fn::ImportValue": "caller-role"}
    changed = properties("Method", overrides={"Method": {"Integration": {"Credentials": role}}})
    assert changed["Integration"]["Credentials"] == role


def test_an_override_may_let_the_stage_serve_another_deployment() -> None:
    changed = properties("Stage", overrides={"Stage": {"DeploymentId": "abc123"}})
    assert changed["DeploymentId"] == "abc123"


def test_an_override_of_an_unknown_resource_names_those_there_are() -> None:
    with pytest.raises(RequestError, match=r"overrides\['Nothing'\].*RestApi") as raised:
        api(overrides={"Nothing": {}}).template()
    assert [problem.field for problem in raised.value.problems] == ["overrides['Nothing']"]


@pytest.mark.parametrize("left_out", ["AccessLogGroup", "CloudWatchRole", "Account"])
def test_an_override_of_what_the_account_has_already_is_left_out_with_it(left_out: str) -> None:
    changes = {"log_group_name": "/api/log", "overrides": {left_out: {"Tags": [{"Key": "a", "Value": "b"}]}}}
    around = Surroundings(has_logging_role=True, has_log_group=True)
    assert "Tags" in api(**changes).template()["Resources"][left_out]["Properties"]
    assert api(**changes).template(around) == api(log_group_name="/api/log").template(around)


def test_an_override_of_an_unknown_resource_is_refused_whatever_the_account_has() -> None:
    with pytest.raises(RequestError, match="AccessLogGroup, Account"):
        api(overrides={"Nothing": {}}).template(Surroundings(has_logging_role=True))
