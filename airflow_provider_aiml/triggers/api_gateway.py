"""The wait for a CloudFormation stack operation, in the triggerer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_aiml.aws_trigger import AwsTrigger
from airflow_provider_aiml.endpoint_api.stack_events import StackWait
from airflow_provider_aiml.exceptions import InferenceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class ApiGatewaySageMakerStackTrigger(AwsTrigger):
    """Wait until no operation is under way on a stack.

    Its one event holds ``status`` (``over`` or ``error``), ``error`` (a typed error as a mapping),
    ``stack_id``, ``stack_status``, ``action`` and ``timeout_at`` as they were given. What the operation came
    to, and why, the worker reads.

    :param stack_id: the stack's ARN.
    :param action: what the task is waiting for, for the task.
    :param poll_interval: seconds between two questions. Default: 10.
    :param timeout_at: seconds since the epoch at which the wait ends; None waits for ever. It is absolute, so
        that a restart does not extend it.
    :param max_faults: failed questions in a row after which the wait gives up. Default: 10.
    :param kwargs: connection and settings, see :class:`~airflow_provider_aiml.aws_trigger.AwsTrigger`.
    """

    own_arguments = (
        "stack_id",
        "action",
        "poll_interval",
        "max_faults",
    )

    def __init__(
        self,
        *,
        stack_id: str,
        action: str,
        poll_interval: float = 10,
        max_faults: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.stack_id = stack_id
        self.action = action
        self.poll_interval = poll_interval
        self.max_faults = max_faults

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then say so in one event."""
        try:
            event = self._event("over", stack_status=await self._wait())
        except InferenceError as error:
            event = self._event("error", error=error.to_dict())
        yield TriggerEvent(event)

    async def _wait(self) -> str:
        wait = StackWait(self.stack_id, self.timeout_at, self.max_faults)
        # The amazon provider takes a second to import, which other triggers should not wait for.
        hook = await asyncio.to_thread(self._hook)
        async with hook.aclient() as client:
            while True:
                try:
                    status = await hook.astatus_of(client, self.stack_id)
                except InferenceError as error:
                    wait.on_fault(error)
                else:
                    if wait.on_status(status, time.time()):
                        return str(status)
                await asyncio.sleep(self.pause(self.poll_interval))

    def _hook(self) -> Any:
        from airflow_provider_aiml.hooks.api_gateway import ApiGatewaySageMakerHook

        return self.make_hook(ApiGatewaySageMakerHook)

    def _event(self, status: str, **facts: Any) -> dict[str, Any]:
        given = {"stack_id": self.stack_id, "action": self.action, "timeout_at": self.timeout_at}
        return {"status": status, "error": None, **given, **facts}
