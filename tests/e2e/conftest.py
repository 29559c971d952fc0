"""One Airflow and one local AWS for all tests of this folder, with the example DAGs and the tests' own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e.airflow_site import QUICK_TO_NOTICE, AirflowSite
from tests.e2e.dags.pausing import FOLDER_VARIABLE
from tests.e2e.demo import EXAMPLE_DAGS, EXPECTATIONS
from tests.e2e.local_aws_process import LocalAwsProcess
from tests.e2e.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_aiml.local_aws import LocalAwsControl

OWN_DAGS = Path(__file__).parent / "dags"
OWN_MODELS = Path(__file__).parent / "models"


@pytest.fixture(scope="session")
def cloud(pauses: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAwsProcess]:
    search = os.pathsep.join(filter(None, [str(OWN_MODELS), os.environ.get("PYTHONPATH")]))
    environment = {"PYTHONPATH": search, FOLDER_VARIABLE: str(pauses)}
    with LocalAwsProcess(tmp_path_factory.mktemp("local-aws"), environment=environment) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture(scope="session")
def control(cloud: LocalAwsProcess) -> LocalAwsControl:
    """What the models received, and what goes wrong."""
    return cloud.control


@pytest.fixture(scope="session")
def pauses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a task that pauses for a test says so, and where tasks and models wait for leave to go on."""
    return tmp_path_factory.mktemp("pauses")


@pytest.fixture(scope="session")
def site(
    cloud: LocalAwsProcess, pauses: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AirflowSite]:
    environment = {"AIRFLOW_CONN_AWS_DEFAULT": cloud.connection_uri, FOLDER_VARIABLE: str(pauses)}
    home = tmp_path_factory.mktemp("airflow")
    folders = [EXAMPLE_DAGS, OWN_DAGS]
    # SQLite has one writer at a time, too few for all that is killed and resumed here at once.
    with (
        Postgres() as postgres,
        AirflowSite(home, folders, environment, settings=QUICK_TO_NOTICE, database=postgres.url) as running,
    ):
        running.wait_for_dags({wanted.dag_id for wanted in EXPECTATIONS} | {"e2e_waits", "e2e_paid_once"})
        yield running
