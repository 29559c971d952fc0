"""The wait for a CloudFormation stack operation, in the triggerer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_aiml.endpoint_api.stack_events import StackWait
from airflow_provider_aiml.exceptions import InferenceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_KWARGS = (
    "stack_id",
    "action",
    "poll_interval",
    "timeout_at",
    "max_faults",
    "aws_conn_id",
    "region_name",
    "verify",
    "botocore_config",
)


class ApiGatewaySageMakerStackTrigger(BaseTrigger):
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
    :param aws_conn_id: the connection, as in the task.
    :param region_name: the region, as in the task.
    :param verify: TLS verification, as in the task.
    :param botocore_config: botocore's settings, as in the task.
    """

    def __init__(
        self,
        *,
        stack_id: str,
        action: str,
        poll_interval: float = 10,
        timeout_at: float | None = None,
        max_faults: int = 10,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.stack_id = stack_id
        self.action = action
        self.poll_interval = poll_interval
        self.timeout_at = timeout_at
        self.max_faults = max_faults
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give the class path and the kwargs from which this trigger is made anew."""
        classpath = "airflow_provider_aiml.triggers.api_gateway.ApiGatewaySageMakerStackTrigger"
        return classpath, {name: getattr(self, name) for name in _KWARGS}

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
                await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        """Shorten a pause that would go beyond the end of the wait."""
        if self.timeout_at is None:
            return self.poll_interval
        return max(0.0, min(self.poll_interval, self.timeout_at - time.time()))

    def _hook(self) -> Any:
        from airflow_provider_aiml.hooks.api_gateway import ApiGatewaySageMakerHook

        return ApiGatewaySageMakerHook(
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            config=self.botocore_config,
        )

    def _event(self, status: str, **facts: Any) -> dict[str, Any]:
        given = {"stack_id": self.stack_id, "action": self.action, "timeout_at": self.timeout_at}
        return {"status": status, "error": None, **given, **facts}
