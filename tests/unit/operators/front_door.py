"""The front door's tasks, as its tests make them."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_aiml.endpoint_api import each, item_number, json_template, number
from airflow_provider_aiml.operators.api_gateway import (
    ApiGatewaySageMakerDeleteOperator,
    ApiGatewaySageMakerDeployOperator,
    ApiGatewaySageMakerInvokeOperator,
)
from tests.unit.endpoint_api.samples import api
from tests.unit.running import run

QUICK = {"attempts": 2, "base": 0.01, "cap": 0.01}
SAFE = json_template({"instances": each("items", {"in0": [number("user_id")], "in1": [item_number()]})})
INSTANCES = [
    {"in0": [321], "in1": [101]},
    {"in0": [321], "in1": [131]},
    {"in0": [321], "in1": [162]},
]


def deployer(task: dict[str, Any] | None = None, **changes: Any) -> ApiGatewaySageMakerDeployOperator:
    described = api(**{"request_parameters": {"items": True}, **changes})
    given = {"task_id": "deploy", "stack_name": "front", "waiter_delay": 0.05, **(task or {})}
    return ApiGatewaySageMakerDeployOperator(api=described, **given)


def deploy(task: dict[str, Any] | None = None, **changes: Any) -> Any:
    return run(deployer(task, **changes))


def call(url: str, **given: Any) -> Any:
    wanted = {"path": "321", "query": {"items": "101,131,162"}, "retry_args": QUICK, **given}
    return run(ApiGatewaySageMakerInvokeOperator(task_id="call", url=url, **wanted))


def delete(**given: Any) -> Any:
    return run(
        ApiGatewaySageMakerDeleteOperator(task_id="delete", stack_name="front", waiter_delay=0.05, **given)
    )


def bodies(model: Any) -> list[Any]:
    return [json.loads(one.body) for one in model.invocations("my-endpoint")]
