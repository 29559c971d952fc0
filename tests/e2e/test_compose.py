"""The compose file on a real Airflow and a real PostgreSQL; containers are replaced by plain processes."""

from __future__ import annotations

import base64
import os
import secrets
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml
from tests.e2e.compose_processes import ComposeError, ComposeProcesses, interpolated

PROJECT = Path(__file__).parents[2]
COMPOSE_FILE = PROJECT / "docker-compose.yaml"
DAG_ID = "aiml_realtime_scoring"
RUN_SECONDS = 180
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
    with httpx.Client(base_url=compose.url("api-server", 8080), timeout=30) as client:
        answer = client.post(
            "/auth/token", json={"username": "admin", "password": SECRETS["AIRFLOW_ADMIN_PASSWORD"]}
        )
        answer.raise_for_status()
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield client


def wait_for(look, seconds: float):
    give_up = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(1)
    return found


def test_every_component_reports_itself_healthy(api):
    health = wait_for(
        lambda: (
            (seen := api.get("/api/v2/monitor/health").json())
            and all(
                seen[name]["status"] == "healthy"
                for name in ("metadatabase", "scheduler", "triggerer", "dag_processor")
            )
            and seen
        ),
        60,
    )

    assert health["metadatabase"]["status"] == "healthy"


def test_the_login_page_opens_in_a_browser_and_knows_no_other_password(api, compose):
    page = httpx.get(f"{compose.url('api-server', 8080)}/auth/login", follow_redirects=True)
    refused = httpx.post(
        f"{compose.url('api-server', 8080)}/auth/token", json={"username": "admin", "password": "admin"}
    )

    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]
    assert refused.status_code == 401


def test_an_example_dag_runs_to_success(api, compose):
    wait_for(lambda: api.get(f"/api/v2/dags/{DAG_ID}").status_code == 200, 120)
    api.patch(f"/api/v2/dags/{DAG_ID}", json={"is_paused": False}).raise_for_status()
    started = api.post(f"/api/v2/dags/{DAG_ID}/dagRuns", json={"logical_date": None})
    started.raise_for_status()
    run = f"/api/v2/dags/{DAG_ID}/dagRuns/{started.json()['dag_run_id']}"

    state = wait_for(
        lambda: (seen := api.get(run).json()["state"]) in ("success", "failed") and seen, RUN_SECONDS
    )

    tasks = {
        task["task_id"]: task["state"] for task in api.get(f"{run}/taskInstances").json()["task_instances"]
    }
    assert state == "success", f"{tasks}\n{compose.output('scheduler')}"


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
