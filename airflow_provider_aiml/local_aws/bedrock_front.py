"""Bedrock Runtime's operations: the record, the faults and the framing around the stand-in's answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.bedrock import Bedrock
from airflow_provider_aiml.local_aws.errors import ApiError
from airflow_provider_aiml.local_aws.event_stream import encode_stream
from airflow_provider_aiml.local_aws.witness import Invocation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from airflow_provider_aiml.local_aws.faults import Faults, Target
    from airflow_provider_aiml.local_aws.messages import Request
    from airflow_provider_aiml.local_aws.witness import Witness
    from airflow_provider_aiml.local_aws.wsgi_bridge import Moto

__all__ = ["BedrockFront"]

_STREAMS = {"ConverseStream": "stream", "InvokeModelWithResponseStream": "body"}
_INVOKES_A_MODEL = {"Converse", "InvokeModel", "StartAsyncInvoke", *_STREAMS}
_RAN_NEVERTHELESS = {"ModelErrorException", "ModelTimeoutException"}
_ASYNC_SECONDS = 1.0


class BedrockFront:
    """Hands valid requests to :class:`~airflow_provider_aiml.local_aws.bedrock.Bedrock`."""

    def __init__(self, moto: Moto, witness: Witness, faults: Faults) -> None:
        self._moto = moto
        self._witness = witness
        self._faults = faults
        self._finishing: set[asyncio.Task[None]] = set()
        self._bedrock = self._stand_in()

    async def clear(self) -> None:
        """Forget every asynchronous invocation."""
        finishing = list(self._finishing)
        for task in finishing:
            task.cancel()
        await asyncio.gather(*finishing, return_exceptions=True)
        self._bedrock = self._stand_in()

    def hold(self) -> None:
        """Let no asynchronous invocation end until the release."""
        self._bedrock.hold()

    async def release(self) -> None:
        """Let asynchronous invocations end again, those at once whose time has come."""
        await asyncio.to_thread(self._bedrock.release)

    async def handle(self, target: Target, members: dict[str, Any], request: Request) -> dict[str, Any]:
        """Answer one operation; a stream's member is an async iterator of frames.

        :raises ApiError: Bedrock's own errors.
        """
        operation = target.operation.partition(":")[2]
        invocation = Invocation(target.resource, operation, request.body, dict(request.headers), status=200)
        if operation == "StartAsyncInvoke":
            invocation.endpoint = members["modelId"]
        try:
            fault = self._faults.take(target, "model_error")
            if fault is not None:
                message = fault.message or "The model failed on demand."
                raise ApiError("ModelErrorException", message, 424, originalStatusCode=fault.status or 500)
            result = await asyncio.to_thread(self._bedrock.handle, operation, members)
        except ApiError as error:
            invocation.status = error.status
            if error.code in _RAN_NEVERTHELESS:
                self._record(invocation)
            raise
        self._record(invocation)
        if operation == "StartAsyncInvoke":
            self._finish_later()
        if member := _STREAMS.get(operation):
            result = {**result, member: _frames(result[member])}
        return result

    def _record(self, invocation: Invocation) -> None:
        if invocation.operation in _INVOKES_A_MODEL:
            self._witness.saw_invocation(invocation)

    def _finish_later(self) -> None:
        """Have the output appear by itself, whether or not anybody asks for the invocation."""

        async def finish() -> None:
            await asyncio.sleep(_ASYNC_SECONDS)
            await asyncio.to_thread(self._bedrock.finish_due)

        task = asyncio.create_task(finish())
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    def _stand_in(self) -> Bedrock:
        """Make a stand-in whose S3, called from worker threads, is ours."""

        def put_object(uri: str, body: bytes) -> None:
            bucket, _, key = uri.removeprefix("s3://").partition("/")
            self._moto.put_object_now(bucket, key, body, "application/json")

        def get_object(uri: str) -> bytes:
            bucket, _, key = uri.removeprefix("s3://").partition("/")
            return self._moto.get_object_now(bucket, key)[0]

        return Bedrock(put_object, get_object=get_object, async_delay=_ASYNC_SECONDS)


async def _frames(events: Iterable[tuple[str, Any]]) -> AsyncIterator[bytes]:
    for frame in encode_stream(events):
        yield frame
        # Other requests get their turn between two frames.
        await asyncio.sleep(0)
