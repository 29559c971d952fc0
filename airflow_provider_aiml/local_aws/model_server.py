"""The container side of the local AWS: one process that serves one model by SageMaker's container contract.

``python -m airflow_provider_aiml.local_aws.model_server module:callable`` answers ``GET /ping`` once the
model is loaded, and ``POST /invocations`` with what the callable gives. The callable takes a
:class:`~airflow_provider_aiml.local_aws.model_contract.ModelRequest` and gives a ``ModelAnswer``; it may be a
coroutine function. If its module has a function ``load``, it is called first.

The process ends when its standard input does, so that no model outlives a local AWS that was killed.

See https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import os
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from airflow_provider_aiml.local_aws.model_contract import ModelAnswer, ModelRequest
from airflow_provider_aiml.local_aws.sockets import listen

__all__ = ["load_model", "main", "model_application"]

Model = Callable[[ModelRequest], "ModelAnswer | Awaitable[ModelAnswer]"]


def load_model(name: str) -> Model:
    """Import ``module:callable`` and let its module load what it needs.

    :raises ValueError: if ``name`` has no colon or names nothing callable.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(f"a model is named module:callable, not {name!r}")
    module = importlib.import_module(module_name)
    model = getattr(module, attribute, None)
    if not callable(model):
        raise ValueError(f"{name!r} names nothing that can be called")
    if load := getattr(module, "load", None):
        load()
    found: Model = model
    return found


async def _ask(model: Model, request: ModelRequest) -> ModelAnswer:
    if inspect.iscoroutinefunction(model):
        answer: ModelAnswer = await model(request)
        return answer
    given = await asyncio.to_thread(model, request)
    assert isinstance(given, ModelAnswer)
    return given


def model_application(model: Model) -> Callable[..., Awaitable[None]]:
    """Give the ASGI application that serves ``model``."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        body = await _read(receive)
        if (scope["method"], scope["path"]) == ("GET", "/ping"):
            answer = ModelAnswer(b"", "text/plain")
        elif (scope["method"], scope["path"]) == ("POST", "/invocations"):
            headers = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
            }
            try:
                answer = await _ask(model, ModelRequest(body, headers))
            except Exception as error:  # a model's crash is the container's 500, as in any model server
                answer = ModelAnswer(f"{type(error).__name__}: {error}".encode(), "text/plain", 500)
        else:
            answer = ModelAnswer(b"no such path in the container contract", "text/plain", 404)
        await _send(answer, send)

    return application


async def _read(receive: Any) -> bytes:
    pieces = []
    more = True
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(pieces)


async def _send(answer: ModelAnswer, send: Any) -> None:
    headers = {"content-type": answer.content_type, **answer.headers}
    if isinstance(answer.body, bytes):
        headers["content-length"] = str(len(answer.body))
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
    if isinstance(answer.body, bytes):
        await send({"type": "http.response.body", "body": answer.body})
        return
    async for piece in answer.body:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _end_with_parent() -> None:
    """Leave as soon as standard input ends: whoever started us is gone, however it ended."""
    sys.stdin.buffer.read()
    os._exit(0)


def main(arguments: list[str] | None = None) -> None:
    """Serve a model until standard input ends."""
    parser = argparse.ArgumentParser(
        prog="model_server", description="Serve a model by SageMaker's container contract."
    )
    parser.add_argument("model", help="module:callable")
    parser.add_argument("--fd", type=int, help="a listening socket that was inherited")
    parser.add_argument("--port", type=int, default=8080, help="the port of 127.0.0.1, if there is no --fd")
    options = parser.parse_args(arguments)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    listener = listen("127.0.0.1", options.port) if options.fd is None else socket.socket(fileno=options.fd)
    model = load_model(options.model)

    import uvicorn

    config = uvicorn.Config(
        model_application(model),
        lifespan="off",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=600,
        ws="none",
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
