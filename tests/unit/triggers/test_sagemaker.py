"""How the trigger ends, what it says then, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import itertools
import json
import time

import pytest
from airflow_provider_aiml.inference import output_watch
from airflow_provider_aiml.inference.submissions import Submission
from airflow_provider_aiml.inference.wait_list import compact
from airflow_provider_aiml.triggers import sagemaker
from airflow_provider_aiml.triggers.sagemaker import SageMakerAsyncInferenceTrigger
from tests.unit.running import again, event_of


def at(seconds):
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).isoformat()


def submitted(name, **more):
    return {
        "inference_id": f"id-{name}",
        "output_location": f"s3://bucket/out/{name}",
        "failure_location": f"s3://bucket/err/{name}",
        "deadline": at(3_600),
        **more,
    }


def make(*inferences, **kwargs):
    return SageMakerAsyncInferenceTrigger(**{"inferences": list(inferences), "poll_interval": 0.05, **kwargs})


@pytest.fixture
def put(s3):
    return lambda key, body=b"{}": s3.put_object(Bucket="bucket", Key=key, Body=body)


def test_it_ends_when_all_are_there(put):
    put("out/a")
    put("out/b")
    inferences = [submitted("a"), submitted("b")]

    assert event_of(make(*inferences)) == {
        "status": "completed",
        "index": None,
        "error": None,
        "inferences": inferences,
    }


def test_it_waits_until_they_are(put):
    async def scenario():
        trigger = make(submitted("a"))
        waiting = asyncio.ensure_future(anext(trigger.run()))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        await asyncio.to_thread(put, "out/a")
        return (await asyncio.wait_for(waiting, 60)).payload

    assert asyncio.run(scenario())["status"] == "completed"


def test_a_restart_does_not_extend_a_wait_that_was_given_no_deadline(s3):
    place = {"output_location": "s3://bucket/out/a"}

    assert event_of(make(place, started_at=time.time() - 30_000))["status"] == "expired"
    trigger = make(place)
    assert again(trigger).started_at == trigger.started_at <= time.time()


def test_the_first_failure_ends_it_with_its_index_and_without_its_words(put):
    put("out/a")
    put("err/b", b"canary")
    event = event_of(make(submitted("a"), submitted("b"), submitted("c")))

    assert (event["status"], event["index"]) == ("failed", 1)
    assert (event["error"]["type"], event["error"]["inference_id"]) == ("ModelFailedError", "id-b")
    assert set(event) == {"status", "index", "error", "inferences"}
    assert "canary" not in json.dumps(event)


def test_of_two_failures_at_once_the_first_in_the_list_is_told(put):
    put("err/a")
    put("err/b")

    assert event_of(make(submitted("a"), submitted("b")))["index"] == 0


def test_a_passed_deadline_ends_it(put):
    event = event_of(make(submitted("a"), submitted("b", deadline=at(0.3))))

    assert (event["status"], event["index"], event["error"]["type"]) == ("expired", 1, "OutputExpiredError")


def test_its_own_time_limit_is_told_apart_from_the_deadline(put):
    event = event_of(make(submitted("a"), timeout_at=time.time() + 0.3))

    assert (event["status"], event["index"], event["error"]["type"]) == ("timeout", 0, "OutputExpiredError")


def test_an_output_that_came_while_no_triggerer_ran_counts_after_the_limit_too(put):
    put("out/a")

    assert event_of(make(submitted("a"), timeout_at=time.time() - 100))["status"] == "completed"


def test_a_restart_does_not_move_the_limit(put):
    trigger = make(submitted("a"), timeout_at=time.time() + 0.5)

    assert again(again(trigger)).timeout_at == trigger.timeout_at
    time.sleep(0.5)
    assert event_of(trigger)["status"] == "timeout"


def test_a_restart_goes_on_with_the_back_off(put, monkeypatch):
    begun = []
    real = output_watch.watch_output

    async def watch(inference, **options):
        begun.append((options["started"], options["schedule"]))
        return await real(inference, **options)

    monkeypatch.setattr(sagemaker, "watch_output", watch)
    put("out/a")
    started = time.time() - 500
    event_of(make(submitted("a"), started_at=started, exponential_backoff=True, max_wait=60.0))

    ((since, schedule),) = begun
    assert since == started
    assert schedule.exponential_backoff
    assert schedule.delay(1, elapsed=500) == 60.0
    assert schedule.seed == "s3://bucket/out/a"


@pytest.mark.parametrize(
    ("inferences", "said"),
    [([], "inferences: is empty"), ([{"output_location": "nowhere"}], "output_location")],
)
def test_what_cannot_be_waited_for_is_told_as_a_typed_error(inferences, said):
    event = event_of(SageMakerAsyncInferenceTrigger(inferences=inferences))

    assert (event["status"], event["index"], event["error"]["type"]) == ("error", None, "RequestError")
    assert said in event["error"]["message"]


@pytest.mark.parametrize(
    "pauses", [{"poll_interval": dt.timedelta(seconds=30)}, {"poll_interval": None}, {"max_wait": "40"}]
)
def test_pauses_that_are_no_seconds_are_told_as_a_typed_error_and_end_no_other_wait(put, pauses):
    async def scenario():
        other = asyncio.ensure_future(anext(make(submitted("a")).run()))
        event = (await anext(make(submitted("b"), **pauses).run())).payload
        assert not other.done()
        await asyncio.to_thread(put, "out/a")
        return event, (await other).payload

    event, of_other = asyncio.run(scenario())
    assert (event["status"], event["error"]["type"]) == ("error", "RequestError")
    assert next(iter(pauses)).removeprefix("poll_") in event["error"]["message"]
    assert of_other["status"] == "completed"


def test_an_unknown_connection_is_told_as_a_typed_error(aws):
    event = event_of(make(submitted("a"), aws_conn_id="nobody"))

    assert (event["status"], event["error"]["type"]) == ("unreadable", "AwsConfigurationError")
    assert "'nobody'" in event["error"]["message"]


def test_settings_that_botocore_refuses_are_told_as_a_typed_error(aws):
    event = event_of(make(submitted("a"), botocore_config={"nonsense": 1}))

    assert (event["status"], event["error"]["type"]) == ("unreadable", "AwsConfigurationError")


def test_an_s3_that_cannot_be_asked_is_told_after_a_bounded_number_of_faults(aws, s3):
    aws.add_fault("s3:*", code="InvalidRequest", status=400, for_seconds=60)

    event = event_of(make(submitted("a"), max_faults=2))

    assert (event["status"], event["error"]["type"]) == ("unreadable", "OutputUnreadableError")
    assert event["error"]["retryable"]


leaking_is_an_error = pytest.mark.filterwarnings(
    "error::ResourceWarning", "error::pytest.PytestUnraisableExceptionWarning"
)


@leaking_is_an_error
def test_a_bug_is_not_hidden(aws, s3, monkeypatch):
    async def broken(inference, **_):
        raise ZeroDivisionError

    monkeypatch.setattr(sagemaker, "watch_output", broken)

    with pytest.raises(ZeroDivisionError):
        event_of(make(submitted("a"), submitted("b")))
    gc.collect()


@leaking_is_an_error
def test_a_cancelled_wait_leaves_no_task_and_no_client(aws, put):
    async def scenario():
        run = make(submitted("a"), submitted("b")).run()
        waiting = asyncio.ensure_future(anext(run))
        while not aws.request_counts().get("s3:LIST"):
            await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await run.aclose()
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(scenario()) == set()
    gc.collect()


def test_an_ended_wait_leaves_no_task_for_those_that_still_waited(put):
    put("err/a")

    async def scenario():
        run = make(submitted("a"), submitted("b")).run()
        await asyncio.wait_for(anext(run), 60)
        await run.aclose()
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(scenario()) == set()


def test_many_triggers_of_one_connection_share_one_client(put, monkeypatch):
    from airflow_provider_aiml.hooks.sagemaker_runtime import SageMakerRuntimeHook

    opened = []
    real = SageMakerRuntimeHook.aopen_s3_client
    monkeypatch.setattr(SageMakerRuntimeHook, "aopen_s3_client", lambda hook: opened.append(1) or real(hook))
    for number in range(20):
        put(f"out/{number}")

    async def scenario():
        runs = [make(submitted(str(number))).run() for number in range(20)]
        return await asyncio.gather(*(anext(run) for run in runs))

    assert all(event.payload["status"] == "completed" for event in asyncio.run(scenario()))
    assert len(opened) == 1


async def test_a_clear_says_that_the_inference_goes_on_and_where_its_output_appears(told):
    await make(submitted("a")).on_kill()

    assert "SageMaker offers no cancel" in told.text
    assert "s3://bucket/out/a" in told.text


async def test_a_clear_of_many_does_not_name_them_all(told):
    await make(*(submitted(str(number)) for number in range(50))).on_kill()

    assert told.text.count("s3://bucket/out/") == 5


async def test_a_clear_of_a_long_list_names_the_first_places_or_the_manifest(told):
    many = [Submission.from_dict(submitted(str(number)), now=0.0) for number in range(50)]
    trigger = make(submitted("a"))
    trigger.inferences = compact(many)
    await trigger.on_kill()
    trigger.inferences = {"manifest": "s3://bucket/waits/a.json"}
    await trigger.on_kill()

    assert told.text.count("s3://bucket/out/") == 5
    assert "the places that s3://bucket/waits/a.json lists" in told.text


async def test_a_long_list_is_begun_and_ended_a_hundred_at_a_time_so_that_others_have_their_turn(aws, s3):
    """Counted in turns of the event loop: thousands in one turn would hold it."""
    begun = []

    async def count():
        while True:
            begun.append(len(asyncio.all_tasks()))
            await asyncio.sleep(0)

    counter = asyncio.create_task(count())
    waiting = asyncio.ensure_future(anext(make(*(submitted(str(number)) for number in range(1_000))).run()))
    while len(asyncio.all_tasks()) < 1_000:
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    counter.cancel()

    steps = [abs(after - before) for before, after in itertools.pairwise(begun)]
    assert max(begun) >= 1_000
    assert max(steps) <= 2 * sagemaker.AT_ONCE
