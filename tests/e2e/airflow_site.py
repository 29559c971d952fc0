"""A whole Airflow of plain processes: API server, scheduler with LocalExecutor, DAG processor, triggerer.

It lives in one folder, on SQLite unless it is given a database, on free ports of loopback. A test may start
more of a kind, kill one, and read what each wrote.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from typing import TYPE_CHECKING, Any, Self

from tests.e2e.airflow_api import AirflowApi, answers
from tests.e2e.processes import Process, ProcessError, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

USER = "admin"
START_SECONDS = 180
MIGRATE_SECONDS = 180
COMPONENTS = {
    # Two processes serve people and tasks. In one, the audit log's INSERT for a person's request blocks the
    # event loop that a task's request needs to commit, and SQLite has only one writer (seen on 3.3.2).
    "api-server": ("api-server", "--apps", "core", "--host", "127.0.0.1", "--workers", "1"),
    "execution-api": ("api-server", "--apps", "execution", "--host", "127.0.0.1", "--workers", "1"),
    # Logs are read from the folder. A log server of theirs would keep its port when its parent is killed.
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
QUICK_TO_NOTICE = {
    "triggerer.job_heartbeat_sec": 2,
    "triggerer.triggerer_health_check_threshold": 20,
    "scheduler.task_instance_heartbeat_timeout": 25,
    "scheduler.task_instance_heartbeat_timeout_detection_interval": 2,
    "scheduler.scheduler_heartbeat_sec": 1,
    "workers.min_heartbeat_interval": 2,
}
"""Settings with which a dead triggerer, or a dead task, is noticed within seconds instead of minutes."""


class AirflowSite:
    """An Airflow, for as long as the context lasts.

    :param home: an empty folder for all that it writes.
    :param dag_folders: where its DAGs are.
    :param environment: variables on top, connections for example.
    :param settings: Airflow settings by ``section.key``; see :data:`QUICK_TO_NOTICE`.
    :param database: SQLAlchemy's URL of an empty database. Default: SQLite, in ``home``.
    :param port: the API server's, taken if it is free, else another one.
    """

    def __init__(
        self,
        home: Path,
        dag_folders: Sequence[Path],
        environment: Mapping[str, str],
        *,
        settings: Mapping[str, Any] | None = None,
        database: str | None = None,
        port: int = 0,
    ) -> None:
        self.home = home.resolve()
        self.password = secrets.token_urlsafe(9)
        self.processes: dict[str, Process] = {}
        ports = {"api-server": free_port(port), "execution-api": free_port()}
        self._ports = {name: ("--port", str(number)) for name, number in ports.items()}
        self.url = f"http://127.0.0.1:{ports['api-server']}"
        self.api = AirflowApi(self.url)
        own = _own_settings(self.home, dag_folders, self.url) | dict(settings or {})
        if database:
            own["database.sql_alchemy_conn"] = database
        self._execution = f"http://127.0.0.1:{ports['execution-api']}/execution/"
        own["core.execution_api_server_url"] = self._execution
        self._environment = {
            **_harmless_environment(),
            "AIRFLOW_HOME": str(self.home),
            "AWS_EC2_METADATA_DISABLED": "true",
            **{_variable(name): str(value) for name, value in own.items()},
            **environment,
        }

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def add(self, component: str, name: str | None = None) -> Process:
        """Start a component; another of its kind under a name of its own.

        :param component: one of :data:`COMPONENTS`.
        :param name: default: the component's.
        """
        name = name or component
        self.processes[name] = self._airflow(name, *COMPONENTS[component], *self._ports.get(component, ()))
        return self.processes[name]

    def running(self, component: str) -> Process:
        """Give the process of a component that has not ended; an earlier test may have killed the first."""
        return next(one for name, one in self.processes.items() if component in name and not one.ended)

    def stop(self) -> None:
        """End every process of it."""
        self.api.close()
        for process in self.processes.values():
            process.ask_to_end()
        for process in self.processes.values():
            process.stop()

    def output(self, lines: int = 40) -> str:
        """Give the end of what each component wrote."""
        return "\n".join(f"--- {name}\n{process.output(lines)}" for name, process in self.processes.items())

    def _start(self) -> None:
        passwords = self.home / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({USER: self.password}))
        migration = self._airflow("db-migrate", "db", "migrate")
        self.processes["db-migrate"] = migration
        migration.finish(MIGRATE_SECONDS)
        for component in COMPONENTS:
            self.add(component)
        wait_until(self._healthy, START_SECONDS, "every component of Airflow is healthy")
        self.api.log_in(USER, self.password)

    def _healthy(self) -> bool:
        for component in COMPONENTS:
            self.processes[component].check()
        health = self.api.health() or {}
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all(health.get(part) == "healthy" for part in parts) and answers(f"{self._execution}health")

    def wait_for_dags(self, dag_ids: set[str]) -> None:
        """Wait until the DAG processor has seen these DAGs.

        :raises ProcessError: a DAG file cannot be imported, or a DAG does not appear.
        """

        def seen() -> bool:
            if errors := self.api.import_errors():
                raise ProcessError("\n".join(errors))
            return dag_ids <= self.api.dag_ids()

        wait_until(seen, START_SECONDS, f"Airflow knows the DAGs {', '.join(sorted(dag_ids))}")

    def _airflow(self, name: str, *arguments: str) -> Process:
        command = [sys.executable, "-m", "airflow", *arguments]
        return Process(name, command, self._environment, self.home / "output" / f"{name}.log")


def _own_settings(home: Path, dag_folders: Sequence[Path], url: str) -> dict[str, Any]:
    bundles = [
        {
            "name": f"dags-{folder.name}",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(folder.resolve())},
        }
        for folder in dag_folders
    ]
    return {
        "api.base_url": url,
        "api.secret_key": secrets.token_hex(16),
        "api_auth.jwt_secret": secrets.token_urlsafe(64),
        "core.executor": "LocalExecutor",
        "core.fernet_key": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "core.load_examples": False,
        "core.parallelism": 6,
        "core.simple_auth_manager_passwords_file": home / "passwords.json",
        "core.simple_auth_manager_users": f"{USER}:admin",
        # Six processes write to one file: let each wait for its turn.
        "database.sql_alchemy_conn": f"sqlite:///{home}/airflow.db?timeout=20",
        "dag_processor.dag_bundle_config_list": json.dumps(bundles),
        "usage_data_collection.enabled": False,
    }


def _variable(setting: str) -> str:
    section, key = setting.split(".")
    return f"AIRFLOW__{section}__{key}".upper()


def _harmless_environment() -> dict[str, str]:
    """This process's environment without another Airflow's settings and without any AWS account."""
    other = ("AIRFLOW", "AWS_", "PYTEST_", "COV")
    return {name: value for name, value in os.environ.items() if not name.startswith(other)}
