"""What keeps very many waits from holding the event loop."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from airflow_provider_aiml.inference import output_speed
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


def taken(body: bytes) -> tuple[bytes, list[dict[str, str]] | None]:
    """Give what is left of a body for the parser, and the objects that were taken from it."""
    response, customized = {"body": body}, {}
    output_speed._take_keys(response, customized)
    return response["body"], customized.get("Contents")


def test_keys_that_are_escaped_and_not_encoded_are_read_too() -> None:
    objects = b"<Contents><Size>1</Size><Key>a&amp;b</Key></Contents><Contents><Key>\xc3\xbc</Key></Contents>"
    assert taken(b"<R><A/>%s</R>" % objects) == (b"<R><A/></R>", [{"Key": "a&b"}, {"Key": "ü"}])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Error><Code>NoSuchKey</Code><Key>a</Key></Error>",
        b"<R><IsTruncated>false</IsTruncated></R>",
        b"<R><Contents><Key>a</Key></Contents><Contents><Key><![CDATA[b]]></Key></Contents></R>",
        b"<R><Contents><Key>a</Key></Contents><Contents><Ke",
    ],
    ids=["nothing", "an error", "no object", "a key of another form", "cut within an object"],
)
def test_a_body_of_another_form_is_left_to_the_parser(body: bytes) -> None:
    assert taken(body) == (body, None)


def test_a_body_that_is_cut_behind_an_object_is_left_cut() -> None:
    assert taken(b"<R><Contents><Key>a</Key></Contents><IsTru") == (b"<R><IsTru", [{"Key": "a"}])


def through(unscanned: Unscanned, *stops: int) -> None:
    """Let waits come and go one by one."""
    now = 0
    for stop in stops:
        for waits in range(now + 1, stop + 1):
            unscanned.grown(waits)
        for waits in range(now - 1, stop - 1, -1):
            unscanned.shrunk(waits)
        now = stop


def test_some_waits_leave_the_garbage_collector_alone_however_often_they_come_and_go() -> None:
    gc.unfreeze()
    unscanned = Unscanned()
    through(unscanned, 499, 100, 400, 0)
    assert gc.get_freeze_count() == 0


def test_thousands_of_waits_are_taken_out_of_sight_until_few_are_left_of_all() -> None:
    gc.unfreeze()
    first, second = Unscanned(), Unscanned()
    through(first, 2_500)
    through(second, 5_000)
    assert gc.get_freeze_count() > 0
    for waits in range(2_499, 248, -1):
        first.shrunk(waits)
    assert gc.get_freeze_count() > 0
    for waits in range(4_999, 248, -1):
        second.shrunk(waits)
    assert gc.get_freeze_count() == 0


def test_what_else_was_dropped_meanwhile_is_collected_once_few_are_left() -> None:
    class Cycle:
        def __init__(self) -> None:
            self.own = self

    gc.unfreeze()
    cycle, unscanned = Cycle(), Unscanned()
    dropped = weakref.ref(cycle)
    through(unscanned, 3_000)
    del cycle
    for waits in range(2_999, 248, -1):
        unscanned.shrunk(waits)
    gc.collect()
    assert dropped() is None


def test_waits_that_come_in_place_of_others_are_taken_out_of_sight_as_well() -> None:
    gc.unfreeze()
    unscanned = Unscanned()
    through(unscanned, 5_000)
    for waits in range(4_999, 2_999, -1):
        unscanned.shrunk(waits)
    gc.unfreeze()
    for waits in range(3_001, 3_400):
        unscanned.grown(waits)
    assert gc.get_freeze_count() == 0
    for waits in range(3_400, 5_100):
        unscanned.grown(waits)
    assert gc.get_freeze_count() > 0
    for waits in range(5_099, -1, -1):
        unscanned.shrunk(waits)
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
