"""Links to the stack, the API and the access log of an API Gateway front door, in AWS's console.

They are computed in the worker when a task ends, from what the task says of itself in ``link_facts``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

_DOMAINS = {"aws": "aws.amazon.com", "aws-cn": "amazonaws.cn", "aws-us-gov": "amazonaws-us-gov.com"}


def _facts(operator: Any) -> dict[str, Any]:
    """Give what the task knows of its stack; empty before it does."""
    found = getattr(operator, "link_facts", None)
    return dict(found) if isinstance(found, dict) else {}


def _console(stack_id: str) -> tuple[str, str]:
    """Give the console's URL for a stack's partition and region, and that region."""
    _, partition, _, region, *_ = stack_id.split(":")
    return f"https://{region}.console.{_DOMAINS.get(partition, 'aws.amazon.com')}", region


class StackLink(BaseOperatorLink):
    """The CloudFormation stack, with its events."""

    name = "CloudFormation stack"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Give the URL; empty where there is no stack yet."""
        stack_id = _facts(operator).get("stack_id")
        if not stack_id:
            return ""
        console, region = _console(stack_id)
        place = f"/cloudformation/home?region={region}#/stacks/events?stackId="
        return console + place + quote(stack_id, safe="")


class ApiLink(BaseOperatorLink):
    """The REST API."""

    name = "API Gateway"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Give the URL; empty where there is no API yet."""
        facts = _facts(operator)
        if not facts.get("stack_id") or not facts.get("rest_api_id"):
            return ""
        console, region = _console(facts["stack_id"])
        api_id = facts["rest_api_id"]
        return f"{console}/apigateway/main/apis/{api_id}/resources?api={api_id}&region={region}"


class AccessLogLink(BaseOperatorLink):
    """The API's access log in CloudWatch."""

    name = "Access log"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Give the URL; empty where there is no log yet."""
        facts = _facts(operator)
        if not facts.get("stack_id") or not facts.get("log_group_name"):
            return ""
        console, region = _console(facts["stack_id"])
        # The console encodes a group's name twice, with a dollar for the second percent sign.
        group = quote(quote(facts["log_group_name"], safe=""), safe="").replace("%", "$")
        return f"{console}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{group}"
