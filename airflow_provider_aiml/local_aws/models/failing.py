"""A test model that rejects everything, in words of its own."""

from __future__ import annotations

from airflow_provider_aiml.local_aws.model_contract import ModelAnswer, ModelRequest


def model(request: ModelRequest) -> ModelAnswer:
    """Say no, with status 400, without quoting the payload."""
    return ModelAnswer(f"rejected {len(request.body)} bytes".encode(), "text/plain", 400)
