"""SageMaker Runtime's operations, answered by real containers.

See https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Operations_Amazon_SageMaker_Runtime.html
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import aiohttp

from airflow_provider_aiml.local_aws.endpoints import ACCOUNT, Endpoint, Endpoints
from airflow_provider_aiml.local_aws.errors import ApiError
from airflow_provider_aiml.local_aws.event_stream import event_message, exception_message, json_payload
from airflow_provider_aiml.local_aws.invoking import ContainerAnswer, Containers, forced_answer, model_error
from airflow_provider_aiml.local_aws.processes import ContainerLostError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_aiml.local_aws.async_queue import AsyncQueue
    from airflow_provider_aiml.local_aws.faults import Faults, Target

__all__ = ["SageMakerRuntime"]

_SYNC_ONLY = (
    "Endpoint {name} of account {account} is an asynchronous endpoint: it does not support {operation}."
)
_ASYNC_ONLY = (
    "Endpoint {name} of account {account} is not an asynchronous endpoint: it does not support {operation}."
)


class SageMakerRuntime:
    """InvokeEndpoint, InvokeEndpointWithResponseStream and InvokeEndpointAsync."""

    def __init__(
        self, endpoints: Endpoints, containers: Containers, queue: AsyncQueue, faults: Faults
    ) -> None:
        self._endpoints = endpoints
        self._containers = containers
        self._queue = queue
        self._faults = faults

    async def handle(self, target: Target, members: dict[str, Any], region: str) -> dict[str, Any]:
        """Answer one operation.

        :param target: what is called.
        :param members: the request's members, found valid.
        :raises ApiError: AWS's own errors.
        """
        operation = target.operation.partition(":")[2]
        endpoint = await self._endpoints.find(members["EndpointName"], region)
        wants_async = operation == "InvokeEndpointAsync"
        if wants_async != (endpoint.asynchronous is not None):
            refusal = _ASYNC_ONLY if wants_async else _SYNC_ONLY
            raise ApiError(
                "ValidationError", refusal.format(name=endpoint.name, account=ACCOUNT, operation=operation)
            )
        _check_variant(endpoint, members)
        if wants_async:
            return await self._submit(endpoint, target, members)
        if operation == "InvokeEndpointWithResponseStream":
            return await self._stream(endpoint, target, members)
        return await self._invoke(endpoint, target, members)

    async def _invoke(self, endpoint: Endpoint, target: Target, members: dict[str, Any]) -> dict[str, Any]:
        answer = await self._containers.ask(endpoint, target, members, seconds=endpoint.model_timeout)
        if not answer.is_good:
            raise model_error(endpoint, answer)
        return {"Body": answer.body, **_from_container(endpoint, answer.headers)}

    async def _stream(self, endpoint: Endpoint, target: Target, members: dict[str, Any]) -> dict[str, Any]:
        fault = self._faults.take(target, "model_error")
        if fault is not None:
            raise model_error(endpoint, forced_answer(fault))
        try:
            response, invocation = await self._containers.open(endpoint, target, members)
        except ContainerLostError as error:
            raise model_error(endpoint, ContainerAnswer(0, {}, b"Connection closed by container.")) from error
        invocation.status = response.status
        headers = {name.lower(): value for name, value in response.headers.items()}
        if not 200 <= response.status < 300:
            raise model_error(endpoint, ContainerAnswer(response.status, headers, await response.read()))
        return {"Body": _events(response), **_from_container(endpoint, headers)}

    async def _submit(self, endpoint: Endpoint, target: Target, members: dict[str, Any]) -> dict[str, Any]:
        if ("InputLocation" in members) == ("Body" in members):
            raise ApiError("ValidationError", "Exactly one of InputLocation and Body must be specified.")
        members = {"InferenceId": str(uuid.uuid4()), **members}
        return self._queue.submit(endpoint, members, self._faults.take(target, "model_error"))


def _check_variant(endpoint: Endpoint, members: dict[str, Any]) -> None:
    variant = members.get("TargetVariant", endpoint.variant)
    if variant != endpoint.variant:
        raise ApiError(
            "ValidationError",
            f"Variant {variant} not found for endpoint {endpoint.name} of account {ACCOUNT}.",
        )


def _from_container(endpoint: Endpoint, headers: dict[str, str]) -> dict[str, Any]:
    found = {
        "ContentType": headers.get("content-type"),
        "InvokedProductionVariant": endpoint.variant,
        "CustomAttributes": headers.get("x-amzn-sagemaker-custom-attributes"),
        "NewSessionId": headers.get("x-amzn-sagemaker-new-session-id"),
        "ClosedSessionId": headers.get("x-amzn-sagemaker-closed-session-id"),
    }
    return {name: value for name, value in found.items() if value is not None}


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async with response:
        try:
            async for piece in response.content.iter_any():
                yield event_message("PayloadPart", piece, "application/octet-stream")
        except aiohttp.ClientError:
            members = {"Message": "The model's stream broke off.", "ErrorCode": "StreamBroken"}
            yield exception_message("ModelStreamError", json_payload(members))
