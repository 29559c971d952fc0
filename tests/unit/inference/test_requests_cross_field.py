"""The few rules between fields that no service model holds."""

from __future__ import annotations

from typing import Any

import pytest
from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.inference.requests import check_request, load_operation

PROMPT = "arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:1"
NOVA = "amazon.nova-lite-v1:0"


def problems(service: str, operation: str, **params: Any) -> dict[str, str]:
    try:
        check_request(load_operation(service, operation), params)
    except RequestError as error:
        return {problem.field: str(problem) for problem in error.problems}
    return {}


def test_an_asynchronous_inference_takes_exactly_one_input() -> None:
    def found(**params: Any) -> dict[str, str]:
        return problems("sagemaker-runtime", "InvokeEndpointAsync", endpoint_name="e", **params)

    assert found(input_location="s3://b/k") == {}
    assert found(body=b"") == {}
    assert "missing" in found()["input_location"]
    assert "together with body" in found(input_location="s3://b/k", body=b"")["input_location"]


@pytest.mark.parametrize("value", ["true", "1", " False ", "0", True, 1])
def test_a_bare_truth_value_does_not_enable_explanations(value: Any) -> None:
    found = problems(
        "sagemaker-runtime", "InvokeEndpoint", endpoint_name="e", body=b"", enable_explanations=value
    )
    assert list(found) == ["enable_explanations"]
    assert "backticks: `true`" in found["enable_explanations"]


@pytest.mark.parametrize("value", ["`true`", "`false`", "[0]>`0.8`", "truth"])
def test_an_expression_enables_explanations(value: str) -> None:
    assert not problems(
        "sagemaker-runtime", "InvokeEndpoint", endpoint_name="e", body=b"", enable_explanations=value
    )


@pytest.mark.parametrize("operation", ["Converse", "ConverseStream"])
def test_a_managed_prompt_brings_its_own_settings(operation: str) -> None:
    settings = {
        "system": [{"text": "x"}],
        "inference_config": {"maxTokens": 1},
        "tool_config": {"tools": [{"cachePoint": {"type": "default"}}]},
        "additional_model_request_fields": {"top_k": 1},
    }
    assert set(problems("bedrock-runtime", operation, model_id=PROMPT, **settings)) == set(settings)
    assert not problems("bedrock-runtime", operation, model_id=PROMPT, prompt_variables={"a": {"text": "b"}})
    assert not problems("bedrock-runtime", operation, model_id=NOVA, messages=[], **settings)


def test_a_model_id_of_the_wrong_type_is_one_problem() -> None:
    assert list(problems("bedrock-runtime", "Converse", model_id=1, system=[])) == ["model_id"]


@pytest.mark.parametrize("operation", ["InvokeModel", "InvokeModelWithResponseStream"])
def test_a_guardrail_needs_identifier_and_version(operation: str) -> None:
    def found(**params: Any) -> list[str]:
        return list(problems("bedrock-runtime", operation, model_id=NOVA, body=b"{}", **params))

    assert found(guardrail_identifier="gr1", guardrail_version="1") == []
    assert found(guardrail_identifier="gr1") == ["guardrail_version"]
    assert found(guardrail_version="DRAFT") == ["guardrail_identifier"]


@pytest.mark.parametrize("operation", ["Converse", "ConverseStream"])
def test_a_guardrail_config_needs_identifier_and_version(operation: str) -> None:
    def found(config: Any) -> list[str]:
        return list(
            problems("bedrock-runtime", operation, model_id=NOVA, messages=[], guardrail_config=config)
        )

    assert found({"guardrailIdentifier": "gr1", "guardrailVersion": "1"}) == []
    assert found({}) == []
    assert found({"guardrailIdentifier": "gr1"}) == ["guardrail_config.guardrailVersion"]
    assert found({"guardrailVersion": "1"}) == ["guardrail_config.guardrailIdentifier"]
    assert found(["gr1"]) == ["guardrail_config"]


def test_rules_are_off_when_nothing_is_validated() -> None:
    operation = load_operation("sagemaker-runtime", "InvokeEndpointAsync")
    assert check_request(operation, {"endpoint_name": "e"}, validate=False) == {"EndpointName": "e"}
