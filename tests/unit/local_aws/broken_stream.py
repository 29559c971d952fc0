"""A model whose process dies in the middle of its stream; run by the local AWS, not by a test."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from airflow_provider_aiml.local_aws.model_contract import ModelAnswer, ModelRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def model(request: ModelRequest) -> ModelAnswer:
    return ModelAnswer(_pieces(request.body))


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    yield body
    await asyncio.sleep(0.05)
    os._exit(1)
