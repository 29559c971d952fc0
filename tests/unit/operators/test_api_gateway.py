"""Deploying and deleting the front door, on the local AWS's CloudFormation."""

from __future__ import annotations

import json

import pytest
from airflow.exceptions import AirflowFailException
from airflow_provider_aiml.exceptions import (
    AccessDeniedError,
    EndpointNotReadyError,
    InferenceError,
    RequestError,
    ServiceRefusedError,
    StackFailedError,
)
from airflow_provider_aiml.hooks.stack_calls import Operation
from airflow_provider_aiml.operators.api_gateway import (
    ApiGatewaySageMakerDeleteOperator,
)
from tests.unit.endpoint_api.samples import api
from tests.unit.operators.front_door import (
    INSTANCES,
    SAFE,
    bodies,
    call,
    delete,
    deleter,
    deploy,
    deployer,
    hold_up,
    let_go_when_waited_for,
)
from tests.unit.running import defer, event_of, resume, run, through_triggerer


def test_the_result_names_what_was_made_and_no_key(model, client):
    result = deploy(api_key_required=True)

    assert result.keys() == {
        "url",
        "rest_api_id",
        "stage_name",
        "log_group_name",
        "usage_plan_id",
        "api_key_id",
        "invoke_role_arn",
        "cloudwatch_role_arn",
        "stack_id",
        "stack_name",
        "status",
        "action",
        "changes",
    }
    key = client("apigateway").get_api_key(apiKey=result["api_key_id"], includeValue=True)["value"]
    assert key not in json.dumps(result)
    assert result["action"] == "created"


def test_deploying_twice_changes_nothing(model, client):
    first = deploy(account_logging_role="if_missing")
    before = client("apigateway").get_deployments(restApiId=first["rest_api_id"])["items"]

    second = deploy(account_logging_role="if_missing")
    assert (second["action"], second["changes"]) == ("unchanged", [])
    assert client("apigateway").get_deployments(restApiId=first["rest_api_id"])["items"] == before
    assert client("cloudformation").list_change_sets(StackName="front")["Summaries"] == []


def test_a_change_is_one_change_set_a_new_deployment_and_the_same_url(model):
    first = deploy()
    second = deploy(request_mapping_template=SAFE)

    assert second["action"] == "updated"
    assert second["url"] == first["url"]
    kinds = {(one["type"].rpartition("::")[2], one["action"]) for one in second["changes"]}
    assert kinds == {
        ("Method", "updated"),
        ("Deployment", "created"),
        ("Stage", "updated"),
        ("Deployment", "deleted"),
    }
    assert call(second["url"])["status_code"] == 200


def test_a_failing_update_says_why_and_leaves_the_old_api_serving(model):
    url = deploy()["url"]

    with pytest.raises(StackFailedError, match=r"Stage .*extraneous key \[StageNam\]") as raised:
        deploy(request_mapping_template=SAFE, overrides={"Stage": {"StageNam": "x"}})
    assert raised.value.code == "UPDATE_ROLLBACK_COMPLETE"
    assert call(url)["body"] == {"instances": INSTANCES}
    assert deploy(request_mapping_template=SAFE)["action"] == "updated"


def test_a_stack_stuck_in_rollback_complete_is_replaced_only_when_asked(model):
    model.add_fault("cloudformation:CreateResource", resource="Method", message="no method today")
    with pytest.raises(StackFailedError, match="no method today") as raised:
        deploy()
    assert raised.value.code == "ROLLBACK_COMPLETE"
    with pytest.raises(StackFailedError, match=r"no method today.*replace_failed=True"):
        deploy()

    assert deploy({"replace_failed": True})["action"] == "created"


def test_a_creation_that_failed_leaves_the_accounts_logging_role_alone_and_says_so(model, client):
    model.add_fault("cloudformation:CreateResource", resource="Stage", message="no stage today")
    with pytest.raises(StackFailedError) as raised:
        deploy(log_group_name="/api/front")

    (role,) = [one["RoleName"] for one in client("iam").list_roles()["Roles"]]
    assert client("logs").describe_log_groups()["logGroups"] == []
    assert client("apigateway").get_account()["cloudwatchRoleArn"].endswith(f":role/{role}")
    assert all(left in raised.value.hint for left in ("the empty stack", role, "front-Account-"))
    again = deploy({"replace_failed": True}, log_group_name="/api/front", log_retention_days=7)
    assert "AccessLogGroup" in {one["resource"] for one in again["changes"]}


def a_stack_that_cannot_be_deleted(model):
    deploy()
    model.add_fault("cloudformation:DeleteResource", resource="Method", message="not allowed", count=50)
    with pytest.raises(StackFailedError, match="not allowed"):
        delete()


def test_a_stack_that_cannot_be_cleared_away_fails_with_the_reasons(model):
    a_stack_that_cannot_be_deleted(model)

    with pytest.raises(StackFailedError, match=r"DELETE_FAILED.*not allowed"):
        deploy({"replace_failed": True, "wait_timeout": None})


def test_a_deferred_clearing_away_fails_with_the_reasons_too(model):
    a_stack_that_cannot_be_deleted(model)
    task = {"replace_failed": True, "deferrable": True, "wait_timeout": None}

    with pytest.raises(StackFailedError, match=r"DELETE_FAILED.*not allowed"):
        through_triggerer(lambda: deployer(task))


def test_what_is_cleared_away_and_what_is_made_do_not_share_a_token(model, client):
    model.add_fault("cloudformation:CreateResource", resource="Method", message="no method today")
    with pytest.raises(StackFailedError):
        deploy()
    failed = client("cloudformation").describe_stacks(StackName="front")["Stacks"][0]["StackId"]
    made = deploy({"replace_failed": True})["stack_id"]

    newest = [
        client("cloudformation").describe_stack_events(StackName=one)["StackEvents"][0]
        for one in (failed, made)
    ]
    assert newest[0]["ResourceStatus"] == "DELETE_COMPLETE"
    assert newest[0]["ClientRequestToken"] != newest[1]["ClientRequestToken"]


def test_others_that_never_leave_the_stack_alone_do_not_extend_the_wait(model, client, monkeypatch):
    deploy()
    task = deployer({"wait_timeout": 1}, request_mapping_template=SAFE)
    joined = Operation("join", client("cloudformation").describe_stacks()["Stacks"][0]["StackId"])
    monkeypatch.setattr(task.hook, "begin_deploy", lambda *args, **given: joined)
    with pytest.raises(StackFailedError, match="wait_timeout") as raised:
        run(task)
    assert raised.value.retryable


def test_an_account_that_has_a_logging_role_keeps_it(model, client):
    gateway = client("apigateway")
    theirs = "arn:aws:iam::123456789012:role/theirs"
    gateway.update_account(patchOperations=[{"op": "replace", "path": "/cloudwatchRoleArn", "value": theirs}])

    result = deploy()
    assert "cloudwatch_role_arn" not in result
    assert gateway.get_account()["cloudwatchRoleArn"] == theirs


def test_if_missing_does_not_overwrite_a_role_that_the_stack_itself_was_told_to_set(model, client):
    theirs = "arn:aws:iam::123456789012:role/platform"
    deploy(account_logging_role=theirs)
    result = deploy(account_logging_role="if_missing")

    assert "cloudwatch_role_arn" not in result
    assert client("apigateway").get_account()["cloudwatchRoleArn"] == theirs
    assert deploy(account_logging_role="if_missing")["action"] == "unchanged"


def test_a_logging_role_outlives_its_stack_and_serves_the_next(model, client):
    role = deploy()["cloudwatch_role_arn"]
    delete()

    assert client("apigateway").get_account()["cloudwatchRoleArn"] == role
    assert "cloudwatch_role_arn" not in deploy()


def test_leave_is_refused_where_the_account_has_no_logging_role(model, client):
    with pytest.raises(RequestError, match="account_logging_role"):
        deploy(account_logging_role="leave")
    assert client("cloudformation").describe_stacks()["Stacks"] == []


def test_leave_is_well_where_the_stage_writes_no_log(model):
    silent = {"account_logging_role": "leave", "logging_level": "OFF"}
    with pytest.raises(RequestError, match="account_logging_role"):
        deploy(**silent)
    result = deploy(**silent, overrides={"Stage": {"AccessLogSetting": None}})
    assert call(result["url"])["status_code"] == 200


def test_a_named_log_group_that_was_kept_is_used_again(model, client):
    deploy(log_group_name="/api/front")
    assert "/api/front" in delete()["kept"]

    url = deploy(log_group_name="/api/front")["url"]
    call(url)
    logs = client("logs")
    (stream,) = logs.describe_log_streams(logGroupName="/api/front")["logStreams"]
    events = logs.get_log_events(logGroupName="/api/front", logStreamName=stream["logStreamName"])["events"]
    assert json.loads(events[-1]["message"])["status"] == "200"


def test_the_result_names_a_log_group_that_was_there_before(model):
    deploy(log_group_name="/api/front")
    delete()
    assert deploy(log_group_name="/api/front")["log_group_name"] == "/api/front"


def retention(client):
    (group,) = client("logs").describe_log_groups(logGroupNamePrefix="/api/front")["logGroups"]
    return group.get("retentionInDays")


def test_a_log_group_that_was_kept_gets_the_retention_that_is_asked_for(model, client):
    named = {"log_group_name": "/api/front", "request_parameters": {"items": True}}
    deploy(**named, log_retention_days=30)
    delete()
    assert deploy(**named, log_retention_days=7)["action"] == "created"
    assert retention(client) == 7

    changed = deploy(**named, log_retention_days=1)
    told = [{"resource": "AccessLogGroup", "type": "AWS::Logs::LogGroup", "action": "updated"}]
    assert (changed["action"], changed["changes"], retention(client)) == ("updated", told, 1)
    for days in (1, None):
        assert deploy(**named, log_retention_days=days)["action"] == "unchanged"
    assert retention(client) == 1


def test_a_retention_that_may_not_be_set_fails_the_task_and_a_retry_sets_it(model, client):
    client("logs").create_log_group(logGroupName="/api/front")
    fault = model.add_fault("logs:PutRetentionPolicy", code="AccessDeniedException")
    changes = {"log_group_name": "/api/front", "log_retention_days": 7}
    with pytest.raises(AccessDeniedError, match="logs:PutRetentionPolicy"):
        deploy(**changes)
    model.remove_fault(fault)
    assert deploy(**changes)["action"] == "updated"
    assert retention(client) == 7


@pytest.mark.parametrize("fails", ["refused", "rolled back"])
def test_a_deployment_that_fails_takes_no_entries_from_a_log_group_that_is_not_its_own(model, client, fails):
    client("logs").create_log_group(logGroupName="/api/front")
    if fails == "rolled back":
        model.add_fault("cloudformation:CreateResource", resource="Stage", code="X", message="no")
    capabilities = [] if fails == "refused" else ["CAPABILITY_IAM"]
    with pytest.raises((ServiceRefusedError, StackFailedError)):
        deploy({"capabilities": capabilities}, log_group_name="/api/front", log_retention_days=1)
    assert retention(client) is None


def test_an_access_log_may_go_back_to_a_group_that_was_kept(model, client):
    deploy(log_group_name="/api/a")
    assert deploy(log_group_name="/api/b")["log_group_name"] == "/api/b"
    held = client("cloudformation").describe_stack_resources(
        StackName="front", LogicalResourceId="AccessLogGroup"
    )["StackResources"]
    assert [(one["PhysicalResourceId"], one["ResourceStatus"]) for one in held] == [
        ("/api/b", "CREATE_COMPLETE")
    ]

    assert deploy(log_group_name="/api/b")["action"] == "unchanged"
    assert deploy(log_group_name="/api/a")["log_group_name"] == "/api/a"
    assert deploy(log_group_name="/api/a")["action"] == "unchanged"


def test_an_endpoint_that_does_not_exist_is_refused_before_the_stack_is_touched(aws, client):
    with pytest.raises(EndpointNotReadyError, match="my-endpoint"):
        deploy()
    assert client("cloudformation").describe_stacks()["Stacks"] == []
    assert deploy({"check_endpoint": False})["action"] == "created"


def test_a_look_at_the_endpoint_that_is_not_allowed_says_how_to_leave_it_out(model):
    model.add_fault("sagemaker:DescribeEndpoint", code="AccessDeniedException")
    with pytest.raises(AccessDeniedError, match="check_endpoint=False"):
        deploy()


def test_an_example_that_comes_out_otherwise_stops_the_deployment(model, client):
    request = {"path": {"user_id": "1"}, "query": {"items": "2"}}
    good = {"instances": [{"in0": [1], "in1": [2]}]}
    examples = [(request, good), (request, json.dumps(good)), (request, {}), ({"path": {"user_id": "1"}}, {})]

    with pytest.raises(RequestError) as raised:
        deploy({"examples": examples})
    named = [problem.field for problem in raised.value.problems]
    assert named == ["examples[2]", "examples[3] query['items']"]
    assert client("cloudformation").describe_stacks()["Stacks"] == []
    assert deploy({"examples": examples[:2]})["action"] == "created"


def test_an_example_of_another_format_is_compared_as_text(model):
    changes = {"request_mapping_template": "$input.params('user_id'),1", "content_type": "text/csv"}
    request = {"path": {"user_id": "7"}, "query": {"items": "2"}}

    assert deploy({"examples": [(request, "7,1")]}, **changes)["action"] == "created"
    with pytest.raises(RequestError, match=r"examples\[0\]"):
        deploy({"examples": [(request, {"a": 1})]}, **changes)


def test_a_template_that_gives_no_json_is_refused_before_the_stack_is_touched(model, client):
    with pytest.raises(RequestError, match="no JSON"):
        deploy(request_mapping_template='{"a": [$input.params("user_id"),]}')
    assert client("cloudformation").describe_stacks()["Stacks"] == []


def test_a_missing_capability_is_refused_and_the_stack_is_not_made(model, client):
    with pytest.raises(ServiceRefusedError, match=r"CAPABILITY_NAMED_IAM.*capabilities"):
        deploy(overrides={"InvokeRole": {"RoleName": "mine"}})
    assert client("cloudformation").describe_stacks()["Stacks"] == []

    named = {"capabilities": ["CAPABILITY_NAMED_IAM"]}
    result = deploy(named, overrides={"InvokeRole": {"RoleName": "mine"}})
    assert result["invoke_role_arn"].endswith(":role/mine")


def test_a_template_over_cloudformations_limit_is_refused(model):
    huge = '{"a": "' + "x" * 60_000 + '"}'
    with pytest.raises(RequestError, match="51,200"):
        deploy(request_mapping_template=huge)


def test_a_deployment_can_be_left_to_itself(model):
    result = deploy({"wait_for_completion": False})
    assert (result["action"], result["changes"]) == ("create", [])
    assert deploy()["action"] in ("created", "unchanged")

    update = deploy({"wait_for_completion": False}, request_mapping_template=SAFE)
    assert update["action"] == "update"
    assert {one["action"] for one in update["changes"]} == {"create", "update", "delete"}


def test_a_deferred_deployment_gives_the_same_result(model):
    result = through_triggerer(lambda: deployer({"deferrable": True}))
    assert result["action"] == "created"
    assert call(result["url"])["status_code"] == 200
    assert deploy()["action"] == "unchanged"


def test_a_killed_deployment_is_picked_up_by_the_next_try(model, client):
    let_go = hold_up(model, "CreateResource", "Method")
    defer(deployer({"deferrable": True}))  # and then its worker and its trigger are gone

    again = defer(deployer({"deferrable": True}), try_number=2)
    let_go()
    result = resume(deployer(), again, event_of(again.trigger), try_number=2)
    assert result["action"] == "created"
    events = client("cloudformation").describe_stack_events(StackName="front")["StackEvents"]
    assert (
        sum(
            one["ResourceStatus"] == "CREATE_IN_PROGRESS"
            for one in events
            if one["LogicalResourceId"] == "front"
        )
        == 1
    )


def test_a_killed_deployment_of_another_template_is_waited_for_and_then_ours_is_done(model, monkeypatch):
    let_go = hold_up(model, "CreateResource", "Method")
    defer(deployer({"deferrable": True}))  # and then the DAG's author corrects the template

    task = deployer(request_mapping_template=SAFE)
    waited = let_go_when_waited_for(task.hook, let_go, monkeypatch)
    result = run(task, try_number=2)
    assert (result["action"], waited) == ("updated", ["join", "update"])
    call(result["url"], path=["a b"])
    assert bodies(model)[-1]["instances"][0]["in0"] == ["a b"]


def test_somebody_elses_operation_is_waited_for_and_then_ours_is_done(model, client, monkeypatch):
    let_go = hold_up(model, "CreateResource", "Stage")
    body = json.dumps(api(request_parameters={"items": True}).template())
    client("cloudformation").create_stack(
        StackName="front", TemplateBody=body, Capabilities=["CAPABILITY_IAM"]
    )

    task = deployer(request_mapping_template=SAFE)
    waited = let_go_when_waited_for(task.hook, let_go, monkeypatch)
    assert run(task)["action"] == "updated"
    assert waited == ["join", "update"]


def test_a_deferred_wait_for_somebody_else_goes_on_with_our_deployment(model, client):
    let_go = hold_up(model, "CreateResource", "Stage")
    body = json.dumps(api(request_parameters={"items": True}).template())
    client("cloudformation").create_stack(
        StackName="front", TemplateBody=body, Capabilities=["CAPABILITY_IAM"]
    )
    joined = deployer({"deferrable": True}, request_mapping_template=SAFE)
    deferral = defer(joined)
    let_go()
    event = event_of(deferral.trigger)
    assert event["action"] == "join"

    again = deployer(request_mapping_template=SAFE)
    assert resume(again, deferral, event)["action"] == "updated"


def test_a_stack_under_review_is_left_alone(model, client):
    body = json.dumps(api().template())
    client("cloudformation").create_change_set(
        StackName="front",
        ChangeSetName="c",
        ChangeSetType="CREATE",
        TemplateBody=body,
        Capabilities=["CAPABILITY_IAM"],
    )
    with pytest.raises(StackFailedError, match="REVIEW_IN_PROGRESS"):
        deploy()


def test_a_deployment_that_takes_too_long_fails_so_that_a_retry_waits_on(model, monkeypatch):
    let_go = hold_up(model, "CreateResource", "Method")
    with pytest.raises(StackFailedError, match="wait_timeout") as raised:
        deploy({"wait_timeout": 0.3})
    assert raised.value.retryable
    assert not isinstance(raised.value, AirflowFailException)
    retried = deployer()
    waited = let_go_when_waited_for(retried.hook, let_go, monkeypatch)
    assert (run(retried, try_number=2)["action"], waited) == ("created", ["create"])


@pytest.mark.parametrize("event", [None, {}, {"status": "surprise"}])
def test_an_event_that_says_nothing_is_an_error(model, event):
    deferral = defer(deployer({"deferrable": True}))
    with pytest.raises(StackFailedError, match="without saying why"):
        resume(deployer(), deferral, event)


def test_an_error_of_the_trigger_is_raised_as_what_it_is(model):
    deferral = defer(deployer({"deferrable": True}))
    facts = AccessDeniedError("no").to_dict()
    with pytest.raises(AccessDeniedError):
        resume(deployer(), deferral, {"status": "error", "error": facts, "stack_id": "arn"})


def test_deleting_is_idempotent_and_names_what_is_kept(model, client):
    made = deploy()
    result = delete()

    assert result["status"] == "deleted"
    assert made["log_group_name"] in result["kept"]
    assert delete() == {"stack_name": "front", "status": "absent", "kept": []}
    assert client("apigateway").get_rest_apis()["items"] == []


def test_a_deferred_deletion_gives_the_same_result(model):
    deploy()
    make = lambda: ApiGatewaySageMakerDeleteOperator(  # noqa: E731
        task_id="delete", stack_name="front", deferrable=True, waiter_delay=0.05
    )
    assert through_triggerer(make)["status"] == "deleted"


def test_a_deletion_that_fails_says_why(model):
    deploy()
    model.add_fault("cloudformation:DeleteResource", resource="Stage", message="still in use")
    with pytest.raises(StackFailedError, match="still in use"):
        delete()
    assert delete()["status"] == "deleted"


def test_a_deletion_waits_for_an_update_and_joins_another_deletion(model, client, monkeypatch):
    deploy()
    let_update_go = hold_up(model, "UpdateResource", "Method")
    deploy({"wait_for_completion": False}, request_mapping_template=SAFE)
    let_deletion_go = hold_up(model, "DeleteResource", "Method")

    first, second = deleter(wait_for_completion=False), deleter()
    waited = [
        let_go_when_waited_for(first.hook, let_update_go, monkeypatch),
        let_go_when_waited_for(second.hook, let_deletion_go, monkeypatch),
    ]
    begun = run(first)
    assert (begun["action"], run(second)["status"]) == ("delete", "deleted")
    assert waited == [["join"], ["delete"]]
    events = client("cloudformation").describe_stack_events(StackName=begun["stack_id"])["StackEvents"]
    told = [one["ResourceStatus"] for one in reversed(events) if one["LogicalResourceId"] == "front"]
    assert told[-3:] == ["UPDATE_COMPLETE", "DELETE_IN_PROGRESS", "DELETE_COMPLETE"]


def test_the_links_lead_to_stack_api_and_access_log(model):
    task = deployer()
    facts = run(task)
    links = {link.name: link.get_link(task, ti_key=None) for link in task.operator_extra_links}

    assert links.keys() == {"CloudFormation stack", "API Gateway", "Access log"}
    assert all(link.startswith("https://us-east-1.console.aws.amazon.com/") for link in links.values())
    assert facts["rest_api_id"] in links["API Gateway"]
    assert facts["log_group_name"] in links["Access log"]


def test_a_failed_deployment_links_to_its_stack_alone(model):
    model.add_fault("cloudformation:CreateResource", resource="Method")
    task = deployer()
    with pytest.raises(InferenceError):
        run(task)
    links = [link.get_link(task, ti_key=None) for link in task.operator_extra_links]
    assert [bool(link) for link in links] == [True, False, False]


def test_a_task_that_did_not_run_has_no_links():
    task = deployer()
    assert [link.get_link(task, ti_key=None) for link in task.operator_extra_links] == ["", "", ""]


def test_the_update_runs_while_the_old_api_serves(model, client):
    url = deploy()["url"]
    hold_up(model, "CreateResource", "*")
    deploy({"wait_for_completion": False}, request_mapping_template=SAFE)

    assert call(url)["status_code"] == 200
    (stack,) = client("cloudformation").describe_stacks(StackName="front")["Stacks"]
    assert stack["StackStatus"] == "UPDATE_IN_PROGRESS"
