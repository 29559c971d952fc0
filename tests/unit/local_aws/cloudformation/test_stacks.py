"""CloudFormation's operations: stacks, change sets, roll-backs, and what is refused."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
from airflow_provider_aiml.local_aws.cloudformation.resource_types.logs import LogGroup
from botocore.exceptions import ClientError

GROUP = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/a"}}
OTHER = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/b"}}
BAD = {"Type": "AWS::Logs::LogGroup", "Properties": {"Nonsense": 1}}


def groups(client: Any) -> list[str]:
    return [one["logGroupName"] for one in client("logs").describe_log_groups()["logGroups"]]


def refusal(call: Any, *arguments: Any, **given: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(*arguments, **given)
    return str(raised.value)


def test_a_stack_is_made_described_and_deleted(stacks, client):
    outputs = {"Name": {"Value": {"Ref": "G"}, "Description": "d"}, "Arn": {"Value": {"Fn::GetAtt": "G.Arn"}}}
    more = {"Outputs": outputs, "Description": "what for"}
    assert stacks.create({"G": GROUP}, more=more, Tags=[{"Key": "a", "Value": "b"}]) == "CREATE_COMPLETE"

    stack = stacks.stack()
    assert {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]} == {
        "Name": "/a",
        "Arn": "arn:aws:logs:us-east-1:123456789012:log-group:/a:*",
    }
    assert (stack["Description"], stack["Tags"]) == ("what for", [{"Key": "a", "Value": "b"}])
    assert stacks.physical("G") == "/a"
    assert stacks.client.list_stack_resources(StackName="s")["StackResourceSummaries"][0]["ResourceStatus"]
    assert json.loads(json.dumps(stacks.client.get_template(StackName="s")["TemplateBody"]))["Resources"]
    assert stacks.delete() == "DELETE_COMPLETE"
    assert groups(client) == []
    assert "does not exist" in refusal(stacks.client.describe_stacks, StackName="s")
    assert (
        stacks.client.list_stacks(StackStatusFilter=["DELETE_COMPLETE"])["StackSummaries"][0]["StackName"]
        == "s"
    )
    stacks.client.delete_stack(StackName="s")


def test_functions_and_pseudo_parameters_are_put_in(stacks, client):
    name = {"Fn::Join": ["-", [{"Ref": "AWS::StackName"}, {"Fn::Sub": "${AWS::Region}-${!x}-${G}-${G.Arn}"}]]}
    user = {"Type": "AWS::ApiGateway::ApiKey", "Properties": {"Description": name, "Name": "key"}}
    stacks.create({"K": user, "G": GROUP})

    (key,) = client("apigateway").get_api_keys()["items"]
    arn = "arn:aws:logs:us-east-1:123456789012:log-group:/a:*"
    assert key["description"] == f"s-us-east-1-${{x}}-/a-{arn}"


@pytest.mark.parametrize(
    ("on_failure", "status", "left"),
    [
        ("ROLLBACK", "ROLLBACK_COMPLETE", []),
        ("DO_NOTHING", "CREATE_FAILED", ["/a"]),
        ("DELETE", "DELETE_COMPLETE", []),
    ],
)
def test_a_failed_creation_is_handled_as_asked(stacks, client, on_failure, status, left):
    given = {"StackName": "s", "OnFailure": on_failure, "Capabilities": []}
    body = json.dumps({"Resources": {"G": GROUP, "B": {**BAD, "DependsOn": "G"}}})
    stack_id = stacks.client.create_stack(TemplateBody=body, **given)["StackId"]

    assert stacks.settled(stack_id) == status
    assert groups(client) == left
    assert any("extraneous key [Nonsense]" in reason for reason in stacks.reasons(stack_id))


def test_a_missing_property_and_a_name_that_is_taken_fail_their_resource(stacks, client):
    client("logs").create_log_group(logGroupName="/a")
    stacks.create({"G": GROUP})
    stacks.create({"P": {"Type": "AWS::IAM::Policy", "Properties": {}}}, "t")

    assert "already exists" in stacks.reasons()[0]
    assert "required key [PolicyDocument] not found" in stacks.reasons("t")[0]


def test_a_rollback_that_cannot_delete_fails(aws, stacks):
    aws.add_fault("cloudformation:DeleteResource", resource="G", message="stuck")
    assert stacks.create({"G": GROUP, "B": {**BAD, "DependsOn": "G"}}) == "ROLLBACK_FAILED"
    assert stacks.delete() == "DELETE_COMPLETE"


@pytest.mark.parametrize("policy", ["Retain", "RetainExceptOnCreate"])
def test_what_is_kept_is_skipped(stacks, client, policy):
    stacks.create({"G": {**GROUP, "DeletionPolicy": policy}})
    assert stacks.delete() == "DELETE_COMPLETE"
    assert groups(client) == ["/a"]


@pytest.mark.parametrize(("policy", "left"), [("Retain", ["/a"]), ("RetainExceptOnCreate", [])])
def test_a_failed_operation_takes_back_what_it_made_unless_that_is_always_kept(stacks, client, policy, left):
    kept = {"DeletionPolicy": policy, "UpdateReplacePolicy": "Retain"}
    assert stacks.create({"G": {**GROUP, **kept}, "B": {**BAD, "DependsOn": "G"}}) == "ROLLBACK_COMPLETE"
    assert groups(client) == left
    stacks.delete()

    stacks.create({"R": OTHER})
    replaced = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/c"}, **kept}
    stacks.update({"R": replaced, "B": {**BAD, "DependsOn": "R"}})
    assert groups(client) == [*left, "/b", *(["/c"] if left else [])]


def test_a_replaced_resource_is_kept_by_a_policy_of_its_own(stacks, client):
    stacks.create({"G": {**GROUP, "DeletionPolicy": "Retain"}})
    stacks.update({"G": {**OTHER, "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}})
    stacks.update({"G": {**GROUP, "Properties": {"LogGroupName": "/c"}, "DeletionPolicy": "Retain"}})
    assert groups(client) == ["/a", "/c"]


@pytest.mark.parametrize("kept", [{}, {"UpdateReplacePolicy": "Retain"}], ids=["deleted", "kept"])
def test_the_end_of_a_replaced_resource_is_not_the_end_of_the_new_one(stacks, kept):
    stacks.create({"G": {**GROUP, **kept}})
    assert stacks.update({"G": {**OTHER, **kept}}) == "UPDATE_COMPLETE"

    (listed,) = stacks.client.list_stack_resources(StackName="s")["StackResourceSummaries"]
    assert (listed["PhysicalResourceId"], listed["ResourceStatus"]) == ("/b", "CREATE_COMPLETE")
    (newest, *_) = [
        one
        for one in stacks.client.describe_stack_events(StackName="s")["StackEvents"]
        if one["LogicalResourceId"] == "G"
    ]
    assert newest["PhysicalResourceId"] == "/a"


def test_what_is_gone_already_is_as_good_as_deleted(stacks, client):
    stacks.create({"G": GROUP})
    client("logs").delete_log_group(logGroupName="/a")
    assert stacks.delete() == "DELETE_COMPLETE"


def test_a_change_set_says_what_will_change_and_changes_it(stacks, client):
    stacks.create({"G": GROUP, "Gone": OTHER})
    renamed = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/c"}}
    kept = {"Type": "AWS::ApiGateway::ApiKey", "Properties": {"Name": {"Ref": "G"}}}
    described = stacks.change_set({"G": renamed, "New": kept})

    changes = [one["ResourceChange"] for one in described["Changes"]]
    assert [(one["Action"], one["LogicalResourceId"], one.get("Replacement")) for one in changes] == [
        ("Modify", "G", "True"),
        ("Add", "New", None),
        ("Remove", "Gone", None),
    ]
    assert changes[0]["Details"][0]["Target"]["RequiresRecreation"] == "Always"
    assert stacks.client.list_change_sets(StackName="s")["Summaries"][0]["ChangeSetName"] == "c"
    stacks.client.execute_change_set(ChangeSetName=described["ChangeSetId"], ClientRequestToken="t")
    stacks.client.execute_change_set(ChangeSetName=described["ChangeSetId"], ClientRequestToken="t")
    assert stacks.settled("s") == "UPDATE_COMPLETE"
    assert groups(client) == ["/c"]


def test_a_reference_to_what_is_replaced_is_a_change_too(stacks):
    key = {"Type": "AWS::ApiGateway::ApiKey", "Properties": {"Name": "k", "Description": {"Ref": "G"}}}
    stacks.create({"G": GROUP, "K": key})
    described = stacks.change_set({"G": OTHER, "K": key})
    group, referring = [one["ResourceChange"] for one in described["Changes"]]
    assert (group["Replacement"], referring["Replacement"]) == ("True", "False")
    assert (referring["Details"][0]["Evaluation"], referring["Details"][0]["CausingEntity"]) == (
        "Static",
        "G",
    )


def test_what_refers_to_an_attribute_of_a_changed_resource_may_change(stacks):
    api = {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "a"}}
    segments = {
        name: {
            "Type": "AWS::ApiGateway::Resource",
            "Properties": {"RestApiId": {"Ref": "A"}, "ParentId": parent, "PathPart": "p"},
        }
        for name, parent in (("R", {"Fn::GetAtt": ["A", "RootResourceId"]}), ("S", {"Ref": "R"}))
    }
    stacks.create({"A": api, **segments})
    described = stacks.change_set({"A": {**api, "Properties": {"Name": "b"}}, **segments})

    found = {
        one["ResourceChange"]["LogicalResourceId"]: one["ResourceChange"] for one in described["Changes"]
    }
    assert {name: one["Replacement"] for name, one in found.items()} == {
        "A": "False",
        "R": "Conditional",
        "S": "Conditional",
    }
    parent = {"Attribute": "Properties", "Name": "ParentId", "RequiresRecreation": "Always"}
    dynamic = {"Target": parent, "Evaluation": "Dynamic"}
    assert [found[name]["Details"] for name in ("R", "S")] == [
        [{**dynamic, "ChangeSource": "ResourceAttribute", "CausingEntity": "A.RootResourceId"}],
        [{**dynamic, "ChangeSource": "ResourceReference", "CausingEntity": "R"}],
    ]
    stacks.client.execute_change_set(StackName="s", ChangeSetName="c")
    assert stacks.settled("s") == "UPDATE_COMPLETE"
    events = stacks.client.describe_stack_events(StackName="s")["StackEvents"]
    assert {one["LogicalResourceId"] for one in events if "UPDATE" in one["ResourceStatus"]} == {"s", "A"}


def test_a_template_that_changes_nothing_fails_its_change_set(stacks):
    stacks.create({"G": GROUP})
    described = stacks.change_set({"G": GROUP})
    assert described["Status"] == "FAILED"
    assert "didn't contain changes" in described["StatusReason"]
    message = refusal(stacks.client.execute_change_set, StackName="s", ChangeSetName="c")
    assert "execution status of [UNAVAILABLE]" in message
    stacks.client.delete_change_set(StackName="s", ChangeSetName="c")
    assert "does not exist" in refusal(stacks.client.describe_change_set, StackName="s", ChangeSetName="c")


def test_a_change_of_tags_or_outputs_alone_is_a_change(stacks):
    stacks.create({"G": GROUP})
    assert stacks.update({"G": GROUP}, Tags=[{"Key": "a", "Value": "b"}]) == "UPDATE_COMPLETE"
    assert stacks.stack()["Tags"] == [{"Key": "a", "Value": "b"}]
    assert stacks.update({"G": GROUP}, more={"Outputs": {"X": {"Value": "y"}}}) == "UPDATE_COMPLETE"
    assert stacks.stack()["Outputs"][0]["OutputValue"] == "y"


def test_a_failed_update_makes_the_stack_what_it_was(stacks, client):
    retained = {**GROUP, "Properties": {"LogGroupName": "/a", "RetentionInDays": 7}}
    key = {"Type": "AWS::ApiGateway::ApiKey", "Properties": {"Name": "k", "Enabled": True}}
    stacks.create({"G": GROUP, "R": OTHER, "K": key})
    replaced = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/r"}}
    off = {**key, "Properties": {"Name": "k", "Enabled": False}}
    bad = {**BAD, "DependsOn": ["G", "R", "K", "New"]}
    new = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/new"}}

    status = stacks.update({"G": retained, "R": replaced, "K": off, "New": new, "B": bad})
    assert status == "UPDATE_ROLLBACK_COMPLETE"
    assert groups(client) == ["/a", "/b"]
    assert "retentionInDays" not in client("logs").describe_log_groups()["logGroups"][0]
    assert client("apigateway").get_api_keys()["items"][0]["enabled"] is True
    assert stacks.update({"G": retained, "R": OTHER, "K": off}) == "UPDATE_COMPLETE"


def test_a_rollback_of_an_update_that_cannot_go_back_fails(aws, stacks):
    key = {"Type": "AWS::ApiGateway::ApiKey", "Properties": {"Name": "k", "Enabled": True}}
    stacks.create({"K": key, "G": GROUP})
    off = {**key, "Properties": {"Name": "k", "Enabled": False}}
    stacks.change_set({"K": off, "G": GROUP, "B": {**BAD, "DependsOn": "K"}})
    held_up = aws.add_fault("cloudformation:CreateResource", "delay", resource="B", seconds=3600)
    stacks.client.execute_change_set(StackName="s", ChangeSetName="c")
    stacks.reaches("B", "CREATE_IN_PROGRESS")
    aws.add_fault("cloudformation:UpdateResource", resource="K", message="no way back")
    aws.remove_fault(held_up)

    assert stacks.settled("s") == "UPDATE_ROLLBACK_FAILED"
    assert stacks.reasons()[:2] == ["The following resource(s) failed to update: [K].", "no way back"]


def test_a_resource_of_another_type_takes_the_place_of_the_old_one(stacks, client):
    stacks.create({"X": GROUP})
    assert stacks.update({"X": {"Type": "AWS::ApiGateway::ApiKey", "Properties": {"Name": "k"}}})
    assert groups(client) == []


def test_a_failure_to_clean_up_is_an_event_and_no_failure(aws, stacks):
    stacks.create({"G": GROUP, "R": OTHER})
    aws.add_fault("cloudformation:DeleteResource", resource="R", message="stuck")
    assert stacks.update({"G": GROUP}) == "UPDATE_COMPLETE"
    assert stacks.reasons()[0] == "stuck"


def test_an_unknown_attribute_fails_the_creation(stacks):
    more = {"Outputs": {"X": {"Value": {"Fn::GetAtt": ["G", "Colour"]}}}}
    assert stacks.create({"G": GROUP}, more=more) == "ROLLBACK_COMPLETE"


def test_a_stack_that_rolled_back_can_only_be_deleted(stacks):
    stacks.create({"B": BAD})
    assert "ROLLBACK_COMPLETE state and can not be updated" in refusal(stacks.change_set, {"G": GROUP})
    assert stacks.delete() == "DELETE_COMPLETE"


def test_one_operation_at_a_time(aws, stacks):
    stacks.create({"G": GROUP})
    held_up = aws.add_fault("cloudformation:CreateResource", "delay", resource="R", seconds=3600)
    stacks.change_set({"G": GROUP, "R": OTHER})
    stacks.client.create_change_set(
        StackName="s", ChangeSetName="d", TemplateBody=json.dumps({"Resources": {"R": OTHER}})
    )
    stacks.client.execute_change_set(StackName="s", ChangeSetName="c")

    assert "can not be updated" in refusal(stacks.change_set, {"G": GROUP})
    assert "can not be deleted" in refusal(stacks.client.delete_stack, StackName="s")
    assert "does not exist" in refusal(stacks.client.execute_change_set, StackName="s", ChangeSetName="d")
    aws.remove_fault(held_up)
    assert stacks.settled("s") == "UPDATE_COMPLETE"


def test_a_creation_can_be_deleted_while_it_runs(aws, stacks):
    aws.add_fault("cloudformation:CreateResource", "delay", resource="G", seconds=30)
    stack_id = stacks.client.create_stack(
        StackName="s", TemplateBody=json.dumps({"Resources": {"G": GROUP}})
    )["StackId"]
    stacks.client.delete_stack(StackName="s")
    stacks.client.delete_stack(StackName="s")
    assert stacks.settled(stack_id) == "DELETE_COMPLETE"


def test_a_reset_forgets_what_is_under_way(aws, stacks):
    aws.add_fault("cloudformation:CreateResource", "delay", resource="G", seconds=30)
    stacks.client.create_stack(StackName="s", TemplateBody=json.dumps({"Resources": {"G": GROUP}}))
    aws.reset()
    assert stacks.client.describe_stacks()["Stacks"] == []


def test_a_reset_waits_for_the_resource_that_is_being_made(aws, stacks, client, monkeypatch):
    under_way, go_on, made = threading.Event(), threading.Event(), threading.Event()
    create = LogGroup.create

    def slowly(*given):
        under_way.set()
        go_on.wait(60)
        try:
            return create(*given)
        finally:
            made.set()

    monkeypatch.setattr(LogGroup, "create", slowly)
    stacks.client.create_stack(StackName="s", TemplateBody=json.dumps({"Resources": {"G": GROUP}}))
    assert under_way.wait(60)
    with ThreadPoolExecutor(1) as beside:
        reset = beside.submit(aws.reset)
        wait({reset}, timeout=0.5)
        go_on.set()
        reset.result()

    assert made.wait(60)
    assert groups(client) == []


def test_the_same_token_makes_one_stack(stacks):
    body = json.dumps({"Resources": {"G": GROUP}})
    first = stacks.client.create_stack(StackName="s", TemplateBody=body, ClientRequestToken="t")
    again = stacks.client.create_stack(StackName="s", TemplateBody=body, ClientRequestToken="t")
    assert first["StackId"] == again["StackId"]
    assert "already exists" in refusal(stacks.client.create_stack, StackName="s", TemplateBody=body)
    stacks.settled("s")
    events = stacks.client.describe_stack_events(StackName="s")["StackEvents"]
    assert {one["ClientRequestToken"] for one in events} == {"t"}


def test_a_change_set_may_create_a_stack(stacks, client):
    stacks.change_set({"G": GROUP}, ChangeSetType="CREATE")
    assert stacks.stack()["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert "does not exist" in refusal(stacks.change_set, {"G": GROUP})
    again = refusal(stacks.change_set, {"G": GROUP}, ChangeSetType="CREATE")
    assert "ChangeSet c already exists" in again
    stacks.client.execute_change_set(StackName="s", ChangeSetName="c")
    assert stacks.settled("s") == "CREATE_COMPLETE"
    message = refusal(stacks.change_set, {"G": GROUP}, ChangeSetType="CREATE")
    assert "cannot be created again" in message


def test_long_histories_come_in_pages(stacks):
    stacks.create({f"K{n}": {"Type": "AWS::ApiGateway::ApiKey", "Properties": {}} for n in range(60)})
    pages = list(stacks.client.get_paginator("describe_stack_events").paginate(StackName="s"))
    assert len(pages) == 2
    assert sum(len(page["StackEvents"]) for page in pages) == 122


def group(**more: Any) -> dict[str, Any]:
    return {"Type": "AWS::Logs::LogGroup", **more}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("Resources: {}", "JSON only"),
        ([], "At least one Resources member"),
        ({"Resources": {}}, "At least one Resources member"),
        ({"Resources": {"A": {"Type": "AWS::S3::Bucket"}}}, "Unrecognized resource types: [AWS::S3::Bucket]"),
        (
            {"Resources": {"A": group(Properties={"LogGroupName": {"Ref": "B"}})}},
            "Unresolved resource dependencies [B] in the Resources",
        ),
        (
            {"Resources": {"A": group()}, "Outputs": {"O": {"Value": {"Ref": "B"}}}},
            "Unresolved resource dependencies [B] in the Outputs",
        ),
        (
            {"Resources": {"A": group(DependsOn="B"), "B": group(DependsOn=["A"])}},
            "Circular dependency between resources: [A, B]",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_template_that_cannot_be_read_is_refused(stacks, template, message):
    template = template if isinstance(template, str) else json.dumps(template)
    assert message in refusal(stacks.client.create_stack, StackName="s", TemplateBody=template)
    assert message in refusal(stacks.client.validate_template, TemplateBody=template)


def test_an_unknown_function_fails_its_resource(stacks):
    odd = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": {"Fn::Select": [0, ["a"]]}}}
    assert stacks.create({"G": odd}) == "ROLLBACK_COMPLETE"
    assert "does not know Fn::Select" in stacks.reasons()[0]


def test_roles_need_their_capability(stacks, role):
    named = {**role, "Properties": {**role["Properties"], "RoleName": "mine"}}
    validate = stacks.client.validate_template
    for resource, capability in ((role, "CAPABILITY_IAM"), (named, "CAPABILITY_NAMED_IAM")):
        body = json.dumps({"Resources": {"R": resource}})
        assert validate(TemplateBody=body)["Capabilities"] == [capability]
        assert capability in refusal(stacks.client.create_stack, StackName="s", TemplateBody=body)
    assert stacks.create({"R": role}, Capabilities=["CAPABILITY_NAMED_IAM"]) == "CREATE_COMPLETE"


def test_an_unknown_action_and_an_invalid_member_are_refused(stacks):
    assert "InvalidAction" in refusal(stacks.client.detect_stack_drift, StackName="s")
    body = json.dumps({"Resources": {"G": GROUP}})
    given = {"StackName": "s", "ChangeSetName": "1 bad", "TemplateBody": body}
    assert "failed to satisfy constraint" in refusal(stacks.client.create_change_set, **given)
