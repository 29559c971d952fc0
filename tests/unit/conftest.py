"""What the tests of tasks share: the local AWS's S3, and one quick S3 client setting."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_aiml.local_aws import LocalAws


@pytest.fixture
def s3(aws: LocalAws) -> Any:
    """A boto3 S3 client of the local AWS, with a bucket named ``bucket``."""
    client = boto3.client(
        "s3",
        endpoint_url=aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket="bucket")
    return client


@pytest.fixture
def read(s3: Any) -> Callable[[str], bytes | None]:
    """Give the bytes of an object in the bucket ``bucket``, None where there is none."""

    def get(key: str) -> bytes | None:
        try:
            return bytes(s3.get_object(Bucket="bucket", Key=key)["Body"].read())
        except s3.exceptions.NoSuchKey:
            return None

    return get


@pytest.fixture
def queue_is_empty(aws: LocalAws) -> Callable[[], None]:
    """Wait until no asynchronous inference is queued or running."""

    def wait() -> None:
        for _ in range(6_000):
            if not aws.pending():
                return
            time.sleep(0.01)
        raise AssertionError("the queue did not empty")

    return wait


class Told:
    """What tasks told their logs: through structlog, as Airflow's tasks do, or through logging."""

    def __init__(self, entries: list[Any], caplog: pytest.LogCaptureFixture) -> None:
        self._entries = entries
        self._caplog = caplog

    @property
    def lines(self) -> list[str]:
        of_library = [f"{record.levelname.lower()}: {record.getMessage()}" for record in self._caplog.records]
        return [f"{entry['log_level']}: {entry['event']}" for entry in self._entries] + of_library

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Told]:
    """Collect what the test's tasks tell their logs."""
    caplog.set_level("INFO")
    with capture_logs() as entries:
        yield Told(entries, caplog)
