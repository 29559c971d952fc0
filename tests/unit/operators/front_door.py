"""The front door's tasks, as its tests make them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.endpoint_api import each, item_number, json_template, number
from airflow_provider_aiml.operators.api_gateway import (
    ApiGatewaySageMakerDeleteOperator,
    ApiGatewaySageMakerDeployOperator,
    ApiGatewaySageMakerInvokeOperator,
)
from tests.unit.endpoint_api.samples import api
from tests.unit.running import run

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from airflow_provider_aiml.hooks.stack_calls import Operation
    from airflow_provider_aiml.local_aws import LocalAws

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


def deleter(**given: Any) -> ApiGatewaySageMakerDeleteOperator:
    given = {"waiter_delay": 0.05, **given}
    return ApiGatewaySageMakerDeleteOperator(task_id="delete", stack_name="front", **given)


def delete(**given: Any) -> Any:
    return run(deleter(**given))


def hold_up(aws: LocalAws, step: str, resource: str) -> Callable[[], bool]:
    """Let a step of a stack take as long as the test needs; give what ends that.

    :param step: ``CreateResource``, ``UpdateResource`` or ``DeleteResource``.
    """
    fault = aws.add_fault(f"cloudformation:{step}", "delay", resource=resource, seconds=3600)
    return lambda: aws.remove_fault(fault)


def let_go_when_waited_for(
    hook: Any, let_go: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """End what holds a stack up as soon as a hook waits for it; give the actions waited for, as they come."""
    waited, wait = [], hook.wait

    def waiting(operation: Operation, **given: Any) -> str:
        waited.append(operation.action)
        let_go()
        return str(wait(operation, **given))

    monkeypatch.setattr(hook, "wait", waiting)
    return waited


def bodies(model: Any) -> list[Any]:
    return [json.loads(one.body) for one in model.invocations("my-endpoint")]
