"""The hook for an API Gateway in front of a SageMaker endpoint: deployed, described, called, deleted."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

from airflow_provider_aiml.endpoint_api import logical_ids as ids
from airflow_provider_aiml.exceptions import StackFailedError
from airflow_provider_aiml.hooks.api_calls import ApiCallsMixin
from airflow_provider_aiml.hooks.stack_calls import Operation, StackCallsMixin, operation_token
from airflow_provider_aiml.inference.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from botocore.config import Config

    from airflow_provider_aiml.endpoint_api import EndpointApi

__all__ = ["ApiGatewaySageMakerHook"]

DEFAULT_CAPABILITIES = ("CAPABILITY_IAM",)


class ApiGatewaySageMakerHook(ApiCallsMixin, StackCallsMixin, AwsBaseHook):
    """Deploy, describe, call and delete the API in front of an endpoint.

    :param aws_conn_id: the Airflow connection of type ``aws``; None takes boto3's default chain. Default:
        ``aws_default``, the only one that may be missing.
    :param region_name: the AWS region; default: the connection's, else the environment's.
    :param verify: False, or the path of a CA bundle, for TLS; default: the connection's.
    :param config: botocore's settings, for CloudFormation and its like; of them :meth:`invoke` heeds proxies,
        certificates and ``connect_timeout``, and ``retries`` as the most attempts.
    :param validate: False leaves the check of :meth:`invoke`'s arguments out; a URL it must be all the same.
        Default: True.
    :param retry_args: ``attempts``, ``base`` and ``cap`` of
        :class:`~airflow_provider_aiml.inference.retry.RetryPolicy`, for :meth:`invoke`.
    :param log_payloads: let AWS's libraries write payloads to DEBUG logs. Default: False.
    :param quote_model_errors: put the API's messages, at most 2 KB, into errors. Default: True.
    :raises RequestError: ``retry_args`` or ``config`` cannot be used.

    .. seealso:: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-rest-api.html
    """

    client_type = "cloudformation"

    def __init__(
        self,
        aws_conn_id: str | None = StackCallsMixin.default_conn_name,
        *,
        region_name: str | None = None,
        verify: bool | str | None = None,
        config: Mapping[str, Any] | Config | None = None,
        validate: bool | Collection[str] = True,
        retry_args: Mapping[str, Any] | None = None,
        log_payloads: bool = False,
        quote_model_errors: bool = True,
    ) -> None:
        super().__init__(aws_conn_id, region_name=region_name, verify=verify, config=config)
        RetryPolicy.from_args(retry_args)
        self.retry_args = retry_args
        self.validate = validate
        self.log_payloads = log_payloads
        self.quote_model_errors = quote_model_errors

    def deploy(
        self,
        stack_name: str,
        api: EndpointApi,
        *,
        role_arn: str | None = None,
        capabilities: Sequence[str] = DEFAULT_CAPABILITIES,
        replace_failed: bool = False,
        check_endpoint: bool = True,
        waiter_delay: float = 10,
        wait_timeout: float | None = 3600,
    ) -> dict[str, Any]:
        """Bring a stack to what an API says, and wait for it.

        :param stack_name: the CloudFormation stack.
        :param api: what to deploy.
        :param role_arn: a role for CloudFormation to work as. Default: the caller's own identity.
        :param capabilities: what the stack may do; a role with a name of yours needs CAPABILITY_NAMED_IAM.
        :param replace_failed: delete a stack that is stuck in ROLLBACK_COMPLETE or so, and make it anew.
        :param check_endpoint: refuse an endpoint that does not exist. Default: True.
        :param waiter_delay: seconds between two looks. Default: 10.
        :param wait_timeout: seconds to wait in all; None waits for ever. Default: 3,600.
        :return: as :meth:`describe`, with ``action`` (``created``, ``updated``, ``unchanged``), ``changes``.
        :raises StackFailedError: it failed, with the reasons; an API that was there before goes on serving.
        :raises RequestError: it cannot be deployed; the stack was not touched.
        """
        self.check_deploy(api, check_endpoint=check_endpoint)
        deadline = None if wait_timeout is None else time.time() + wait_timeout
        # There is no identity that a repeated call would share, so it takes no running operation for its own.
        token = operation_token(stack_name, uuid.uuid4(), attempt=1)
        while True:
            operation = self.begin_deploy(
                stack_name,
                api,
                token=token,
                capabilities=capabilities,
                role_arn=role_arn,
                replace_failed=replace_failed,
            )
            if operation.action != "none":
                self.wait(operation, delay=waiter_delay, deadline=deadline)
            if operation.action in ("create", "update", "none"):
                return self.deployed(stack_name, operation, api)
            self.step_over(operation, stack_name, deadline)

    def check_deploy(self, api: EndpointApi, *, check_endpoint: bool = True) -> None:
        """Do all that can be checked before the stack is touched.

        :raises RequestError: a mapping template is wrong.
        :raises EndpointNotReadyError: the endpoint does not exist.
        """
        api.check_templates()
        if check_endpoint:
            self.check_endpoint(api.endpoint_name)

    def deployed(self, stack_name: str, operation: Operation, api: EndpointApi) -> dict[str, Any]:
        """Give the result of a deployment that is over.

        :raises StackFailedError: it failed.
        """
        changes = operation.changes if operation.action == "none" else self.changes_of(operation, stack_name)
        result = self.describe(stack_name)
        if api.log_group_name and result.get("log_group_name") != api.log_group_name:
            changes = [*changes, *self.adopt_log_group(api)]
        actions = {"create": "created", "update": "updated", "none": "updated" if changes else "unchanged"}
        if api.api_gateway_execution_role_arn:
            result["invoke_role_arn"] = api.api_gateway_execution_role_arn
        if api.log_group_name:
            result.setdefault("log_group_name", api.log_group_name)
        return {**result, "action": actions[operation.action], "changes": changes}

    def describe(self, stack_name: str) -> dict[str, Any]:
        """Say what a stack of ours is: never a key, only its id.

        :param stack_name: the stack's name.
        :return: ``url``, ``rest_api_id``, ``stage_name``, ``invoke_role_arn``, ``cloudwatch_role_arn``,
            ``log_group_name``, ``usage_plan_id``, ``api_key_id`` (those that there are), ``stack_id``,
            ``stack_name`` and ``status``.
        :raises StackFailedError: there is no such stack.
        """
        stack = self.stack(stack_name)
        if stack is None:
            raise StackFailedError(f"There is no stack {stack_name} in this account and region")
        held = self.physical_ids(stack["StackId"])
        outputs = {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}
        account = ":".join(stack["StackId"].split(":")[:2]) + ":iam::" + stack["StackId"].split(":")[4]
        roles = {
            "invoke_role_arn": ("InvokeRoleArn", ids.INVOKE_ROLE),
            "cloudwatch_role_arn": ("CloudWatchRoleArn", ids.CLOUDWATCH_ROLE),
        }
        facts: dict[str, Any] = {
            "url": outputs.get("Url"),
            "rest_api_id": held.get(ids.REST_API),
            "stage_name": held.get(ids.STAGE),
            "log_group_name": held.get(ids.LOG_GROUP),
            "usage_plan_id": held.get(ids.USAGE_PLAN),
            "api_key_id": held.get(ids.API_KEY),
        }
        for name, (output, role) in roles.items():
            by_name = f"{account}:role/{held[role]}" if role in held else None
            facts[name] = outputs.get(output) or by_name
        facts |= {"stack_id": stack["StackId"], "stack_name": stack["StackName"]}
        return {name: value for name, value in facts.items() if value} | {"status": stack["StackStatus"]}

    def delete(
        self,
        stack_name: str,
        *,
        role_arn: str | None = None,
        waiter_delay: float = 10,
        wait_timeout: float | None = 3600,
    ) -> dict[str, Any]:
        """Delete a stack and wait for it; one that is not there is as good as deleted.

        :param stack_name: the stack's name.
        :param role_arn: the role that CloudFormation works as; None: the one that the stack has, or the
            connection's own identity.
        :param waiter_delay: seconds between two looks.
        :param wait_timeout: seconds to wait at most; None waits as long as it takes.
        :return: ``stack_name``, ``status`` (``deleted`` or ``absent``), ``kept``, the resources that outlive
            it, and ``stack_id`` where one was deleted.
        :raises StackFailedError: something could not be deleted, with the reasons.
        """
        deadline = None if wait_timeout is None else time.time() + wait_timeout
        token = operation_token(stack_name, uuid.uuid4(), attempt=1)
        while True:
            operation = self.begin_delete(stack_name, token=token, role_arn=role_arn)
            if operation.action == "none":
                return self.deleted(stack_name, operation)
            self.wait(operation, delay=waiter_delay, deadline=deadline)
            if operation.action == "delete":
                return self.deleted(stack_name, operation)
            self.step_over(operation, stack_name, deadline)

    def deleted(self, stack_name: str, operation: Operation) -> dict[str, Any]:
        """Give the result of a deletion that is over.

        :raises StackFailedError: it failed.
        """
        if operation.action == "none":
            return {"stack_name": stack_name, "status": "absent", "kept": []}
        kept = self.kept_by(operation, stack_name)
        return {"stack_name": stack_name, "status": "deleted", "kept": kept, "stack_id": operation.stack_id}
