"""The demo's streaming model: it says the words of its input again, one by one, as JSON lines.

JSON ``{"inputs": "…"}`` or plain text in; lines ``{"token": "…"}`` out, the last one ``{"done": true,
"tokens": n}``. The pieces that it sends do not end where the lines do, as those of real models do not.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from airflow_provider_aiml.local_aws.model_contract import ModelAnswer, ModelRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PIECE_BYTES = 20
_PAUSE_SECONDS = 0.005


async def model(request: ModelRequest) -> ModelAnswer:
    """Stream the words of the input."""
    try:
        text = _text(request)
    except ValueError:
        message = b'the body must be plain text, or JSON {"inputs": "some text"}'
        return ModelAnswer(message, "text/plain", 400)
    return ModelAnswer(_stream(text.split()), "application/jsonlines")


def _text(request: ModelRequest) -> str:
    if not request.headers.get("content-type", "").startswith("application/json"):
        return request.body.decode("utf-8")
    document = json.loads(request.body)
    text = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(text, str):
        raise ValueError
    return text


async def _stream(words: list[str]) -> AsyncIterator[bytes]:
    lines = [json.dumps({"token": word}, ensure_ascii=False) for word in words]
    lines.append(json.dumps({"done": True, "tokens": len(words)}))
    body = "".join(f"{line}\n" for line in lines).encode()
    for start in range(0, len(body), _PIECE_BYTES):
        yield body[start : start + _PIECE_BYTES]
        await asyncio.sleep(_PAUSE_SECONDS)
