"""What is seen to before a stack is touched: the endpoint, the account's logging role, a log group left."""

from __future__ import annotations

import logging
from abc import abstractmethod
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from airflow_provider_aiml.endpoint_api import Surroundings
from airflow_provider_aiml.endpoint_api import logical_ids as ids
from airflow_provider_aiml.exceptions import (
    EndpointNotReadyError,
    InferenceError,
    Problem,
    RequestError,
    ServiceRefusedError,
    raise_alone,
)
from airflow_provider_aiml.hooks.aws_client import (
    ApiGatewayControlHook,
    AwsClientMixin,
    LogsHook,
    SageMakerControlHook,
)
from airflow_provider_aiml.inference.errors import translate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_aiml.endpoint_api import EndpointApi

__all__ = ["DeployChecksMixin", "aws_errors"]

log = logging.getLogger(__name__)

_REFUSALS = (
    "AlreadyExistsException",
    "ChangeSetNotFound",
    "InsufficientCapabilitiesException",
    "InvalidChangeSetStatus",
    "TokenAlreadyExistsException",
    "ValidationError",
    "BadRequestException",
)


@contextmanager
def aws_errors(operation: str, service: str = "cloudformation") -> Iterator[None]:
    """Turn botocore's errors into ours; a template is no payload, so the service's words are quoted."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        failure = _explained(error, operation, service)
    else:
        return
    raise_alone(failure)


def _explained(error: ClientError | BotoCoreError, operation: str, service: str) -> InferenceError:
    facts = error.response["Error"] if isinstance(error, ClientError) else {}
    code, message = facts.get("Code", ""), facts.get("Message", "")
    if code in _REFUSALS:
        hint = "name it in capabilities" if code == "InsufficientCapabilitiesException" else None
        return ServiceRefusedError(f"{operation}: {message}", code=code, hint=hint)
    failure = translate(error, operation=operation, service=service, quote_service_messages=True)
    failure.may_have_been_billed = False
    return failure


def _logs(api: EndpointApi) -> bool:
    """Say whether the stage, overrides included, writes an access log or an execution log."""
    stage = api.template()["Resources"][ids.STAGE]["Properties"]
    levels = [one.get("LoggingLevel", "OFF") for one in stage.get("MethodSettings", [])]
    return bool(stage.get("AccessLogSetting")) or any(level != "OFF" for level in levels)


class DeployChecksMixin(AwsClientMixin):
    """The checks before a deployment."""

    @abstractmethod
    def physical_ids(self, name: str) -> dict[str, str]:
        """Give the physical ids of a stack's resources by their logical ids."""

    def surroundings(self, api: EndpointApi, stack: Mapping[str, Any] | None) -> Surroundings:
        """Look for what the template depends on: the account's logging role, and a log group left behind.

        :param stack: the stack's description; None where there is none.
        :raises RequestError: ``account_logging_role="leave"``, the account has none, and the stage logs.

        .. seealso:: https://docs.aws.amazon.com/apigateway/latest/api/API_GetAccount.html
        """
        held = self.physical_ids(stack["StackId"]) if stack else {}
        role = False
        if api.account_logging_role in ("if_missing", "leave"):
            gateway: Any = ApiGatewayControlHook.beside(self).conn
            with aws_errors("GetAccount", "apigateway"):
                role = bool(gateway.get_account().get("cloudwatchRoleArn"))
        if api.account_logging_role == "leave" and not role and _logs(api):
            found = "leave, while the account has no logging role in this region, so no stage can log"
            allowed = "if_missing, create, or a role's ARN; or a stage without logs"
            problem = Problem("account_logging_role", found, allowed)
            raise RequestError("The API cannot be deployed", problems=(problem,))
        # A setting without a role of the stack's own is one that it was told by ARN: theirs, not ours.
        made_role = {ids.ACCOUNT, ids.CLOUDWATCH_ROLE} <= held.keys()
        # The stack may hold a group of another name, which it had made before the API's was changed.
        group = api.log_group_name is not None and held.get(ids.LOG_GROUP) != api.log_group_name
        return Surroundings(
            has_logging_role=role and not made_role,
            has_log_group=group and self._log_group(str(api.log_group_name)) is not None,
        )

    def _log_group(self, name: str) -> dict[str, Any] | None:
        with aws_errors("DescribeLogGroups", "logs"):
            found = self._logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        return next((one for one in found if one["logGroupName"] == name), None)

    @cached_property
    def _logs(self) -> Any:
        return LogsHook.beside(self).conn

    def adopt_log_group(self, api: EndpointApi) -> list[dict[str, str]]:
        """Give a log group that was there before the stack the retention that is asked for, if any.

        The stack does not hold it, so CloudFormation would not. A shorter retention takes entries away for
        good, so this is for a deployment that has succeeded.

        :return: the change, as a result's ``changes`` has it; nothing where there is none.

        .. seealso::
            https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
        """
        name, days = str(api.log_group_name), api.log_retention_days
        group = None if days is None else self._log_group(name)
        if group is None or group.get("retentionInDays") == days:
            return []
        with aws_errors("PutRetentionPolicy", "logs"):
            self._logs.put_retention_policy(logGroupName=name, retentionInDays=days)
        log.info("The log group %s was there before the stack; it now keeps %d days", name, days)
        return [{"resource": ids.LOG_GROUP, "type": "AWS::Logs::LogGroup", "action": "updated"}]

    def check_endpoint(self, name: str) -> None:
        """Refuse to put an API before an endpoint that is not there.

        :raises EndpointNotReadyError: there is none of that name.
        """
        client: Any = SageMakerControlHook.beside(self).conn
        try:
            with aws_errors("DescribeEndpoint", "sagemaker"):
                status = client.describe_endpoint(EndpointName=name)["EndpointStatus"]
        except InferenceError as error:
            absent = "could not find endpoint" in str(error).lower()
            if not absent:
                error.hint = f"{error.hint or 'look at the cause'}; check_endpoint=False leaves this out"
                raise
            status = None
        if status is None:
            raise EndpointNotReadyError(
                f"There is no endpoint {name} in this account and region",
                hint="create it first, or set check_endpoint=False",
            )
        if status != "InService":
            log.warning(
                "The endpoint %s is %s; until it is InService, the API answers with errors", name, status
            )
