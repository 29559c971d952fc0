"""The construct profile gives each resource and property that aws-apigateway-sagemakerendpoint deploys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.endpoint_api.samples import ONE_LINE, RATINGS, ROLE, api

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "apigateway.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
ACCESS_LOG_FIELDS = {
    "requestId": "$context.requestId",
    "ip": "$context.identity.sourceIp",
    "user": "$context.identity.user",
    "caller": "$context.identity.caller",
    "requestTime": "$context.requestTime",
    "httpMethod": "$context.httpMethod",
    "resourcePath": "$context.resourcePath",
    "status": "$context.status",
    "protocol": "$context.protocol",
    "responseLength": "$context.responseLength",
}
API = {"Ref": "RestApi"}
INVOKE = {"Fn::GetAtt": ["InvokeRole", "Arn"]}


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def integration(**changes: Any) -> dict[str, Any]:
    whole = {
        "Type": "AWS",
        "IntegrationHttpMethod": "POST",
        "Credentials": INVOKE,
        "PassthroughBehavior": "NEVER",
        "Uri": {
            "Fn::Sub": "arn:${AWS::Partition}:apigateway:${AWS::Region}:runtime.sagemaker"
            ":path/endpoints/my-endpoint/invocations"
        },
        "RequestParameters": {"integration.request.header.Content-Type": "'application/json'"},
        "RequestTemplates": {"application/json": ONE_LINE},
        "IntegrationResponses": [
            {"StatusCode": "200"},
            {"SelectionPattern": r"5\d{2}", "StatusCode": "500"},
            {"SelectionPattern": r"4\d{2}", "StatusCode": "400"},
        ],
    }
    return {**whole, **changes}


def method(parent: str = "PathResource", **changes: Any) -> dict[str, Any]:
    return resource(
        "ApiGateway::Method",
        RestApiId=API,
        ResourceId={"Ref": parent},
        HttpMethod="GET",
        AuthorizationType="AWS_IAM",
        RequestValidatorId={"Ref": "RequestValidator"},
        MethodResponses=[{"StatusCode": "200"}, {"StatusCode": "500"}, {"StatusCode": "400"}],
        Integration=integration(**changes),
    )


ROOT = {"Fn::GetAtt": ["RestApi", "RootResourceId"]}
LOGS = [
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:DescribeLogGroups",
    "logs:DescribeLogStreams",
    "logs:FilterLogEvents",
    "logs:GetLogEvents",
    "logs:PutLogEvents",
]
DEFAULT: dict[str, Any] = {
    "AccessLogGroup": resource("Logs::LogGroup")
    | {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"},
    "RestApi": resource("ApiGateway::RestApi", Name="recommender", EndpointConfiguration={"Types": ["EDGE"]}),
    "RequestValidator": resource(
        "ApiGateway::RequestValidator",
        RestApiId=API,
        Name="request-param-validator",
        ValidateRequestParameters=True,
    ),
    "PathResource": resource("ApiGateway::Resource", RestApiId=API, ParentId=ROOT, PathPart="{user_id}"),
    "Method": method(),
    "InvokeRole": resource("IAM::Role", AssumeRolePolicyDocument=TRUST),
    "InvokePolicy": resource(
        "IAM::Policy",
        PolicyName="InvokeEndpoint",
        Roles=[{"Ref": "InvokeRole"}],
        PolicyDocument={
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": "sagemaker:InvokeEndpoint",
                    "Resource": {
                        "Fn::Sub": "arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}"
                        ":endpoint/my-endpoint"
                    },
                }
            ],
        },
    ),
    "CloudWatchRole": resource(
        "IAM::Role",
        AssumeRolePolicyDocument=TRUST,
        Policies=[
            {
                "PolicyName": "WriteApiLogs",
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Action": LOGS,
                            "Resource": {
                                "Fn::Sub": "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:*"
                            },
                        }
                    ],
                },
            }
        ],
    ),
    "Account": resource("ApiGateway::Account", CloudWatchRoleArn={"Fn::GetAtt": ["CloudWatchRole", "Arn"]})
    | {"DependsOn": ["RestApi"]},
    "Deployment": resource("ApiGateway::Deployment", RestApiId=API, Description="What the stage serves")
    | {"DependsOn": ["Method"]},
    "Stage": resource(
        "ApiGateway::Stage",
        RestApiId=API,
        DeploymentId={"Ref": "Deployment"},
        StageName="prod",
        TracingEnabled=True,
        MethodSettings=[
            {"HttpMethod": "*", "ResourcePath": "/*", "LoggingLevel": "INFO", "DataTraceEnabled": False}
        ],
        AccessLogSetting={
            "DestinationArn": {"Fn::GetAtt": ["AccessLogGroup", "Arn"]},
            "Format": ACCESS_LOG_FIELDS,
        },
    )
    | {"DependsOn": ["Account"]},
    "UsagePlan": resource("ApiGateway::UsagePlan", ApiStages=[{"ApiId": API, "Stage": {"Ref": "Stage"}}]),
}
WITHOUT_ROLE = {
    **{name: one for name, one in DEFAULT.items() if name not in ("InvokeRole", "InvokePolicy")},
    "Method": method(Credentials=ROLE),
}
RATED = {
    **DEFAULT,
    "NameResource": resource(
        "ApiGateway::Resource", RestApiId=API, ParentId=ROOT, PathPart="predicted-ratings"
    ),
    "PathResource": resource(
        "ApiGateway::Resource", RestApiId=API, ParentId={"Ref": "NameResource"}, PathPart="{user_id}"
    ),
    "Method": method(
        IntegrationResponses=[
            {"StatusCode": "200", "ResponseTemplates": {"application/json": RATINGS}},
            {"SelectionPattern": r"5\d{2}", "StatusCode": "500"},
            {"SelectionPattern": r"4\d{2}", "StatusCode": "400"},
        ]
    ),
}
ADDITIONAL = {
    **DEFAULT,
    "Method": method(RequestTemplates={"application/json": ONE_LINE, "text/csv": "[$input.body]"}),
}


def comparable(template: dict[str, Any]) -> dict[str, Any]:
    """Give the resources with the deployment's digest taken off and the log's format read."""
    resources = {
        "Deployment" if name.startswith("Deployment") else name: one
        for name, one in template["Resources"].items()
    }
    stage = resources["Stage"]["Properties"]
    assert stage["DeploymentId"]["Ref"] in template["Resources"]
    stage["DeploymentId"] = {"Ref": "Deployment"}
    stage["AccessLogSetting"]["Format"] = json.loads(stage["AccessLogSetting"]["Format"])
    return resources


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, DEFAULT, id="default"),
        pytest.param(
            {"resource_name": "predicted-ratings", "response_mapping_template": RATINGS}, RATED, id="rated"
        ),
        pytest.param(
            {"additional_request_templates": {"text/csv": "[$input.body]"}}, ADDITIONAL, id="additional"
        ),
        pytest.param({"api_gateway_execution_role_arn": ROLE}, WITHOUT_ROLE, id="passed-in-role"),
        pytest.param(
            {"create_usage_plan": False},
            {name: one for name, one in DEFAULT.items() if name != "UsagePlan"},
            id="no-usage-plan",
        ),
    ],
)
def test_it_gives_what_the_construct_gives_resource_by_resource(
    changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    given = comparable(api(profile="construct", **changes).template())
    assert given.keys() == expected.keys()
    for name, resource_given in given.items():
        assert resource_given == expected[name], name


def test_its_only_output_is_the_url_of_the_stage() -> None:
    outputs = api(profile="construct").template()["Outputs"]
    url = "https://${RestApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/${Stage}/"
    assert {name: one["Value"] for name, one in outputs.items()} == {"Url": {"Fn::Sub": url}}


def test_declared_query_parameters_are_added_to_what_the_construct_gives() -> None:
    template = api(profile="construct", request_parameters={"items": True}).template()
    declared = template["Resources"]["Method"]["Properties"]["RequestParameters"]
    assert declared == {"method.request.querystring.items": True}


def test_what_the_profile_decides_can_be_said_otherwise() -> None:
    changed = api(profile="construct", endpoint_type="REGIONAL", error_mapping="faithful")
    assert (changed.endpoint_type, changed.error_mapping, changed.account_logging_role) == (
        "REGIONAL",
        "faithful",
        "create",
    )
