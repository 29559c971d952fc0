"""The policies of docs/permissions.md allow what the code and CloudFormation ask for."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from airflow_provider_aiml.local_aws.cloudformation import resource_types

PAGE = Path(__file__).parents[2] / "docs" / "permissions.md"
FOR_OVERRIDES = {"iam:AttachRolePolicy", "iam:DetachRolePolicy"}
NOT_MADE_LOCALLY = {"logs:DescribeLogGroups", "logs:TagResource", "logs:UntagResource"}


def cloudformations_block() -> str:
    """Give the policy that says what CloudFormation needs to make the stack."""
    _, _, after = PAGE.read_text().partition("What CloudFormation needs to make the stack")
    found = re.search(r"```json\n(.*?)```", after, re.DOTALL)
    assert found
    return found[1]


def allowed() -> set[str]:
    actions: set[str] = set()
    for statement in json.loads(cloudformations_block()):
        action = statement["Action"]
        actions |= {action} if isinstance(action, str) else set(action)
    return actions


def asked(service: str) -> set[str]:
    """Give the actions that the local CloudFormation asks of a service, for any step of any resource type."""
    model: Any = botocore.session.Session().create_client(
        service, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    operations = model.meta.method_to_api_mapping
    tree = ast.parse((Path(resource_types.__path__[0]) / f"{service}.py").read_text())
    called = {
        node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and hasattr(node.func, "attr")
    }
    return {f"{service}:{operations[name]}" for name in called & operations.keys()}


@pytest.mark.parametrize("service", ["iam", "logs"])
def test_cloudformation_may_do_what_the_local_one_does_of_a_service(service: str) -> None:
    wanted = asked(service)
    assert wanted
    assert wanted - FOR_OVERRIDES <= allowed()


def test_cloudformation_may_do_what_the_local_one_leaves_out() -> None:
    assert allowed() >= NOT_MADE_LOCALLY


@pytest.mark.parametrize("role", ["api_gateway_execution_role_arn", "account_logging_role"])
def test_the_page_names_each_role_of_the_users_that_must_be_passed(role: str) -> None:
    paragraphs = PAGE.read_text().split("\n\n")
    assert any("`iam:PassRole`" in one and f"`{role}`" in one for one in paragraphs)
