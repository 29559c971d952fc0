"""Model containers: one process per model, started on first use, shared by its endpoints.

The listening socket is made here and inherited, so the port is known at once and a request that comes while
the model still loads simply waits in the socket's backlog.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

from airflow_provider_aiml.local_aws.sockets import listen

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ContainerLostError", "ModelProcess", "ModelProcesses"]

_START_SECONDS = 60
_END_SECONDS = 5
_GONE_SECONDS = 10


class ContainerLostError(Exception):
    """The container could not be reached, or broke off.

    :param accepted: whether it had taken the request before that.
    """

    def __init__(self, reason: str, *, accepted: bool) -> None:
        super().__init__(reason)
        self.accepted = accepted


@dataclass(slots=True)
class ModelProcess:
    """A running container.

    :param model: ``module:callable``.
    :param process: the process; its standard input is the leash that ends it.
    :param url: where it listens.
    """

    model: str
    process: subprocess.Popen[bytes]
    url: str

    @property
    def is_running(self) -> bool:
        """Tell whether the process has not ended."""
        return self.process.poll() is None


class ModelProcesses:
    """Every container of one local AWS."""

    def __init__(self) -> None:
        self._starting: dict[str, asyncio.Task[ModelProcess]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def get(self, model: str) -> ModelProcess:
        """Give the container of ``model``, started and answering its ping.

        :raises ContainerLostError: if it does not come up.
        """
        task = self._starting.get(model)
        if task is not None and task.done() and (task.exception() or not task.result().is_running):
            del self._starting[model]
            task = None
        if task is None:
            task = self._starting[model] = asyncio.create_task(self._start(model))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """End every container, and see each one gone."""
        for task in self._starting.values():
            if task.done() and not task.cancelled() and task.exception() is None:
                await _end(task.result().process)
            else:
                task.cancel()
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        self._starting.clear()
        if self._session is not None:
            await self._session.close()

    def pids(self) -> dict[str, int]:
        """Give the process id of each running container, by model."""
        done = [task.result() for task in self._starting.values() if task.done() and not task.exception()]
        return {process.model: process.process.pid for process in done if process.is_running}

    async def _start(self, model: str) -> ModelProcess:
        listener = listen("127.0.0.1", 0)
        arguments = [
            "-m",
            "airflow_provider_aiml.local_aws.model_server",
            model,
            "--fd",
            str(listener.fileno()),
        ]
        with listener:
            process = await asyncio.to_thread(
                subprocess.Popen,
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
            )
            found = ModelProcess(model, process, f"http://127.0.0.1:{listener.getsockname()[1]}")
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._ping(found)
        except (TimeoutError, aiohttp.ClientError) as error:
            await _end(process)
            raise ContainerLostError(f"the container of {model} did not start", accepted=False) from error
        except asyncio.CancelledError:
            await _end(process)
            raise
        return found

    async def _ping(self, process: ModelProcess) -> None:
        async with self._client().get(f"{process.url}/ping") as response:
            response.raise_for_status()

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    async def post(
        self, process: ModelProcess, body: bytes, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        """Send an invocation; give the response once its headers are there, its body still unread.

        :raises ContainerLostError: if the container cannot be reached, or ends before it answers.
        """
        try:
            return await self._client().post(f"{process.url}/invocations", data=body, headers=dict(headers))
        except aiohttp.ClientError as error:
            await _seen_gone(process.process)
            accepted = not isinstance(error, aiohttp.ClientConnectorError)
            raise ContainerLostError(str(error), accepted=accepted) from error


async def _seen_gone(process: subprocess.Popen[bytes]) -> None:
    """Give a process that broke off time to be gone, so that the next call starts another."""
    with suppress(subprocess.TimeoutExpired):
        await asyncio.to_thread(process.wait, _GONE_SECONDS)


async def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        await asyncio.to_thread(process.wait, _END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        await asyncio.to_thread(process.wait)
