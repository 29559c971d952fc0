"""Each type of resource is made, changed and deleted through moto's own APIs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow_provider_aiml.local_aws.cloudformation.resource_types.resource_type import (
    ResourceFailedError,
    ResourceType,
)

API = {"Ref": "Api"}
ROOT = {"Fn::GetAtt": ["Api", "RootResourceId"]}
GET = {"RestApiId": API, "ResourceId": ROOT, "HttpMethod": "GET", "AuthorizationType": "NONE"}
DOCUMENT = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
}
MOCK = {**GET, "Integration": {"Type": "MOCK"}}


def of(kind: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties, **more}


def rest(**properties: Any) -> dict[str, Any]:
    return of("ApiGateway::RestApi", {"Name": "api", **properties})


@pytest.fixture
def gateway(client: Any) -> Any:
    return client("apigateway")


def test_an_api_takes_its_properties_and_their_changes(stacks, gateway):
    policy = {"Version": "2012-10-17", "Statement": []}
    before = rest(
        Description="d",
        BinaryMediaTypes=["image/png"],
        ApiKeySourceType="HEADER",
        Policy=policy,
        Tags=[{"Key": "a", "Value": "b"}],
        EndpointConfiguration={"Types": ["REGIONAL"]},
    )
    stacks.create({"Api": before})
    found = gateway.get_rest_api(restApiId=stacks.physical("Api"))
    assert (found["description"], found["tags"]) == ("d", {"a": "b"})

    assert stacks.update({"Api": rest(Name="other", BinaryMediaTypes=["text/csv"])}) == "UPDATE_COMPLETE", (
        stacks.reasons()
    )
    found = gateway.get_rest_api(restApiId=stacks.physical("Api"))
    assert (found["name"], found["binaryMediaTypes"]) == ("other", ["text/csv"])


def test_a_validator_and_a_model_are_changed_in_place(stacks, gateway):
    def resources(look: bool, schema: dict[str, Any]) -> dict[str, Any]:
        validator = {"RestApiId": API, "Name": "v", "ValidateRequestBody": look}
        model = {"RestApiId": API, "Schema": schema}
        return {
            "Api": rest(),
            "V": of("ApiGateway::RequestValidator", validator),
            "M": of("ApiGateway::Model", model),
        }

    stacks.create(resources(False, {"type": "array"}))
    ids = stacks.physical("V"), stacks.physical("M")
    assert stacks.update(resources(True, {"type": "object"})) == "UPDATE_COMPLETE"
    assert (stacks.physical("V"), stacks.physical("M")) == ids
    api = stacks.physical("Api")
    assert gateway.get_request_validators(restApiId=api)["items"][0]["validateRequestBody"] is True
    assert gateway.get_models(restApiId=api)["items"][0]["schema"] == '{"type": "object"}'
    assert stacks.update({"Api": rest()}) == "UPDATE_COMPLETE"
    assert gateway.get_models(restApiId=api)["items"] == []


def test_two_siblings_may_neither_share_a_name_nor_both_be_variables(stacks):
    def child(part: str, **more: Any) -> dict[str, Any]:
        return of("ApiGateway::Resource", {"RestApiId": API, "ParentId": ROOT, "PathPart": part}, **more)

    stacks.create({"Api": rest(), "A": child("a"), "B": child("a", DependsOn="A")})
    stacks.create({"Api": rest(), "A": child("{a}"), "B": child("{b}", DependsOn="A")}, "t")
    stacks.create({"Api": rest(), "A": child("a"), "B": child("{b}", DependsOn="A")}, "u")
    assert "already has this name: a" in stacks.reasons()[0]
    assert "A sibling ({a})" in stacks.reasons("t")[0]
    assert stacks.stack("u")["StackStatus"] == "CREATE_COMPLETE"


def test_a_method_may_do_without_an_integration(stacks, gateway):
    stacks.create({"Api": rest(), "M": of("ApiGateway::Method", GET)})
    api = stacks.physical("Api")
    root = gateway.get_rest_api(restApiId=api)["rootResourceId"]
    assert "methodIntegration" not in gateway.get_method(restApiId=api, resourceId=root, httpMethod="GET")


def deployed(**stage: Any) -> dict[str, Any]:
    return {
        "Api": rest(),
        "M": of("ApiGateway::Method", MOCK),
        "D": of("ApiGateway::Deployment", {"RestApiId": API, "Description": "d"}, DependsOn="M"),
        "S": of(
            "ApiGateway::Stage", {"RestApiId": API, "DeploymentId": {"Ref": "D"}, "StageName": "x", **stage}
        ),
    }


def test_a_stage_takes_its_properties_and_their_changes(stacks, gateway, client):
    theirs = [{"op": "replace", "path": "/cloudwatchRoleArn", "value": "arn:aws:iam::123456789012:role/r"}]
    gateway.update_account(patchOperations=theirs)
    client("logs").create_log_group(logGroupName="/log")
    before = {
        "Variables": {"a": "1", "b": "2"},
        "TracingEnabled": True,
        "Tags": [{"Key": "k", "Value": "v"}],
        "MethodSettings": [{"ResourcePath": "/*", "HttpMethod": "*", "LoggingLevel": "INFO"}],
        "AccessLogSetting": {"DestinationArn": "arn:aws:logs:us-east-1:123456789012:log-group:/log:*"},
    }
    stacks.create(deployed(**before))
    where = {"restApiId": stacks.physical("Api"), "stageName": "x"}
    made = gateway.get_stage(**where)
    assert made["variables"] == {"a": "1", "b": "2"}
    assert made["methodSettings"]["*/*"]["loggingLevel"] == "INFO"
    assert made["accessLogSettings"]["destinationArn"].endswith(":/log")

    assert stacks.update(deployed(Variables={"a": "3"})) == "UPDATE_COMPLETE"
    changed = gateway.get_stage(**where)
    assert (changed["variables"], changed["tracingEnabled"]) == ({"a": "3"}, False)
    assert changed["methodSettings"]["*/*"]["loggingLevel"] == "OFF"
    assert "accessLogSettings" not in changed


def test_a_stage_that_logs_needs_the_accounts_role(stacks):
    stacks.create(deployed(MethodSettings=[{"LoggingLevel": "ERROR"}]))
    assert "CloudWatch Logs role ARN must be set" in stacks.reasons()[0]


def test_a_deployments_description_is_no_new_deployment(stacks):
    stacks.create(deployed())
    before = stacks.physical("D")
    resources = deployed()
    resources["D"]["Properties"]["Description"] = "other"
    assert stacks.update(resources) == "UPDATE_COMPLETE"
    assert stacks.physical("D") == before


def test_a_deployment_that_a_stage_serves_cannot_be_deleted(stacks, gateway):
    resources = deployed()
    stage = resources.pop("S")
    assert stage
    stacks.create(resources)
    gateway.create_stage(
        restApiId=stacks.physical("Api"), stageName="theirs", deploymentId=stacks.physical("D")
    )
    assert stacks.delete() == "DELETE_FAILED"


def test_plans_keys_and_their_ties_are_changed_and_deleted(stacks, gateway):
    def resources(limit: int, on: bool, **plan: Any) -> dict[str, Any]:
        return {
            **deployed(),
            "P": of(
                "ApiGateway::UsagePlan",
                {"Quota": {"Limit": limit, "Period": "DAY"}, "Throttle": {"RateLimit": 5}, **plan},
            ),
            "K": of("ApiGateway::ApiKey", {"Enabled": on, "Name": "k"}),
            "T": of(
                "ApiGateway::UsagePlanKey",
                {"KeyId": {"Ref": "K"}, "KeyType": "API_KEY", "UsagePlanId": {"Ref": "P"}},
            ),
        }

    stages = [{"ApiId": API, "Stage": {"Ref": "S"}}]
    stacks.create(resources(5, on=True))
    assert stacks.update(resources(6, on=False, ApiStages=stages)) == "UPDATE_COMPLETE"
    plan = gateway.get_usage_plan(usagePlanId=stacks.physical("P"))
    assert plan["quota"]["limit"] == 6
    assert plan["apiStages"][0]["stage"] == "x"
    assert gateway.get_api_keys()["items"][0]["enabled"] is False
    assert stacks.update(resources(6, on=False)) == "UPDATE_COMPLETE"
    assert gateway.get_usage_plan(usagePlanId=stacks.physical("P"))["apiStages"] == []
    assert stacks.delete() == "DELETE_COMPLETE"
    assert gateway.get_usage_plans()["items"] == []


def test_the_accounts_setting_is_changed_and_survives_its_resource(stacks, gateway):
    one, two = (f"arn:aws:iam::123456789012:role/{name}" for name in ("one", "two"))
    stacks.create({"A": of("ApiGateway::Account", {"CloudWatchRoleArn": one})})
    assert gateway.get_account()["cloudwatchRoleArn"] == one
    assert stacks.update({"A": of("ApiGateway::Account", {"CloudWatchRoleArn": two})})
    stacks.delete()
    assert gateway.get_account()["cloudwatchRoleArn"] == two


def test_a_role_takes_its_policies_and_their_changes(stacks, client, role):
    iam = client("iam")
    managed = [
        iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(DOCUMENT))["Policy"]["Arn"]
        for name in ("one", "two")
    ]

    def resources(inline: list[str], arns: list[str], **more: Any) -> dict[str, Any]:
        policies = [{"PolicyName": name, "PolicyDocument": DOCUMENT} for name in inline]
        properties = {**role["Properties"], "Policies": policies, "ManagedPolicyArns": arns, **more}
        return {"R": {**role, "Properties": properties}}

    stacks.create(resources(["a", "b"], managed[:1], Description="d"))
    name = stacks.physical("R")
    assert stacks.update(resources(["b", "c"], managed[1:], Description="e")) == "UPDATE_COMPLETE"
    assert stacks.physical("R") == name
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == ["b", "c"]
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert [one["PolicyArn"] for one in attached] == managed[1:]
    assert iam.get_role(RoleName=name)["Role"]["Description"] == "e"
    assert stacks.delete() == "DELETE_COMPLETE"


def test_a_policy_moves_from_role_to_role(stacks, client, role):
    def resources(*roles: str) -> dict[str, Any]:
        policy = {
            "PolicyName": "p",
            "PolicyDocument": DOCUMENT,
            "Roles": [{"Ref": one} for one in roles],
        }
        return {"A": role, "B": role, "P": of("IAM::Policy", policy)}

    stacks.create(resources("A"))
    stacks.update(resources("B"))
    names = [
        client("iam").list_role_policies(RoleName=stacks.physical(one))["PolicyNames"] for one in ("A", "B")
    ]
    assert names == [[], ["p"]]


def test_a_log_groups_retention_and_tags(stacks, client):
    def group(**properties: Any) -> dict[str, Any]:
        return {"G": of("Logs::LogGroup", {"LogGroupName": "/g", **properties})}

    logs = client("logs")
    stacks.create(group(RetentionInDays=7, Tags=[{"Key": "a", "Value": "b"}]))
    assert logs.describe_log_groups()["logGroups"][0]["retentionInDays"] == 7
    stacks.update(group(RetentionInDays=14))
    assert logs.describe_log_groups()["logGroups"][0]["retentionInDays"] == 14
    stacks.update(group())
    assert "retentionInDays" not in logs.describe_log_groups()["logGroups"][0]


def test_a_type_that_cannot_be_made_or_changed_says_so(aws):
    bare = ResourceType()
    for call in (lambda: bare.create(None, {}), lambda: bare.update(None, None, {}, {})):
        with pytest.raises(ResourceFailedError):
            call()
    assert bare.delete(None, None, {}) is None
