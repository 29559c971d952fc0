from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from airflow_provider_aiml.local_aws import LocalAws

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def demo() -> Iterator[LocalAws]:
    """Give the local AWS as ``python -m airflow_provider_aiml.local_aws`` starts it."""
    with LocalAws() as running:
        running.wait_until_loaded()
        running.reset()
        yield running
