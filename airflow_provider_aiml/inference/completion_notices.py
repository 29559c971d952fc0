"""Waiting for a notice that an inference is done, instead of asking S3 for it again and again.

``sqs_queue`` is a queue that the endpoint's SNS success and error topics feed. All waits of one event loop
with the same queue, connection and options share one SQS client and one task that receives, the
:class:`Receiver`. It lives from the first wait to the last; event loops never mix.

A notice decides nothing: it makes its wait look at S3 at once, and from then on as often as without a queue.
Until it comes, S3 is asked only every five minutes, which finds what a lost notice would have told. A wait
also looks once when it begins, so a notice that came before it is not missed. What becomes of each message
stands in :mod:`airflow_provider_aiml.inference.notice_messages`.

See https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import time
from collections import defaultdict
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow_provider_aiml.exceptions import InferenceError, NoticeQueueError
from airflow_provider_aiml.inference.notice_messages import NoticeBoard, read_notice, release_delay
from airflow_provider_aiml.inference.notice_queue import check_region, refusal
from airflow_provider_aiml.inference.output_look import fault_code
from airflow_provider_aiml.inference.output_watch import Bell, watch_output
from airflow_provider_aiml.inference.outputs import CREDENTIAL_CODES
from airflow_provider_aiml.inference.quiet_logs import quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from airflow_provider_aiml.inference.notice_queue import QueueRef
    from airflow_provider_aiml.inference.outputs import AsyncInference, PollSchedule, Verdict

__all__ = ["Receiver", "watch_output_with_notices"]

SLOW_POLL = 300.0
"""Seconds between two looks at S3, at least, while no notice has come."""
MESSAGES = 10
"""Messages that SQS gives, deletes or releases in one call at most."""
HELPERS = 8
"""Receives side by side while every one comes back full."""
LONGEST_BACK_OFF = 60.0
"""Seconds between two tries at most while SQS cannot be asked."""

_LONG_POLL = 20  # seconds, the longest that SQS offers
_HANDLING = 30  # seconds in which a received message is ours; what a killed process held comes back after it
_YIELD = 0.1  # seconds in which whoever else polls the queue can take what was left to them
_DRAINS = 25  # receives of a helper in a row; what was received is to be deleted before it comes back
_SURE = 3  # turns in a row whose refusals are believed: what IAM or a new queue says may lag for a moment
_PARTING = 5.0  # seconds that deletes under way, and closing, may take once the last wait has left
_MOST_TOLD = 1000  # message ids remembered so as to tell of each once
_CHUNK = 200  # waits ended before the loop is let go

_log = logging.getLogger(__name__)
_receivers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Receiver]] = WeakKeyDictionary()


async def watch_output_with_notices(
    inference: AsyncInference,
    *,
    queue: QueueRef,
    open_sqs_client: Callable[[], AbstractAsyncContextManager[Any]],
    share_key: Hashable,
    open_client: Callable[[], AbstractAsyncContextManager[Any]],
    schedule: PollSchedule,
    deadline: float,
    max_faults: int | None = 10,
    on_forbidden: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.time,
    started: float | None = None,
) -> Verdict:
    """Wait as :func:`~airflow_provider_aiml.inference.output_watch.watch_output` does, looking when told to.

    :param inference: what to wait for.
    :param queue: where the notices come.
    :param open_sqs_client: opens an aiobotocore SQS client; shared and reopened like the S3 client.
    :param share_key: as there; waits with an equal key *and* queue share a receiver.
    :param open_client: opens an aiobotocore S3 client.
    :param schedule: the pauses between looks once a notice has come; until then five minutes at least.
    :param deadline: seconds since the epoch.
    :param max_faults: how many faults of S3, not of SQS, in a row end the wait. Default 10; None: never.
    :param on_forbidden: is told, once, of a permission that seems to be missing.
    :param clock: gives the seconds since the epoch.
    :param started: when the wait began, in seconds since the epoch, if before this call (a restart).
    :return: how the wait ended; ``unreadable`` with a :class:`NoticeQueueError` if the queue cannot be used.
    """
    receiver = _shared_receiver(share_key, queue)
    bell = Bell(schedule)
    receiver.join(inference, bell, open_sqs_client)
    over = False
    try:
        verdict = await watch_output(
            inference,
            share_key=share_key,
            open_client=open_client,
            schedule=_slow(schedule),
            deadline=deadline,
            max_faults=max_faults,
            on_forbidden=on_forbidden,
            clock=clock,
            started=started,
            bell=bell,
        )
        over = verdict.status in ("completed", "failed")
        return verdict
    finally:
        if receiver.leave(inference, bell, over=over):
            await receiver.closed()


def _slow(schedule: PollSchedule) -> PollSchedule:
    longest = schedule.max_wait
    return replace(
        schedule,
        interval=max(SLOW_POLL, schedule.interval),
        max_wait=None if longest is None else max(SLOW_POLL, longest),
    )


def _shared_receiver(share_key: Hashable, queue: QueueRef) -> Receiver:
    of_loop = _receivers.setdefault(asyncio.get_running_loop(), {})
    key = (share_key, queue)
    if (receiver := of_loop.get(key)) is None:
        receiver = of_loop[key] = Receiver(key, queue)
    return receiver


class Receiver:
    """One SQS client and one receiving task for all waits of an event loop with the same key and queue.

    :param key: what the waits have in common.
    :param queue: where the notices come.
    """

    def __init__(self, key: Hashable, queue: QueueRef) -> None:
        self.key = key
        self.queue = queue
        self._loop = asyncio.get_running_loop()
        self._board: NoticeBoard[Bell] = NoticeBoard()
        self._told: dict[str, None] = {}
        self._open_client: Callable[[], AbstractAsyncContextManager[Any]] | None = None
        self._client: Any = None
        self._url: str | None = None
        self._long_poll = _LONG_POLL
        self._opened = AsyncExitStack()
        self._consumed: list[str] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._refusals: defaultdict[str, set[int]] = defaultdict(set)
        self._faults = self._turns = 0
        self._renewed = self._ending = False
        # In a context of its own: whoever came first must not lend its log fields to the waits of all others.
        self._task = self._loop.create_task(self._run(), context=contextvars.Context())

    def join(
        self,
        inference: AsyncInference,
        bell: Bell,
        open_client: Callable[[], AbstractAsyncContextManager[Any]],
    ) -> None:
        """Let a wait in; ``bell`` is rung when its notice comes."""
        self._open_client = open_client
        self._board.add(inference, bell)

    def leave(self, inference: AsyncInference, bell: Bell, *, over: bool) -> bool:
        """Let a wait out; say whether it was the last, which ends the receiver.

        :param over: whether the inference is over, so that its notice is no longer of use to anyone.
        """
        self._board.remove(inference, bell, over=over)
        if self._board.size:
            return False
        self._forget()
        if not self._ending:
            self._task.cancel()
        return True

    async def closed(self) -> None:
        """Wait until the receiving task has ended and the client is closed."""
        await asyncio.wait([self._task])

    def _forget(self) -> None:
        of_loop = _receivers.get(self._loop, {})
        if of_loop.get(self.key) is self:
            del of_loop[self.key]

    async def _run(self) -> None:
        with quiet_libraries():
            await self._serve()

    async def _serve(self) -> None:
        outcome: Exception = NoticeQueueError(f"The receiver of {self.queue} was stopped", retryable=True)
        try:
            while True:
                try:
                    await self._turn()
                except Exception as error:
                    await asyncio.sleep(await self._ride_through(error))
                else:
                    self._faults = 0
                    self._renewed = False
        except Exception as end:
            outcome = end
        finally:
            self._ending = True
            self._forget()
            await self._end(outcome)

    async def _turn(self) -> None:
        """Receive once, and while messages come in tens, side by side; then delete what was for us."""
        self._turns += 1
        if self._url is None:
            await self._open()
        began = self._loop.time()
        count = await self._receive(self._long_poll)
        if count == MESSAGES:
            await self._side_by_side([self._drain() for _ in range(HELPERS)])
        elif not count and self._loop.time() - began < 1:
            await asyncio.sleep(1)  # a stand-in that knows no long polls must not be asked without pause
        while handles := self._consumed[: HELPERS * MESSAGES]:
            del self._consumed[: len(handles)]
            await self._side_by_side([self._to_its_end(one) for one in self._deletions(handles)])

    async def _drain(self) -> None:
        for _ in range(_DRAINS):
            if await self._receive(0) < MESSAGES:
                return

    async def _side_by_side(self, calls: Iterable[Coroutine[Any, Any, None]]) -> None:
        ends = await asyncio.gather(*calls, return_exceptions=True)
        if errors := [end for end in ends if end is not None]:
            raise min(errors, key=lambda error: fault_code(error) is not None)

    async def _open(self) -> None:
        assert self._open_client is not None
        client = await self._opened.enter_async_context(self._open_client())
        region = client.meta.region_name
        check_region(self.queue, region)
        timeout = client.meta.config.read_timeout
        if timeout:
            self._long_poll = max(1, min(_LONG_POLL, int(timeout * 0.7)))
        self._client = client
        self._url = self.queue.url
        if self._url is None:
            owner = {"QueueOwnerAWSAccountId": self.queue.account} if self.queue.account else {}
            answer = await self._ask("get_queue_url", QueueName=self.queue.name, **owner)
            self._url = answer["QueueUrl"]

    async def _close(self) -> None:
        self._client = self._url = None
        opened, self._opened = self._opened, AsyncExitStack()
        with suppress(TimeoutError):
            async with asyncio.timeout(_PARTING):
                await opened.aclose()

    async def _ask(self, operation: str, **request: Any) -> Any:
        """Make a call.

        :raises NoticeQueueError: SQS refused this operation in several turns in a row.
        """
        try:
            answer = await getattr(self._client, operation)(**request)
        except Exception as error:
            refused = refusal(error, fault_code(error) or "", self.queue, self._client.meta.region_name)
            if refused is not None:
                self._refusals[operation].add(self._turns)
                if len(self._refusals[operation]) >= _SURE:
                    raise refused from None
            raise
        self._refusals.pop(operation, None)
        return answer

    async def _receive(self, seconds: int) -> int:
        """Receive at most ten messages, and deal with each; give how many came.

        :param seconds: to wait for the first.
        """
        answer = await self._ask(
            "receive_message",
            QueueUrl=self._url,
            MaxNumberOfMessages=MESSAGES,
            WaitTimeSeconds=seconds,
            VisibilityTimeout=_HANDLING,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        messages = answer.get("Messages", ())
        left: dict[str, int] = {}
        for message in messages:
            delay = self._take(message)
            if delay is None:
                self._consumed.append(message["ReceiptHandle"])
            else:
                left[message["ReceiptHandle"]] = delay
            await asyncio.sleep(0)
        if left:
            await self._to_its_end(self._release(left))
        if 0 in left.values():
            await asyncio.sleep(_YIELD)
        return len(messages)

    def _take(self, message: Mapping[str, Any]) -> int | None:
        """Wake whom a message is for; give for how long it is to be left, None: it is done with."""
        receives = int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1))
        notice = read_notice(message.get("Body"))
        if notice is None:
            self._tell_of_rubbish(str(message.get("MessageId")))
            return release_delay(receives, is_notice=False)
        bells, ours = self._board.match(notice)
        for bell in bells:
            bell.ring()
        return None if ours else release_delay(receives)

    def _tell_of_rubbish(self, message_id: str) -> None:
        if message_id in self._told:
            return
        self._told[message_id] = None
        if len(self._told) > _MOST_TOLD:
            del self._told[next(iter(self._told))]
        _log.warning("Queue %s: message %s is no notice of an inference; left there", self.queue, message_id)

    def _deletions(self, handles: Sequence[str]) -> Iterable[Coroutine[Any, Any, None]]:
        return (self._delete(handles[first : first + MESSAGES]) for first in range(0, len(handles), MESSAGES))

    async def _to_its_end(self, call: Coroutine[Any, Any, None]) -> None:
        """Make a call that goes on when the last wait leaves meanwhile."""
        task = self._loop.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        await asyncio.wait([task])
        task.result()

    async def _delete(self, handles: Sequence[str]) -> None:
        """Delete messages; what SQS then says of a single one only means that it comes again."""
        entries = [{"Id": str(at), "ReceiptHandle": handle} for at, handle in enumerate(handles)]
        await self._ask("delete_message_batch", QueueUrl=self._url, Entries=entries)

    async def _release(self, left: Mapping[str, int]) -> None:
        """Let messages be received again, each after its number of seconds."""
        entries = [
            {"Id": str(at), "ReceiptHandle": handle, "VisibilityTimeout": delay}
            for at, (handle, delay) in enumerate(left.items())
        ]
        await self._ask("change_message_visibility_batch", QueueUrl=self._url, Entries=entries)

    async def _ride_through(self, error: Exception) -> float:
        """Give the pause after a fault that may pass.

        :raises Exception: ``error``, or what it means, where it will not.
        """
        code = self._fault_code(error)
        if code in CREDENTIAL_CODES or self._url is None:
            await self._close()
        if code in CREDENTIAL_CODES and not self._renewed:
            self._renewed = True
            _log.info("SQS refused the credentials; reading the connection anew for queue %s", self.queue)
            return 0.0
        self._faults += 1
        pause = min(LONGEST_BACK_OFF, 2.0 ** min(self._faults, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
        _log.warning("Queue %s: %s; asking again in %.0f s", self.queue, code, pause)
        return pause

    def _fault_code(self, error: Exception) -> str:
        if isinstance(error, InferenceError):
            if not error.retryable:
                raise error
            return error.code or type(error).__name__
        code = fault_code(error)
        opening = self._client is None and type(error).__module__ != "builtins"
        if code is None and not opening:
            raise error
        return code or type(error).__name__

    async def _end(self, outcome: Exception) -> None:
        try:
            for count, bell in enumerate(self._board.everyone(), 1):
                bell.end(outcome, as_verdict=isinstance(outcome, InferenceError))
                if not count % _CHUNK:
                    await asyncio.sleep(0)
            await self._part()
        finally:
            await self._close()

    async def _part(self) -> None:
        """Bring to its end what the queue is being told, but not for ever."""
        calls = set(self._calls)
        if self._url is not None:
            calls |= {self._loop.create_task(one) for one in self._deletions(self._consumed)}
        if calls:
            _, late = await asyncio.wait(calls, timeout=_PARTING)
            for call in late:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
