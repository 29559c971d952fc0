"""What the operators share that work on a CloudFormation stack: one step, one wait, and on from there.

A step looks at the stack and does the next thing. So a task that was killed, or whose operation somebody else
holds up, goes on from what is there and not from what it remembers.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow_provider_aiml.aws_task import (
    AwsTask,
    deferrable_default,
    deferral_timeout,
    task_identity,
    told_error,
)
from airflow_provider_aiml.exceptions import StackFailedError
from airflow_provider_aiml.inference.arguments import read_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_aiml.hooks.stack_calls import Operation


class StackTask(AwsTask):
    """A task that is done when its stack is as it should be.

    :param stack_name: the CloudFormation stack. (templated)
    :param cloudformation_role_arn: a role for CloudFormation to work as. Default: the connection's own
        identity. (templated)
    :param wait_for_completion: wait until the operation is over. Default: True.
    :param deferrable: wait in the triggerer, without a worker slot. Default: ``[operators]
        default_deferrable``.
    :param waiter_delay: seconds between two looks. Default: 10.
    :param wait_timeout: seconds to wait in all; None waits for ever. Default: 3,600.
    """

    hook_module = "airflow_provider_aiml.hooks.api_gateway"
    hook_name = "ApiGatewaySageMakerHook"
    template_fields: Sequence[str] = (*AwsTask.template_fields, "stack_name", "cloudformation_role_arn")
    final_actions: ClassVar[frozenset[str]]

    def __init__(
        self,
        *,
        stack_name: str,
        cloudformation_role_arn: str | None = None,
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        waiter_delay: float = 10,
        wait_timeout: float | None = 3600,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.stack_name = stack_name
        self.cloudformation_role_arn = cloudformation_role_arn
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable_default() if deferrable is None else deferrable
        self.waiter_delay = read_seconds(waiter_delay, "waiter_delay")
        self.wait_timeout = None if wait_timeout is None else read_seconds(wait_timeout, "wait_timeout")
        self.link_facts: dict[str, Any] = {}

    @abstractmethod
    def begin(self, context: Context) -> Operation:
        """Do the next thing, and wait for nothing."""

    @abstractmethod
    def result_of(self, operation: Operation) -> dict[str, Any]:
        """Give the result of an operation that is over, or raise why it failed."""

    def execute(self, context: Context) -> Any:
        """Bring the stack to what it should be."""
        with self.careful():
            self.check_before()
            deadline = None if self.wait_timeout is None else time.time() + self.wait_timeout
            return self._go_on(context, deadline)

    def check_before(self) -> None:
        """Check what can be checked before the stack is looked at."""

    def token(self, context: Context) -> str:
        """Give the token of this try's operations, by which the next try knows them."""
        from airflow_provider_aiml.hooks.stack_calls import operation_token

        return operation_token(task_identity(context), attempt=context["ti"].try_number)

    def _go_on(self, context: Context, deadline: float | None) -> Any:
        while True:
            operation = self.begin(context)
            self.link_facts["stack_id"] = operation.stack_id
            self.log.info("The stack %s: %s", self.stack_name, operation.action)
            if operation.action == "none":
                return self.result_of(operation)
            final = operation.action in self.final_actions
            if final and not self.wait_for_completion:
                return {
                    "stack_name": self.stack_name,
                    "stack_id": operation.stack_id,
                    "action": operation.action,
                    "changes": operation.changes,
                }
            if self.deferrable:
                self._defer(operation, deadline)
            self.hook.wait(operation, delay=self.waiter_delay, deadline=deadline)
            if final:
                return self.result_of(operation)
            self.hook.step_over(operation, self.stack_name, deadline)

    def _defer(self, operation: Operation, deadline: float | None) -> NoReturn:
        from airflow_provider_aiml.triggers.api_gateway import ApiGatewaySageMakerStackTrigger

        self.defer(
            trigger=ApiGatewaySageMakerStackTrigger(
                stack_id=operation.stack_id,
                action=operation.action,
                poll_interval=self.waiter_delay,
                timeout_at=deadline,
                **self.connection_arguments,
            ),
            method_name="execute_complete",
            timeout=deferral_timeout(deadline),
        )

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Go on after the deferral.

        :param event: what the trigger said; anything but ``over`` raises, None too.
        """
        from airflow_provider_aiml.hooks.stack_calls import Operation

        told: Mapping[str, Any] = event or {}
        with self.careful():
            self.link_facts["stack_id"] = told.get("stack_id")
            if told.get("status") != "over":
                raise told_error(told, StackFailedError)
            operation = Operation(told["action"], told["stack_id"])
            if operation.action in self.final_actions:
                return self.result_of(operation)
            self.hook.step_over(operation, self.stack_name, told["timeout_at"])
            return self._go_on(context, told["timeout_at"])
