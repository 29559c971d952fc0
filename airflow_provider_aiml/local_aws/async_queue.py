"""The queue behind asynchronous endpoints: concurrency, delay, time to live, outputs, failures and notices.

See https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference.html
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_provider_aiml.local_aws.faults import Fault, Faults, Target
from airflow_provider_aiml.local_aws.invoking import ContainerAnswer, Containers, forced_answer
from airflow_provider_aiml.local_aws.wsgi_bridge import Moto, MotoRefusedError

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.endpoints import AsyncConfig, Endpoint

__all__ = ["AsyncQueue", "QueuedInference", "split_location"]

_log = logging.getLogger(__name__)
_TARGET = "sagemaker:AsyncInference"
_DEFAULT_TTL_SECONDS = 21_600
_DEFAULT_TIMEOUT_SECONDS = 900
_LARGEST_NOTICE_BYTES = 128 * 1024
_EXPIRED = "ClientError: Request expired: its RequestTTLSeconds passed while it was queued."


@dataclass(slots=True)
class QueuedInference:
    """One inference on its way through the queue.

    :param endpoint: where it was submitted; its ``asynchronous`` is not None.
    :param members: the members of its InvokeEndpointAsync.
    :param output: the URI that its output will have.
    :param failure: the URI that its failure would have; None if the endpoint has no failure path.
    :param forced: a failure that was asked for, instead of running the model.
    :param received: when it was submitted.
    """

    endpoint: Endpoint
    members: dict[str, Any]
    output: str
    failure: str | None
    forced: Fault | None
    received: datetime
    content_type: str | None = field(default=None)

    @property
    def config(self) -> AsyncConfig:
        """Give the endpoint's asynchronous settings."""
        assert self.endpoint.asynchronous is not None
        return self.endpoint.asynchronous


class InferenceFailedError(Exception):
    """An inference that ends in a failure.

    :param reason: the failureReason of the notice.
    :param body: what the failure object holds: the model's failure response, or else the reason.
    :param content_type: the media type of ``body``.
    """

    def __init__(self, reason: str, body: bytes | None = None, content_type: str = "text/plain") -> None:
        super().__init__(reason)
        self.reason = reason
        self.body = reason.encode() if body is None else body
        self.content_type = content_type


def split_location(location: str) -> tuple[str, str]:
    """Give bucket and key of an ``s3://`` or ``https://`` location, virtual-hosted or path style.

    :raises InferenceFailedError: if it names no object.
    """
    parts = urlsplit(location)
    bucket, key = parts.netloc, unquote(parts.path.lstrip("/"))
    if parts.scheme == "https":
        host_bucket, dot_s3, _ = parts.netloc.partition(".s3")
        if dot_s3:
            bucket = host_bucket
        else:
            bucket, _, key = key.partition("/")
    if not bucket or not key:
        raise InferenceFailedError(f"ClientError: Invalid S3 location {location}")
    return bucket, key


class AsyncQueue:
    """The queues of every asynchronous endpoint."""

    def __init__(self, moto: Moto, containers: Containers, faults: Faults) -> None:
        self._moto = moto
        self._containers = containers
        self._faults = faults
        self._places: dict[tuple[str, str, int], asyncio.Semaphore] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._flow = asyncio.Event()
        self._flow.set()

    def submit(
        self, endpoint: Endpoint, members: dict[str, Any], forced: Fault | None = None
    ) -> dict[str, Any]:
        """Queue an inference; give InvokeEndpointAsync's result."""
        config = endpoint.asynchronous
        assert config is not None
        name = str(uuid.uuid4())
        folder = "/".join(
            part.strip("/") for part in (config.s3_output_path, members.get("S3OutputPathExtension")) if part
        )
        output = f"{folder}/{members.get('Filename', f'{name}.out')}"
        failure = f"{config.s3_failure_path.rstrip('/')}/{name}-error.out" if config.s3_failure_path else None
        now = datetime.now(UTC)
        inference = QueuedInference(endpoint, members, output, failure, forced, now)
        task = asyncio.create_task(self._run(inference))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        result = {"InferenceId": members["InferenceId"], "OutputLocation": output, "FailureLocation": failure}
        return {name: value for name, value in result.items() if value is not None}

    async def clear(self) -> None:
        """Forget whatever is queued or running."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._places.clear()
        self.release()

    def hold(self) -> None:
        """Let no inference end until the release."""
        self._flow.clear()

    def release(self) -> None:
        """Let inferences end again."""
        self._flow.set()

    @property
    def pending(self) -> int:
        """Give how many inferences are queued or running."""
        return len(self._running)

    async def _run(self, inference: QueuedInference) -> None:
        target = Target(_TARGET, inference.endpoint.name)
        try:
            place = self._place(inference.endpoint, inference.config)
            await self._wait_for(place, inference)
            try:
                answer = await self._infer(inference, target)
            finally:
                place.release()
            if answer is not None and not self._faults.take(target, "lose_answer"):
                await self._succeed(inference, answer)
        except InferenceFailedError as failure:
            if not self._faults.take(target, "lose_answer"):
                await self._fail(inference, failure)
        except MotoRefusedError:
            _log.warning("The output of %s could not be written", inference.output, exc_info=True)

    def _place(self, endpoint: Endpoint, config: AsyncConfig) -> asyncio.Semaphore:
        """Give what bounds how many inferences of an endpoint run at once."""
        key = (endpoint.region, endpoint.name, config.max_concurrent)
        return self._places.setdefault(key, asyncio.Semaphore(config.max_concurrent))

    async def _wait_for(self, place: asyncio.Semaphore, inference: QueuedInference) -> None:
        lives_for = inference.members.get("RequestTTLSeconds", _DEFAULT_TTL_SECONDS)
        try:
            async with asyncio.timeout(lives_for):
                await place.acquire()
        except TimeoutError as error:
            raise InferenceFailedError(_EXPIRED) from error

    async def _infer(self, inference: QueuedInference, target: Target) -> ContainerAnswer | None:
        """Run an inference; None if it was made to vanish."""
        if not await self._faults.delay(target):
            await asyncio.sleep(inference.config.delay)
        await self._flow.wait()
        if self._faults.take(target, "drop"):
            return None
        if self._faults.take(target, "expire"):
            raise InferenceFailedError(_EXPIRED)
        forced = inference.forced or self._faults.take(target, "model_error")
        if forced is not None:
            return _good(forced_answer(forced))
        members = inference.members
        body, stored_type = await self._input(members)
        inference.content_type = members.get("ContentType", stored_type)
        asked = {**members, "Body": body, "ContentType": inference.content_type}
        seconds = members.get("InvocationTimeoutSeconds", _DEFAULT_TIMEOUT_SECONDS)
        operation = Target("sagemaker:InvokeEndpointAsync", inference.endpoint.name)
        return _good(await self._containers.ask(inference.endpoint, operation, asked, seconds=seconds))

    async def _input(self, members: dict[str, Any]) -> tuple[bytes, str]:
        if "Body" in members:
            return members["Body"], "application/octet-stream"
        bucket, key = split_location(members["InputLocation"])
        try:
            return await self._moto.get_object(bucket, key)
        except MotoRefusedError as error:
            raise InferenceFailedError(
                f"ClientError: Failed to download data. Unable to read {members['InputLocation']}: "
                f"HTTP {error.answer.status}"
            ) from error

    async def _succeed(self, inference: QueuedInference, answer: ContainerAnswer) -> None:
        content_type = answer.headers.get("content-type", "application/octet-stream")
        bucket, key = split_location(inference.output)
        await self._moto.put_object(bucket, key, answer.body, content_type)
        response = {"contentType": content_type, "outputLocation": inference.output}
        await self._notify(inference, "Completed", response, answer.body)

    async def _fail(self, inference: QueuedInference, failure: InferenceFailedError) -> None:
        try:
            if inference.failure is not None:
                bucket, key = split_location(inference.failure)
                await self._moto.put_object(bucket, key, failure.body, failure.content_type)
            response = {"contentType": failure.content_type, "outputLocation": inference.failure}
            await self._notify(inference, "Failed", response, failure.body, failure.reason)
        except MotoRefusedError:
            _log.warning("The failure of %s could not be told", inference.output, exc_info=True)

    async def _notify(
        self,
        inference: QueuedInference,
        status: str,
        response: dict[str, Any],
        body: bytes,
        reason: str | None = None,
    ) -> None:
        config = inference.config
        good = status == "Completed"
        topic = config.success_topic if good else config.error_topic
        if topic is None:
            return
        kind = "SUCCESS_NOTIFICATION_TOPIC" if good else "ERROR_NOTIFICATION_TOPIC"
        if kind in config.include_response_in and len(body) < _LARGEST_NOTICE_BYTES:
            response = {
                **response,
                "responseBody": {"content": base64.b64encode(body).decode(), "encoding": "BASE64"},
            }
        notice = _notice(inference, status, response, reason)
        await self._moto.publish(topic, f"SageMaker async inference {status}", json.dumps(notice))


def _good(answer: ContainerAnswer) -> ContainerAnswer:
    """Give a good answer back; a bad one is the inference's failure, in the model's own words."""
    if answer.is_good:
        return answer
    who = "client" if 400 <= answer.status < 500 else "server"
    text = answer.body.decode("utf-8", "replace")
    reason = (
        f'ClientError: Received {who} error ({answer.status}) from model with message "{text}". '
        "See the SageMaker Endpoint logs in your account for more information."
    )
    raise InferenceFailedError(reason, answer.body, answer.headers.get("content-type", "text/plain"))


def _notice(
    inference: QueuedInference, status: str, response: dict[str, Any], reason: str | None
) -> dict[str, Any]:
    request = {
        "contentType": inference.content_type or inference.members.get("ContentType"),
        "accept": inference.members.get("Accept"),
        "customAttributes": inference.members.get("CustomAttributes"),
        "endpointName": inference.endpoint.name,
        "inputLocation": inference.members.get("InputLocation"),
    }
    notice = {
        "awsRegion": inference.endpoint.region,
        "eventTime": _instant(datetime.now(UTC)),
        "receivedTime": _instant(inference.received),
        "invocationStatus": status,
        "failureReason": reason,
        "requestParameters": {name: value for name, value in request.items() if value is not None},
        "responseParameters": {name: value for name, value in response.items() if value is not None},
        "inferenceId": inference.members["InferenceId"],
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    return {name: value for name, value in notice.items() if value is not None}


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
