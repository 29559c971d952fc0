"""An event loop whose clock jumps to its next timer, and an S3 in memory that counts its calls."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from bisect import bisect_right, insort
from typing import TYPE_CHECKING, Any

import pytest
from airflow_provider_aiml.inference.output_watch import watch_output
from airflow_provider_aiml.inference.outputs import AsyncInference, Location, PollSchedule
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from airflow_provider_aiml.inference.outputs import Verdict

EPOCH = 1_800_000_000.0


class _Skipping(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Instead of sleeping until the next timer, moves the clock to it."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("the loop would sleep for ever")
        ready = super().select(0)
        if not ready:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now


def error(code: str, status: int, operation: str) -> ClientError:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)  # type: ignore[arg-type]


class FakeS3:
    """Answers HEAD and LIST as S3 does; a HEAD's error has only its status for a code."""

    def __init__(self) -> None:
        self.buckets: dict[str, list[str]] = {"bkt": [], "other": [], "third": []}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.faults: dict[str, list[BaseException | None]] = {}
        self.may_list: Callable[[str], bool] = lambda prefix: True
        self.may_get = True
        self.at_fault: dict[tuple[str, str], float] = {}
        """Operation and bucket/prefix that answers 500 until a moment of the loop's clock."""
        self.hung: dict[str, float] = {}
        """Bucket/prefix, alone or behind an operation, "open" or "close", that hangs until a moment."""
        self.opened = 0
        self.closed = 0
        self.open_errors: list[BaseException | None] = []
        self.bad_keys = False
        self.latency = 0.0
        self.most_at_once = 0
        self._at_once = 0

    def put(self, uri: str) -> None:
        place = Location.parse(uri, "uri")
        if place.key not in self.buckets[place.bucket]:
            insort(self.buckets[place.bucket], place.key)

    @contextlib.asynccontextmanager
    async def open_client(self) -> AsyncIterator[FakeS3]:
        await self._hang("open")
        if self.open_errors and (planned := self.open_errors.pop(0)) is not None:
            raise planned
        self.opened += 1
        try:
            yield self
        finally:
            try:
                await self._hang("close")
            finally:
                self.closed += 1

    async def _call(self, operation: str, request: dict[str, Any]) -> None:
        self.calls.append((operation, request))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        where = f"{request['Bucket']}/{request.get('Key', request.get('Prefix'))}"
        try:
            await self._hang(where, f"{operation} {where}")
            await asyncio.sleep(self.latency)
        finally:
            self._at_once -= 1
        planned = self.faults.get(request["Bucket"])
        if planned and (fault := planned.pop(0)) is not None:
            raise fault
        for (faulty, prefix), until in self.at_fault.items():
            if faulty == operation and where.startswith(prefix) and asyncio.get_running_loop().time() < until:
                raise error("InternalError", 500, "HeadObject" if "Key" in request else "ListObjectsV2")

    async def _hang(self, *places: str) -> None:
        ends = [end for prefix, end in self.hung.items() for place in places if place.startswith(prefix)]
        await asyncio.sleep(max(0.0, max(ends, default=0.0) - asyncio.get_running_loop().time()))

    async def head_object(self, **request: Any) -> dict[str, Any]:
        await self._call("head_object", request)
        there = request["Key"] in self.buckets.get(request["Bucket"], [])
        may_know = self.may_get and (there or self.may_list(request["Key"]))
        if self.bad_keys or not may_know:
            raise error("403", 403, "HeadObject")
        if not there:
            raise error("404", 404, "HeadObject")
        return {}

    async def list_objects_v2(self, **request: Any) -> dict[str, Any]:
        await self._call("list_objects_v2", request)
        if self.bad_keys:
            raise error("InvalidAccessKeyId", 403, "ListObjectsV2")
        if request["Bucket"] not in self.buckets:
            raise error("NoSuchBucket", 404, "ListObjectsV2")
        if not self.may_list(request["Prefix"]):
            raise error("AccessDenied", 403, "ListObjectsV2")
        keys = self.buckets[request["Bucket"]]
        behind = keys[bisect_right(keys, request.get("StartAfter", "")) :]
        matching = [key for key in behind if key.startswith(request["Prefix"])]
        page = matching[: request["MaxKeys"]]
        return {"Contents": [{"Key": key} for key in page], "IsTruncated": len(matching) > len(page)}

    def count(self, operation: str) -> int:
        return sum(1 for name, _ in self.calls if name == operation)


class World:
    """One fake S3 and one event loop with a clock of its own."""

    def __init__(self) -> None:
        self.s3 = FakeS3()
        self.notices: list[str] = []

    def run(self, scenario: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run a scenario, and see that it leaves no task behind."""

        async def checked() -> Any:
            try:
                return await scenario()
            finally:
                left = asyncio.all_tasks() - {asyncio.current_task()}
                assert not left, left

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            result = runner.run(checked())
        assert self.s3.opened == self.s3.closed
        return result

    @staticmethod
    def clock() -> float:
        return EPOCH + asyncio.get_running_loop().time()

    @staticmethod
    def inference(name: str, *, failure: str | None = "err/", bucket: str = "bkt") -> AsyncInference:
        where = None if failure is None else Location(bucket, f"{failure}{name}")
        return AsyncInference(Location(bucket, f"out/{name}"), where, name)

    def watch(self, inference: AsyncInference | str, **options: Any) -> Coroutine[Any, Any, Verdict]:
        """Watch with a poll interval of ten seconds and a deadline in an hour, or as the options say."""
        if isinstance(inference, str):
            inference = self.inference(inference)
        lasting = options.pop("lasting", 3600.0)
        options = {
            "share_key": "aws_default",
            "open_client": self.s3.open_client,
            "schedule": PollSchedule(10.0),
            "deadline": self.clock() + lasting,
            "on_forbidden": self.notices.append,
            "clock": self.clock,
            **options,
        }
        return watch_output(inference, **options)

    async def at(self, seconds: float, *uris: str) -> None:
        """Let objects appear when the loop's clock is at ``seconds``."""
        await asyncio.sleep(seconds - asyncio.get_running_loop().time())
        for uri in uris:
            self.s3.put(uri)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def make_world() -> type[World]:
    return World
