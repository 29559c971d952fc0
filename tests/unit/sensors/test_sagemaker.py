"""What the sensor waits for, what it gives, and what it tells while it waits."""

from __future__ import annotations

import datetime as dt
import json
import time

import pytest
from airflow_provider_aiml.exceptions import (
    AwsConfigurationError,
    ModelFailedError,
    OutputExpiredError,
    OutputUnreadableError,
    RequestError,
)
from airflow_provider_aiml.sensors.sagemaker import SageMakerAsyncInferenceSensor
from tests.airflow_versions import AirflowFailException, AirflowRescheduleException, AirflowSensorTimeout
from tests.unit.running import Instance, defer, event_of, resume, run, through_triggerer


def make(**kwargs):
    given = {"output_location": "s3://bucket/out/1", **kwargs}
    if "inference" in kwargs:
        del given["output_location"]
    return SageMakerAsyncInferenceSensor(**{"task_id": "wait", "poke_interval": 0.02, **given})


@pytest.fixture
def put(s3):
    def put(key, body=b'{"a": 1}', content_type="application/json"):
        s3.put_object(Bucket="bucket", Key=key, Body=body, ContentType=content_type)

    return put


def submitted(name, **more):
    return {
        "inference_id": f"id-{name}",
        "output_location": f"s3://bucket/out/{name}",
        "failure_location": f"s3://bucket/err/{name}",
        **more,
    }


both = pytest.mark.parametrize("deferrable", [False, True])


def finish(deferrable, **kwargs):
    if deferrable:
        return through_triggerer(lambda: make(deferrable=True, **kwargs))
    return run(make(deferrable=False, **kwargs))


def test_an_output_that_is_there_needs_no_deferral(put):
    put("out/1")

    assert run(make(deferrable=True)) == {"output_location": "s3://bucket/out/1", "status": "completed"}


def test_a_body_is_fetched_if_asked(put):
    put("out/1")

    result = run(make(result="body"))
    assert (result["body"], result["content_type"]) == ({"a": 1}, "application/json")


def test_an_expression_sees_the_body(put):
    put("out/1")

    assert run(make(result="body", result_expression="body.a")) == 1
    assert run(make(result="body", result_expression="body.nothing")) is None


@both
def test_a_list_gives_a_list_in_the_same_order(put, deferrable):
    for name in ("c", "a", "b"):
        put(f"out/{name}", name.encode(), "text/plain")
    if deferrable:
        wanted = [submitted(name) for name in ("c", "a", "late", "b")]
        task = make(inference=wanted, deferrable=True, result="body")
        deferral = defer(task)
        put("out/late", b"late", "text/plain")
        results = resume(make(inference=wanted, result="body"), deferral, event_of(deferral.trigger))
        assert [result["body"] for result in results] == ["c", "a", "late", "b"]
    else:
        results = run(make(inference=[submitted(name) for name in ("c", "a", "b")], result="body"))
        assert [result["body"] for result in results] == ["c", "a", "b"]
        assert [result["inference_id"] for result in results] == ["id-c", "id-a", "id-b"]


def test_a_list_of_one_gives_a_list(put):
    put("out/1")

    assert len(run(make(inference=["s3://bucket/out/1"]))) == 1


@both
def test_the_first_failure_ends_the_wait_for_all(put, deferrable):
    put("err/b", b"out of memory")
    waited_for = [submitted("a"), submitted("b"), submitted("c")]

    with pytest.raises(ModelFailedError, match=r"id-b.*The model said: out of memory"):
        finish_after_deferral(put, waited_for) if deferrable else run(make(inference=waited_for))


def finish_after_deferral(put, waited_for):
    """Let the failure come while the triggerer waits."""
    task = make(inference=waited_for, deferrable=True)
    task.look_at_all = lambda: False
    deferral = defer(task)
    return resume(make(inference=waited_for), deferral, event_of(deferral.trigger))


def test_a_failure_after_a_deferral_names_its_own_inference(put):
    put("out/a")
    waited_for = [submitted("a"), submitted("b")]
    deferral = defer(make(inference=waited_for, deferrable=True))
    put("err/b", b"out of memory")

    event = event_of(deferral.trigger)
    assert (event["status"], event["index"]) == ("failed", 1)
    with pytest.raises(ModelFailedError, match="inference id id-b"):
        resume(make(inference=waited_for), deferral, event)


@both
@pytest.mark.parametrize("quoted", [True, False])
def test_a_failed_inference_stays_failed_however_often_it_is_looked_at(put, deferrable, quoted):
    words = b"Received server error (500) from model with message out of memory"
    waited_for = submitted("1")

    deferral = defer(make(inference=waited_for, deferrable=True)) if deferrable else None
    put("err/1", words)
    task = make(inference=waited_for, quote_model_errors=quoted)

    with pytest.raises(ModelFailedError, match="clear the task that submitted the inference") as caught:
        resume(task, deferral, event_of(deferral.trigger)) if deferral else run(task)

    assert isinstance(caught.value, AirflowFailException)
    assert "A retry cannot help" in str(caught.value)
    assert ("out of memory" in str(caught.value)) is quoted


def test_an_output_that_expired_while_s3_was_down_may_be_there_at_the_next_try(aws, s3):
    aws.add_fault("s3:*", code="InvalidRequest", status=400, for_seconds=60)
    past = dt.datetime.now(dt.UTC).isoformat()

    with pytest.raises(OutputExpiredError, match="A retry may help") as caught:
        run(make(inference=submitted("1", deadline=past)))
    assert not isinstance(caught.value, AirflowFailException)


def test_outputs_are_copied_into_a_folder(put, read):
    put("out/today/1.json")
    put("out/today/2.json")

    results = run(
        make(
            inference=["s3://bucket/out/today/1.json", "s3://bucket/out/today/2.json"],
            output_uri="s3://bucket/copies/",
        )
    )

    assert [result["output_uri"] for result in results] == [
        "s3://bucket/copies/1.json",
        "s3://bucket/copies/2.json",
    ]
    assert read("copies/2.json") == b'{"a": 1}'


def test_outputs_of_the_same_name_do_not_overwrite_each_other(put, read):
    put("out/a/1.json", b'"a"')
    put("out/b/1.json", b'"b"')

    results = run(
        make(
            inference=["s3://bucket/out/a/1.json", "s3://bucket/out/b/1.json"],
            output_uri="s3://bucket/copies/",
        )
    )

    copies = [result["output_uri"].removeprefix("s3://bucket/") for result in results]
    assert [read(key) for key in copies] == [b'"a"', b'"b"']


def test_mapped_sensors_that_are_given_one_object_do_not_replace_each_others_copies(put, read):
    for row in ("0", "1"):
        put(f"out/{row}.json", row.encode())

    run(make(inference="s3://bucket/out/0.json", output_uri="s3://bucket/copy"), map_index=0)
    with pytest.raises(RequestError, match="output_uri: is one object for several mapped"):
        run(make(inference="s3://bucket/out/1.json", output_uri="s3://bucket/copy"), map_index=1)

    assert read("copy") == b"0"


def test_one_object_for_several_outputs_is_refused_before_the_wait(aws):
    with pytest.raises(RequestError, match="output_uri: is one object for several inferences"):
        run(make(inference=["s3://bucket/a", "s3://bucket/b"], output_uri="s3://bucket/copy"))
    assert aws.request_counts() == {}


@pytest.mark.parametrize(
    ("kwargs", "problem"),
    [
        ({"inference": submitted("1"), "output_location": "s3://b/k"}, "is both"),
        ({"output_location": None}, "inference / output_location: is none of them"),
        ({"output_location": "https://b/k"}, "output_location: is a string"),
        ({"failure_location": "s3://b"}, "failure_location: is a bucket without a key"),
        ({"output_location": None, "inference": "nonsense"}, "inference: is a string"),
        ({"output_location": None, "inference": "s3://b"}, "inference: is a bucket without a key"),
        ({"output_location": None, "inference": ["s3://b/k", "no"]}, r"inference\[1\]: is a string"),
        (
            {"output_location": None, "inference": "s3://b/k", "failure_location": "s3://b/f"},
            "failure_location: is given beside inference",
        ),
    ],
)
def test_bad_input_is_refused_where_the_dag_is_read(kwargs, problem):
    given = {"task_id": "wait", "output_location": "s3://bucket/out/1", **kwargs}
    with pytest.raises(RequestError, match=problem):
        SageMakerAsyncInferenceSensor(**given)


@pytest.mark.parametrize("inference", ["{'output_location': …}", 3, [None], [], {"location": "s3://b/k"}])
@both
def test_what_cannot_be_waited_for_is_refused_before_the_wait(aws, inference, deferrable):
    task = make(inference="{{ params.inference }}", deferrable=deferrable)
    task.inference = inference  # as Airflow leaves it after rendering

    with pytest.raises(RequestError) as caught:
        run(task)

    assert isinstance(caught.value, AirflowFailException)
    assert aws.request_counts() == {}


NO_REGION = '{"conn_type": "aws", "login": "key", "password": "secret"}'


@both
@pytest.mark.parametrize("many", [1, 60])
def test_without_a_region_nothing_is_looked_for(monkeypatch, deferrable, many):
    monkeypatch.setenv("AIRFLOW_CONN_MINE", NO_REGION)
    waited_for = [submitted(str(number)) for number in range(many)]

    with pytest.raises(AwsConfigurationError, match=r"no region.*set region_name on the task") as caught:
        run(make(inference=waited_for, deferrable=deferrable, aws_conn_id="mine"))
    assert isinstance(caught.value, AirflowFailException)


def test_a_failure_location_alone_is_watched_too(put):
    put("err/1", b"out of memory")

    with pytest.raises(ModelFailedError):
        run(make(failure_location="s3://bucket/err/1"))


def test_a_wait_in_a_worker_says_once_how_long_it_may_hold_a_slot(put, told):
    put("out/1")
    run(make(timeout=300))

    assert told.text.count("holds a worker slot for up to 300 s") == 1
    assert told.text.count("worker slot") == 1


@pytest.mark.parametrize("mode", [{"mode": "reschedule"}, {"deferrable": True}])
def test_a_wait_that_holds_no_slot_does_not_speak_of_one(put, told, mode):
    put("out/1")
    run(make(**mode))

    assert "worker slot" not in told.text


class TestReschedule:
    def test_it_raises_airflow_s_reschedule_until_the_output_is_there(self, aws, s3, put):
        with pytest.raises(AirflowRescheduleException) as caught:
            run(make(mode="reschedule", poke_interval=60))

        wait = caught.value.reschedule_date - dt.datetime.now(dt.UTC)
        assert dt.timedelta(seconds=20) < wait <= dt.timedelta(seconds=60)
        put("out/1")
        assert run(make(mode="reschedule"))["status"] == "completed"

    def test_a_location_without_a_deadline_has_one_since_the_first_look(self, aws, s3):
        first = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=21_600 + 3_600 + 601)

        with pytest.raises(OutputExpiredError):
            run(make(mode="reschedule", timeout=10**6), first_reschedule=first)

    def test_the_timeout_counts_from_the_first_look(self, aws, s3):
        first = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=100)

        with pytest.raises(AirflowSensorTimeout):
            run(make(mode="reschedule", timeout=60), first_reschedule=first)

    def test_faults_in_a_row_are_counted_within_one_look(self, aws, s3):
        aws.add_fault("s3:*", code="InvalidRequest", status=400, for_seconds=60)

        with pytest.raises(OutputUnreadableError, match="10 times in a row"):
            run(make(mode="reschedule"))

    def test_a_fault_close_to_the_timeout_does_not_hold_it_up(self, aws, s3):
        aws.add_fault("s3:*", code="InvalidRequest", status=400, for_seconds=60)

        with pytest.raises(AirflowRescheduleException):
            run(make(mode="reschedule", poke_interval=60, timeout=29))

    def test_back_off_grows_with_the_time_that_passed(self, aws, s3):
        pauses = []
        for passed in (0, 1_000):
            first = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=passed)
            with pytest.raises(AirflowRescheduleException) as caught:
                run(
                    make(mode="reschedule", poke_interval=10, exponential_backoff=True, max_wait=400),
                    first_reschedule=first,
                )
            pauses.append((caught.value.reschedule_date - dt.datetime.now(dt.UTC)).total_seconds())

        assert pauses[0] < 50 < pauses[1] <= 400


class TestFaults:
    @pytest.mark.parametrize(
        "fault",
        [
            {"code": "SlowDown"},
            {"code": "InternalError"},
            {"kind": "drop"},
            {"code": "InvalidRequest", "status": 400, "count": 3},
        ],
    )
    @both
    def test_a_passing_fault_is_ridden_through(self, aws, put, fault, deferrable):
        put("out/1")
        aws.add_fault("s3:HEAD", **fault)

        assert finish_any(deferrable, output_location="s3://bucket/out/1")["status"] == "completed"

    def test_a_bucket_that_does_not_exist_is_not_asked_ten_times(self, aws, s3):
        with pytest.raises(OutputUnreadableError, match="S3OutputPath") as caught:
            run(make(output_location="s3://absent-bucket/out/1"))
        assert isinstance(caught.value, AirflowFailException)


def finish_any(deferrable, **kwargs):
    """Run a sensor that may or may not defer."""
    from tests.airflow_versions import TaskDeferred

    try:
        return run(make(deferrable=deferrable, **kwargs))
    except TaskDeferred as deferral:
        return resume(make(**kwargs), deferral, event_of(deferral.trigger))


class TestPermission:
    """A 403 on a missing key: S3 answers so without s3:ListBucket."""

    @pytest.fixture(autouse=True)
    def _forbidden(self, aws, s3):
        aws.add_fault("s3:HEAD", code="AccessDenied", for_seconds=60)
        aws.add_fault("s3:LIST", code="AccessDenied", for_seconds=60)

    def test_it_waits_and_names_the_permission_once_in_the_log(self, aws, put, told):
        put("out/1")
        put("out/2")
        aws.clear_faults()
        aws.add_fault("s3:HEAD", code="AccessDenied", count=6)
        aws.add_fault("s3:LIST", code="AccessDenied", count=6)

        results = run(make(inference=["s3://bucket/out/1", "s3://bucket/out/2"]))

        assert [result["status"] for result in results] == ["completed", "completed"]
        assert told.text.count("s3:ListBucket") == 1

    @pytest.mark.parametrize("mode", [{}, {"mode": "reschedule"}])
    def test_the_timeout_names_it(self, mode):
        first = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=100)

        with pytest.raises(AirflowSensorTimeout, match="s3:ListBucket"):
            run(make(timeout=0.1, **mode), first_reschedule=first if mode else None)

    def test_only_the_first_look_of_a_rescheduled_sensor_names_it_in_the_log(self, told):
        for first in (None, dt.datetime.now(dt.UTC)):
            with pytest.raises(AirflowRescheduleException):
                run(make(mode="reschedule"), first_reschedule=first)

        assert told.text.count("s3:ListBucket") == 1

    def test_the_triggerer_names_it_once_and_the_timeout_again(self, told):
        waited_for = ["s3://bucket/out/1", "s3://bucket/out/2"]
        deferral = defer(make(inference=waited_for, deferrable=True, timeout=0.5))

        assert "s3:ListBucket" not in told.text
        event = event_of(deferral.trigger)
        assert told.text.count("s3:ListBucket") == 1
        assert event["status"] == "timeout"
        with pytest.raises(AirflowSensorTimeout, match="s3:ListBucket"):
            resume(make(inference=waited_for), deferral, event)

    @both
    def test_an_expired_wait_names_it(self, deferrable):
        soon = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.4)).isoformat()

        with pytest.raises(OutputExpiredError, match="s3:ListBucket"):
            finish(deferrable, inference=submitted("1", deadline=soon))


class TestDeferral:
    def test_the_trigger_gets_all_that_the_sensor_knows(self, aws, s3, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_MINE", aws.connection_uri)
        started = time.time()
        task = make(
            inference=submitted("1"),
            deferrable=True,
            poke_interval=7,
            timeout=100,
            exponential_backoff=True,
            max_wait=50,
            silent_fail=True,
            aws_conn_id="mine",
            region_name="eu-west-1",
            verify=False,
            botocore_config={"read_timeout": 5},
        )
        deferral = defer(task)

        _, kwargs = deferral.trigger.serialize()
        (inference,) = kwargs.pop("inferences")
        assert started + 100 <= kwargs.pop("timeout_at") <= time.time() + 100
        assert started <= kwargs.pop("started_at") <= time.time()
        assert {key: inference[key] for key in submitted("1")} == submitted("1")
        expected = {
            "poll_interval": 7.0,
            "exponential_backoff": True,
            "max_wait": 50.0,
            "max_faults": None,
            "aws_conn_id": "mine",
            "region_name": "eu-west-1",
            "verify": False,
            "botocore_config": {"read_timeout": 5},
        }
        assert {name: kwargs[name] for name in expected} == expected

    def test_airflow_s_own_limit_lies_behind_the_sensor_s(self, aws, s3):
        deferral = defer(make(deferrable=True, timeout=100))

        assert dt.timedelta(seconds=960) < deferral.timeout <= dt.timedelta(seconds=1_000)

    def test_the_inference_s_own_deadline_may_come_first(self, aws, s3):
        soon = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=50)).isoformat()
        deferral = defer(make(inference=submitted("1", deadline=soon), deferrable=True, timeout=10**6))

        assert dt.timedelta(seconds=910) < deferral.timeout <= dt.timedelta(seconds=950)

    @pytest.mark.parametrize("event", [None, {}, {"status": "done"}, {"status": "failed", "error": None}])
    def test_anything_but_completed_is_no_success(self, aws, s3, event):
        deferral = defer(make(deferrable=True))

        with pytest.raises(OutputUnreadableError, match="without saying why"):
            resume(make(), deferral, event)

    def test_a_connection_that_went_away_is_a_typed_error(self, aws, s3, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_GOING", aws.connection_uri)
        deferral = defer(make(deferrable=True, aws_conn_id="going"))
        monkeypatch.delenv("AIRFLOW_CONN_GOING")

        event = event_of(deferral.trigger)
        with pytest.raises(AwsConfigurationError, match="'going'") as caught:
            resume(make(), deferral, event)
        assert isinstance(caught.value, AirflowFailException)

    def test_a_connection_that_lost_its_region_ends_the_wait_at_once(self, aws, s3, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_MINE", aws.connection_uri)
        deferral = defer(make(deferrable=True, aws_conn_id="mine"))
        monkeypatch.setenv("AIRFLOW_CONN_MINE", NO_REGION)

        with pytest.raises(AwsConfigurationError, match="no region"):
            resume(make(), deferral, event_of(deferral.trigger))

    def test_without_its_deferral_s_kwargs_it_resumes_as_well(self, aws, put):
        deferral = defer(make(deferrable=True))
        put("out/1")
        event = event_of(deferral.trigger)

        context = {"ti": Instance("wait")}
        assert make().execute_complete(context, event=event)["status"] == "completed"

    def test_the_default_is_airflow_s_own_setting(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")

        assert make().deferrable
        assert not make(deferrable=False).deferrable

    def test_what_waits_holds_no_payload(self, aws, s3):
        deferral = defer(make(inference=submitted("1", body="canary"), deferrable=True))

        assert "canary" not in json.dumps(deferral.trigger.serialize()[1])
