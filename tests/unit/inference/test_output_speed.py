"""What keeps very many waits from holding the event loop."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.inference.output_speed import Unscanned, read_keys_only

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws import LocalAws
    from tests.unit.inference.conftest import World


def test_only_the_keys_of_a_list_are_read_and_all_of_them(aws: LocalAws) -> None:
    from airflow_provider_aiml.hooks.sagemaker_runtime import SageMakerRuntimeHook

    keys = [f"out/{number:03}&<ü>" for number in range(250)]

    async def scenario() -> tuple[dict[str, Any], dict[str, Any]]:
        async with SageMakerRuntimeHook().aopen_s3_client() as client:
            await client.create_bucket(Bucket="bkt")
            for key in keys:
                await client.put_object(Bucket="bkt", Key=key, Body=b"x")
            before = await client.list_objects_v2(Bucket="bkt", Prefix="out/", MaxKeys=200)
            read_keys_only(client)
            after = await client.list_objects_v2(Bucket="bkt", Prefix="out/", MaxKeys=200)
            rest = await client.list_objects_v2(Bucket="bkt", Prefix="out/", StartAfter=keys[199])
            after["Contents"] += rest["Contents"]
            return before, after

    before, after = asyncio.run(scenario())
    assert "LastModified" in before["Contents"][0]
    assert [entry["Key"] for entry in after["Contents"]] == keys
    assert set(after["Contents"][0]) == {"Key"}
    assert after["IsTruncated"] is True


def test_a_few_waits_leave_the_garbage_collector_alone() -> None:
    unscanned = Unscanned()
    frozen = gc.get_freeze_count()
    for waits in range(1, 500):
        unscanned.grown(waits)
    unscanned.shrunk(0)
    assert gc.get_freeze_count() == frozen


def test_thousands_of_waits_are_taken_out_of_sight_until_the_last_who_have_them_lose_them() -> None:
    gc.unfreeze()
    first, second = Unscanned(), Unscanned()
    for waits in range(1, 1200):
        first.grown(waits)
    second.grown(5000)
    assert gc.get_freeze_count() > 0
    first.shrunk(1)
    first.shrunk(0)
    assert gc.get_freeze_count() > 0
    second.shrunk(0)
    assert gc.get_freeze_count() == 0


def test_waits_that_come_after_many_have_left_are_taken_out_of_sight_as_well() -> None:
    gc.unfreeze()
    unscanned = Unscanned()
    unscanned.grown(5000)
    unscanned.shrunk(600)
    gc.unfreeze()
    unscanned.grown(1000)
    assert gc.get_freeze_count() == 0
    unscanned.grown(1100)
    assert gc.get_freeze_count() > 0
    unscanned.shrunk(0)
    assert gc.get_freeze_count() == 0


def test_waits_that_were_frozen_are_freed_when_they_end(world: World) -> None:
    async def scenario() -> None:
        late = world.at(30, *(f"s3://bkt/out/{number}" for number in range(2500)))
        await asyncio.gather(late, *[world.watch(f"{number}") for number in range(2500)])

    world.run(scenario)
    assert gc.get_freeze_count() == 0
    gc.collect()
    from airflow_provider_aiml.inference.output_lane import Waiter

    assert not [one for one in gc.get_objects() if isinstance(one, Waiter)]
