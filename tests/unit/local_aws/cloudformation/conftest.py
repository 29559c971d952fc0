from __future__ import annotations

import json
import time
from typing import Any

import pytest

ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "apigateway.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
    },
}


class Stacks:
    """CloudFormation through boto3, with waiting."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def create(self, resources: dict[str, Any], name: str = "s", **given: Any) -> str:
        body = json.dumps({"Resources": resources, **given.pop("more", {})})
        given.setdefault("Capabilities", ["CAPABILITY_NAMED_IAM"])
        self.client.create_stack(StackName=name, TemplateBody=body, **given)
        return self.settled(name)

    def update(self, resources: dict[str, Any], name: str = "s", **given: Any) -> str:
        self.change_set(resources, name, **given)
        self.client.execute_change_set(StackName=name, ChangeSetName="c")
        return self.settled(name)

    def change_set(self, resources: dict[str, Any], name: str = "s", **given: Any) -> dict[str, Any]:
        body = json.dumps({"Resources": resources, **given.pop("more", {})})
        given.setdefault("Capabilities", ["CAPABILITY_NAMED_IAM"])
        self.client.create_change_set(StackName=name, ChangeSetName="c", TemplateBody=body, **given)
        return dict(self.client.describe_change_set(StackName=name, ChangeSetName="c"))

    def delete(self, name: str = "s") -> str:
        stack_id = self.stack(name)["StackId"]
        self.client.delete_stack(StackName=name)
        return self.settled(stack_id)

    def settled(self, name: str) -> str:
        for _ in range(1_800):
            status = str(self.stack(name)["StackStatus"])
            if not status.endswith("_IN_PROGRESS"):
                return status
            time.sleep(0.05)
        raise AssertionError(status)

    def reaches(self, logical: str, status: str, name: str = "s") -> None:
        for _ in range(1_800):
            events = self.client.describe_stack_events(StackName=name)["StackEvents"]
            if (logical, status) in {(one["LogicalResourceId"], one["ResourceStatus"]) for one in events}:
                return
            time.sleep(0.05)
        raise AssertionError(logical)

    def stack(self, name: str = "s") -> dict[str, Any]:
        return dict(self.client.describe_stacks(StackName=name)["Stacks"][0])

    def physical(self, logical: str, name: str = "s") -> str:
        (one,) = self.client.describe_stack_resources(StackName=name, LogicalResourceId=logical)[
            "StackResources"
        ]
        return str(one["PhysicalResourceId"])

    def reasons(self, name: str = "s") -> list[str]:
        events = self.client.describe_stack_events(StackName=name)["StackEvents"]
        return [one["ResourceStatusReason"] for one in events if one["ResourceStatus"].endswith("_FAILED")]


@pytest.fixture
def stacks(aws: Any, client: Any) -> Stacks:
    return Stacks(client("cloudformation"))


@pytest.fixture
def role() -> dict[str, Any]:
    return json.loads(json.dumps(ROLE))
