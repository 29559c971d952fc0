"""The front door's hook by itself: deployments that wait, calls, and what their failures are."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from airflow_provider_aiml.exceptions import (
    AccessDeniedError,
    AwsConfigurationError,
    BusyError,
    EndpointNotReadyError,
    RequestError,
    ServiceRefusedError,
    StackFailedError,
    UnknownOutcomeError,
)
from airflow_provider_aiml.hooks import stack_calls
from airflow_provider_aiml.hooks.api_gateway import ApiGatewaySageMakerHook
from airflow_provider_aiml.triggers.api_gateway import ApiGatewaySageMakerStackTrigger
from tests.unit.endpoint_api.samples import MANY_LINES, ROLE, api
from tests.unit.operators.front_door import hold_up, let_go_when_waited_for
from tests.unit.running import again, event_of

if TYPE_CHECKING:
    from airflow_provider_aiml.endpoint_api import EndpointApi

QUICK = {"waiter_delay": 0.05}
ONE = {"attempts": 1}


@pytest.fixture
def hook(aws):
    aws.add_endpoint("my-endpoint", "echo")
    return ApiGatewaySageMakerHook(retry_args=ONE)


def front(**changes: Any) -> EndpointApi:
    return api(request_parameters={"items": True}, **changes)


def test_a_stack_is_deployed_changed_described_and_deleted(hook):
    made = hook.deploy("front", front(), **QUICK)
    changed = hook.deploy("front", front(request_mapping_template=MANY_LINES), **QUICK)
    described = hook.describe("front")

    assert (made["action"], changed["action"]) == ("created", "updated")
    assert {name: made[name] for name in ("url", "stack_id", "rest_api_id")} == {
        name: described[name] for name in ("url", "stack_id", "rest_api_id")
    }
    assert hook.deploy("front", front(request_mapping_template=MANY_LINES), **QUICK)["action"] == "unchanged"
    assert hook.delete("front", **QUICK)["status"] == "deleted"
    assert hook.delete("front", **QUICK)["status"] == "absent"
    with pytest.raises(StackFailedError, match="There is no stack front"):
        hook.describe("front")


def test_a_failed_stack_is_replaced_when_asked(aws, hook):
    aws.add_fault("cloudformation:CreateResource", resource="Method", message="not today")
    with pytest.raises(StackFailedError, match="not today"):
        hook.deploy("front", front(), **QUICK)
    replaced = hook.deploy("front", front(), replace_failed=True, role_arn=ROLE, **QUICK)
    assert replaced["action"] == "created"


@pytest.mark.parametrize(("call", "begin"), [("deploy", "begin_deploy"), ("delete", "begin_delete")])
def test_others_that_never_leave_the_stack_alone_do_not_extend_the_wait(hook, monkeypatch, call, begin):
    joined = stack_calls.Operation("join", hook.deploy("front", front(), **QUICK)["stack_id"])
    monkeypatch.setattr(hook, begin, lambda *args, **given: joined)
    given = {"api": front()} if call == "deploy" else {}
    with pytest.raises(StackFailedError, match="wait_timeout"):
        getattr(hook, call)("front", wait_timeout=0.5, **given, **QUICK)


def test_a_stack_that_cannot_be_cleared_away_fails_with_the_reasons(aws, hook):
    hook.deploy("front", front(), **QUICK)
    aws.add_fault("cloudformation:DeleteResource", resource="Method", message="not allowed", count=50)
    with pytest.raises(StackFailedError, match="not allowed"):
        hook.delete("front", **QUICK)
    with pytest.raises(StackFailedError, match=r"DELETE_FAILED.*not allowed"):
        hook.deploy("front", front(), replace_failed=True, wait_timeout=None, **QUICK)


def test_a_deletion_waits_for_what_is_under_way(aws, hook, monkeypatch):
    hook.deploy("front", front(), **QUICK)
    let_go = hold_up(aws, "UpdateResource", "Method")
    changed = front(request_mapping_template=MANY_LINES)
    token = stack_calls.operation_token("x", attempt=1)
    begun = hook.begin_deploy("front", changed, token=token, capabilities=["CAPABILITY_IAM"])
    assert begun.action == "update"
    waited = let_go_when_waited_for(hook, let_go, monkeypatch)
    assert hook.delete("front", wait_timeout=None, **QUICK)["status"] == "deleted"
    assert waited == ["join", "delete"]


def test_a_deployment_that_runs_already_is_not_taken_for_ours(aws, hook, monkeypatch):
    let_go = hold_up(aws, "CreateResource", "Method")
    other = stack_calls.operation_token("other", attempt=1)
    ApiGatewaySageMakerHook().begin_deploy("front", front(), token=other, capabilities=["CAPABILITY_IAM"])

    waited = let_go_when_waited_for(hook, let_go, monkeypatch)
    ours = hook.deploy("front", front(request_mapping_template=MANY_LINES), **QUICK)
    assert (ours["action"], waited) == ("updated", ["join", "update"])
    assert hook.deploy("front", front(request_mapping_template=MANY_LINES), **QUICK)["action"] == "unchanged"


def test_a_role_of_ones_own_is_in_the_result(aws, hook):
    role = "arn:aws:iam::123456789012:role/mine"
    assert (
        hook.deploy("front", front(api_gateway_execution_role_arn=role), **QUICK)["invoke_role_arn"] == role
    )


def test_a_stack_that_could_not_roll_back_is_not_replaced(aws, hook, monkeypatch):
    hook.deploy("front", front(), **QUICK)
    stuck = {**hook.stack("front"), "StackStatus": "UPDATE_ROLLBACK_FAILED"}
    monkeypatch.setattr(hook, "stack", lambda name: stuck)
    with pytest.raises(StackFailedError, match="ContinueUpdateRollback"):
        hook.deploy("front", front(), replace_failed=True, **QUICK)


def test_an_endpoint_that_is_not_in_service_is_told_of(aws, hook, monkeypatch, caplog):
    found = {"EndpointStatus": "Updating"}
    control = type("Control", (), {"describe_endpoint": lambda self, EndpointName: found})()
    monkeypatch.setattr(
        "airflow_provider_aiml.hooks.deploy_checks.SageMakerControlHook.beside",
        lambda of: type("Beside", (), {"conn": control})(),
    )
    hook.check_endpoint("my-endpoint")
    assert "is Updating" in caplog.text


def test_an_absent_endpoint_is_an_error_of_its_own(hook):
    with pytest.raises(EndpointNotReadyError, match="no endpoint other"):
        hook.check_endpoint("other")


@pytest.mark.parametrize(
    ("fault", "error_class"),
    [
        ({"code": "AccessDenied"}, AccessDeniedError),
        ({"code": "Throttling", "status": 400}, BusyError),
        ({"code": "ValidationError", "message": "Stack is broken"}, ServiceRefusedError),
    ],
    ids=lambda fault: str(fault)[:30],
)
def test_an_error_of_cloudformation_is_one_of_ours_and_nothing_is_billed(aws, fault, error_class):
    hook = ApiGatewaySageMakerHook(config={"retries": {"total_max_attempts": 1}})
    aws.add_fault("cloudformation:DescribeStacks", **fault)
    with pytest.raises(error_class) as raised:
        hook.stack("front")
    assert not raised.value.may_have_been_billed


def test_a_look_that_fails_once_does_not_end_a_wait(aws, hook, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    hook.deploy("front", front(), **QUICK)
    patient = ApiGatewaySageMakerHook(config={"retries": {"total_max_attempts": 1}})
    operation = stack_calls.Operation("update", patient.stack("front")["StackId"])
    aws.add_fault("cloudformation:DescribeStacks", code="Throttling", status=400)
    assert patient.wait(operation, delay=0.01) == "CREATE_COMPLETE"


def test_a_change_set_that_fails_for_another_reason_says_it(hook, monkeypatch):
    hook.deploy("front", front(), **QUICK)
    failed = {"Status": "FAILED", "StatusReason": "a transform broke"}
    monkeypatch.setattr(hook, "_settled_change_set", lambda change_set_id: failed)
    with pytest.raises(StackFailedError, match="a transform broke"):
        hook.deploy("front", front(request_mapping_template=MANY_LINES), **QUICK)


def test_a_change_set_that_never_settles_ends_the_try(hook, monkeypatch):
    hook.deploy("front", front(), **QUICK)
    pending = {"Status": "CREATE_IN_PROGRESS"}
    monkeypatch.setattr(stack_calls, "_CHANGE_SET_PATIENCE", 0.02)
    monkeypatch.setattr(stack_calls, "_CHANGE_SET_PAUSE", 0.01)
    monkeypatch.setattr(hook.conn, "describe_change_set", lambda **given: pending)
    with pytest.raises(StackFailedError, match="still CREATE_IN_PROGRESS") as raised:
        hook.deploy("front", front(request_mapping_template=MANY_LINES), **QUICK)
    assert raised.value.retryable


class TestCalls:
    @pytest.fixture
    def url(self, hook: Any) -> str:
        return str(hook.deploy("front", front(), **QUICK)["url"])

    def test_a_call_is_signed_and_answered(self, hook, url):
        answer = hook.invoke(
            url=url, path=["a b"], query={"items": ["1"]}, headers={"X-More": "ü".encode().hex()}
        )
        assert (answer["StatusCode"], answer["Headers"]["content-type"]) == (200, "application/json")
        assert isinstance(answer["Body"], bytes)

    def test_each_attempt_is_signed_anew(self, aws, hook, url):
        aws.add_fault("sagemaker:InvokeEndpoint", code="ThrottlingException", count=2)
        retrying = ApiGatewaySageMakerHook(retry_args={"attempts": 3, "base": 0.01, "cap": 0.01})
        assert retrying.invoke(url=url, path="1", query={"items": "1"})["StatusCode"] == 200

    def test_a_call_with_credentials_of_nobody_is_refused(self, aws, url, monkeypatch):
        extra = json.dumps({"endpoint_url": aws.endpoint_url, "region_name": "us-east-1"})
        connection = {"conn_type": "aws", "login": "AKIANOBODY", "password": "x", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_NOBODY", json.dumps(connection))
        with pytest.raises(AccessDeniedError):
            ApiGatewaySageMakerHook("nobody").invoke(url=url, path="1", query={"items": "1"})

    def test_without_credentials_nothing_is_sent(self, aws, url, monkeypatch):
        extra = json.dumps({"endpoint_url": aws.endpoint_url, "region_name": "us-east-1"})
        monkeypatch.setenv("AIRFLOW_CONN_BARE", json.dumps({"conn_type": "aws", "extra": extra}))
        with pytest.raises(AwsConfigurationError, match="no credentials"):
            ApiGatewaySageMakerHook("bare").invoke(url=url, path="1", query={"items": "1"})

    def test_a_lost_answer_is_an_unknown_outcome(self, aws, hook, url):
        aws.add_fault("execute-api:GET", "lose_answer")
        with pytest.raises(UnknownOutcomeError):
            hook.invoke(url=url, path="1", query={"items": "1"})

    def test_an_answer_that_breaks_off_is_an_unknown_outcome_with_what_had_arrived(self, aws, hook, url):
        whole = hook.invoke(url=url, path="1", query={"items": "1"})["Body"]
        aws.add_fault("execute-api:GET", "truncate", keep_bytes=12)
        with pytest.raises(UnknownOutcomeError, match=f"12 of {len(whole)} bytes") as raised:
            hook.invoke(url=url, path="1", query={"items": "1"})
        assert raised.value.partial_body == whole[:12]

    def test_a_call_that_finds_nobody_is_safe_to_repeat(self, aws, hook, url, monkeypatch):
        extra = json.dumps({"endpoint_url": "http://127.0.0.1:9", "region_name": "us-east-1"})
        connection = {"conn_type": "aws", "login": "local-aws-key", "password": "x", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_NOWHERE", json.dumps(connection))
        with pytest.raises(BusyError):
            ApiGatewaySageMakerHook("nowhere", retry_args=ONE).invoke(url=url, path="1")

    def test_a_redirect_is_no_answer(self, hook, url, monkeypatch):
        monkeypatch.setattr("airflow_provider_aiml.hooks.api_calls.answer_failure", lambda *a, **k: None)
        with pytest.raises(UnknownOutcomeError, match="403"):
            hook.invoke(url=url, path="a/b/c", authorization="NONE")

    def test_a_key_and_a_body_are_sent_but_never_logged(self, hook, url, caplog):
        caplog.set_level("DEBUG")
        with pytest.raises(AccessDeniedError):
            hook.invoke(
                url=url,
                method="POST",
                body=b'{"canary": 1}',
                content_type="application/json",
                api_key="secret-key",
            )
        assert "canary" not in caplog.text
        assert "secret-key" not in caplog.text

    def test_bad_arguments_are_refused_unless_that_was_left_out(self, hook, url):
        called = {"url": url, "path": "1", "query": {"items": "1"}}
        hook.check("InvokeApi", called)
        for refuse in (lambda **given: hook.check("InvokeApi", given), hook.invoke):
            with pytest.raises(RequestError, match="authorization"):
                refuse(**called, authorization="MINE")

        trusting = ApiGatewaySageMakerHook(validate=False, retry_args=ONE)
        trusting.check("InvokeApi", {**called, "authorization": "MINE"})
        with pytest.raises(AccessDeniedError):
            trusting.invoke(**called, authorization="MINE")


class TestTrigger:
    def trigger(self, stack_id: str, **given: Any) -> ApiGatewaySageMakerStackTrigger:
        return ApiGatewaySageMakerStackTrigger(
            **{"stack_id": stack_id, "action": "update", "poll_interval": 0.05, **given}
        )

    def test_what_is_serialized_makes_the_same_trigger(self):
        trigger = self.trigger("arn", timeout_at=5.0, aws_conn_id="c", region_name="r", verify=False)
        assert again(trigger).serialize() == trigger.serialize()

    def test_the_event_says_when_the_operation_is_over(self, aws, hook):
        let_go = hold_up(aws, "CreateResource", "Method")
        token = stack_calls.operation_token("x", attempt=1)
        begun = hook.begin_deploy("front", front(), token=token, capabilities=["CAPABILITY_IAM"])
        looks = aws.request_counts()["cloudformation:DescribeStacks"]
        with ThreadPoolExecutor() as triggerer:
            waiting = triggerer.submit(event_of, self.trigger(begun.stack_id))
            while not waiting.done() and aws.request_counts()["cloudformation:DescribeStacks"] < looks + 2:
                time.sleep(0.01)
            let_go()
            event = waiting.result()
        assert event == {
            "status": "over",
            "error": None,
            "stack_id": begun.stack_id,
            "action": "update",
            "timeout_at": None,
            "stack_status": "CREATE_COMPLETE",
        }

    def test_a_wait_that_takes_too_long_ends_in_an_error(self, aws, hook):
        hold_up(aws, "CreateResource", "Method")
        token = stack_calls.operation_token("x", attempt=1)
        begun = hook.begin_deploy("front", front(), token=token, capabilities=["CAPABILITY_IAM"])
        event = event_of(self.trigger(begun.stack_id, timeout_at=0.0))
        assert (event["status"], event["error"]["type"]) == ("error", "StackFailedError")

    def test_a_fault_is_borne_and_one_too_many_is_not(self, aws, hook):
        stack_id = hook.deploy("front", front(), **QUICK)["stack_id"]
        once = {"retries": {"total_max_attempts": 1}}
        aws.add_fault("cloudformation:DescribeStacks", code="Throttling", status=400)
        assert event_of(self.trigger(stack_id, botocore_config=once))["status"] == "over"
        aws.add_fault("cloudformation:DescribeStacks", code="Throttling", status=400, count=2)
        event = event_of(self.trigger(stack_id, botocore_config=once, max_faults=2, timeout_at=9e9))
        assert event["error"]["type"] == "BusyError"
