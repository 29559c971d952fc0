"""Moto behind our front: WSGI calls from an event loop, in worker threads, and calls of our own.

Our own calls go in by HTTP messages as well, signed with a made-up scope, so that nothing here leans on
moto's internals. Moto is imported on first use, as it takes a while. Its state belongs to the process: two
local AWSs in one process share it.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote_to_bytes, urlencode

from airflow_provider_aiml.local_aws.messages import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Moto", "MotoRefusedError"]

T = TypeVar("T")
_THREADS = 16
_PRESERVED_HEADERS = "moto.preserved_header_names"


class MotoRefusedError(Exception):
    """A call of our own into moto was answered with an error status.

    :param answer: what moto said.
    """

    def __init__(self, what: str, answer: Answer) -> None:
        super().__init__(f"{what}: HTTP {answer.status} {answer.body!r}")
        self.answer = answer


class Moto:
    """Moto's server application, called from a coroutine."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="moto")

    @cached_property
    def _application(self) -> Any:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        return DomainDispatcherApplication(create_backend_app)

    def close(self) -> None:
        """Let the worker threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def handle(self, request: Request) -> Answer:
        """Let moto answer ``request``."""
        return await self._in_thread(self._call, request)

    def handle_now(self, request: Request) -> Answer:
        """Let moto answer ``request``; for a thread that is not the event loop's."""
        return self._call(request)

    def _call(self, request: Request) -> Answer:
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> None:
            started[:] = [int(status.split(" ", 1)[0]), headers]

        with closing(self._application(_environ(request), start_response)) as pieces:
            body = b"".join(pieces)
        status, headers = started
        return Answer(status, headers, body)

    async def reset(self) -> None:
        """Empty every backend."""
        await self._in_thread(self._own_call, Request("POST", "/moto-api/reset"), "reset")

    async def put_object(self, bucket: str, key: str, body: bytes, content_type: str) -> None:
        """Write an object, whole."""
        await self._in_thread(self.put_object_now, bucket, key, body, content_type)

    def put_object_now(self, bucket: str, key: str, body: bytes, content_type: str) -> None:
        """Write an object, whole; for a thread that is not the event loop's."""
        path = f"/{bucket}/{quote(key)}"
        self._own_call(_signed("s3", "us-east-1", "PUT", path, body, content_type), f"PUT {path}")

    async def get_object(self, bucket: str, key: str) -> tuple[bytes, str]:
        """Read an object; give its body and content type."""
        return await self._in_thread(self.get_object_now, bucket, key)

    def get_object_now(self, bucket: str, key: str) -> tuple[bytes, str]:
        """Read an object; for a thread that is not the event loop's."""
        path = f"/{bucket}/{quote(key)}"
        answer = self._own_call(_signed("s3", "us-east-1", "GET", path), f"GET {path}")
        assert isinstance(answer.body, bytes)
        headers = {name.lower(): value for name, value in answer.headers}
        return answer.body, headers.get("content-type", "binary/octet-stream")

    async def create_bucket(self, bucket: str) -> None:
        """Create a bucket in us-east-1, where creating it twice is no error."""
        request = _signed("s3", "us-east-1", "PUT", f"/{bucket}")
        await self._in_thread(self._own_call, request, f"PUT /{bucket}")

    async def publish(self, topic_arn: str, subject: str, message: str) -> None:
        """Publish to an SNS topic, in the topic's own region."""
        form = {"Action": "Publish", "Version": "2010-03-31", "TopicArn": topic_arn}
        body = urlencode({**form, "Subject": subject, "Message": message}).encode()
        region = topic_arn.split(":")[3] if topic_arn.count(":") >= 5 else "us-east-1"
        request = _signed("sns", region, "POST", "/", body, "application/x-www-form-urlencoded")
        await self._in_thread(self._own_call, request, f"publish to {topic_arn}")

    async def sagemaker(self, operation: str, region: str, **members: Any) -> dict[str, Any]:
        """Call one operation of the SageMaker control plane."""
        body = json.dumps(members).encode()
        request = _signed("sagemaker", region, "POST", "/", body, "application/x-amz-json-1.1")
        request.headers["x-amz-target"] = f"SageMaker.{operation}"
        answer = await self._in_thread(self._own_call, request, operation)
        assert isinstance(answer.body, bytes)
        return json.loads(answer.body) if answer.body else {}

    async def _in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    def _own_call(self, request: Request, what: str) -> Answer:
        answer = self._call(request)
        if answer.status >= 300:
            raise MotoRefusedError(what, answer)
        return answer


def _signed(
    service: str, region: str, method: str, path: str, body: bytes = b"", content_type: str = ""
) -> Request:
    scope = f"AWS4-HMAC-SHA256 Credential=local/20200101/{region}/{service}/aws4_request, SignedHeaders=host"
    headers = {"host": "127.0.0.1", "authorization": scope, "content-length": str(len(body))}
    if content_type:
        headers["content-type"] = content_type
    return Request(method, path, "", headers, (), body)


def _environ(request: Request) -> dict[str, Any]:
    """Build the WSGI environment, with what moto reads beyond the standard."""
    host = request.headers.get("host", "127.0.0.1")
    name, _, port = host.partition(":")
    raw_uri = request.raw_path + (f"?{request.query}" if request.query else "")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(request.raw_path).decode("latin-1"),
        "QUERY_STRING": request.query,
        "RAW_URI": raw_uri,
        "REQUEST_URI": raw_uri,
        "SERVER_NAME": name,
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    original_names = {}
    for header, value in request.header_list or tuple(request.headers.items()):
        if header.lower() == "transfer-encoding":
            continue
        key = header.upper().replace("-", "_")
        if "_" in header:
            original_names[f"HTTP_{key}"] = header
        environ[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = value
    environ["CONTENT_LENGTH"] = str(len(request.body))
    environ[_PRESERVED_HEADERS] = original_names
    return environ
