"""Bedrock Runtime's operations: the record, the faults and the framing around the stand-in's answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.errors import ApiError
from airflow_provider_aiml.local_aws.witness import Invocation, Witness

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.faults import Faults, Target
    from airflow_provider_aiml.local_aws.messages import Request

__all__ = ["BedrockFront"]


class BedrockFront:
    """Hands valid requests to :mod:`airflow_provider_aiml.local_aws.bedrock`."""

    def __init__(self, witness: Witness, faults: Faults) -> None:
        self._witness = witness
        self._faults = faults

    async def handle(self, target: Target, members: dict[str, Any], request: Request) -> dict[str, Any]:
        """Answer one operation.

        :raises ApiError: Bedrock's own errors.
        """
        from airflow_provider_aiml.local_aws import bedrock

        operation = target.operation.partition(":")[2]
        fault = self._faults.take(target, "model_error")
        if fault is not None:
            message = fault.message or "The model failed on demand."
            raise ApiError("ModelErrorException", message, 424, originalStatusCode=fault.status or 500)
        result: dict[str, Any] = await asyncio.to_thread(bedrock.handle, operation, members)
        resource = target.resource or str(members.get("modelId", ""))
        headers = dict(request.headers)
        self._witness.saw_invocation(Invocation(resource, operation, request.body, headers, status=200))
        return result
