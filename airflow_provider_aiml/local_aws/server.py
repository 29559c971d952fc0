"""The local AWS as one runs it: a context manager around a server thread."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

import uvicorn

from airflow_provider_aiml.local_aws.cloud import Cloud
from airflow_provider_aiml.local_aws.control import LocalAwsControl
from airflow_provider_aiml.local_aws.messages import connection_protocol
from airflow_provider_aiml.local_aws.sockets import listen

if TYPE_CHECKING:
    import socket
    from types import TracebackType

__all__ = ["LocalAws"]

_START_SECONDS = 60


class LocalAws(LocalAwsControl):
    """A local AWS on one port, for as long as the context lasts.

    Moto keeps its state per process, so two in one process share S3 and the rest of what moto answers.

    :param port: 0 takes any free one.
    :param host: the address to listen on.
    :param public_url: how clients reach it, for :attr:`connection_uri`; default: by host and port.
    :param demo: whether to start the demo's endpoints (``demo-tabular``, ``demo-tabular-async``,
        ``demo-text-stream``, ``demo-throttled``); without them no container starts until an endpoint is
        invoked.
    """

    def __init__(
        self, port: int = 0, host: str = "127.0.0.1", *, demo: bool = True, public_url: str | None = None
    ) -> None:
        self._wanted = (host, port)
        self._demo = demo
        self._public_url = public_url
        self._thread: threading.Thread | None = None
        self._server: uvicorn.Server | None = None
        self._failure: BaseException | None = None
        super().__init__("")

    def __enter__(self) -> Self:
        listener = listen(*self._wanted)
        host, port = listener.getsockname()[:2]
        self.endpoint_url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._serve, args=(listener, ready), name="local-aws", daemon=True
        )
        self._thread.start()
        ready.wait(_START_SECONDS)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self,
        error_class: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._thread is not None
        assert self._server is not None
        self._server.should_exit = True
        self._thread.join()

    @property
    def connection_uri(self) -> str:
        """Give the value for AIRFLOW_CONN_AWS_DEFAULT; a role assumed through it is assumed here, too."""
        url = self._public_url or self.endpoint_url
        extra = {
            "region_name": "us-east-1",
            "endpoint_url": url,
            # For assuming a role the amazon provider looks at no other endpoint than this one.
            "service_config": {"sts": {"endpoint_url": url}},
        }
        return f"aws://local-aws-key:local-aws-secret@/?__extra__={quote(json.dumps(extra), safe='')}"

    def wait_until_loaded(self) -> None:
        """Wait until the demo's models are ready to answer."""
        self._tell("loaded")

    def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        try:
            asyncio.run(self._main(listener, ready))
        except BaseException as failure:
            self._failure = failure
        finally:
            listener.close()
            ready.set()

    async def _main(self, listener: socket.socket, ready: threading.Event) -> None:
        cloud = Cloud(demo=self._demo)
        self._server = uvicorn.Server(
            uvicorn.Config(
                cloud.front,
                http=connection_protocol(),
                ws="none",
                lifespan="off",
                access_log=False,
                log_level="warning",
                log_config=None,
                backlog=2048,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=1,
                server_header=False,
            )
        )
        try:
            await cloud.start()
            ready.set()
            await self._server.serve(sockets=[listener])
        finally:
            await cloud.close()
