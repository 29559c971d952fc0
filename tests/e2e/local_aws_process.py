"""The local AWS as a process of its own, started by the command that a user starts it with."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Self

from airflow_provider_aiml.local_aws import LocalAwsControl
from tests.e2e.processes import Process, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

START_SECONDS = 120
_READY = re.compile(r"ready at (?P<url>\S+); AIRFLOW_CONN_AWS_DEFAULT='(?P<connection>[^']+)'")


class LocalAwsProcess:
    """A local AWS with the demo's endpoints, for as long as the context lasts.

    :param folder: where its log goes.
    :param port: taken if it is free, else another one.
    :param environment: variables on top.
    """

    def __init__(self, folder: Path, port: int = 0, environment: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._port = port
        self._environment = environment or {}

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "airflow_provider_aiml.local_aws", "--port"]
        self._process = Process(
            "the local AWS",
            [*command, str(free_port(self._port))],
            {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
            | dict(self._environment),
            self._folder / "local-aws.log",
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()

    def wait_until_ready(self) -> None:
        """Wait until its models are loaded."""

        def ready() -> re.Match[str] | None:
            found = _READY.search(self._process.log.read_text())
            if found is None:
                self._process.check()
            return found

        found = wait_until(ready, START_SECONDS, "the local AWS is ready")
        self.connection_uri = found["connection"]
        self.url = found["url"]
        self.control = LocalAwsControl(self.url)
