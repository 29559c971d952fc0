"""What a retry finds, so that no asynchronous inference is bought twice."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from types import SimpleNamespace

import airflow.sdk
import pytest
from airflow_provider_aiml.exceptions import (
    BusyError,
    ModelFailedError,
    OutputExpiredError,
    OutputUnreadableError,
    RequestError,
    StoredAnswerError,
    UnknownOutcomeError,
)
from airflow_provider_aiml.inference import submitter
from airflow_provider_aiml.inference.outputs import Location
from airflow_provider_aiml.operators.bedrock import BedrockConverseOperator
from airflow_provider_aiml.operators.sagemaker import (
    SageMakerInvokeEndpointAsyncOperator,
    SageMakerInvokeEndpointOperator,
)
from tests.airflow_versions import TaskDeferred
from tests.unit.running import StateStore, defer, event_of, resume, run

ONE_ATTEMPT = {"retries": {"total_max_attempts": 1}}


@pytest.fixture
def endpoint(aws, s3):
    places = {"s3_output_path": "s3://bucket/out", "s3_failure_path": "s3://bucket/err"}
    aws.add_endpoint("echo", **places)
    aws.add_endpoint("slow", **places, delay=1.0)
    aws.add_endpoint("stuck", **places, delay=600.0)
    aws.add_endpoint("rejecting", "failing", **places)
    return aws


@pytest.fixture
def store():
    return StateStore()


def make(**kwargs):
    settled = {"task_id": "submit", "endpoint_name": "echo", "waiter_delay": 0.05, "payload": {"a": 1}}
    return SageMakerInvokeEndpointAsyncOperator(
        **{name: value for name, value in {**settled, **kwargs}.items() if value is not None}
    )


def bought(aws, endpoint="echo"):
    return len(aws.invocations(endpoint))


def forget_the_answer(store):
    """Leave what a process leaves that was killed between its intent and SageMaker's answer."""
    for name, page in store.values.items():
        records = json.loads(page)
        asked = {
            key: {"state": "asked", "ordinal": one["ordinal"], "asked_at": one["asked_at"]}
            for key, one in records.items()
        }
        store.values[name] = json.dumps(asked)


def test_what_a_record_says_that_cannot_be_read_is_not_bought_again_but_on_purpose(endpoint, store):
    run(make(), state_store=store)
    for name in store.values:
        store.values[name] = store.values[name].replace('"submitted"', '"of a later release"')

    with pytest.raises(StoredAnswerError, match="task state store, cannot be read; nothing was sent"):
        run(make(), state_store=store, try_number=2)
    assert bought(endpoint) == 1
    run(make(reinvoke=True), state_store=store, try_number=3)
    assert bought(endpoint) == 2


def test_a_retry_uses_the_output_that_is_there(endpoint, store):
    first = run(make(result="body"), state_store=store)
    again = run(make(result="body"), state_store=store, try_number=2)

    assert again == first
    assert bought(endpoint) == 1


def test_a_retry_that_finds_all_outputs_does_not_defer(endpoint, store):
    several = {"payload": None, "payloads": [{"a": 1}, {"a": 2}]}
    first = run(make(**several, result="body"), state_store=store)
    again = run(make(**several, result="body", deferrable=True), state_store=store, try_number=2)

    assert again == first
    assert bought(endpoint) == 2


def test_a_retry_defers_while_one_output_is_missing(endpoint, store):
    run(make(endpoint_name="stuck", wait_for_completion=False), state_store=store)

    deferral = defer(make(endpoint_name="stuck", deferrable=True), state_store=store, try_number=2)

    assert deferral.method_name == "execute_complete"
    assert endpoint.pending() == 1


def test_a_retry_waits_for_the_inference_that_is_under_way(endpoint, store):
    run(make(endpoint_name="slow", wait_for_completion=False), state_store=store)
    result = run(make(endpoint_name="slow", result="body"), state_store=store, try_number=2)

    assert result["body"] == {"a": 1}
    assert bought(endpoint, "slow") == 1


def test_a_failed_inference_is_sent_again_under_the_next_ordinal(endpoint, store):
    for _ in range(2):
        with pytest.raises(ModelFailedError) as failure:
            run(make(endpoint_name="rejecting"), state_store=store)
    assert bought(endpoint, "rejecting") == 2
    assert failure.value.inference_id.endswith("-2")


def test_another_request_is_another_inference(endpoint, store):
    run(make(), state_store=store)
    run(make(payload={"a": 2}), state_store=store, try_number=2)
    run(make(), state_store=store, map_index=3)
    run(make(), state_store=store, run_id="another run")

    assert bought(endpoint) == 4


def test_reinvoke_buys_again_on_purpose(endpoint, store):
    run(make(), state_store=store)
    run(make(reinvoke="true"), state_store=store)

    assert bought(endpoint) == 2


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("filename", [None, "latest.json"])
def test_what_is_bought_again_does_not_give_the_old_output(endpoint, store, s3, kept, filename):
    facts = {"state_store": store} if kept else {}
    task = {"endpoint_name": "slow", "filename": filename, "result": "body"}
    old = Location.parse(run(make(**task), **facts)["output_location"], "output")
    s3.put_object(Bucket=old.bucket, Key=old.key, Body=b'"old"', ContentType="application/json")

    results = [run(make(**task, reinvoke=True), **facts, try_number=number) for number in (2, 3)]
    assert [one["body"] for one in results] == [{"a": 1}, {"a": 1}]
    assert len({str(old), *(one["output_location"] for one in results)}) == 3
    assert bought(endpoint, "slow") == 3


def test_reinvoke_has_to_be_a_truth_value(endpoint, store):
    with pytest.raises(RequestError, match="reinvoke: is a str that is none"):
        run(make(reinvoke="perhaps"), state_store=store)


def test_an_orphan_stops_before_it_buys(endpoint, store):
    task = make()
    task.plan_whole = task.plan

    def plan():
        store.orphaned = True
        return task.plan_whole()

    task.plan = plan
    with pytest.raises(StoredAnswerError, match="BrokenPipeError"):
        run(task, state_store=store)
    assert bought(endpoint) == 0


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        (SageMakerInvokeEndpointOperator, {"endpoint_name": "echo", "payload": {"a": 1}}),
        (BedrockConverseOperator, {"model_id": "test.none-v1:0", "message": "Hello"}),
    ],
)
def test_an_orphan_does_not_buy_a_real_time_answer_either(aws, store, operator, arguments):
    aws.add_endpoint("echo")
    store.orphaned = True

    with pytest.raises(StoredAnswerError, match="nothing was sent"):
        run(operator(task_id="ask", **arguments), state_store=store)
    assert aws.invocations("echo") == []
    assert aws.invocations("test.none-v1:0") == []


def test_what_was_sent_but_not_answered_is_found_by_its_derived_name(endpoint, store, queue_is_empty):
    run(make(wait_for_completion=False), state_store=store)
    forget_the_answer(store)
    queue_is_empty()

    assert run(make(result="body"), state_store=store, try_number=2)["body"] == {"a": 1}
    assert bought(endpoint) == 1


@pytest.mark.parametrize("deferrable", [False, True])
def test_what_may_have_been_sent_is_awaited_before_it_is_sent_again(endpoint, store, deferrable):
    second = make(endpoint_name="slow", result="body", deferrable=deferrable)
    with endpoint.held():
        run(make(endpoint_name="slow", wait_for_completion=False), state_store=store)
        forget_the_answer(store)
        if deferrable:
            deferral = defer(second, state_store=store, try_number=2)
    if deferrable:
        third = make(endpoint_name="slow", result="body", deferrable=False)
        result = resume(third, deferral, event_of(deferral.trigger), state_store=store, try_number=2)
    else:
        result = run(second, state_store=store, try_number=2)
    assert result["body"] == {"a": 1}
    assert bought(endpoint, "slow") == 1


def test_what_was_not_sent_is_sent_when_the_time_of_doubt_is_over(endpoint, store, monkeypatch):
    endpoint.add_fault("InvokeEndpointAsync", "drop", count=1)
    with pytest.raises(UnknownOutcomeError):
        run(make(), state_store=store)

    let_forty_minutes_lie_between_looks(monkeypatch)
    run(make(uncertain_timeout=3_600), state_store=store, try_number=2)
    assert bought(endpoint) == 1


THREE = {"endpoint_name": "stuck", "payload": None, "payloads": [{"n": 1}, {"n": 2}, {"n": 3}]}


def let_forty_minutes_lie_between_looks(monkeypatch):
    looks = itertools.count()
    monkeypatch.setattr(submitter, "time", SimpleNamespace(time=lambda: time.time() + 2_400 * next(looks)))


def test_a_time_of_doubt_in_a_worker_is_told_once_however_often_is_looked(endpoint, store, told, monkeypatch):
    run(make(**THREE, wait_for_completion=False), state_store=store)
    forget_the_answer(store)
    let_forty_minutes_lie_between_looks(monkeypatch)
    run(make(**THREE, wait_for_completion=False), state_store=store, try_number=2)

    (doubt,) = (line for line in told.lines if "not known whether they were sent" in line)
    assert doubt.startswith("warning: An earlier try died while it was sending: of 3 of 3 requests")
    (slot,) = (line for line in told.lines if "worker slot" in line)
    assert re.search(r"for up to 3[56]\d\d s", slot)


def test_a_time_of_doubt_in_the_triggerer_is_told_too_and_holds_no_slot(endpoint, store, told):
    run(make(**THREE, wait_for_completion=False), state_store=store)
    forget_the_answer(store)
    defer(make(**THREE, deferrable=True), state_store=store, try_number=2)

    assert told.text.count("not known whether they were sent") == 1
    assert "worker slot" not in told.text


def deny_s3(endpoint):
    for method in ("HEAD", "LIST"):
        endpoint.add_fault(f"s3:{method}", code="AccessDenied", status=403, for_seconds=600)


def test_a_missing_permission_is_named_once_however_often_is_looked_in_a_time_of_doubt(
    endpoint, store, told, monkeypatch
):
    run(make(**THREE, wait_for_completion=False), state_store=store)
    forget_the_answer(store)
    deny_s3(endpoint)
    let_forty_minutes_lie_between_looks(monkeypatch)
    with pytest.raises(OutputUnreadableError, match="nothing was sent"):
        run(make(**THREE), state_store=store, try_number=2)

    assert told.text.count("s3:ListBucket") == 1


def test_a_missing_permission_that_the_look_back_named_is_not_named_again_by_the_wait(endpoint, store, told):
    run(make(**THREE, wait_for_completion=False), state_store=store)
    forget_the_answer(store)
    deny_s3(endpoint)
    with pytest.raises(OutputExpiredError):
        run(make(**THREE, on_uncertain="invoke", wait_timeout=1), state_store=store, try_number=2)

    assert told.text.count("s3:ListBucket") == 1


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_time_of_doubt_counts_for_the_wait(endpoint, store, deferrable):
    run(make(endpoint_name="stuck", wait_for_completion=False), state_store=store)
    forget_the_answer(store)

    def task():
        return make(endpoint_name="stuck", deferrable=deferrable, wait_timeout=1)

    def wait_out():
        deferral = defer(task(), state_store=store, try_number=2)
        return resume(task(), deferral, event_of(deferral.trigger), state_store=store, try_number=2)

    with pytest.raises(OutputExpiredError, match="wait_timeout of 1 s is over"):
        wait_out() if deferrable else run(task(), state_store=store, try_number=2)


def test_what_is_left_of_the_wait_after_the_time_of_doubt_is_no_more_than_it_was(endpoint, store):
    run(make(endpoint_name="stuck", wait_for_completion=False), state_store=store)
    forget_the_answer(store)

    task = {"endpoint_name": "stuck", "deferrable": True, "wait_timeout": 600}
    before = time.time()
    doubt = defer(make(**task), state_store=store, try_number=2)
    after = time.time()
    with pytest.raises(TaskDeferred) as again:
        resume(make(**task, on_uncertain="invoke"), doubt, None, state_store=store, try_number=2)
    assert before + 600 <= again.value.trigger.serialize()[1]["timeout_at"] <= after + 600


def test_on_uncertain_invoke_sends_at_once(endpoint, store):
    run(make(endpoint_name="stuck", wait_for_completion=False), state_store=store)
    forget_the_answer(store)

    again = make(endpoint_name="stuck", wait_for_completion=False, on_uncertain="invoke")
    assert run(again, state_store=store, try_number=2)["inference_id"].endswith("-2")
    assert endpoint.pending()


def test_what_was_surely_refused_is_sent_at_once_by_the_next_try(endpoint, store):
    endpoint.add_fault("InvokeEndpointAsync", code="ThrottlingException", status=400, count=1)
    with pytest.raises(BusyError):
        run(make(retry_args={"attempts": 1}), state_store=store)

    started = time.monotonic()
    result = run(make(), state_store=store, try_number=2)
    assert result["inference_id"].endswith("-1")
    assert time.monotonic() - started < 60
    assert bought(endpoint) == 1


def test_without_the_permission_to_look_the_doubt_is_an_error_that_says_what_to_do(endpoint, store):
    run(make(endpoint_name="slow", wait_for_completion=False), state_store=store)
    forget_the_answer(store)
    endpoint.add_fault("sagemaker:DescribeEndpoint", code="AccessDeniedException", status=400, count=5)

    with pytest.raises(UnknownOutcomeError, match="sagemaker:DescribeEndpoint") as doubt:
        run(make(endpoint_name="slow"), state_store=store, try_number=2)
    assert doubt.value.retryable


@pytest.mark.parametrize("kept", [True, False])
def test_what_s3_cannot_tell_of_is_not_sent_again(endpoint, store, s3, kept):
    facts = {"state_store": store} if kept else {}
    at_once = {"uncertain_timeout": 0, "wait_for_completion": False, "botocore_config": ONE_ATTEMPT}
    run(make(), **facts)
    forget_the_answer(store)
    endpoint.add_fault("s3:HEAD", code="InternalError", status=500, for_seconds=60)

    with pytest.raises(OutputUnreadableError, match="nothing was sent") as fault:
        run(make(**at_once), **facts, try_number=2)
    assert fault.value.retryable
    endpoint.clear_faults()
    run(make(**at_once), **facts, try_number=3)
    assert bought(endpoint) == 1


def let_the_deadline_pass(store):
    """Leave what was submitted with a deadline that is over."""
    for name, page in store.values.items():
        records = json.loads(page)
        for one in records.values():
            one["submission"]["deadline"] = "2026-01-01T00:00:00+00:00"
        store.values[name] = json.dumps(records)


@pytest.mark.parametrize("after", [let_the_deadline_pass, forget_the_answer])
def test_an_output_that_s3_does_not_let_be_seen_is_not_bought_again(endpoint, store, after):
    run(make(), state_store=store)
    after(store)
    endpoint.add_fault("s3:*", code="AccessDenied", status=403, for_seconds=600)

    with pytest.raises(OutputUnreadableError, match="nothing was sent") as failure:
        run(make(uncertain_timeout=0), state_store=store, try_number=2)
    assert failure.value.retryable
    assert "s3:GetObject" in failure.value.hint
    assert "s3:ListBucket" in failure.value.hint
    endpoint.clear_faults()
    run(make(uncertain_timeout=0), state_store=store, try_number=3)
    assert bought(endpoint) == 1


def test_a_failure_that_can_be_read_is_sent_again_though_a_403_hides_the_output(endpoint, store):
    with pytest.raises(ModelFailedError):
        run(make(endpoint_name="rejecting"), state_store=store)
    let_the_deadline_pass(store)
    endpoint.add_fault("s3:*", code="AccessDenied", status=403, key_prefix="out/", for_seconds=600)

    with pytest.raises(ModelFailedError):
        run(make(endpoint_name="rejecting"), state_store=store, try_number=2)
    assert bought(endpoint, "rejecting") == 2


def test_what_is_not_there_by_list_is_sent_again_though_head_answers_403(endpoint, store):
    run(make(endpoint_name="stuck", wait_for_completion=False), state_store=store)
    let_the_deadline_pass(store)
    endpoint.add_fault("s3:HEAD", code="AccessDenied", status=403, for_seconds=600)

    again = run(make(endpoint_name="stuck", wait_for_completion=False), state_store=store, try_number=2)
    assert again["inference_id"].endswith("-2")


def test_a_fault_of_s3_does_not_end_the_time_of_doubt(endpoint, store, queue_is_empty):
    run(make(endpoint_name="slow", wait_for_completion=False), state_store=store)
    forget_the_answer(store)
    endpoint.add_fault("s3:HEAD", code="InternalError", status=500, count=1)

    run(make(endpoint_name="slow", botocore_config=ONE_ATTEMPT), state_store=store, try_number=2)
    assert bought(endpoint, "slow") == 1


@pytest.mark.parametrize("fault", [("ThrottlingException", 400), ("InternalFailure", 500)])
def test_an_endpoint_that_cannot_be_asked_for_its_places_is_no_reason_to_send_again(endpoint, fault):
    run(make())
    code, status = fault
    endpoint.add_fault("sagemaker:DescribeEndpoint", code=code, status=status, for_seconds=60)

    with pytest.raises(OutputUnreadableError, match="nothing was sent"):
        run(make(botocore_config=ONE_ATTEMPT), try_number=2)
    endpoint.clear_faults()
    run(make(), try_number=3)
    assert bought(endpoint) == 1


def test_an_airflow_without_a_state_store_writes_beside_the_uploads(endpoint, read, s3):
    for number in (1, 2):
        run(make(upload_to="s3://bucket/in/", result="body"), try_number=number)

    assert bought(endpoint) == 1
    kept = s3.list_objects_v2(Bucket="bucket", Prefix="in/submissions/")["Contents"]
    assert len(kept) == 1


@pytest.mark.parametrize(
    ("method", "permission"),
    [
        ("GET", r"s3:GetObject on s3://bucket/in/submissions/\w+/\* and s3:ListBucket"),
        ("PUT", "s3:PutObject on"),
    ],
)
def test_a_missing_permission_on_the_record_is_named(endpoint, method, permission):
    endpoint.add_fault(f"s3:{method}", code="AccessDenied", status=403, count=1)

    with pytest.raises(StoredAnswerError, match=permission) as failure:
        run(make(upload_to="s3://bucket/in/"))
    assert failure.value.code == "AccessDenied"
    assert bought(endpoint) == 0


def test_with_nowhere_to_write_an_output_is_found_by_its_derived_name(endpoint):
    for number in (1, 2):
        run(make(), try_number=number)

    assert bought(endpoint) == 1


@pytest.mark.parametrize("filename", [None, "mine.json"])
def test_a_state_store_that_was_emptied_is_made_up_for_by_looking(endpoint, filename):
    facts = {"state_store": StateStore()}
    first = run(make(filename=filename), **facts)
    facts["state_store"].values.clear()  # as Airflow does with [state_store] clear_on_success

    for number in (2, 3):
        assert run(make(filename=filename), **facts, try_number=number) == first
    assert bought(endpoint) == 1


def test_of_several_submissions_the_one_whose_output_is_there_is_found(endpoint, store):
    endpoint.add_fault("InvokeEndpointAsync", "drop", count=1)
    with pytest.raises(UnknownOutcomeError):
        run(make(), state_store=store)
    second = run(make(on_uncertain="invoke"), state_store=store, try_number=2)
    store.values.clear()

    assert run(make(), state_store=store, try_number=3) == second
    assert second["inference_id"].endswith("-2")
    assert bought(endpoint) == 1


def test_of_a_list_of_which_nothing_is_left_only_what_is_missing_is_sent(endpoint, store):
    run(make(payload=None, payloads=[{"n": number} for number in range(5)]), state_store=store)
    store.values.clear()

    payloads = [{"n": number} for number in range(10)]
    for number in (2, 3):
        results = run(
            make(payload=None, payloads=payloads, result="body"), state_store=store, try_number=number
        )
        assert [one["body"] for one in results] == payloads
    assert bought(endpoint) == 10


def test_what_a_whole_state_store_does_not_hold_is_sent_without_a_look(endpoint, store):
    endpoint.add_fault("InvokeEndpointAsync", code="ThrottlingException", status=400, count=1)
    with pytest.raises(BusyError):
        run(make(retry_args={"attempts": 1}), state_store=store)
    before = endpoint.request_counts()["sagemaker:DescribeEndpoint"]
    run(make(), state_store=store, try_number=2)

    assert endpoint.request_counts()["sagemaker:DescribeEndpoint"] == before


def test_what_is_written_down_never_expires(endpoint, store):
    run(make(), state_store=store)

    assert set(store.retention.values()) == {getattr(airflow.sdk, "NEVER_EXPIRE", None)}


def test_a_run_that_was_deleted_and_begun_again_takes_its_output_and_buys_nothing(endpoint, told):
    payloads = {"payload": None, "payloads": [{"n": 1}, {"n": 2}, {"n": 3}], "result": "body"}
    first = run(make(**payloads), state_store=StateStore())
    anew = StateStore()

    assert run(make(**payloads), state_store=anew) == first
    assert bought(endpoint) == 3
    assert endpoint.request_counts()["sagemaker:DescribeEndpoint"] == 2  # once a task
    assert "reinvoke=True" in told.text
    assert {one["state"] for page in anew.values.values() for one in json.loads(page).values()} == {
        "submitted"
    }


def test_a_run_begun_again_sends_what_the_deleted_one_did_not(endpoint):
    run(make(payload=None, payloads=[{"n": 1}]), state_store=StateStore())
    several = {"payload": None, "payloads": [{"n": 1}, {"n": 2}], "result": "body"}

    results = run(make(**several), state_store=StateStore())
    assert [one["body"]["n"] for one in results] == [1, 2]
    assert all(one["inference_id"].endswith("-1") for one in results)
    assert bought(endpoint) == 2


@pytest.mark.parametrize(
    "fault",
    [("sagemaker:DescribeEndpoint", "AccessDeniedException", 400), ("sagemaker:DescribeEndpoint", "X", 500)],
)
def test_a_first_try_that_may_not_look_sends_without_a_warning(endpoint, told, fault):
    operation, code, status = fault
    endpoint.add_fault(operation, code=code, status=status, for_seconds=600)

    run(make(payload=None, payloads=[{"n": 1}, {"n": 2}]))
    assert endpoint.request_counts()["sagemaker:DescribeEndpoint"] == 1
    assert not [line for line in told.lines if line.startswith("warning") and "Describe" in line]


def test_a_first_try_whose_look_s3_refuses_sends(endpoint):
    endpoint.add_fault("s3:LIST", code="InternalError", status=500, count=1)

    run(make(botocore_config=ONE_ATTEMPT, wait_for_completion=False))
    assert endpoint.request_counts()["sagemaker:InvokeEndpointAsync"] == 1


@pytest.mark.parametrize("kept", [True, False])
def test_an_output_path_that_is_a_bucket_alone_sends_no_look_to_another_bucket(endpoint, store, kept):
    endpoint.add_endpoint("bare", s3_output_path="s3://bucket")
    if kept:
        run(make(endpoint_name="bare", wait_for_completion=False), state_store=store)
        forget_the_answer(store)

    result = run(make(endpoint_name="bare", on_uncertain="invoke"), state_store=store, try_number=2)
    assert result["output_location"].startswith("s3://bucket/aiml/")


def test_a_refused_look_at_a_less_likely_place_is_no_missing_permission(endpoint, told):
    endpoint.add_fault("s3:*", code="AccessDenied", status=403, key_prefix="outaiml", for_seconds=600)
    endpoint.add_fault("s3:*", code="AccessDenied", status=403, key_prefix="erraiml", for_seconds=600)

    run(make(), state_store=StateStore(), try_number=2)
    assert "s3:ListBucket" not in told.text


def test_names_of_the_user_are_kept_and_each_submission_gets_a_folder_of_its_own(endpoint, store):
    own = {"s3_output_path_extension": "mine/", "filename": "scores.json", "inference_id": "mine-7"}
    places = []
    for _ in range(2):
        with pytest.raises(ModelFailedError):
            run(make(endpoint_name="rejecting", **own), state_store=store)
        record = json.loads(next(iter(store.values.values())))
        places.append(next(iter(record.values()))["submission"]["output_location"])

    assert places[0] != places[1]
    for place in places:
        assert re.fullmatch(r"s3://bucket/out/mine/[0-9a-f]{28}/scores\.json", place)


@pytest.mark.parametrize("extension", [None, "scores"])
def test_a_file_name_of_the_users_is_shared_by_no_two_inferences(endpoint, queue_is_empty, extension):
    own = {"filename": "latest.json", "s3_output_path_extension": extension}
    instances = [
        {"state_store": StateStore(), "map_index": index, "run_id": day}
        for index in range(2)
        for day in ("monday", "tuesday")
    ]
    for number, instance in enumerate(instances):
        run(make(payload={"n": number}, wait_for_completion=False, **own), **instance)
    queue_is_empty()

    for number, instance in enumerate(instances):
        result = run(make(payload={"n": number}, result="body", **own), **instance, try_number=2)
        assert result["body"] == {"n": number}
        assert result["output_location"].endswith("/latest.json")
    assert bought(endpoint) == 4


@pytest.mark.parametrize("source", ["payloads", "payload_uris", "input_locations"])
def test_a_file_name_for_a_list_is_refused(endpoint, source):
    with pytest.raises(RequestError, match="filename: is given for a list"):
        make(payload=None, filename="x.json", **{source: ["s3://bucket/a", "s3://bucket/b"]})

    task = make(payload=None, request_members={"filename": "x.json"}, **{source: ["s3://bucket/a"]})
    with pytest.raises(RequestError, match="filename: is given for a list"):
        run(task)


def test_a_path_without_room_for_the_folder_is_refused(endpoint):
    run(make(s3_output_path_extension="p" * 483, filename="x.json"))

    with pytest.raises(RequestError, match="path_extension: is 484 characters, allowed is at most 483"):
        run(make(s3_output_path_extension="p" * 484, filename="x.json"))
    assert bought(endpoint) == 1


def test_a_wait_that_ran_out_is_taken_up_again(endpoint, store):
    with endpoint.held(), pytest.raises(OutputExpiredError, match="wait_timeout"):
        run(make(endpoint_name="slow", wait_timeout=0.1), state_store=store)

    assert run(make(endpoint_name="slow", result="body"), state_store=store, try_number=2)["body"] == {"a": 1}
    assert bought(endpoint, "slow") == 1


@pytest.mark.parametrize("source", ["payloads", "payload_uris", "input_locations"])
def test_a_list_is_submitted_once_and_given_in_its_order(endpoint, store, s3, source):
    values = [{"n": number % 5} for number in range(12)]
    for number, value in enumerate(values):
        s3.put_object(Bucket="bucket", Key=f"in/{number}", Body=json.dumps(value).encode())
    given = values if source == "payloads" else [f"s3://bucket/in/{number}" for number in range(12)]

    for number in (1, 2):
        results = run(
            make(payload=None, **{source: given}, result="body"), state_store=store, try_number=number
        )
        assert [one["body"] for one in results] == values
    assert bought(endpoint) == (12 if source == "input_locations" else 5)


def test_what_a_broken_list_did_submit_is_not_bought_again(endpoint, store):
    endpoint.add_fault("InvokeEndpointAsync", code="ValidationError", status=400, count=3)
    payloads = [{"n": number} for number in range(10)]
    with pytest.raises(Exception, match="ValidationError"):
        run(make(payload=None, payloads=payloads), state_store=store)

    results = run(make(payload=None, payloads=payloads, result="body"), state_store=store, try_number=2)
    assert [one["body"]["n"] for one in results] == list(range(10))
    assert bought(endpoint) == 10


def test_what_a_long_list_left_is_looked_at_several_at_once(endpoint, store, monkeypatch):
    together = threading.Barrier(2, timeout=60)

    def look_beside_another(*asked, alone=submitter.look):
        together.wait()
        return alone(*asked)

    payloads = [{"n": number} for number in range(24)]
    task = {"payload": None, "payloads": payloads, "wait_for_completion": False, "endpoint_name": "stuck"}
    first = run(make(**task), state_store=store)
    monkeypatch.setattr(submitter, "look", look_beside_another)

    assert run(make(**task), state_store=store, try_number=2) == first
    assert not together.broken


def test_a_request_in_doubt_does_not_let_the_others_be_looked_at_again_and_again(endpoint, store):
    payloads = [{"n": number} for number in range(30)]
    run(make(payload=None, payloads=payloads[1:]), state_store=store)
    endpoint.add_fault("InvokeEndpointAsync", "drop", count=1)
    with pytest.raises(UnknownOutcomeError):
        run(make(payload=None, payloads=payloads), state_store=store)
    before = endpoint.request_counts()["s3:HEAD"]

    timing = {"uncertain_timeout": 4, "waiter_delay": 0.5, "result": "body"}
    results = run(make(payload=None, payloads=payloads, **timing), state_store=store, try_number=2)
    assert [one["body"] for one in results] == payloads
    looks_in_doubt, looks_at_one = 4 / 0.5 + 2, 6
    assert endpoint.request_counts()["s3:HEAD"] - before <= 2 * 30 + looks_in_doubt * looks_at_one
    assert bought(endpoint) == 30


def test_an_empty_list_is_refused(endpoint, store):
    with pytest.raises(RequestError, match="payloads: is an empty list"):
        run(make(payload=None, payloads=[]), state_store=store)
