"""The compose file on a real Airflow and a real PostgreSQL; containers are replaced by plain processes."""

from __future__ import annotations

import base64
import os
import secrets
import sys
from pathlib import Path

import httpx
import pytest
import yaml
from tests.e2e.airflow_api import AirflowApi
from tests.e2e.compose_processes import ComposeError, ComposeProcesses, interpolated
from tests.e2e.processes import wait_until

PROJECT = Path(__file__).parents[2]
COMPOSE_FILE = PROJECT / "docker-compose.yaml"
DAG_ID = "aiml_realtime_scoring"
SECRETS = {
    "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
    **{
        name: secrets.token_urlsafe(24)
        for name in (
            "AIRFLOW_JWT_SECRET",
            "AIRFLOW_API_SECRET_KEY",
            "AIRFLOW_ADMIN_PASSWORD",
            "POSTGRES_PASSWORD",
        )
    },
}

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def compose():
    with ComposeProcesses(COMPOSE_FILE, SECRETS, [Path(sys.executable).parent]) as running:
        yield running


@pytest.fixture(scope="module")
def api(compose):
    client = AirflowApi(compose.url("api-server", 8080))
    client.log_in("admin", SECRETS["AIRFLOW_ADMIN_PASSWORD"])
    yield client
    client.close()


def test_every_component_reports_itself_healthy(api):
    def all_healthy():
        health = api.health() or {}
        return health if set(health.values()) == {"healthy"} else None

    health = wait_until(all_healthy, 60, "every component is healthy")

    assert set(health) >= {"metadatabase", "scheduler", "triggerer", "dag_processor"}


def test_the_login_page_opens_in_a_browser_and_knows_no_other_password(compose):
    url = compose.url("api-server", 8080)
    page = httpx.get(f"{url}/auth/login", follow_redirects=True)
    refused = httpx.post(f"{url}/auth/token", json={"username": "admin", "password": "admin"})

    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]
    assert refused.status_code == 401


def test_an_example_dag_runs_to_success(api, compose):
    wait_until(lambda: DAG_ID in api.dag_ids(), 120, f"{DAG_ID} is there")
    api.unpause(DAG_ID)

    run = api.trigger(DAG_ID)
    state = api.wait_for_run(DAG_ID, run)

    failures = {task.name: api.failure(task) for task in api.tasks(DAG_ID, run) if task.state == "failed"}
    assert state == "success", f"{failures}\n{compose.output('scheduler')}"


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_has_no_default_and_must_be_given(name):
    given = {other: value for other, value in SECRETS.items() if other != name}

    with pytest.raises(ComposeError, match=name):
        ComposeProcesses(COMPOSE_FILE, given, [])


def test_every_airflow_component_has_the_same_secrets_and_a_health_check():
    services = interpolated(yaml.safe_load(COMPOSE_FILE.read_text()), SECRETS)["services"]
    components = [services[name] for name in ("api-server", "scheduler", "dag-processor", "triggerer")]

    assert all(component["environment"] == components[0]["environment"] for component in components)
    assert all(service.get("healthcheck") for name, service in services.items() if name != "airflow-init")


def test_the_image_and_its_context_hold_no_secret():
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    dockerfile = (PROJECT / "Dockerfile").read_text()

    assert ignored[0] == "*"
    assert not [line for line in ignored if line.startswith("!") and ".env" in line]
    assert not [line for line in dockerfile.splitlines() if line.startswith(("ARG", "ENV"))]
