"""Every member that an API has is an argument of its operator; the day AWS adds one, this says which."""

from __future__ import annotations

import inspect

import pytest
from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.inference.requests import api_members, load_operation
from airflow_provider_aiml.operators.bedrock import (
    BedrockApplyGuardrailOperator,
    BedrockConverseOperator,
    BedrockCountTokensOperator,
    BedrockInvokeModelOperator,
    BedrockStartAsyncInvokeOperator,
)
from airflow_provider_aiml.operators.sagemaker import (
    SageMakerInvokeEndpointAsyncOperator,
    SageMakerInvokeEndpointOperator,
)
from airflow_provider_aiml.sensors.bedrock import BedrockAsyncInvokeSensor
from tests.unit.running import run

OPERATORS = {
    SageMakerInvokeEndpointOperator: ("sagemaker-runtime", "InvokeEndpoint", {"body": "payload"}),
    SageMakerInvokeEndpointAsyncOperator: ("sagemaker-runtime", "InvokeEndpointAsync", {"body": "payload"}),
    BedrockInvokeModelOperator: (
        "bedrock-runtime",
        "InvokeModel",
        {"body": "input_data", "accept": "accept_type"},
    ),
    BedrockConverseOperator: ("bedrock-runtime", "Converse", {"messages": "message"}),
    BedrockApplyGuardrailOperator: ("bedrock-runtime", "ApplyGuardrail", {}),
    BedrockCountTokensOperator: ("bedrock-runtime", "CountTokens", {}),
    BedrockStartAsyncInvokeOperator: ("bedrock-runtime", "StartAsyncInvoke", {}),
    BedrockAsyncInvokeSensor: ("bedrock-runtime", "GetAsyncInvoke", {"invocation_arn": "invocation"}),
}
STREAMS = [
    (operator, service, operator.streamed_operation, renamed)
    for operator, (service, _, renamed) in OPERATORS.items()
    if hasattr(operator, "streamed_operation")
]
CASES = [*((operator, *of_api) for operator, of_api in OPERATORS.items()), *STREAMS]


def test_the_streams_are_walked_too():
    walked = {operation for _, _, operation, _ in STREAMS}

    assert walked == {
        "InvokeEndpointWithResponseStream",
        "InvokeModelWithResponseStream",
        "ConverseStream",
    }


@pytest.mark.parametrize(("operator", "service", "operation", "renamed"), CASES)
def test_every_member_of_the_service_model_is_an_argument(operator, service, operation, renamed):
    arguments = set(inspect.signature(operator).parameters)
    members = {renamed.get(name, name) for name in api_members(load_operation(service, operation))}

    assert members - arguments == set(), "AWS added a member: give the operator an argument for it"


@pytest.mark.parametrize(("operator", "service", "operation", "renamed"), CASES)
def test_every_member_is_rendered(operator, service, operation, renamed):
    members = {renamed.get(name, name) for name in api_members(load_operation(service, operation))}

    assert members - set(operator.template_fields) == set()


@pytest.mark.parametrize(("operator", "service", "operation", "renamed"), CASES)
def test_every_argument_of_the_api_is_documented_as_one(operator, service, operation, renamed):
    documented = operator.__doc__ or ""
    members = {renamed.get(name, name) for name in api_members(load_operation(service, operation))}

    assert {name for name in members if f":param {name}:" not in documented} == set()


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_template_field_is_an_attribute(operator):
    arguments = inspect.signature(operator).parameters
    required = {
        name: "x" for name, facts in arguments.items() if facts.default is facts.empty and facts.kind == 3
    }
    source = {_body_of(operator): "x"}
    task = operator(task_id="t", **{**required, **source})

    assert [field for field in operator.template_fields if not hasattr(task, field)] == []
    assert set(operator.template_fields_renderers) <= set(operator.template_fields)
    assert operator.template_fields_renderers["botocore_config"] == "json"


def _body_of(operator):
    named = {
        BedrockInvokeModelOperator: "input_data",
        BedrockConverseOperator: "message",
        BedrockCountTokensOperator: "message",
        BedrockApplyGuardrailOperator: "content",
        BedrockStartAsyncInvokeOperator: "model_input",
        BedrockAsyncInvokeSensor: "invocation",
    }
    return named.get(operator, "payload")


def test_what_aws_adds_tomorrow_is_reached_by_its_name(aws):
    aws.add_endpoint("echo")
    given = {"task_id": "t", "endpoint_name": "echo", "payload": {}}

    run(SageMakerInvokeEndpointOperator(**given, request_members={"custom_attributes": "late"}))

    (seen,) = aws.invocations("echo")
    assert seen.headers["x-amzn-sagemaker-custom-attributes"] == "late"
    with pytest.raises(RequestError, match="of_tomorrow: is not a member of InvokeEndpoint"):
        run(SageMakerInvokeEndpointOperator(**given, request_members={"of_tomorrow": 1}))
