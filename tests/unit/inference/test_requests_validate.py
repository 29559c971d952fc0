"""What validate narrows, and what a newer or older service model changes."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.inference.requests import check_request, load_operation
from botocore import __version__ as botocore_version
from botocore.loaders import create_loader
from botocore.model import ServiceModel

if TYPE_CHECKING:
    from botocore.model import OperationModel

INVOKE = load_operation("sagemaker-runtime", "InvokeEndpoint")
INVOKE_ASYNC = load_operation("sagemaker-runtime", "InvokeEndpointAsync")
INVOKE_MODEL = load_operation("bedrock-runtime", "InvokeModel")
NOVA = "amazon.nova-lite-v1:0"


def refused(operation: OperationModel, validate: Any = True, **params: Any) -> dict[str, str]:
    """Give what the error says of each field."""
    with pytest.raises(RequestError) as caught:
        check_request(operation, params, validate=validate)
    return {problem.field: f"{problem.found} / {problem.allowed}" for problem in caught.value.problems}


WRONG_IN_EACH_LIMIT = {
    "endpoint_name": "under_score",
    "input_location": "s3://b/k",
    "inference_id": "",
    "request_ttl_seconds": 10**6,
}


@pytest.mark.parametrize(
    ("validate", "fields"),
    [
        (True, {"endpoint_name", "inference_id", "request_ttl_seconds"}),
        (["min", "max", "pattern", "enum"], {"endpoint_name", "inference_id", "request_ttl_seconds"}),
        ({"min"}, {"inference_id"}),
        (("max",), {"request_ttl_seconds"}),
        (frozenset({"pattern"}), {"endpoint_name", "inference_id"}),
        ({"min": False, "pattern": False}, {"request_ttl_seconds"}),
        ({"max": True}, {"endpoint_name", "inference_id", "request_ttl_seconds"}),
    ],
    ids=repr,
)
def test_validate_narrows_the_limits_that_are_checked(validate: Any, fields: set[str]) -> None:
    assert set(refused(INVOKE_ASYNC, validate=validate, **WRONG_IN_EACH_LIMIT)) == fields


@pytest.mark.parametrize("validate", [[], {"enum"}])
def test_narrowed_checks_still_look_at_types_and_what_is_required(validate: Any) -> None:
    check_request(INVOKE_ASYNC, WRONG_IN_EACH_LIMIT, validate=validate)
    problems = refused(INVOKE_ASYNC, validate=validate, input_location=5)
    assert set(problems) == {"endpoint_name", "input_location"}


def test_an_enum_value_of_tomorrow_passes_when_enum_is_not_checked() -> None:
    params = {"model_id": NOVA, "body": b"", "trace": "ENABLED_TWICE"}
    assert "'ENABLED_TWICE' / one of ENABLED" in refused(INVOKE_MODEL, **params)["trace"]
    assert check_request(INVOKE_MODEL, params, validate={"min", "max", "pattern"})["trace"] == "ENABLED_TWICE"


def test_without_validation_only_the_names_are_mapped() -> None:
    params = {"endpoint_name": 7, "target_variant": "!", "body": None}
    assert check_request(INVOKE, params, validate=False) == {"EndpointName": 7, "TargetVariant": "!"}
    assert set(refused(INVOKE, validate=False, endpoint_nam="e")) == {"endpoint_nam"}


@pytest.mark.parametrize(
    "validate", [None, 1, "min", b"max", ["min", "Max"], {"min": 1}, {"size": True}, [["min"]]]
)
def test_a_validate_that_means_nothing_is_refused(validate: Any) -> None:
    with pytest.raises(RequestError) as caught:
        check_request(INVOKE, {"endpoint_name": "e", "body": b""}, validate=validate)
    assert [problem.field for problem in caught.value.problems] == ["validate"]
    assert "enum, max, min, pattern" in str(caught.value)


def test_an_absent_service_or_operation_is_a_request_error_that_names_botocores_version() -> None:
    with pytest.raises(RequestError, match=f"InvokeNothing.*{botocore_version}"):
        load_operation("sagemaker-runtime", "InvokeNothing")
    with pytest.raises(RequestError, match=f"{botocore_version} has no service nothing-runtime"):
        load_operation("nothing-runtime", "Invoke")


def _with_model(change: Any) -> OperationModel:
    """Give InvokeEndpoint of a service model that AWS has changed."""
    raw = copy.deepcopy(create_loader().load_service_model("sagemaker-runtime", "service-2"))
    change(raw["shapes"])
    return ServiceModel(raw, "sagemaker-runtime").operation_model("InvokeEndpoint")


def test_a_member_that_aws_adds_later_needs_no_code() -> None:
    def add(shapes: dict[str, Any]) -> None:
        shapes["Budget"] = {"type": "float", "min": 0.5, "max": 2, "sensitive": True}
        shapes["InvokeEndpointInput"]["members"]["SpendingBudget"] = {
            "shape": "Budget",
            "location": "header",
            "locationName": "X-Amzn-SageMaker-Budget",
        }

    operation = _with_model(add)
    params = {"endpoint_name": "e", "body": b""}
    assert check_request(operation, {**params, "spending_budget": 1})["SpendingBudget"] == 1
    assert refused(operation, **params, spending_budget=2.5) == {
        "spending_budget": "outside / a number of 0.5 to 2"
    }
    assert "spending_budget" in refused(INVOKE, **params, spending_budget=1)


def test_a_pattern_that_cannot_be_translated_stops_no_call() -> None:
    def obscure(shapes: dict[str, Any]) -> None:
        shapes["EndpointName"]["pattern"] = "[a-z&&[^b]]+"

    assert check_request(_with_model(obscure), {"endpoint_name": "bbb", "body": b""})["EndpointName"] == "bbb"


def test_an_operation_without_input_takes_nothing() -> None:
    raw = {
        "metadata": {"serviceId": "Empty", "protocol": "rest-json"},
        "operations": {"Ping": {"name": "Ping", "http": {"method": "GET", "requestUri": "/"}}},
        "shapes": {},
    }
    operation = ServiceModel(raw, "empty").operation_model("Ping")
    assert check_request(operation, {}) == {}
    assert set(refused(operation, anything=1)) == {"anything"}
