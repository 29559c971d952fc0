"""An SQS queue in memory that counts its calls, notices as SageMaker and SNS write them, waits for both."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.inference.completion_notices import watch_output_with_notices
from airflow_provider_aiml.inference.notice_queue import QueueRef
from airflow_provider_aiml.inference.outputs import AsyncInference, PollSchedule
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from airflow_provider_aiml.inference.outputs import Verdict
    from tests.unit.inference.conftest import World

URL = "https://sqs.eu-west-1.amazonaws.com/111122223333/notices"
OPERATIONS = {
    "get_queue_url": "GetQueueUrl",
    "receive_message": "ReceiveMessage",
    "delete_message_batch": "DeleteMessageBatch",
    "change_message_visibility_batch": "ChangeMessageVisibilityBatch",
}


def sqs_error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, operation)


def notice(name: str, *, status: str = "Completed", location: str | None = "", wrapped: bool = False) -> str:
    """Write the notice of the inference ``name``; ``location`` "" is where its output or failure would be."""
    if location == "":
        location = f"s3://bkt/{'out' if status == 'Completed' else 'err'}/{name}"
    body = json.dumps(
        {
            "awsRegion": "eu-west-1",
            "invocationStatus": status,
            "requestParameters": {"endpointName": "e", "inputLocation": "s3://bkt/in/x"},
            "responseParameters": {"contentType": "text/csv", "outputLocation": location},
            "inferenceId": name,
            "eventSource": "aws:sagemaker",
            "eventName": "InferenceResult",
        }
    )
    if not wrapped:
        return body
    return json.dumps({"Type": "Notification", "MessageId": "1", "TopicArn": "arn", "Message": body})


@dataclass
class Message:
    message_id: str
    body: str
    visible_at: float
    receives: int = 0
    handle: str = ""


class FakeSqs:
    """One queue. Its clock is the running loop's, moved on by ``offset`` between two loops."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.faults: dict[str, list[BaseException | None]] = {}
        self.denied: set[str] = set()
        self.exists = True
        self.bad_keys = False
        self.long_polls = True
        self.latency = 0.02
        self.closing = 0.0
        self.offset = 0.0
        self.opened = 0
        self.closed = 0
        self.open_errors: list[BaseException | None] = []
        self.meta = SimpleNamespace(region_name="eu-west-1", config=SimpleNamespace(read_timeout=60))
        self._numbers = count(1)
        self._polls: list[asyncio.Future[None]] = []

    def now(self) -> float:
        return self.offset + asyncio.get_running_loop().time()

    def send(self, *bodies: str) -> None:
        for body in bodies:
            self.messages.append(Message(f"message-{next(self._numbers)}", body, self.now()))
        self.stir()

    def stir(self) -> None:
        """Let every long poll look again."""
        for poll in self._polls:
            if not poll.done():
                poll.set_result(None)
        self._polls.clear()

    def delete_queue(self) -> None:
        self.exists = False
        self.stir()

    def count(self, operation: str) -> int:
        return sum(1 for name, _ in self.calls if name == operation)

    @contextlib.asynccontextmanager
    async def open_client(self) -> AsyncIterator[FakeSqs]:
        await asyncio.sleep(0)
        if self.open_errors and (planned := self.open_errors.pop(0)) is not None:
            raise planned
        self.opened += 1
        try:
            yield self
        finally:
            self.closed += 1
            await asyncio.sleep(self.closing)

    async def _call(self, operation: str, request: dict[str, Any]) -> None:
        self.calls.append((operation, request))
        await asyncio.sleep(self.latency)
        planned = self.faults.get(operation)
        if planned and (fault := planned.pop(0)) is not None:
            raise fault
        if self.bad_keys:
            raise sqs_error("ExpiredToken", OPERATIONS[operation])
        if operation in self.denied:
            raise sqs_error("AccessDenied", OPERATIONS[operation])
        if not self.exists:
            raise sqs_error("AWS.SimpleQueueService.NonExistentQueue", OPERATIONS[operation])

    async def get_queue_url(self, **request: Any) -> dict[str, Any]:
        await self._call("get_queue_url", request)
        return {"QueueUrl": URL}

    async def receive_message(self, **request: Any) -> dict[str, Any]:
        await self._call("receive_message", request)
        end = self.now() + (request["WaitTimeSeconds"] if self.long_polls else 0)
        while not (there := [m for m in self.messages if m.visible_at <= self.now()]) and self.now() < end:
            poll = asyncio.get_running_loop().create_future()
            self._polls.append(poll)
            soonest = min((message.visible_at for message in self.messages), default=end)
            await asyncio.wait([poll], timeout=min(soonest, end) - self.now())
            if not self.exists:
                raise sqs_error("AWS.SimpleQueueService.NonExistentQueue", "ReceiveMessage")
        taken = there[: request["MaxNumberOfMessages"]]
        for message in taken:
            message.visible_at = self.now() + request["VisibilityTimeout"]
            message.receives += 1
            message.handle = f"{message.message_id} {message.receives}"
        return {"Messages": [_told(message) for message in taken]} if taken else {}

    async def delete_message_batch(self, **request: Any) -> dict[str, Any]:
        await self._call("delete_message_batch", request)
        handles = {entry["ReceiptHandle"] for entry in _entries(request)}
        self.messages = [message for message in self.messages if message.handle not in handles]
        return {"Successful": [], "Failed": []}

    async def change_message_visibility_batch(self, **request: Any) -> dict[str, Any]:
        await self._call("change_message_visibility_batch", request)
        for entry in _entries(request):
            for message in self.messages:
                if message.handle == entry["ReceiptHandle"]:
                    message.visible_at = self.now() + entry["VisibilityTimeout"]
        self.stir()
        return {"Successful": [], "Failed": []}


def _entries(request: dict[str, Any]) -> list[dict[str, Any]]:
    entries = request["Entries"]
    assert 1 <= len(entries) <= 10
    assert len({entry["Id"] for entry in entries}) == len(entries)
    return list(entries)


def _told(message: Message) -> dict[str, Any]:
    return {
        "MessageId": message.message_id,
        "ReceiptHandle": message.handle,
        "Body": message.body,
        "Attributes": {"ApproximateReceiveCount": str(message.receives)},
    }


class Notices:
    """A world with a queue."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sqs = FakeSqs()

    def watch(self, inference: AsyncInference | str, **options: Any) -> Coroutine[Any, Any, Verdict]:
        """Watch with notices; a poll interval of ten seconds, a deadline in two hours."""
        if isinstance(inference, str):
            inference = self.world.inference(inference)
        options = {
            "queue": QueueRef.parse(URL),
            "open_sqs_client": self.sqs.open_client,
            "share_key": "aws_default",
            "open_client": self.world.s3.open_client,
            "schedule": PollSchedule(10.0),
            "deadline": self.world.clock() + options.pop("lasting", 7200.0),
            "clock": self.world.clock,
            **options,
        }
        return watch_output_with_notices(inference, **options)

    async def at(self, seconds: float, *bodies: str, puts: tuple[str, ...] = ()) -> None:
        """Let objects appear and then notices come when the loop's clock is at ``seconds``."""
        await self.world.at(seconds, *puts)
        self.sqs.send(*bodies)

    def run(self, *coroutines: Any) -> list[Any]:
        """Run side by side; see that no task and no client is left."""

        async def together() -> list[Any]:
            return await asyncio.gather(*[make() for make in coroutines])

        results: list[Any] = self.world.run(together)
        assert self.sqs.opened == self.sqs.closed
        return results


async def timed(watch: Coroutine[Any, Any, Verdict]) -> tuple[str, float]:
    verdict = await watch
    return verdict.status, asyncio.get_running_loop().time()
