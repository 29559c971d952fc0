"""One local AWS, put together: its state, and what the remote control does to it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.async_queue import AsyncQueue
from airflow_provider_aiml.local_aws.bedrock_front import BedrockFront
from airflow_provider_aiml.local_aws.cloudformation.service import CloudFormation
from airflow_provider_aiml.local_aws.endpoints import (
    AsyncConfig,
    Endpoint,
    Endpoints,
    resolve_model,
    with_lower_case_arns,
)
from airflow_provider_aiml.local_aws.execute_api.deployments import Deployments
from airflow_provider_aiml.local_aws.execute_api.gateway import ExecuteApi, place_of
from airflow_provider_aiml.local_aws.execute_api.keyring import Keyring
from airflow_provider_aiml.local_aws.faults import Fault, Faults, Target
from airflow_provider_aiml.local_aws.front import Front
from airflow_provider_aiml.local_aws.invoking import Containers
from airflow_provider_aiml.local_aws.messages import Answer, Request
from airflow_provider_aiml.local_aws.moto_clients import MotoClients
from airflow_provider_aiml.local_aws.processes import ContainerLostError, ModelProcesses
from airflow_provider_aiml.local_aws.sagemaker_runtime import SageMakerRuntime
from airflow_provider_aiml.local_aws.witness import Witness
from airflow_provider_aiml.local_aws.wsgi_bridge import Moto, MotoRefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["DEMO_ENDPOINTS", "Cloud"]

_DEMO_BUCKET = "demo-inference"
DEMO_ENDPOINTS = (
    Endpoint("demo-tabular", "tabular"),
    Endpoint(
        "demo-tabular-async",
        "tabular",
        AsyncConfig(f"s3://{_DEMO_BUCKET}/output", f"s3://{_DEMO_BUCKET}/failure"),
    ),
    Endpoint("demo-text-stream", "text_stream"),
    Endpoint("demo-throttled", "tabular"),
)
_DEMO_FAULT = Fault(
    "sagemaker:InvokeEndpoint*",
    code="ThrottlingException",
    resource="demo-throttled",
    for_seconds=float("inf"),
)
_ASYNC_ARGUMENTS = {
    "s3_output_path",
    "s3_failure_path",
    "success_topic",
    "error_topic",
    "include_response_in",
    "max_concurrent",
    "delay",
}


class Cloud:
    """Everything behind one port.

    :param demo: whether to start with the demo's endpoints.
    """

    def __init__(self, *, demo: bool) -> None:
        self._demo = demo
        self.faults = Faults()
        self.witness = Witness()
        self.moto = Moto()
        self.processes = ModelProcesses()
        self.endpoints = Endpoints(self.moto)
        containers = Containers(self.processes, self.witness, self.faults)
        self.queue = AsyncQueue(self.moto, containers, self.faults)
        runtime = SageMakerRuntime(self.endpoints, containers, self.queue, self.faults)
        self.bedrock = BedrockFront(self.moto, self.witness, self.faults)

        async def sagemaker(target: Target, members: dict[str, Any], request: Request) -> dict[str, Any]:
            return await runtime.handle(target, members, request.region)

        self.front = Front(
            {"sagemaker-runtime": sagemaker, "bedrock-runtime": self.bedrock.handle},
            self._elsewhere,
            self._control,
            self.faults,
            self.witness,
        )
        clients = MotoClients(self.moto, self._watch)
        self._clients, self._deployments, self._keyring = clients, Deployments(), Keyring()
        self.cloudformation = CloudFormation(clients, self.faults)
        self.execute_api = ExecuteApi(clients, self._deployments, self._keyring, self.front.answer)
        self._loading: asyncio.Future[Any] | None = None

    async def start(self) -> None:
        """Bring up the demo's endpoints; their containers go on loading."""
        await self._fill()
        if self._demo:
            models = {resolve_model(endpoint.model) for endpoint in DEMO_ENDPOINTS}
            self._loading = asyncio.ensure_future(asyncio.gather(*map(self.processes.get, sorted(models))))

    async def loaded(self) -> None:
        """Wait until the demo's containers have loaded their models."""
        if self._loading is not None:
            await self._loading

    async def close(self) -> None:
        """End the queue, the containers and moto's threads."""
        await self.cloudformation.clear()
        await self.queue.clear()
        await self.bedrock.clear()
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        await self.processes.close()
        self.moto.close()

    async def _fill(self) -> None:
        if not self._demo:
            return
        for endpoint in DEMO_ENDPOINTS:
            await self.endpoints.add(endpoint)
        self.faults.add(_DEMO_FAULT)

    async def _elsewhere(self, request: Request) -> Answer:
        if place := place_of(request):
            return await self.execute_api.handle(request, place)
        if request.signing_name == "cloudformation":
            return await self.cloudformation.handle(request)
        answer = await self.moto.handle(request)
        await asyncio.to_thread(self._watch, request, answer)
        target = request.headers.get("x-amz-target", "")
        if target.startswith("SageMaker.") and answer.status == 200:
            members = json.loads(request.body or b"{}")
            self.endpoints.control_plane_changed(target.partition(".")[2], request.region, members)
            assert isinstance(answer.body, bytes)
            answer.body = with_lower_case_arns(answer.body)
        return answer

    def _watch(self, request: Request, answer: Answer) -> None:
        """See what moto answered, whoever asked; in a worker thread."""
        self._deployments.watch(self._clients, request, answer)
        self._keyring.watch(request, answer)

    async def _control(self, request: Request) -> Answer:
        method = request.raw_path.removeprefix("/_local_aws/")
        commands: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
            "add_endpoint": self._add_endpoint,
            "remove_endpoint": self._remove_endpoint,
            "add_fault": self._add_fault,
            "remove_fault": self._remove_fault,
            "clear_faults": self._clear_faults,
            "invocations": self._invocations,
            "request_counts": self._request_counts,
            "pending": self._pending,
            "hold": self._hold,
            "release": self._release,
            "model_pids": self._model_pids,
            "reset": self._reset,
            "health": self._health,
            "loaded": self._loaded,
        }
        if method not in commands:
            return _json_answer(404, {"error": f"no such command: {method}"})
        try:
            return _json_answer(200, await commands[method](**json.loads(request.body or b"{}")))
        except (TypeError, ValueError, MotoRefusedError, ContainerLostError) as error:
            return _json_answer(400, {"error": str(error)})

    async def _add_endpoint(self, *, asynchronous: bool = False, **arguments: Any) -> dict[str, Any]:
        settings = {name: arguments.pop(name) for name in _ASYNC_ARGUMENTS & arguments.keys()}
        settings["include_response_in"] = tuple(settings.get("include_response_in", ()))
        config = None
        if asynchronous or settings.get("s3_output_path"):
            settings["s3_output_path"] = settings.get("s3_output_path") or f"s3://{arguments['name']}/output"
            config = AsyncConfig(**settings)
        await self.endpoints.add(Endpoint(asynchronous=config, **arguments))
        return {}

    async def _remove_endpoint(self, name: str, region: str) -> dict[str, Any]:
        await self.endpoints.remove(name, region)
        return {}

    async def _add_fault(self, fields: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
        return {"id": self.faults.add(Fault(fields=fields or {}, **arguments))}

    async def _remove_fault(self, fault_id: str) -> dict[str, Any]:
        return {"was_due": self.faults.remove(fault_id)}

    async def _clear_faults(self) -> dict[str, Any]:
        self.faults.clear()
        return {}

    async def _invocations(self, endpoint: str) -> dict[str, Any]:
        return {"invocations": [invocation.to_dict() for invocation in self.witness.invocations(endpoint)]}

    async def _request_counts(self) -> dict[str, Any]:
        return {"counts": self.witness.request_counts()}

    async def _pending(self) -> dict[str, Any]:
        return {"pending": self.queue.pending}

    async def _hold(self) -> dict[str, Any]:
        self.queue.hold()
        self.bedrock.hold()
        return {}

    async def _release(self) -> dict[str, Any]:
        self.queue.release()
        await self.bedrock.release()
        return {}

    async def _model_pids(self) -> dict[str, Any]:
        return {"pids": self.processes.pids()}

    async def _reset(self) -> dict[str, Any]:
        await self.cloudformation.clear()
        await self.queue.clear()
        await self.bedrock.clear()
        self.faults.clear()
        self._deployments.clear()
        self._keyring.clear()
        self.execute_api.clear()
        self.endpoints.clear()
        await self.moto.reset()
        await self._fill()
        self.witness.clear()
        return {}

    async def _health(self) -> dict[str, Any]:
        return {"status": "ok", "containers": sorted(self.processes.pids())}

    async def _loaded(self) -> dict[str, Any]:
        await self.loaded()
        return await self._health()


def _json_answer(status: int, document: dict[str, Any]) -> Answer:
    return Answer(status, [("Content-Type", "application/json")], json.dumps(document).encode())
