"""The shared watcher through the hook's own S3 client, against the local AWS and its faults."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow_provider_aiml.exceptions import AwsConfigurationError, OutputUnreadableError
from airflow_provider_aiml.hooks.sagemaker_runtime import SageMakerRuntimeHook
from airflow_provider_aiml.inference.output_watch import watch_output
from airflow_provider_aiml.inference.outputs import AsyncInference, Location, PollSchedule

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from airflow_provider_aiml.inference.outputs import Verdict
    from airflow_provider_aiml.local_aws import LocalAws


def watch(name: str, conn_id: str = "aws_default", **options: Any) -> Coroutine[Any, Any, Verdict]:
    inference = AsyncInference(Location("bkt", f"out/{name}"), Location("bkt", f"err/{name}"), name)
    options = {
        "share_key": conn_id,
        "open_client": SageMakerRuntimeHook(conn_id).aopen_s3_client,
        "schedule": PollSchedule(0.2),
        "deadline": time.time() + 60,
        **options,
    }
    return watch_output(inference, **options)


async def create_bucket(*keys: str) -> None:
    async with SageMakerRuntimeHook().aopen_s3_client() as client:
        await client.create_bucket(Bucket="bkt")
        for key in keys:
            await client.put_object(Bucket="bkt", Key=key, Body=b"{}")


async def put_later(*keys: str) -> None:
    async with SageMakerRuntimeHook().aopen_s3_client() as client:
        await asyncio.sleep(1)
        for key in keys:
            await client.put_object(Bucket="bkt", Key=key, Body=b"{}")


def test_outputs_and_failures_are_seen_as_they_appear(aws: LocalAws) -> None:
    async def scenario() -> list[str]:
        await create_bucket("out/0 ü&", "out/old")
        watches = [watch("0 ü&"), watch("1"), watch("2")]
        *verdicts, _ = await asyncio.gather(*watches, put_later("out/1", "err/2"))
        return [verdict.status for verdict in verdicts]

    assert asyncio.run(scenario()) == ["completed", "completed", "failed"]


@pytest.mark.parametrize(
    "fault",
    [
        {"code": "SlowDown", "count": 6},
        {"code": "InternalError", "count": 2},
        {"kind": "drop", "count": 2},
        {"kind": "truncate", "count": 1},
        {"kind": "delay", "seconds": 0.7, "count": 3},
        {"code": "ExpiredToken", "count": 1},
        {"code": "InvalidAccessKeyId", "count": 1},
        {"code": "AccessDenied", "count": 1},
    ],
)
def test_a_fault_of_a_list_is_ridden_through(aws: LocalAws, fault: dict[str, Any]) -> None:
    async def scenario() -> str:
        await create_bucket()
        aws.add_fault("s3:LIST", **fault)
        verdict, _ = await asyncio.gather(watch("0"), put_later("out/0"))
        return verdict.status

    assert asyncio.run(scenario()) == "completed"


def test_without_permission_to_list_head_finds_the_output(aws: LocalAws) -> None:
    notices: list[str] = []

    async def scenario() -> str:
        await create_bucket()
        aws.add_fault("s3:LIST", code="AccessDenied", for_seconds=60.0)
        aws.add_fault("s3:HEAD", code="AccessDenied", count=2)
        verdict, _ = await asyncio.gather(watch("0", on_forbidden=notices.append), put_later("out/0"))
        return verdict.status

    assert asyncio.run(scenario()) == "completed"
    assert len(notices) == 1


def test_a_bucket_that_does_not_exist_is_named(aws: LocalAws) -> None:
    verdict = asyncio.run(watch("0"))
    assert isinstance(verdict.error, OutputUnreadableError)
    assert verdict.error.code == "NoSuchBucket"


def test_a_connection_that_does_not_exist_is_named(aws: LocalAws) -> None:
    verdict = asyncio.run(watch("0", conn_id="no_such_connection"))
    assert isinstance(verdict.error, AwsConfigurationError)
    assert "no_such_connection" in str(verdict.error)
