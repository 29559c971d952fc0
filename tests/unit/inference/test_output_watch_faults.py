"""The shared watcher when S3, the credentials, a callback or its own code fails; on a clock of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from airflow_provider_aiml.exceptions import (
    AwsConfigurationError,
    BusyError,
    OutputUnreadableError,
)
from airflow_provider_aiml.inference import output_watch
from airflow_provider_aiml.inference.outputs import AsyncInference, Location, PollSchedule
from botocore.exceptions import ReadTimeoutError
from tests.unit.inference.conftest import error

if TYPE_CHECKING:
    from airflow_provider_aiml.inference.outputs import Verdict
    from tests.unit.inference.conftest import World


def now() -> float:
    return asyncio.get_running_loop().time()


def slow_down(times: int) -> list[Any]:
    from botocore.exceptions import ClientError

    answer: Any = {"Error": {"Code": "SlowDown"}}
    return [ClientError(answer, "ListObjectsV2") for _ in range(times)]


def test_transient_faults_are_ridden_through(world: World) -> None:
    world.s3.faults["bkt"] = [None, None, *slow_down(2), ReadTimeoutError(endpoint_url=""), ConnectionError()]

    async def scenario() -> Verdict:
        verdict, _ = await asyncio.gather(world.watch("a"), world.at(20, "s3://bkt/out/a"))
        return verdict

    assert world.run(scenario).status == "completed"


def test_ten_faults_in_a_row_end_the_wait_and_the_pauses_grow_meanwhile(world: World) -> None:
    world.s3.faults["bkt"] = slow_down(100)

    async def scenario() -> tuple[Verdict, float]:
        return await world.watch("a"), now()

    verdict, ended = world.run(scenario)
    assert verdict.status == "unreadable"
    assert isinstance(verdict.error, OutputUnreadableError)
    assert verdict.error.code == "SlowDown"
    assert len(world.s3.calls) == 10
    assert ended > 120


def test_a_throttled_bucket_holds_up_no_other(world: World) -> None:
    world.s3.faults["other"] = slow_down(100)

    async def scenario() -> tuple[Verdict, float]:
        throttled = asyncio.ensure_future(world.watch(world.inference("b", bucket="other")))
        verdict, _ = await asyncio.gather(world.watch("a"), world.at(45, "s3://bkt/out/a"))
        throttled.cancel()
        await asyncio.wait([throttled])
        return verdict, now()

    verdict, ended = world.run(scenario)
    assert verdict.status == "completed"
    assert ended <= 55.1


async def of_folders(world: World, seconds: float, *folders: str) -> dict[str, Verdict | None]:
    """Wait for one output in each folder, for so long; give how each wait ended, None: it did not."""
    watches = {}
    for folder in folders:
        where = AsyncInference(Location("bkt", f"{folder}/x"), Location("bkt", f"err-{folder}/x"))
        watches[folder] = asyncio.ensure_future(world.watch(where, lasting=7200.0))
    await asyncio.wait(watches.values(), timeout=seconds)
    ended = {folder: watch.result() if watch.done() else None for folder, watch in watches.items()}
    for watch in watches.values():
        watch.cancel()
    await asyncio.wait(watches.values())
    return ended


def test_a_folder_that_cannot_be_listed_for_hours_ends_no_wait(world: World) -> None:
    world.s3.at_fault["list_objects_v2", "bkt/bad"] = 1e9

    async def scenario() -> dict[str, Verdict | None]:
        late = asyncio.ensure_future(world.at(1500, "s3://bkt/bad/x", "s3://bkt/zzz/x"))
        ended = await of_folders(world, 1511, "aaa", "bad", "zzz")
        await late
        return ended

    ended = world.run(scenario)
    assert ended["aaa"] is None
    assert [ended[folder] and ended[folder].status for folder in ("bad", "zzz")] == ["completed"] * 2


def test_a_folder_that_answers_nothing_ends_its_own_waits_after_ten_looks_and_no_other(world: World) -> None:
    for operation in ("list_objects_v2", "head_object"):
        world.s3.at_fault[operation, "bkt/bad"] = 1e9
    ended = world.run(lambda: of_folders(world, 3000, "aaa", "bad", "zzz"))
    assert (ended["aaa"], ended["zzz"]) == (None, None)
    assert ended["bad"] is not None
    assert (ended["bad"].status, "10 times in a row" in str(ended["bad"].error)) == ("unreadable", True)


def test_the_pauses_of_a_folder_that_answers_nothing_grow_so_that_minutes_of_it_are_ridden_through(
    world: World,
) -> None:
    for operation in ("list_objects_v2", "head_object"):
        world.s3.at_fault[operation, "bkt/out/"] = 240.0

    async def scenario() -> Verdict:
        quick = world.watch("a", schedule=PollSchedule(1.0))
        verdict, _ = await asyncio.gather(quick, world.at(200, "s3://bkt/out/a"))
        return verdict

    assert world.run(scenario).status == "completed"


def test_a_bucket_that_answers_nothing_takes_few_calls_and_lets_its_waits_go_after_ten(world: World) -> None:
    for operation in ("list_objects_v2", "head_object"):
        world.s3.at_fault[operation, "bkt/"] = 1e9

    async def scenario() -> list[Verdict]:
        return await asyncio.gather(*[world.watch(f"{number % 7}/{number}") for number in range(3000)])

    assert {verdict.status for verdict in world.run(scenario)} == {"unreadable"}
    assert len(world.s3.calls) <= 10 * 2 * 16 * 4


def test_a_missing_bucket_ends_its_own_wait_at_once_and_no_other(world: World) -> None:
    async def scenario() -> tuple[Verdict, float, Verdict]:
        lasting = asyncio.ensure_future(world.watch("a"))
        verdict = await world.watch(world.inference("b", bucket="absent"))
        ended = now()
        await world.at(20, "s3://bkt/out/a")
        return verdict, ended, await lasting

    verdict, ended, other = world.run(scenario)
    assert isinstance(verdict.error, OutputUnreadableError)
    assert (verdict.error.code, verdict.error.retryable) == ("NoSuchBucket", False)
    assert "s3://absent/out/b" in str(verdict.error)
    assert ended < 1
    assert other.status == "completed"


def test_without_permission_to_list_each_key_is_asked_for_and_the_permission_named_once(world: World) -> None:
    world.s3.may_list = lambda prefix: False

    async def scenario() -> Verdict:
        verdict, _ = await asyncio.gather(world.watch("a"), world.at(25, "s3://bkt/out/a"))
        return verdict

    assert world.run(scenario).status == "completed"
    assert 5 <= world.s3.count("head_object") <= 9
    assert world.s3.count("list_objects_v2") <= 4 + 4
    assert len(world.notices) == 1
    assert "s3:ListBucket" in world.notices[0]


def test_an_expired_wait_names_the_permission_that_seems_to_be_missing(world: World) -> None:
    world.s3.may_list = lambda prefix: False
    verdict = world.run(lambda: world.watch("a", lasting=60.0))
    assert verdict.status == "expired"
    assert "s3:ListBucket" in str(verdict.error)


def test_refused_credentials_are_read_anew_once_for_all_waits(world: World) -> None:
    async def revoke() -> None:
        await world.at(25)
        world.s3.bad_keys = True
        open_client = world.s3.open_client

        def reopened() -> Any:
            world.s3.bad_keys = False
            return open_client()

        output_watch._watchers[asyncio.get_running_loop()]["aws_default"]._open_client = reopened
        await world.at(45, *(f"s3://bkt/out/{number}" for number in range(50)))

    async def scenario() -> list[Verdict]:
        watches = [world.watch(f"{number}", max_faults=1) for number in range(50)]
        return (await asyncio.gather(revoke(), *watches))[1:]

    assert {one.status for one in world.run(scenario)} == {"completed"}
    assert world.s3.opened == 2


@pytest.mark.parametrize("may_list", [True, False])
def test_credentials_that_stay_refused_end_the_wait_and_are_named(world: World, may_list: bool) -> None:
    world.s3.may_list = lambda prefix: may_list
    world.s3.bad_keys = True
    verdict = world.run(lambda: world.watch("a"))
    assert isinstance(verdict.error, OutputUnreadableError)
    assert verdict.error.code == "InvalidAccessKeyId"
    assert world.s3.opened == 11


def test_keys_that_become_invalid_in_a_wait_without_permission_to_list_are_not_taken_for_absent_objects(
    world: World,
) -> None:
    world.s3.may_list = lambda prefix: False

    async def revoke() -> None:
        await world.at(25)
        world.s3.bad_keys = True

    async def scenario() -> Verdict:
        verdict, _ = await asyncio.gather(world.watch("a", max_faults=3), revoke())
        return verdict

    verdict = world.run(scenario)
    assert verdict.error is not None
    assert verdict.error.code == "InvalidAccessKeyId"


def test_a_role_that_is_refused_in_mid_wait_ends_the_waits_at_once_with_the_reason(world: World) -> None:
    refusal = AwsConfigurationError("the role cannot be assumed")

    async def refuse() -> None:
        await world.at(25)
        world.s3.faults["bkt"] = [error("AccessDenied", 403, "AssumeRole")]
        world.s3.open_errors = [refusal]

    async def scenario() -> list[Verdict]:
        return (await asyncio.gather(refuse(), world.watch("a"), world.watch("b")))[1:]

    verdicts = world.run(scenario)
    assert [(verdict.status, verdict.error) for verdict in verdicts] == [("unreadable", refusal)] * 2
    assert world.notices == []


def test_a_role_that_may_be_assumed_again_at_once_costs_the_wait_nothing(world: World) -> None:
    async def refuse() -> None:
        await world.at(25)
        world.s3.faults["bkt"] = [error("AccessDenied", 403, "AssumeRole")]
        await world.at(31, "s3://bkt/out/a")

    async def scenario() -> Verdict:
        return (await asyncio.gather(refuse(), world.watch("a", max_faults=1)))[1]

    assert world.run(scenario).status == "completed"
    assert world.s3.opened == 2


def test_a_client_that_cannot_be_opened_for_a_while_is_ridden_through(world: World) -> None:
    world.s3.put("s3://bkt/out/a")
    world.s3.open_errors = [
        OSError(),
        BusyError("throttled", code="Throttling"),
        ReadTimeoutError(endpoint_url=""),
    ]
    assert world.run(lambda: world.watch("a")).status == "completed"
    assert world.s3.opened == 1


def test_a_connection_that_does_not_exist_ends_all_waits_with_its_error(world: World) -> None:
    world.s3.open_errors = [AwsConfigurationError("no such connection")]

    async def scenario() -> list[Verdict]:
        return await asyncio.gather(*[world.watch(f"{number}") for number in range(300)])

    verdicts = world.run(scenario)
    assert {verdict.status for verdict in verdicts} == {"unreadable"}
    assert all(isinstance(verdict.error, AwsConfigurationError) for verdict in verdicts)


@pytest.mark.parametrize("where", ["opening", "looking", "looking one by one"])
def test_a_bug_reaches_every_wait_instead_of_hanging_it(world: World, where: str) -> None:
    bug = ZeroDivisionError("a bug")
    if where == "opening":
        world.s3.open_errors = [bug]
    else:
        world.s3.faults["bkt"] = [bug] * 100
        if where == "looking one by one":
            world.s3.faults["bkt"][0:0] = [None, None, None]
            world.s3.may_list = lambda prefix: False

    async def scenario() -> list[Any]:
        return await asyncio.gather(*[world.watch(f"{n}") for n in range(9)], return_exceptions=True)

    assert {type(outcome) for outcome in world.run(scenario)} == {ZeroDivisionError}


def test_a_callback_that_fails_ends_only_its_own_wait(world: World) -> None:
    world.s3.may_list = lambda prefix: False

    def broken(notice: str) -> None:
        raise ValueError(notice)

    async def scenario() -> list[Any]:
        late = world.at(15, "s3://bkt/out/b")
        watches = [world.watch("a", on_forbidden=broken), world.watch("b")]
        return await asyncio.gather(late, *watches, return_exceptions=True)

    _, failed, completed = world.run(scenario)
    assert isinstance(failed, ValueError)
    assert completed.status == "completed"


def test_a_pause_that_cannot_be_reckoned_ends_only_its_own_wait(world: World) -> None:
    async def scenario() -> list[Any]:
        late = world.at(35, "s3://bkt/out/b")
        watches = [world.watch("a", schedule=PollSchedule(10**400)), world.watch("b")]
        return await asyncio.gather(late, *watches, return_exceptions=True)

    _, failed, completed = world.run(scenario)
    assert isinstance(failed, OverflowError)
    assert completed.status == "completed"


def test_a_watcher_whose_task_is_cancelled_from_outside_hangs_nobody(world: World) -> None:
    async def scenario() -> list[Any]:
        watches = [asyncio.ensure_future(world.watch(f"{number}")) for number in range(300)]
        await asyncio.sleep(3)
        output_watch._watchers[asyncio.get_running_loop()]["aws_default"]._task.cancel()
        return await asyncio.gather(*watches, return_exceptions=True)

    assert {type(outcome) for outcome in world.run(scenario)} == {OutputUnreadableError}


def test_a_wait_that_is_cancelled_while_the_looks_are_told_is_told_nothing(world: World) -> None:
    world.s3.may_list = lambda prefix: False
    tasks: list[asyncio.Task[Verdict]] = []

    async def scenario() -> None:
        tasks.append(
            asyncio.ensure_future(world.watch("a", on_forbidden=lambda _: tasks[1].cancel() and None))
        )
        tasks.append(asyncio.ensure_future(world.watch("b")))
        await asyncio.wait([tasks[1]])
        await world.at(20, "s3://bkt/out/a")
        await asyncio.wait(tasks)

    world.run(scenario)
    assert tasks[1].cancelled()
    assert tasks[0].result().status == "completed"
    assert world.notices == []


def test_a_wait_that_is_cancelled_together_with_the_watcher_is_cancelled(world: World) -> None:
    async def scenario() -> Any:
        only = asyncio.ensure_future(world.watch("a"))
        await asyncio.sleep(3)
        output_watch._watchers[asyncio.get_running_loop()]["aws_default"]._task.cancel()
        only.cancel()
        return (await asyncio.gather(only, return_exceptions=True))[0]

    assert isinstance(world.run(scenario), asyncio.CancelledError)
