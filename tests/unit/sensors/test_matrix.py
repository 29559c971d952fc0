"""Airflow's sensor flags mean the same in poke, reschedule and deferred mode, however a wait ends."""

from __future__ import annotations

import datetime as dt

import pytest
from airflow_provider_aiml import waiting_sensor
from airflow_provider_aiml.exceptions import (
    AwsConfigurationError,
    ModelFailedError,
    OutputExpiredError,
    OutputUnreadableError,
)
from airflow_provider_aiml.sensors.bedrock import BedrockAsyncInvokeSensor
from airflow_provider_aiml.sensors.sagemaker import SageMakerAsyncInferenceSensor
from tests.airflow_versions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferralError,
    TaskDeferred,
)
from tests.unit.running import event_of, resume, run

MODES = {
    "poke": {"mode": "poke"},
    "reschedule": {"mode": "reschedule"},
    "deferrable": {"deferrable": True},
}
FLAGS = {
    "none": {},
    "soft_fail": {"soft_fail": True},
    "never_fail": {"never_fail": True},
    "silent_fail": {"silent_fail": True},
}
SKIP = AirflowSkipException

# How a wait ends: what the task does under each flag, and whether Airflow's retries stop.
TABLE = {
    "completed": {"none": None, "soft_fail": None, "never_fail": None, "silent_fail": None},
    "model failed": {
        "none": ModelFailedError,
        "soft_fail": SKIP,
        "never_fail": SKIP,
        "silent_fail": ModelFailedError,
    },
    "expired": {
        "none": OutputExpiredError,
        "soft_fail": SKIP,
        "never_fail": SKIP,
        "silent_fail": OutputExpiredError,
    },
    "sensor timeout": {
        "none": AirflowSensorTimeout,
        "soft_fail": SKIP,
        "never_fail": SKIP,
        "silent_fail": AirflowSensorTimeout,
    },
    "S3 unreadable": {
        "none": OutputUnreadableError,
        "soft_fail": OutputUnreadableError,
        "never_fail": SKIP,
        "silent_fail": AirflowSensorTimeout,
    },
    "no connection": {
        "none": AwsConfigurationError,
        "soft_fail": SKIP,
        "never_fail": SKIP,
        "silent_fail": AwsConfigurationError,
    },
}
CANNOT_BE_RETRIED = (ModelFailedError, OutputExpiredError, AwsConfigurationError)


def drive(make, then=lambda: None):
    """Run a sensor to its end as Airflow would; ``then`` happens once it waits, in poke mode before."""
    first_reschedule = None
    task = make()
    if task.mode == "poke" and not task.deferrable:
        then()
    while True:
        try:
            return run(task, first_reschedule=first_reschedule)
        except AirflowRescheduleException:
            if first_reschedule is None:
                first_reschedule = dt.datetime.now(dt.UTC)
                then()
            task = make()
        except TaskDeferred as deferral:
            then()
            return go_on(make, deferral)


def go_on(make, deferral):
    """Resume a sensor until it defers no more."""
    while True:
        try:
            return resume(make(), deferral, event_of(deferral.trigger))
        except TaskDeferred as again:
            deferral = again


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("ending", TABLE)
def test_a_flag_means_the_same_in_every_mode(aws, s3, monkeypatch, mode, flag, ending):
    monkeypatch.setattr(
        waiting_sensor, "MAX_FAULTS", 2
    )  # the triggerer's pauses between faults grow to a minute
    wanted = TABLE[ending][flag]
    near = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.5)
    far = near + dt.timedelta(hours=1)
    submitted = {
        "inference_id": "i-1",
        "output_location": "s3://bucket/out/1",
        "failure_location": "s3://bucket/err/1",
        "deadline": (near if ending == "expired" else far).isoformat(),
    }
    short = ending == "sensor timeout" or wanted is AirflowSensorTimeout
    settings = {
        "task_id": "wait",
        "inference": submitted,
        "poke_interval": 0.05,
        "timeout": 0.5 if short else 60,
        "aws_conn_id": "nobody" if ending == "no connection" else "aws_default",
        **MODES[mode],
        **FLAGS[flag],
    }

    def then():
        if ending == "completed":
            s3.put_object(Bucket="bucket", Key="out/1", Body=b"{}")
        elif ending == "model failed":
            s3.put_object(Bucket="bucket", Key="err/1", Body=b"out of memory")

    if ending == "S3 unreadable":
        aws.add_fault("s3:*", code="InvalidRequest", status=400, for_seconds=60)

    if wanted is None:
        result = drive(lambda: SageMakerAsyncInferenceSensor(**settings), then)
        assert result == {
            "inference_id": "i-1",
            "output_location": "s3://bucket/out/1",
            "status": "completed",
        }
        return
    with pytest.raises(wanted) as caught:
        drive(lambda: SageMakerAsyncInferenceSensor(**settings), then)
    if wanted is not SKIP:
        assert isinstance(caught.value, AirflowFailException) is issubclass(wanted, CANNOT_BE_RETRIED)
    if wanted is ModelFailedError:
        assert "The model said: out of memory" in str(caught.value)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("wish", [{"result": "body"}, {"output_uri": "s3://bucket/copies/"}], ids=str)
def test_a_flag_means_the_same_where_an_output_that_is_there_cannot_be_read(aws, s3, mode, flag, wish):
    wanted = {"none": OutputUnreadableError, "soft_fail": OutputUnreadableError, "never_fail": SKIP}.get(flag)
    settings = {"output_location": "s3://bucket/out/1", "poke_interval": 0.05, "timeout": 60, **wish}

    def then():
        s3.put_object(Bucket="bucket", Key="out/1", Body=b'{"a": 1}', ContentType="application/json")
        aws.add_fault("s3:GET", code="InvalidRequest", status=400, count=1, key_prefix="out/")

    def end():
        return drive(
            lambda: SageMakerAsyncInferenceSensor(task_id="wait", **settings, **MODES[mode], **FLAGS[flag]),
            then,
        )

    if wanted is None:
        assert end()["status"] == "completed"
        return
    with pytest.raises(wanted):
        end()


def test_a_wait_that_is_deferred_again_ends_when_it_would_have(aws, s3):
    aws.add_fault("s3:GET", code="InvalidRequest", status=400, for_seconds=60, key_prefix="out/")
    settings = {
        "output_location": "s3://bucket/out/1",
        "result": "body",
        "poke_interval": 0.05,
        "timeout": 60,
    }
    task = SageMakerAsyncInferenceSensor(task_id="w", deferrable=True, silent_fail=True, **settings)
    with pytest.raises(TaskDeferred) as first:
        run(task)
    s3.put_object(Bucket="bucket", Key="out/1", Body=b"{}")

    with pytest.raises(TaskDeferred) as second:
        resume(task, first.value, event_of(first.value.trigger))

    ends = [deferred.value.trigger.serialize()[1]["timeout_at"] for deferred in (first, second)]
    assert ends[0] == pytest.approx(ends[1])
    with pytest.raises(AirflowSensorTimeout):
        task.execute_complete({}, event_of(second.value.trigger), ends_at=ends[0] - 60)


def test_silent_fail_waits_out_a_fault_of_the_new_deferral_too(aws, s3):
    listed = [
        {"output_location": f"s3://bucket/out/{n}", "deadline": "2100-01-01T00:00:00+00:00"}
        for n in range(501)
    ]
    settings = {"manifest_to": "s3://bucket/m/", "poke_interval": 0.05, "timeout": 600}
    task = SageMakerAsyncInferenceSensor(
        task_id="w", inference=listed, deferrable=True, silent_fail=True, botocore_config=ONCE, **settings
    )
    with pytest.raises(TaskDeferred) as first:
        run(task)
    inferences = first.value.trigger.serialize()[1]["inferences"]
    aws.add_fault("s3:*", code="SlowDown", count=2)

    with pytest.raises(TaskDeferred) as second:
        resume(task, first.value, {"status": "completed", "inferences": inferences})

    assert second.value.trigger.serialize()[1]["inferences"] == inferences
    assert aws.request_counts()["s3:PUT"] == 3


AWAITED = {
    SageMakerAsyncInferenceSensor: {"output_location": "s3://bucket/out/1"},
    BedrockAsyncInvokeSensor: {
        "invocation": "arn:aws:bedrock:us-east-1:123456789012:async-invoke/abcdef123456"
    },
}
# What Airflow gives as a deferral's error, and what becomes of it without a flag that skips.
ONCE = {"retries": {"total_max_attempts": 1}}
DEFERRAL_ENDS = {"Trigger timeout": AirflowSensorTimeout, "Trigger failure": TaskDeferralError}


@pytest.mark.parametrize("sensor", AWAITED)
@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("ending", DEFERRAL_ENDS)
def test_a_flag_means_the_same_where_airflow_ends_the_deferral(sensor, flag, ending):
    wanted = SKIP if flag in ("soft_fail", "never_fail") else DEFERRAL_ENDS[ending]
    task = sensor(task_id="wait", deferrable=True, **AWAITED[sensor], **FLAGS[flag])

    with pytest.raises(wanted):
        task.resume_execution("__fail__", {"error": ending}, {})
