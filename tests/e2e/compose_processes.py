"""Runs the services of a compose file as plain processes, for machines without a container engine.

Each service gets a file tree of its own, in which only its volumes are shared, and the command, the
environment, the health check and the order of starting that the file gives it. What a container network does
is done by rewriting: the name and port of a service become 127.0.0.1 and a free port.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml
from tests.e2e.postgres import make_cluster
from tests.e2e.processes import Process, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

IMAGE_HOME = "/opt/airflow"
"""AIRFLOW_HOME in the apache/airflow image."""
SERVICE_PORTS = {"postgres": (5432,), "local-aws": (4566,), "api-server": (8080,), "scheduler": (8974,)}
START_SECONDS = 180
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:\?|:-)(?P<rest>[^}]*))?\}")


class ComposeError(Exception):
    """The file asks for a variable that is not set, or a program is missing."""


def interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    """Fill in ``${NAME}``, ``${NAME:-default}`` and ``${NAME:?message}`` as compose does."""
    if isinstance(value, dict):
        return {key: interpolated(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [interpolated(inner, variables) for inner in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        if found := variables.get(match["name"]):
            return found
        if match["kind"] == ":-":
            return match["rest"]
        raise ComposeError(f"{match['name']}: {match['rest'] or 'is not set'}")

    return _VARIABLE.sub(fill, value)


class ComposeProcesses:
    """The services of a compose file, started in the order of their ``depends_on``.

    :param file: the compose file; its bind mounts are relative to its folder.
    :param variables: what ``.env`` would hold.
    :param path: the folders in which a service finds its commands; they stand in for the image.
    """

    def __init__(self, file: Path, variables: Mapping[str, str], path: list[Path]) -> None:
        self.services: dict[str, dict[str, Any]] = interpolated(yaml.safe_load(file.read_text()), variables)[
            "services"
        ]
        self.ports = {(name, port): free_port() for name, ports in SERVICE_PORTS.items() for port in ports}
        self._project = file.parent
        self._path = path
        self._running: dict[str, Process] = {}
        # Not pytest's: PostgreSQL refuses to run as root, and its own user cannot enter a folder of root's.
        self._root = Path(tempfile.mkdtemp(prefix="compose-"))
        self._root.chmod(0o755)

    def __enter__(self) -> Self:
        try:
            for name in self._in_order():
                self._start(name)
            for name in self._running:
                self._wait_until_healthy(name)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        error_class: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def url(self, service: str, port: int) -> str:
        return f"http://127.0.0.1:{self.ports[service, port]}"

    def output(self, service: str) -> str:
        """Give the end of what a service printed."""
        return self._running[service].output()

    def _in_order(self) -> list[str]:
        ordered: list[str] = []

        def visit(name: str) -> None:
            for needed in self.services[name].get("depends_on", {}):
                visit(needed)
            if name not in ordered:
                ordered.append(name)

        for name in self.services:
            visit(name)
        return ordered

    def _start(self, name: str) -> None:
        for needed, how in self.services[name].get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                self._wait_until_healthy(needed)
            elif how["condition"] == "service_completed_successfully" and needed in self._running:
                self._running.pop(needed).finish(START_SECONDS)
        for source, target in self._volumes(name):
            target.parent.mkdir(parents=True, exist_ok=True)
            source.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source)
        self._home(name).mkdir(parents=True, exist_ok=True)
        command = (
            self._postgres_command()
            if name == "postgres"
            else self._here(name, self.services[name]["command"])
        )
        log = self._root / "logs" / f"{name}.log"
        self._running[name] = Process(name, command, self._environment(name), log)

    def _home(self, name: str) -> Path:
        return self._root / name / IMAGE_HOME.lstrip("/")

    def _volumes(self, name: str) -> Iterator[tuple[Path, Path]]:
        if name == "postgres":
            return
        for volume in self.services[name].get("volumes", []):
            source, target = volume.split(":")[:2]
            shared = self._project / source if source.startswith(".") else self._root / "volumes" / source
            yield shared, self._root / name / target.lstrip("/")

    def _here(self, name: str, value: Any) -> Any:
        """Rewrite what holds in the service's container to what holds on this machine."""
        if isinstance(value, list):
            return [self._here(name, inner) for inner in value]
        for (service, port), free in self.ports.items():
            value = value.replace(f"{service}:{port}", f"127.0.0.1:{free}")
            if service == name:
                value = value.replace(f"localhost:{port}", f"127.0.0.1:{free}")
                value = str(free) if value == str(port) else value
        return value.replace(IMAGE_HOME, str(self._home(name))).replace("0.0.0.0", "127.0.0.1")

    def _environment(self, name: str) -> dict[str, str]:
        given = self.services[name].get("environment", {})
        return {
            "HOME": str(self._root),
            "LANG": "C.UTF-8",
            "PATH": os.pathsep.join(
                [*map(str, self._path), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin"]
            ),
            "AIRFLOW_HOME": str(self._home(name)),
            # In a container of its own each service has these ports for itself.
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(self.ports["scheduler", 8974]),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.ports["postgres", 5432]),
            **{key: self._here(name, value) for key, value in given.items()},
        }

    def _postgres_command(self) -> list[str]:
        """Do what the image's entry point does: make the cluster, its user and its database."""
        given = self.services["postgres"]["environment"]
        command = make_cluster(
            self._root,
            user=given["POSTGRES_USER"],
            password=given["POSTGRES_PASSWORD"],
            database=given["POSTGRES_DB"],
        )
        return [*command, "-p", str(self.ports["postgres", 5432])]

    def _wait_until_healthy(self, name: str) -> None:
        kind, *test = self._here(name, self.services[name]["healthcheck"]["test"])
        assert kind == "CMD"

        def healthy() -> bool:
            self._running[name].check()
            seen = subprocess.run(
                test, env=self._environment(name), capture_output=True, check=False, cwd="/"
            )
            return seen.returncode == 0

        wait_until(healthy, START_SECONDS, f"{name} is healthy")

    def _stop(self) -> None:
        for process in reversed(self._running.values()):
            process.stop()
        shutil.rmtree(self._root, ignore_errors=True)
