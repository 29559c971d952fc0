"""What callers of the front door notice while it is updated, and after: another endpoint, another route."""

from __future__ import annotations

import json

import pytest
from airflow_provider_aiml.exceptions import AccessDeniedError, StackFailedError
from tests.airflow_versions import TaskDeferred
from tests.unit.operators.front_door import SAFE, bodies, call, deploy, deployer, hold_up
from tests.unit.running import defer, event_of, resume, run


def calls_while_it_runs(client, url, let_go):
    """Call until the stack's operation is over; give the statuses that there were at the calls.

    :param let_go: ends what holds up the stage, after a call when all that comes before it was done.
    """
    stacks, seen = client("cloudformation"), []
    while not seen or seen[-1].endswith("_IN_PROGRESS"):
        (stack,) = stacks.describe_stacks(StackName="front")["Stacks"]
        events = stacks.describe_stack_events(StackName="front")["StackEvents"]
        assert call(url, retry_args={"attempts": 1})["status_code"] == 200
        seen.append(stack["StackStatus"])
        if ("Stage", "UPDATE_IN_PROGRESS") in {
            (one["LogicalResourceId"], one["ResourceStatus"]) for one in events
        }:
            let_go()
    return seen


def test_a_change_of_the_endpoint_is_served_from_one_model_to_the_next_without_a_gap(model, client):
    model.add_endpoint("model-v2", "echo")
    url = deploy()["url"]
    let_go = hold_up(model, "UpdateResource", "Stage")
    deploy({"wait_for_completion": False}, endpoint_name="model-v2")

    seen = calls_while_it_runs(client, url, let_go)
    assert (seen[0], seen[-1]) == ("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE")
    assert len(model.invocations("my-endpoint")) >= 1
    call(url)
    assert len(model.invocations("model-v2")) >= 1
    role = client("iam").list_roles()["Roles"]
    names = [
        client("iam").list_role_policies(RoleName=one["RoleName"])["PolicyNames"]
        for one in role
        if "InvokeRole" in one["RoleName"]
    ]
    assert [len(policies) for policies in names] == [1]


def test_a_change_of_the_endpoint_that_fails_is_not_noticed_by_the_callers(model, client):
    model.add_endpoint("model-v2", "echo")
    url = deploy()["url"]
    let_go = hold_up(model, "UpdateResource", "Stage")
    model.add_fault("cloudformation:UpdateResource", resource="Stage", message="no stage today")
    deploy({"wait_for_completion": False}, endpoint_name="model-v2")

    assert calls_while_it_runs(client, url, let_go)[-1] == "UPDATE_ROLLBACK_COMPLETE"
    assert call(url)["status_code"] == 200
    assert model.invocations("model-v2") == []


OPEN = {"resource_path": "old", "request_parameters": {}, "authorization": "NONE"}
OPEN["request_mapping_template"] = '{"a": 1}'


@pytest.mark.parametrize(
    "change",
    [{"resource_path": "new"}, {"resource_name": "v2"}, {"method": "POST"}, {"resource_path": "old/{id}"}],
    ids=json.dumps,
)
def test_a_route_that_was_changed_is_served_no_more(model, change):
    url = deploy(**OPEN)["url"]
    assert call(url, path="old", query=None, authorization="NONE")["status_code"] == 200

    changed = deploy(**{**OPEN, **change, "authorization": "AWS_IAM"})
    assert (changed["action"], changed["url"]) == ("updated", url)
    kinds = {(one["type"].rpartition("::")[2], one["action"]) for one in changed["changes"]}
    assert {("Method", "created"), ("Method", "deleted")} <= kinds
    with pytest.raises(AccessDeniedError):
        call(url, path="old", query=None, authorization="NONE")
    assert len(bodies(model)) == 1
    assert deploy(**{**OPEN, **change, "authorization": "AWS_IAM"})["action"] == "unchanged"


@pytest.mark.parametrize(
    "change",
    [
        {"request_mapping_template": SAFE},
        {"description": "for all"},
        {"tags": {"team": "a"}},
        {"name": "new"},
    ],
    ids=str,
)
def test_a_route_that_was_not_changed_needs_one_change_set(model, client, change):
    deploy()
    deploy(**change)
    events = client("cloudformation").describe_stack_events(StackName="front")["StackEvents"]
    begun = [one for one in events if one["LogicalResourceId"] == "front"]
    assert [one["ResourceStatus"] for one in begun].count("UPDATE_IN_PROGRESS") == 1


def test_an_old_route_goes_even_if_the_task_is_killed_between_the_two_updates(model):
    url = deploy(**OPEN)["url"]
    new = {**OPEN, "resource_path": "new"}
    deferral = defer(deployer({"deferrable": True}, **new))
    assert event_of(deferral.trigger)["action"] == "reroute"  # and nobody takes the task up again

    result = run(deployer(**new), try_number=2)
    assert result["action"] == "updated"
    assert ("Method", "deleted") in {
        (one["type"].rpartition("::")[2], one["action"]) for one in result["changes"]
    }
    with pytest.raises(AccessDeniedError):
        call(url, path="old", query=None, authorization="NONE")


def test_a_deferred_change_of_the_route_defers_for_each_of_its_updates(model):
    url = deploy(**OPEN)["url"]
    task = lambda: deployer({"deferrable": True}, **{**OPEN, "resource_path": "new"})  # noqa: E731
    first = defer(task())
    with pytest.raises(TaskDeferred) as second:
        resume(task(), first, event_of(first.trigger))
    result = resume(task(), second.value, event_of(second.value.trigger))
    assert result["action"] == "updated"
    with pytest.raises(AccessDeniedError):
        call(url, path="old", query=None, authorization="NONE")


def test_a_change_of_the_route_that_fails_says_why(model):
    url = deploy(**OPEN)["url"]
    model.add_fault("cloudformation:UpdateResource", resource="Stage", message="no stage today")
    with pytest.raises(StackFailedError, match="no stage today"):
        deploy(**{**OPEN, "resource_path": "new"})
    assert call(url, path="old", query=None, authorization="NONE")["status_code"] == 200


def test_a_route_that_could_not_be_deleted_is_told_of(model, caplog):
    deploy(**OPEN)
    model.add_fault("cloudformation:DeleteResource", resource="Method", message="not allowed")
    deploy(**{**OPEN, "resource_path": "new"})
    assert "Method (AWS::ApiGateway::Method): not allowed" in caplog.text
