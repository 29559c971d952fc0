"""The integration with SageMaker Runtime: the call as a role, and the choice of a response."""

from __future__ import annotations

import asyncio
import fnmatch
import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from airflow_provider_aiml.local_aws.cloudformation.stack import ACCOUNT
from airflow_provider_aiml.local_aws.execute_api.refusals import RefusedError, failed
from airflow_provider_aiml.local_aws.messages import Answer, ConnectionDroppedError, Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from airflow_provider_aiml.local_aws.moto_clients import MotoClients

__all__ = ["call_sagemaker", "choose_response", "role_may_invoke"]

_URI = re.compile(r"arn:aws[\w-]*:apigateway:[\w-]+:runtime\.sagemaker:path/+(endpoints/([^/]+)/invocations)")
_LONGEST = 29.0


async def call_sagemaker(
    integration: Mapping[str, Any],
    body: str,
    headers: dict[str, str],
    region: str,
    *,
    may: Callable[[str, str], Awaitable[bool]],
    send: Callable[[Request], Awaitable[Answer]],
) -> Answer:
    """Make the call.

    :param headers: those that the integration maps.
    :param may: says whether a role may invoke an endpoint, by their ARNs.
    :param send: the local AWS's front.
    :raises RefusedError: wrongly set up, timed out, or the connection broke.
    """
    uri = _URI.fullmatch(integration.get("uri") or "")
    role = integration.get("credentials")
    if uri is None or not role or integration.get("type") != "AWS":
        raise failed()
    endpoint = f"arn:aws:sagemaker:{region}:{ACCOUNT}:endpoint/{unquote(uri[2]).lower()}"
    if not await may(role, endpoint):
        who = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role.rpartition('/')[2]}/BackplaneAssumeRoleSession"
        what = f"is not authorized to perform: sagemaker:InvokeEndpoint on resource: {endpoint}"
        denied = {"Message": f"User: {who} {what}"}
        return Answer(403, [("Content-Type", "application/json")], json.dumps(denied).encode())
    scope = f"AWS4-HMAC-SHA256 Credential={role}/20200101/{region}/sagemaker/aws4_request"
    request = Request(
        "POST",
        f"/{uri[1]}",
        "",
        {"host": "127.0.0.1", "authorization": scope, **headers},
        (),
        body.encode(),
    )
    seconds = float(integration.get("timeoutInMillis") or _LONGEST * 1000) / 1000
    try:
        return await asyncio.wait_for(send(request), seconds)
    except TimeoutError:
        raise RefusedError(504, "Endpoint request timed out", "InternalServerErrorException") from None
    except ConnectionDroppedError:
        message = "Network error communicating with endpoint"
        raise RefusedError(504, message, "InternalServerErrorException") from None


def role_may_invoke(clients: MotoClients, role_arn: str, endpoint_arn: str) -> bool:
    """Say whether a role's inline policies let it invoke an endpoint; for worker threads.

    :raises RefusedError: there is no such role, or API Gateway may not assume it.
    """
    from botocore.exceptions import ClientError

    iam, name = clients.get("iam", "us-east-1"), role_arn.rpartition("/")[2]
    try:
        role = iam.get_role(RoleName=name)["Role"]
    except ClientError:
        raise failed() from None
    if "apigateway.amazonaws.com" not in json.dumps(role["AssumeRolePolicyDocument"]):
        raise failed()
    effects = {
        statement["Effect"]
        for document in _policies(iam, name)
        for statement in _listed(document["Statement"])
        if _fits(_lower(statement.get("Action")), "sagemaker:invokeendpoint")
        and _fits(_listed(statement.get("Resource")), endpoint_arn)
    }
    return effects == {"Allow"}


def _policies(iam: Any, role: str) -> Iterator[Any]:
    """Read a role's inline policies; one that is deleted meanwhile, by an update's end, is none any more."""
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        with suppress(iam.exceptions.NoSuchEntityException):
            yield iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _lower(actions: Any) -> list[str]:
    """Give actions in lower case: IAM compares them so, and resources with their case."""
    return [str(action).lower() for action in _listed(actions)]


def _fits(patterns: list[Any], value: str) -> bool:
    return any(fnmatch.fnmatchcase(value, str(pattern)) for pattern in patterns)


def choose_response(integration: Mapping[str, Any], status: int) -> dict[str, Any]:
    """Choose the integration response whose pattern fits the status; the default is the one without.

    :raises RefusedError: there is no default.
    """
    responses = list((integration.get("integrationResponses") or {}).values())
    for response in responses:
        pattern = response.get("selectionPattern")
        if pattern and re.fullmatch(pattern, str(status)):
            return dict(response)
    for response in responses:
        if not response.get("selectionPattern"):
            return dict(response)
    raise failed()
