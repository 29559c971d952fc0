"""A test model that answers with what it was sent, as slowly or as badly as it is told.

It is steered by the custom attributes, a comma-separated list such as ``delay=0.5,status=500``: ``delay``
seconds before the answer, ``status`` of the answer, ``headers`` to answer with the headers received, as JSON,
``exit`` to kill the process in the middle of the request.
"""

from __future__ import annotations

import asyncio
import json
import os

from airflow_provider_aiml.local_aws.model_contract import ModelAnswer, ModelRequest

CUSTOM_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
_SESSION_ID = "x-amzn-sagemaker-session-id"


async def model(request: ModelRequest) -> ModelAnswer:
    """Answer with the body that came, under its own content type."""
    attributes = request.headers.get(CUSTOM_ATTRIBUTES, "")
    wishes = {
        name.strip(): value for name, _, value in (part.partition("=") for part in attributes.split(","))
    }
    await asyncio.sleep(float(wishes.get("delay", 0)))
    if "exit" in wishes:
        os._exit(1)
    headers = {CUSTOM_ATTRIBUTES: attributes} if CUSTOM_ATTRIBUTES in request.headers else {}
    if request.headers.get(_SESSION_ID) == "NEW_SESSION":
        headers["x-amzn-sagemaker-new-session-id"] = "session-1; Expires=2030-01-01T00:00:00Z"
    if "headers" in wishes:
        return ModelAnswer(json.dumps(dict(request.headers)).encode(), headers=headers)
    content_type = request.headers.get("content-type", "application/octet-stream")
    return ModelAnswer(request.body, content_type, int(wishes.get("status", 200)), headers)
