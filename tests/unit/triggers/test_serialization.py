"""Every trigger of this provider survives being kept by Airflow, and means the same afterwards."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil

import airflow_provider_aiml
import pytest
from airflow.models.trigger import Trigger
from airflow.triggers.base import BaseTrigger
from airflow_provider_aiml.aws_trigger import AwsTrigger

LOCATIONS = {
    "inference_id": "i-1",
    "output_location": "s3://bucket/out/1",
    "failure_location": None,
    "deadline": "2026-11-20T00:00:00+00:00",
}
STACK = "arn:aws:cloudformation:eu-west-1:123456789012:stack/front-door/0a1b2c3d"
EXAMPLES = {
    "ApiGatewaySageMakerStackTrigger": [
        {"stack_id": STACK, "action": "create"},
        {
            "stack_id": STACK,
            "action": "delete",
            "poll_interval": 0.5,
            "timeout_at": 1_800_000_000.25,
            "max_faults": 3,
            "aws_conn_id": None,
            "region_name": "eu-west-1",
            "verify": "/etc/ca.pem",
            "botocore_config": {"read_timeout": 5},
        },
    ],
    "BedrockAsyncInvokeTrigger": [
        {"invocations": ["arn:aws:bedrock:us-east-1:123456789012:async-invoke/abcdef123456"]},
        {
            "invocations": ["arn:aws:bedrock:eu-west-1:123456789012:async-invoke/abcdef123456"],
            "poll_interval": 0.5,
            "exponential_backoff": True,
            "max_wait": 300.0,
            "timeout_at": 1_800_000_000.25,
            "started_at": 1_700_000_000.5,
            "max_faults": None,
            "aws_conn_id": None,
            "region_name": "eu-west-1",
            "verify": "/etc/ca.pem",
            "botocore_config": {"read_timeout": 5},
        },
    ],
    "SageMakerAsyncInferenceTrigger": [
        {"inferences": [LOCATIONS]},
        {
            "inferences": [LOCATIONS, {"output_location": "s3://bucket/out/ü+ :2"}],
            "poll_interval": 0.5,
            "exponential_backoff": True,
            "max_wait": 300.0,
            "timeout_at": 1_800_000_000.25,
            "started_at": 1_700_000_000.5,
            "max_faults": None,
            "failure_policy": {"policy": "all", "max_failures": 1, "max_failure_rate": 0.5},
            "sqs_queue": "arn:aws:sqs:eu-west-1:111122223333:notices",
            "aws_conn_id": None,
            "region_name": "eu-west-1",
            "verify": "/etc/ca.pem",
            "botocore_config": {"read_timeout": 5, "s3": {"addressing_style": "path"}},
        },
    ],
}


def trigger_classes():
    """Find every trigger class by walking the package."""
    for module in pkgutil.walk_packages(airflow_provider_aiml.__path__, "airflow_provider_aiml."):
        if not module.name.startswith("airflow_provider_aiml.triggers"):
            continue
        for _, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            own = issubclass(found, BaseTrigger) and found.__module__ == module.name
            if own and not inspect.isabstract(found):
                yield found


CLASSES = sorted(trigger_classes(), key=lambda found: found.__name__)
CASES = [(found, kwargs) for found in CLASSES for kwargs in EXAMPLES.get(found.__name__, [])]


def test_every_trigger_class_has_an_example():
    assert {found.__name__ for found in CLASSES} == set(EXAMPLES)


@pytest.mark.parametrize(("trigger_class", "kwargs"), CASES)
def test_a_trigger_is_the_same_after_airflow_kept_it(trigger_class, kwargs):
    classpath, serialized = trigger_class(**kwargs).serialize()

    assert pkgutil.resolve_name(classpath) is trigger_class
    assert json.loads(json.dumps(serialized)) == serialized
    kept = Trigger(classpath, serialized)
    assert trigger_class(**kept.kwargs).serialize() == (classpath, serialized)


@pytest.mark.parametrize(("trigger_class", "kwargs"), CASES)
def test_a_trigger_keeps_what_it_was_given(trigger_class, kwargs):
    _, serialized = trigger_class(**kwargs).serialize()

    assert {name: serialized[name] for name in kwargs} == kwargs


@pytest.mark.parametrize("trigger_class", CLASSES)
def test_a_trigger_keeps_every_argument_that_it_takes(trigger_class):
    _, serialized = trigger_class(**EXAMPLES[trigger_class.__name__][0]).serialize()

    taken = {*inspect.signature(trigger_class).parameters, *inspect.signature(AwsTrigger).parameters}
    assert set(serialized) == taken - {"kwargs"}
