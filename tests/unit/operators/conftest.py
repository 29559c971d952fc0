from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_aiml.local_aws import LocalAws


@pytest.fixture
def client(aws: LocalAws) -> Callable[[str], Any]:
    """Give a boto3 client of a service of the local AWS, with the keys of its connection."""

    def make(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=aws.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="local-aws-key",
            aws_secret_access_key="local-aws-secret",
        )

    return make


@pytest.fixture
def model(aws: LocalAws) -> LocalAws:
    """The local AWS with an endpoint that gives back what it gets."""
    aws.add_endpoint("my-endpoint", "echo")
    return aws
