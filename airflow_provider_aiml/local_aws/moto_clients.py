"""boto3's clients, turned inwards: what they send goes to moto in the same thread, without a network.

They are for worker threads only. Whoever must know of a call that moto answered can watch them all.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_aiml.local_aws.messages import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_aiml.local_aws.wsgi_bridge import Moto

__all__ = ["ACCESS_KEY", "SECRET_KEY", "MotoClients"]

ACCESS_KEY = "local-aws-key"
SECRET_KEY = "local-aws-secret"  # noqa: S105


class MotoClients:
    """Clients of one moto.

    :param watch: called after each call, in its thread, with the request and moto's answer.
    """

    def __init__(self, moto: Moto, watch: Callable[[Request, Answer], None]) -> None:
        self._moto = moto
        self._watch = watch
        self._client = lru_cache(maxsize=None)(self._new_client)

    def get(self, service: str, region: str) -> Any:
        """Give the client of a service, by botocore's name of it."""
        return self._client(service, region)

    def _new_client(self, service: str, region: str) -> Any:
        import boto3
        from botocore.config import Config

        session: Any = boto3.session.Session()
        client = session.client(
            service,
            region_name=region,
            endpoint_url="http://127.0.0.1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )
        client.meta.events.register("before-send", self._send)
        return client

    def _send(self, request: Any, **_kwargs: Any) -> Any:
        from botocore.awsrequest import AWSResponse

        inwards = _inwards(request)
        answer = self._moto.handle_now(inwards)
        self._watch(inwards, answer)
        assert isinstance(answer.body, bytes)
        headers: Any = dict(answer.headers)
        return AWSResponse(request.url, answer.status, headers, _Raw(answer.body))


class _Raw(io.BytesIO):
    """A body as botocore reads one."""

    def stream(self, **_kwargs: Any) -> Iterator[bytes]:
        yield self.read()


def _inwards(request: Any) -> Request:
    parts = urlsplit(request.url)
    body = request.body or b""
    raw = body.encode() if isinstance(body, str) else bytes(body.read() if hasattr(body, "read") else body)
    headers = {
        name.lower(): value.decode() if isinstance(value, bytes) else str(value)
        for name, value in request.headers.items()
    }
    headers.setdefault("host", parts.netloc)
    return Request(request.method, parts.path or "/", parts.query, headers, (), raw)
