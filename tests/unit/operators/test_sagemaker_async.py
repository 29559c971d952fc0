"""The asynchronous operator: what it submits, and how it waits here or in the triggerer."""

from __future__ import annotations

import datetime as dt
import json
import re
import time

import pytest
from airflow_provider_aiml.async_output_task import LOOKERS
from airflow_provider_aiml.exceptions import (
    BusyError,
    ModelFailedError,
    OutputExpiredError,
    OutputUnreadableError,
    PayloadError,
    RequestError,
    ResponseError,
    StoredAnswerError,
)
from airflow_provider_aiml.inference import async_input
from airflow_provider_aiml.inference.submitter import SENDERS
from airflow_provider_aiml.operators.sagemaker import SageMakerInvokeEndpointAsyncOperator
from airflow_provider_aiml.sensors.sagemaker import SageMakerAsyncInferenceSensor
from botocore.endpoint import MAX_POOL_CONNECTIONS
from tests.airflow_versions import AirflowFailException
from tests.unit.running import defer, event_of, resume, run, through_triggerer


def make(**kwargs):
    given = {"payload": {"a": 1}, **kwargs}
    if given["payload"] is None:
        del given["payload"]
    settled = {"task_id": "submit", "endpoint_name": "slow", "waiter_delay": 0.05}
    return SageMakerInvokeEndpointAsyncOperator(**{**settled, **given})


@pytest.fixture
def endpoint(aws, s3):
    aws.add_endpoint("slow", s3_output_path="s3://bucket/out", s3_failure_path="s3://bucket/err")
    aws.add_endpoint(
        "rejecting", "failing", s3_output_path="s3://bucket/out", s3_failure_path="s3://bucket/err"
    )
    aws.add_endpoint(
        "stuck", s3_output_path="s3://bucket/out", s3_failure_path="s3://bucket/err", delay=3_600
    )
    return aws


both = pytest.mark.parametrize("deferrable", [False, True])


def finish(deferrable, **kwargs):
    if deferrable:
        return through_triggerer(lambda: make(deferrable=True, **kwargs))
    return run(make(deferrable=False, **kwargs))


@both
def test_it_gives_where_the_output_is(endpoint, read, deferrable):
    result = finish(deferrable)

    assert set(result) == {"inference_id", "output_location", "status"}
    assert result["status"] == "completed"
    assert read(result["output_location"].removeprefix("s3://bucket/")) == b'{"a":1}'


@both
def test_it_gives_the_decoded_body_if_asked(endpoint, deferrable):
    result = finish(deferrable, result="body")

    assert (result["body"], result["content_type"]) == ({"a": 1}, "application/json")


@both
def test_a_body_that_xcom_cannot_carry_is_said_in_words_and_not_tried_again(endpoint, deferrable):
    with pytest.raises(ResponseError, match="NaN or an infinity") as caught:
        finish(deferrable, payload=b"[1e999]", result="body")

    assert isinstance(caught.value, AirflowFailException)
    assert "result='location'" in caught.value.hint


@both
def test_an_expression_picks_from_the_whole_result(endpoint, deferrable):
    assert finish(deferrable, result="body", result_expression="body.a") == 1


@both
@pytest.mark.parametrize("place", ["s3://bucket/copies/", "s3://bucket/copies/one.json"])
def test_the_output_is_copied_to_a_place_of_ones_own(endpoint, read, deferrable, place):
    result = finish(deferrable, output_uri=place, result="body")

    name = result["output_location"].rpartition("/")[2]
    assert result["output_uri"] == (place + name if place.endswith("/") else place)
    assert "body" not in result
    assert read(result["output_uri"].removeprefix("s3://bucket/")) == b'{"a":1}'


@pytest.mark.parametrize(
    "given", [{"output_uri": "s3://bucket/one"}, {"output_uri": "s3://bucket/", "filename": "one"}]
)
def test_mapped_instances_that_are_given_one_object_do_not_replace_each_others_copies(endpoint, read, given):
    run(make(payload={"row": 0}, **given), map_index=0)
    run(make(payload={"row": 0}, **given), map_index=0)

    with pytest.raises(RequestError, match="output_uri: is one object for several mapped") as caught:
        run(make(payload={"row": 1}, **given), map_index=1)

    assert isinstance(caught.value, AirflowFailException)
    assert read("one") == b'{"row":0}'
    assert b'{"row":1}' not in [call.body for call in endpoint.invocations("slow")]


def test_mapped_instances_copy_into_one_folder(endpoint, read):
    places = [run(make(output_uri="s3://bucket/copies/"), map_index=index)["output_uri"] for index in (0, 1)]

    assert len(set(places)) == 2
    assert read(f"{places[0].removeprefix('s3://bucket/')}.aiml.json") is None


@both
@pytest.mark.parametrize("quoted", [True, False])
def test_a_failure_is_told_in_the_models_own_words_unless_they_shall_not(endpoint, deferrable, quoted):
    with pytest.raises(ModelFailedError) as caught:
        finish(deferrable, endpoint_name="rejecting", quote_model_errors=quoted)

    assert caught.value.inference_id
    assert isinstance(caught.value, AirflowFailException)
    assert ("The model said: rejected 7 bytes" in str(caught.value)) is quoted


@both
@pytest.mark.parametrize(("status", "hopeless"), [(500, False), (429, False), (400, True)])
@pytest.mark.parametrize("quoted", [True, False])
def test_a_failure_object_that_names_a_status_tells_whether_a_retry_helps(
    endpoint, deferrable, status, hopeless, quoted
):
    words = f"ClientError: Received server error ({status}) from model with message out of memory"
    endpoint.add_fault("sagemaker:AsyncInference", "model_error", status=status, message=words)

    with pytest.raises(ModelFailedError) as caught:
        finish(deferrable, quote_model_errors=quoted)

    assert caught.value.original_status == status
    assert isinstance(caught.value, AirflowFailException) is hopeless
    assert ("out of memory" in str(caught.value)) is quoted


@both
def test_a_wait_that_takes_too_long_says_that_the_inference_goes_on(endpoint, deferrable):
    with pytest.raises(
        OutputExpiredError, match=r"wait_timeout of 0.3 s is over, the inference is not: "
    ) as caught:
        finish(deferrable, endpoint_name="stuck", wait_timeout=0.3)

    assert "s3://bucket/out/" in str(caught.value)
    assert "raise wait_timeout" in str(caught.value)
    assert isinstance(caught.value, AirflowFailException)


@both
def test_an_output_that_came_just_before_the_time_limit_counts(endpoint, queue_is_empty, deferrable):
    make_task = lambda: make(deferrable=True, wait_timeout=0.0)  # noqa: E731
    if deferrable:
        deferral = defer(make_task())
        queue_is_empty()
        assert resume(make_task(), deferral, event_of(deferral.trigger))["status"] == "completed"
    else:
        endpoint.add_endpoint("slow", s3_output_path="s3://bucket/out", s3_failure_path="s3://bucket/err")
        assert run(make(deferrable=False, wait_timeout=30))["status"] == "completed"


def let_the_deadline_pass_in_the_first_pause(monkeypatch):
    """Let 661 s pass at each pause: longer than an inference of at most 61 s, and the margin, can take."""
    real, waited = time.time, []
    clock = "airflow_provider_aiml.submission_task.time"
    monkeypatch.setattr(f"{clock}.sleep", lambda seconds: waited.append(661))
    monkeypatch.setattr(f"{clock}.time", lambda: real() + sum(waited))


def test_a_passed_deadline_without_an_output_is_final(endpoint, monkeypatch):
    task = make(endpoint_name="stuck", request_ttl_seconds=60, invocation_timeout_seconds=1)
    let_the_deadline_pass_in_the_first_pause(monkeypatch)
    with pytest.raises(OutputExpiredError, match="before the deadline") as caught:
        run(task)
    assert isinstance(caught.value, AirflowFailException)


def test_a_wait_in_a_worker_says_once_how_long_it_may_hold_a_slot(endpoint, told):
    run(make(deferrable=False, wait_timeout=120))

    said = [line for line in told.lines if "worker slot" in line]
    assert len(said) == 1
    assert re.search(r"up to 1[012]\d s. Set deferrable=True to wait in the triggerer.", said[0])


def test_a_missing_permission_is_named_once_while_waiting_here(endpoint, told):
    # Six looks while it waits here; before it sends one, and a list for each way to join a path.
    endpoint.add_fault("s3:HEAD", code="AccessDenied", count=6 + 1)
    endpoint.add_fault("s3:LIST", code="AccessDenied", count=3 + 3)

    run(make(deferrable=False))

    assert len([line for line in told.lines if "s3:ListBucket" in line]) == 1


def test_no_more_looks_and_requests_go_out_at_once_than_a_client_keeps_connections():
    assert max(LOOKERS, SENDERS) <= MAX_POOL_CONNECTIONS


def test_a_missing_permission_is_named_once_for_a_whole_list(endpoint, told, monkeypatch):
    for method in ("HEAD", "LIST"):
        endpoint.add_fault(f"s3:{method}", code="AccessDenied", for_seconds=600)
    let_the_deadline_pass_in_the_first_pause(monkeypatch)
    several = {"payload": None, "payloads": [{"n": 1}, {"n": 2}, {"n": 3}]}
    with pytest.raises(OutputExpiredError, match="s3:ListBucket"):
        run(make(**several, endpoint_name="stuck", request_ttl_seconds=60, invocation_timeout_seconds=1))

    assert told.text.count("s3:ListBucket") == 1


def test_an_output_that_cannot_be_asked_for_ends_the_wait_here(endpoint):
    endpoint.add_fault("s3:*", code="InvalidRequest", status=400, for_seconds=60)

    with pytest.raises(OutputUnreadableError, match="10 times in a row") as caught:
        run(make(deferrable=False, waiter_delay=0))
    assert not isinstance(caught.value, AirflowFailException)


def test_without_waiting_it_gives_what_the_sensor_takes(endpoint, queue_is_empty):
    before = dt.datetime.now(dt.UTC)
    submitted = run(make(wait_for_completion=False, request_ttl_seconds="60", invocation_timeout_seconds=30))

    assert set(submitted) == {"inference_id", "output_location", "failure_location", "deadline"}
    assert json.loads(json.dumps(submitted)) == submitted
    deadline = dt.datetime.fromisoformat(submitted["deadline"])
    assert dt.timedelta(seconds=690) <= deadline - before < dt.timedelta(seconds=720)
    queue_is_empty()
    result = run(SageMakerAsyncInferenceSensor(task_id="wait", inference=submitted, result="body"))
    assert (result["inference_id"], result["body"]) == (submitted["inference_id"], {"a": 1})


def test_without_waiting_an_expression_picks_too(endpoint):
    location = run(make(wait_for_completion=False, result_expression="output_location"))

    assert location.startswith("s3://bucket/out/")


def test_without_a_failure_path_it_warns_that_failures_are_invisible(endpoint, told):
    endpoint.add_endpoint("blind", s3_output_path="s3://bucket/out")

    assert run(make(endpoint_name="blind", wait_for_completion=False))["failure_location"] is None
    run(make(wait_for_completion=False))

    assert len([line for line in told.lines if "has no S3FailurePath" in line]) == 1


def test_every_member_reaches_the_endpoint(endpoint, queue_is_empty):
    submitted = run(
        make(
            accept="text/csv",
            custom_attributes="x",
            inference_id="mine",
            s3_output_path_extension="today",
            filename="one.json",
            wait_for_completion=False,
        )
    )
    queue_is_empty()

    (seen,) = endpoint.invocations("slow")
    assert (seen.inference_id, seen.headers["accept"]) == ("mine", "text/csv")
    assert seen.headers["x-amzn-sagemaker-custom-attributes"] == "x"
    assert submitted["inference_id"] == "mine"
    assert "today" in submitted["output_location"]
    assert submitted["output_location"].endswith("one.json")


def test_an_input_on_s3_is_left_to_sagemaker(endpoint, s3, queue_is_empty):
    s3.put_object(Bucket="bucket", Key="in.json", Body=b'{"b": 2}')

    assert run(make(payload=None, input_location="s3://bucket/in.json", result="body"))["body"] == {"b": 2}


def test_a_payload_is_read_from_object_storage(endpoint, s3):
    s3.put_object(Bucket="bucket", Key="in.json", Body=b'{"b": 2}')

    assert run(make(payload=None, payload_uri="s3://bucket/in.json", result="body"))["body"] == {"b": 2}


@pytest.mark.parametrize("folder", ["s3://bucket/in", "s3://bucket/in/", "s3://bucket/", "s3://bucket"])
def test_a_body_too_large_for_the_request_is_uploaded_once(endpoint, s3, read, folder):
    large = {"x": "y" * 128_000}
    if folder == "s3://bucket":
        with pytest.raises(RequestError, match="upload_to: is a bucket without a key"):
            make(payload=large, upload_to=folder)
        return

    for _ in range(2):
        assert run(make(payload=large, upload_to=folder, result="body"))["body"] == large

    prefix = "in/" if "in" in folder else ""
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket="bucket", Prefix=prefix)["Contents"]]
    keys = [key for key in keys if not key.startswith(("out/", "err/")) and "submissions/" not in key]
    assert len(keys) == 1
    assert json.loads(read(keys[0]) or b"") == large


def test_an_older_botocore_uploads_every_body(endpoint, s3, monkeypatch):
    monkeypatch.setattr(async_input, "api_members", lambda operation: {})

    result = run(make(upload_to="s3://bucket/in/", result="body"))

    assert result["body"] == {"a": 1}
    uploaded = s3.list_objects_v2(Bucket="bucket", Prefix="in/", Delimiter="/")["Contents"]
    assert len(uploaded) == 1


@pytest.mark.parametrize(
    ("code", "hopeless"), [("AccessDenied", True), ("NoSuchBucket", True), ("InvalidRequest", False)]
)
def test_an_upload_that_fails_says_whether_a_retry_helps(endpoint, code, hopeless):
    endpoint.add_fault("s3:PUT", code=code)

    with pytest.raises(PayloadError, match=rf"upload_to: is not writable \({code}\)") as caught:
        run(make(payload="x" * 128_001, content_type="text/plain", upload_to="s3://bucket/in/"))

    assert isinstance(caught.value, AirflowFailException) is hopeless
    assert endpoint.invocations("slow") == []


def test_a_bug_in_an_upload_is_not_taken_for_a_fault_of_s3(endpoint):
    from airflow_provider_aiml.inference.outputs import Location

    with pytest.raises(AttributeError):
        async_input.upload(None, b"", Location("b", "k"), "text/plain")


@pytest.mark.parametrize(
    ("kwargs", "problem"),
    [
        ({"payload_uri": "s3://b/k"}, "payload / payload_uri / input_location.*: is payload and payload_uri"),
        ({"input_location": "s3://b/k"}, "is payload and input_location"),
        ({"payload": None}, "is none of them"),
        ({"payload": None, "input_location": "bucket/key"}, "input_location: is a string"),
        ({"payload": None, "payload_uri": "s3://b"}, "payload_uri: is a string"),
        ({"payload": None, "input_location": "file:///x"}, "input_location: is a string"),
        ({"payload": None, "input_location": "gs://b/k"}, "input_location: is a string"),
        ({"payload": None, "input_location": "s3://mine@b/k"}, "input_location: is .* Airflow connection"),
        ({"payload": None, "input_locations": ["s3://b/k", "nope"]}, r"input_locations\[1\]: is a string"),
        ({"payload": None, "payload_uris": ["nope"]}, r"payload_uris\[0\]: is a string"),
        ({"upload_to": "https"}, "upload_to: is a string"),
        ({"upload_to": "gs://b/x/"}, "upload_to: is a string of 9 characters"),
        ({"upload_to": "s3://mine@b/x/"}, "upload_to: is .* Airflow connection"),
        ({"manifest_to": "https://b/x/"}, "manifest_to: is a string of 12 characters"),
        ({"manifest_to": "s3://b"}, "manifest_to: is a bucket without a key"),
        ({"result": "everything"}, "result: is 'everything', allowed is 'location' or 'body'"),
        ({"wait_for_completion": False, "output_uri": "s3://b/k"}, "output_uri / result: is given with"),
        ({"wait_for_completion": False, "result": "body"}, "output_uri / result: is given with"),
    ],
)
def test_bad_input_is_refused_where_the_dag_is_read(kwargs, problem):
    with pytest.raises(RequestError, match=problem):
        make(**kwargs)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"upload_to": "s3://b/", "manifest_to": "s3://b/folder"},
        {"upload_to": "{{ params.folder }}", "manifest_to": "{{ params.folder }}"},
        {"payload": None, "input_location": "https://b.s3.amazonaws.com/k"},
        {"payload": None, "input_locations": ["s3://b/k", "{{ params.place }}"]},
        {"payload": None, "payload_uris": ["file:///x", "gs://b/k"]},
    ],
)
def test_places_that_may_be_good_are_left_to_the_run(kwargs):
    assert make(**kwargs)


@pytest.mark.parametrize(
    ("kwargs", "folder"),
    [
        ({"manifest_to": "s3://b/lists/", "output_uri": "s3://b/x/"}, "s3://b/lists/"),
        ({"output_uri": "s3://b/x/"}, "s3://b/x/"),
        ({"output_uri": "s3a://b/x/"}, "s3://b/x/"),
        ({"output_uri": "s3://b/x"}, None),
        ({"output_uri": "s3://mine@b/x/"}, None),
        ({"output_uri": "gs://b/x/", "upload_to": "s3://b/in/"}, "s3://b/in/"),
    ],
)
def test_a_long_list_goes_where_the_task_s_own_connection_can_write_it(kwargs, folder):
    assert make(**kwargs).manifest_folder == folder


@pytest.mark.parametrize(
    ("kwargs", "rendered", "problem"),
    [
        ({}, {"upload_to": "gs://b/x/"}, "upload_to: is a string of 9 characters"),
        ({}, {"manifest_to": "s3://mine@b/x/"}, "manifest_to: is .* Airflow connection"),
        (
            {"payload": None, "input_locations": "{{ x }}"},
            {"input_locations": ["nope"]},
            r"\[0\]: is a string",
        ),
    ],
)
def test_a_place_that_a_template_renders_is_judged_before_anything_is_sent(aws, kwargs, rendered, problem):
    task = make(**kwargs)
    for field, value in rendered.items():
        setattr(task, field, value)

    with pytest.raises(RequestError, match=problem):
        run(task)
    assert aws.request_counts() == {}


@pytest.mark.parametrize(
    ("source", "rendered", "problem"),
    [
        ("payload", None, "payload / payload_uri / input_location.*: is none of them"),
        ("payload_uri", None, "is none of them"),
        ("input_location", None, "is none of them"),
        ("payloads", None, "is none of them"),
        ("payloads", [1, None], "payloads: is None"),
        ("payload_uris", [None], "payload: is None"),
        ("input_locations", [None], "input_location"),
    ],
)
def test_a_template_that_renders_to_none_is_not_sent(aws, source, rendered, problem):
    task = make(**{"payload": None, source: "{{ params.rows }}"})
    setattr(task, source, rendered)  # as Airflow leaves it after rendering

    with pytest.raises(RequestError, match=problem) as caught:
        run(task)

    assert isinstance(caught.value, AirflowFailException)
    assert aws.request_counts() == {}


@pytest.mark.parametrize(
    ("kwargs", "error_class", "problem"),
    [
        ({"payload": "x" * 128_001, "content_type": "text/plain"}, PayloadError, "payload: is 128001 bytes"),
        ({"endpoint_name": "no_underscores"}, RequestError, "endpoint_name: is "),
        ({"request_ttl_seconds": 59}, RequestError, "request_ttl_seconds: is 59"),
        ({"request_ttl_seconds": "soon"}, RequestError, "request_ttl_seconds: is a str that is none"),
        ({"filename": "a.b.c"}, RequestError, "filename: is "),
        (
            {
                "payload": "x" * 128_001,
                "content_type": "text/plain",
                "upload_to": "s3://bucket/in/",
                "filename": "?",
            },
            RequestError,
            "filename: is ",
        ),
        (
            {"payload": None, "input_location": "s3://bucket/k", "filename": "?"},
            RequestError,
            "filename: is ",
        ),
    ],
)
def test_bad_input_is_refused_before_anything_is_uploaded_or_sent(endpoint, kwargs, error_class, problem):
    with pytest.raises(error_class, match=problem) as caught:
        run(make(**kwargs))

    assert isinstance(caught.value, AirflowFailException)
    assert not {"s3:PUT", "sagemaker:InvokeEndpointAsync"} & set(endpoint.request_counts())


def test_a_throttled_submission_is_sent_again(endpoint):
    endpoint.add_fault("sagemaker:InvokeEndpointAsync", code="ThrottlingException")

    run(make(wait_for_completion=False, retry_args={"base": 0.01, "cap": 0.01}))

    assert endpoint.request_counts()["sagemaker:InvokeEndpointAsync"] == 2


def test_a_submission_that_stays_throttled_can_be_retried(endpoint):
    endpoint.add_fault("sagemaker:InvokeEndpointAsync", code="ThrottlingException", count=2)

    with pytest.raises(BusyError) as caught:
        run(make(retry_args={"attempts": 2, "base": 0.01, "cap": 0.01}))
    assert not isinstance(caught.value, AirflowFailException)


def test_a_malformed_output_says_that_it_was_paid_for(endpoint):
    with pytest.raises(ResponseError, match="may have been billed"):
        run(make(payload=b"{canary", result="body"))


@pytest.mark.parametrize(
    ("code", "hopeless"), [("AccessDenied", True), ("NoSuchKey", True), ("InvalidRequest", False)]
)
@pytest.mark.parametrize("kwargs", [{"result": "body"}, {"output_uri": "s3://bucket/copy"}])
def test_an_output_that_cannot_be_read_is_an_error_of_ours(endpoint, code, hopeless, kwargs):
    endpoint.add_fault("s3:GET", code=code)

    with pytest.raises(OutputUnreadableError, match=f"cannot be read from S3.*{code}") as caught:
        run(make(**kwargs))

    assert isinstance(caught.value, AirflowFailException) is hopeless


def test_a_copy_that_cannot_be_written_is_an_error_of_ours(endpoint):
    with pytest.raises(StoredAnswerError, match="s3://absent-bucket/copy cannot be written"):
        run(make(output_uri="s3://absent-bucket/copy"))


def test_a_failure_object_that_cannot_be_read_hides_no_failure(endpoint, told):
    endpoint.add_fault("s3:GET", code="AccessDenied", for_seconds=60)

    with pytest.raises(ModelFailedError):
        run(make(endpoint_name="rejecting"))
    assert "The model's words are missing" in told.text


def test_a_failure_object_is_quoted_up_to_two_kilobytes(endpoint, s3):
    endpoint.add_fault("sagemaker:AsyncInference", "model_error", status=400, message="ä" * 5_000)

    with pytest.raises(ModelFailedError) as caught:
        run(make())

    assert 2_000 < len((caught.value.model_message or "").encode()) <= 2_048


def test_the_deferral_carries_no_payload_and_outlives_every_limit_of_ours(endpoint):
    deferral = defer(make(payload={"canary": "canary"}, deferrable=True, wait_timeout=100))

    assert "canary" not in json.dumps(deferral.trigger.serialize()[1])
    assert not deferral.kwargs
    assert dt.timedelta(seconds=960) < deferral.timeout <= dt.timedelta(seconds=1_000)


def test_a_trigger_that_ended_without_a_word_is_no_success(endpoint):
    deferral = defer(make(deferrable=True))

    for event in (None, {}, {"status": "done"}):
        with pytest.raises(OutputUnreadableError, match="without saying why"):
            resume(make(), deferral, event)
