"""What every test gets: a local AWS on loopback, no real AWS in reach, an Airflow home for one run."""

from __future__ import annotations

import functools
import os
import tempfile
from typing import TYPE_CHECKING

import botocore.session
import pytest
from botocore.loaders import create_loader
from hypothesis import HealthCheck, settings
from pytest_socket import socket_allow_hosts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_aiml.local_aws import LocalAws

# Airflow reads its home when it is first imported, so before any fixture. Processes that share the tests
# inherit the home of the one that started them, and would run their DAGs in one database.
if "AIRFLOW_HOME" not in os.environ or "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-home-")
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

# How long an example takes says nothing on a busy machine.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def _hide_real_aws() -> None:
    """Take away every credential, profile and setting that could lead to a real account."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "AIRFLOW_CONN_AWS"))]:
        del os.environ[name]
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["AWS_CONFIG_FILE"] = os.devnull
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull


_hide_real_aws()


@pytest.fixture(autouse=True, scope="session")
def _read_service_models_once() -> Iterator[None]:
    """Let all AWS sessions share botocore's service models: reading them anew takes half of a test's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", functools.cache(create_loader))
        yield


@pytest.fixture(autouse=True)
def _only_loopback() -> None:
    socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)


# [START local_aws]
@pytest.fixture(scope="session")
def local_aws() -> Iterator[LocalAws]:
    """One local AWS for the whole session, without the demo's endpoints."""
    from airflow_provider_aiml.local_aws import LocalAws

    with LocalAws(port=0, demo=False) as running:
        yield running


@pytest.fixture
def aws(local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> LocalAws:
    """The local AWS, empty as at its start, behind the connection ``aws_default``."""
    local_aws.reset()
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", local_aws.connection_uri)
    return local_aws


# [END local_aws]
