"""How an endpoint's container is asked: the one place where a model is really invoked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from airflow_provider_aiml.local_aws.endpoints import ACCOUNT, Endpoint, resolve_model
from airflow_provider_aiml.local_aws.errors import ApiError
from airflow_provider_aiml.local_aws.processes import ContainerLostError, ModelProcesses
from airflow_provider_aiml.local_aws.witness import Invocation, Witness

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.faults import Fault, Faults, Target

__all__ = ["ContainerAnswer", "Containers", "container_headers", "forced_answer", "model_error"]

_CONTAINER_HEADERS = {
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
    "TargetModel": "X-Amzn-SageMaker-Target-Model",
    "SessionId": "X-Amzn-SageMaker-Session-Id",
    "ContentType": "Content-Type",
    "Accept": "Accept",
}
_TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency "
    "metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
)


@dataclass(frozen=True, slots=True)
class ContainerAnswer:
    """A container's whole answer; ``status`` 0 means that it gave none, and ``body`` then says why.

    :param status: the HTTP status.
    :param headers: by lower-case name.
    :param body: the whole body.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_good(self) -> bool:
        """Tell whether the model succeeded."""
        return 200 <= self.status < 300


def forced_answer(fault: Fault) -> ContainerAnswer:
    """Give the bad answer that a ``model_error`` fault asks for, instead of asking the container."""
    message = fault.message or "the model failed on demand"
    return ContainerAnswer(fault.status or 500, {}, message.encode())


def container_headers(members: dict[str, Any]) -> dict[str, str]:
    """Give the headers that a container sees, from the members of a request."""
    headers = {header: members[name] for name, header in _CONTAINER_HEADERS.items() if name in members}
    return {"Content-Type": "application/octet-stream", **headers}


def model_error(endpoint: Endpoint, answer: ContainerAnswer) -> ApiError:
    """Give the ModelError that SageMaker makes of a container's bad answer."""
    text = answer.body.decode("utf-8", "replace")
    who = "client" if 400 <= answer.status < 500 else "server"
    group = f"/aws/sagemaker/Endpoints/{endpoint.name}"
    where = f"https://{endpoint.region}.console.aws.amazon.com/cloudwatch/home?region={endpoint.region}"
    return ApiError(
        "ModelError",
        f'Received {who} error ({answer.status}) from primary with message "{text}". See {where}'
        f"#logEventViewer:group={group} in account {ACCOUNT} for more information.",
        424,
        ErrorCode="CLIENT_ERROR_FROM_MODEL" if who == "client" else "INTERNAL_FAILURE_FROM_MODEL",
        OriginalStatusCode=answer.status,
        OriginalMessage=text,
        LogStreamArn=f"arn:aws:logs:{endpoint.region}:{ACCOUNT}:log-group:{group}",
    )


class Containers:
    """The containers behind the endpoints, with the witness and the faults on the way to them."""

    def __init__(self, processes: ModelProcesses, witness: Witness, faults: Faults) -> None:
        self._processes = processes
        self._witness = witness
        self._faults = faults

    async def ask(
        self, endpoint: Endpoint, target: Target, members: dict[str, Any], *, seconds: float
    ) -> ContainerAnswer:
        """Invoke the model and read its whole answer.

        :param target: what the request is, for faults and the record.
        :param seconds: how long the container may take.
        """
        fault = self._faults.take(target, "model_error")
        if fault is not None:
            return forced_answer(fault)
        try:
            async with asyncio.timeout(seconds):
                response, invocation = await self.open(endpoint, target, members)
                async with response:
                    body = await response.read()
        except TimeoutError:
            return ContainerAnswer(0, {}, _TIMED_OUT.encode())
        except (ContainerLostError, aiohttp.ClientError):
            return ContainerAnswer(0, {}, b"Connection closed unexpectedly by container primary.")
        invocation.status = response.status
        return ContainerAnswer(response.status, _lower(response.headers), body)

    async def open(
        self, endpoint: Endpoint, target: Target, members: dict[str, Any]
    ) -> tuple[aiohttp.ClientResponse, Invocation]:
        """Invoke the model; give its response once the headers are there, with the record of the invocation.

        :raises ContainerLostError: if the container cannot be reached or breaks off.
        """
        headers = container_headers(members)
        invocation = Invocation(
            endpoint.name,
            target.operation.partition(":")[2],
            members.get("Body", b""),
            _lower(headers),
            members.get("InferenceId"),
        )
        self._witness.saw_invocation(invocation)
        try:
            response = await self._post(endpoint, invocation.body, headers)
        except ContainerLostError as error:
            if not error.accepted:
                self._witness.was_never_accepted(invocation)
            raise
        return response, invocation

    async def _post(self, endpoint: Endpoint, body: bytes, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """Ask the container; if it turns out to have died before, ask the one started in its place."""
        model = resolve_model(endpoint.model)
        process = await self._processes.get(model)
        try:
            return await self._processes.post(process, body, headers)
        except ContainerLostError as error:
            if error.accepted:
                raise
        return await self._processes.post(await self._processes.get(model), body, headers)


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
