"""Asynchronous invocations over HTTP: the operator, the sensor, the trigger; one is paid for once."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from airflow_provider_aiml.exceptions import (
    AccessDeniedError,
    InferenceError,
    ModelFailedError,
    OutputExpiredError,
    OutputUnreadableError,
    RequestError,
)
from airflow_provider_aiml.operators.bedrock import BedrockStartAsyncInvokeOperator
from airflow_provider_aiml.sensors.bedrock import BedrockAsyncInvokeSensor
from airflow_provider_aiml.triggers import bedrock as bedrock_triggers
from airflow_provider_aiml.triggers.bedrock import BedrockAsyncInvokeTrigger
from tests.airflow_versions import AirflowSensorTimeout, AirflowSkipException
from tests.unit.running import defer, event_of, resume, run, through_triggerer

NOVA = "amazon.nova-pro-v1:0"
FAILING = "test.async-failed-v1:0"
STUCK = "test.async-stuck-v1:0"
QUICK = {"attempts": 1}
CANARY = "CANARY-e5e5"
ASKED = {"messages": [{"role": "user", "content": [{"text": CANARY}]}]}
ABSENT = "arn:aws:bedrock:us-east-1:123456789012:async-invoke/aaaaaaaaaaaa"
WORDS = "The model failed, as this test asked."


def start(**kwargs):
    given = {
        "task_id": "start",
        "model_id": NOVA,
        "model_input": ASKED,
        "output_data_config": "s3://bucket/videos/",
        "waiter_delay": 0.05,
        "retry_args": QUICK,
        "deferrable": False,
    }
    return BedrockStartAsyncInvokeOperator(**{**given, **kwargs})


def submit(**kwargs):
    return run(start(wait_for_completion=False, **kwargs))


def sensor(invocation, **kwargs):
    given = {
        "task_id": "wait",
        "poke_interval": 0.05,
        "timeout": 30,
        "deferrable": False,
        "retry_args": QUICK,
    }
    return BedrockAsyncInvokeSensor(**{**given, "invocation": invocation, **kwargs})


@pytest.fixture
def bucket(aws, s3):
    return aws


class TestOperator:
    @pytest.mark.parametrize("deferrable", [False, True])
    def test_it_starts_waits_and_says_where_the_output_is(self, bucket, read, told, deferrable):
        logging.getLogger("botocore").setLevel(logging.DEBUG)
        make = lambda: start(deferrable=deferrable)  # noqa: E731
        result = through_triggerer(make) if deferrable else run(make())

        assert result["status"] == "completed"
        assert result["end_time"] > result["submit_time"]
        key = result["output_location"].removeprefix("s3://bucket/") + "output.json"
        assert CANARY in read(key).decode()
        assert CANARY not in told.text

    def test_without_waiting_it_gives_what_the_sensor_takes(self, bucket):
        given = submit(tags=[{"key": "team", "value": "a"}])

        assert set(given) == {"invocation_arn", "status", "output_location"}
        ended = run(sensor(given))
        assert ended["output_location"] == given["output_location"]

    def test_a_retry_goes_on_with_the_same_invocation(self, bucket):
        first = submit()
        second = run(start(wait_for_completion=False), try_number=2)
        other = run(start(wait_for_completion=False), run_id="later")

        assert first["invocation_arn"] == second["invocation_arn"] != other["invocation_arn"]

    def test_a_later_try_starts_another_one_only_where_the_earlier_one_failed(self, bucket):
        with pytest.raises(ModelFailedError):
            run(start(model_id=FAILING))
        with pytest.raises(ModelFailedError):
            run(start(model_id=FAILING), try_number=2)
        third = run(start(model_id=FAILING, wait_for_completion=False), try_number=3)

        assert run(start(model_id=FAILING, wait_for_completion=False), try_number=3) == third
        with pytest.raises(ModelFailedError):
            run(sensor(third))

    def test_reinvoke_starts_another_one_and_an_own_token_is_ones_own(self, bucket):
        arns = {submit(**more)["invocation_arn"] for more in ({}, {"reinvoke": True}, {"reinvoke": "true"})}
        own = [submit(client_request_token="mine")["invocation_arn"] for _ in range(2)]

        assert len(arns) == 3
        assert own[0] == own[1]

    @pytest.mark.parametrize("deferrable", [False, True])
    @pytest.mark.parametrize("quoted", [False, True])
    def test_a_failure_is_told_in_the_services_words(self, bucket, deferrable, quoted):
        make = lambda: start(model_id=FAILING, deferrable=deferrable, quote_model_errors=quoted)  # noqa: E731

        with pytest.raises(ModelFailedError, match="failed") as caught:
            through_triggerer(make) if deferrable else run(make())

        assert caught.value.model_message == (WORDS if quoted else None)

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_a_wait_that_is_too_short_can_be_taken_up_again(self, bucket, deferrable):
        make = lambda: start(model_id=STUCK, wait_timeout=0.2, deferrable=deferrable)  # noqa: E731

        with pytest.raises(OutputExpiredError, match="still running") as caught:
            through_triggerer(make) if deferrable else run(make())

        assert caught.value.retryable

    def test_the_whole_output_config_passes(self, bucket):
        config = {"s3OutputDataConfig": {"s3Uri": "s3://bucket/x", "bucketOwner": "123456789012"}}

        assert submit(output_data_config=config)["output_location"].startswith("s3://bucket/x/")

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ({"output_data_config": "bucket"}, "output_data_config"),
            ({"model_id": "a b"}, "model_id"),
            ({"client_request_token": "ü"}, "client_request_token"),
            ({"tags": "team"}, "tags"),
            ({"reinvoke": "perhaps"}, "reinvoke"),
            ({"request_members": {"of_tomorrow": 1}}, "of_tomorrow"),
        ],
    )
    def test_bad_input_is_refused_before_any_call(self, bucket, arguments, problem):
        with pytest.raises(RequestError, match=problem):
            submit(**arguments)
        assert not [name for name in bucket.request_counts() if name.startswith("bedrock")]


class TestSensor:
    @pytest.mark.parametrize("deferrable", [False, True])
    def test_several_are_given_in_their_order(self, bucket, deferrable):
        given = [submit(task_id=name) for name in ("a", "b")]
        make = lambda: sensor(given, deferrable=deferrable)  # noqa: E731

        # The first question finds nothing out, so that there is something to defer for.
        bucket.add_fault("GetAsyncInvoke", code="ThrottlingException", status=429, count=1)
        result = through_triggerer(make) if deferrable else run(make())

        assert [one["invocation_arn"] for one in result] == [one["invocation_arn"] for one in given]

    def test_what_is_there_already_needs_no_deferral(self, bucket):
        given = submit()
        run(sensor(given))

        assert run(sensor(given, deferrable=True))["status"] == "completed"

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_the_first_that_fails_ends_the_wait_for_good(self, bucket, deferrable):
        given = [submit(model_id=STUCK), submit(model_id=FAILING)]
        make = lambda: sensor(given, deferrable=deferrable)  # noqa: E731

        with pytest.raises(ModelFailedError, match=WORDS) as caught:
            through_triggerer(make) if deferrable else run(make())

        assert "clear the task that started" in str(caught.value)

    @pytest.mark.parametrize("deferrable", [False, True])
    @pytest.mark.parametrize(
        ("option", "raised"), [("soft_fail", AirflowSkipException), ("never_fail", AirflowSkipException)]
    )
    def test_soft_fail_and_never_fail_skip_a_failure_alike(self, bucket, deferrable, option, raised):
        given = submit(model_id=FAILING)
        make = lambda: sensor(given, deferrable=deferrable, **{option: True})  # noqa: E731

        with pytest.raises(raised):
            through_triggerer(make) if deferrable else run(make())

    @pytest.mark.parametrize("deferrable", [False, True])
    @pytest.mark.parametrize(
        ("options", "raised"),
        [
            ({}, AirflowSensorTimeout),
            ({"soft_fail": True}, AirflowSkipException),
            ({"never_fail": True}, AirflowSkipException),
        ],
    )
    def test_the_timeout_means_the_same_in_both_modes(self, bucket, deferrable, options, raised):
        given = submit(model_id=STUCK)
        make = lambda: sensor(given, deferrable=deferrable, timeout=0.3, **options)  # noqa: E731

        with pytest.raises(raised):
            through_triggerer(make) if deferrable else run(make())

    def test_faults_in_a_row_end_the_wait_and_single_ones_do_not(self, bucket):
        given = submit()
        bucket.add_fault("GetAsyncInvoke", code="ThrottlingException", status=429, count=2)
        assert run(sensor(given))["status"] == "completed"

        bucket.add_fault("GetAsyncInvoke", code="ThrottlingException", status=429, count=20)
        with pytest.raises(OutputUnreadableError, match="10 times in a row"):
            run(sensor(given, poke_interval=0.01))

    def test_silent_fail_goes_on_asking_until_the_timeout(self, bucket):
        given = submit()
        bucket.add_fault("GetAsyncInvoke", code="ThrottlingException", status=429, count=500)

        with pytest.raises(AirflowSensorTimeout):
            run(sensor(given, silent_fail=True, poke_interval=0.01, timeout=0.5))

    def test_while_it_cannot_be_asked_the_timeout_still_holds(self, bucket):
        given = submit()
        bucket.add_fault("GetAsyncInvoke", code="ThrottlingException", status=429, count=500)

        with pytest.raises(AirflowSensorTimeout):
            run(sensor(given, poke_interval=0.2, timeout=0.3))

    def test_an_invocation_that_is_not_there_is_an_error_at_once(self, bucket):
        with pytest.raises(InferenceError, match="ValidationException"):
            run(sensor(ABSENT))

    @pytest.mark.parametrize("event", [None, {}, {"status": "odd"}])
    def test_an_event_that_says_nothing_is_an_error(self, bucket, event):
        task = sensor(submit(model_id=STUCK), deferrable=True)
        deferral = defer(task)

        with pytest.raises(OutputUnreadableError, match="without saying why"):
            resume(task, deferral, event)

    def test_words_that_cannot_be_fetched_are_missed_and_said(self, bucket, told):
        with bucket.held():
            task = sensor(submit(model_id=FAILING), deferrable=True)
            deferral = defer(task)
        event = event_of(deferral.trigger)
        bucket.add_fault("GetAsyncInvoke", code="AccessDeniedException", status=403, count=5)

        with pytest.raises(ModelFailedError):
            resume(task, deferral, event)
        assert "The failure's words are missing" in told.text

    def test_nothing_to_wait_for_is_refused(self, bucket):
        with pytest.raises(RequestError, match="invocation"):
            run(sensor([]))


class TestTrigger:
    def test_its_event_holds_no_words_of_the_model(self, bucket):
        arn = submit(model_id=FAILING)["invocation_arn"]

        event = event_of(BedrockAsyncInvokeTrigger(invocations=[arn], poll_interval=0.05))

        assert (event["status"], event["index"]) == ("failed", 0)
        assert WORDS not in json.dumps(event)

    def test_nothing_to_wait_for_is_an_event(self):
        assert event_of(BedrockAsyncInvokeTrigger(invocations=[]))["status"] == "error"

    def test_a_permission_that_is_missing_is_an_event(self, bucket):
        bucket.add_fault("GetAsyncInvoke", code="AccessDeniedException", status=403, count=5)

        event = event_of(BedrockAsyncInvokeTrigger(invocations=[ABSENT], poll_interval=0.05))

        assert event["status"] == "unreadable"
        assert "bedrock:GetAsyncInvoke" in json.dumps(event)

    def test_waits_of_one_connection_share_a_client(self, bucket):
        arns = [submit(task_id=name)["invocation_arn"] for name in ("a", "b", "c")]

        async def scenario():
            triggers = [BedrockAsyncInvokeTrigger(invocations=[arn], poll_interval=0.05) for arn in arns]
            runs = [asyncio.ensure_future(anext(trigger.run())) for trigger in triggers]
            while len(bedrock_triggers._hooks) < 1:
                await asyncio.sleep(0.01)
            seen = len(bedrock_triggers._hooks)
            events = await asyncio.gather(*runs)
            return seen, [event.payload["status"] for event in events]

        assert asyncio.run(scenario()) == (1, ["completed"] * 3)

    def test_keys_that_expired_are_read_anew(self, bucket):
        arn = submit()["invocation_arn"]
        bucket.add_fault("GetAsyncInvoke", code="ExpiredTokenException", status=403, count=2)

        event = event_of(BedrockAsyncInvokeTrigger(invocations=[arn], poll_interval=0.05))

        assert event["status"] == "completed"

    def test_a_wait_that_is_cancelled_leaves_nothing_open(self, bucket):
        arn = submit(model_id=STUCK)["invocation_arn"]

        async def scenario():
            trigger = BedrockAsyncInvokeTrigger(invocations=[arn], poll_interval=0.05)
            waiting = asyncio.ensure_future(anext(trigger.run()))
            while not bucket.request_counts().get("bedrock:GetAsyncInvoke"):
                await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await asyncio.sleep(0)
            return asyncio.all_tasks() - {asyncio.current_task()}

        assert asyncio.run(scenario()) == set()


def test_the_worker_is_denied_in_our_own_words(aws):
    with pytest.raises(AccessDeniedError, match="enable the model"):
        submit(model_id="test.access-denied-v1:0")
