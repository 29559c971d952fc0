from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_aiml.local_aws import LocalAws


@pytest.fixture(scope="session")
def client(local_aws: LocalAws) -> Callable[..., Any]:
    """Give a boto3 client of a service, with one attempt, so that a fault is seen as it is."""
    config = Config(retries={"total_max_attempts": 1}, parameter_validation=False, read_timeout=60)

    @cache
    def make(service: str, region: str = "us-east-1") -> Any:
        return boto3.client(
            service,
            endpoint_url=local_aws.endpoint_url,
            region_name=region,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            config=config,
        )

    return make


@pytest.fixture
def runtime(aws: LocalAws, client: Callable[..., Any]) -> Any:
    return client("sagemaker-runtime")


@pytest.fixture
def s3(aws: LocalAws, client: Callable[..., Any]) -> Any:
    return client("s3")
