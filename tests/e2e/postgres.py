"""A PostgreSQL of plain processes, on a free port of loopback, in a folder of its own."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psycopg2
from tests.e2e.processes import Process, ProcessError, free_port, wait_until

if TYPE_CHECKING:
    from types import TracebackType

START_SECONDS = 60
USER = "airflow"


def program(name: str) -> str:
    """Find a server program, which distributions keep off the PATH."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda found: int(found.parts[-3])
    )
    found = str(versions[-1]) if versions else shutil.which(name)
    if not found:
        raise ProcessError(f"PostgreSQL's {name} is not installed (on Debian: apt-get install postgresql)")
    return found


def make_cluster(folder: Path, *, user: str, password: str, database: str) -> list[str]:
    """Make a cluster with one user and one database, and give the command that serves it, but for its port.

    :param folder: its parents can be entered by everybody, for PostgreSQL does not run as root.
    """
    data, secret = folder / "postgres-data", folder / "postgres-password"
    as_user: list[str] = []
    secret.write_text(password)
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        as_user = ["runuser", "-u", "postgres", "--"]
        owner = pwd.getpwnam("postgres")
        for place in (data, secret):
            os.chown(place, owner.pw_uid, owner.pw_gid)
    server = [*as_user, program("postgres")]
    subprocess.run(
        [*as_user, program("initdb"), "-D", str(data), f"--username={user}",
         f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"],
        check=True, capture_output=True, cwd="/",
    )  # fmt: skip
    subprocess.run(
        [*server, "--single", "-D", str(data), "postgres"],
        input=f'CREATE DATABASE "{database}";\n'.encode(),
        check=True, capture_output=True, cwd="/",
    )  # fmt: skip
    return [*server, "-D", str(data), "-h", "127.0.0.1", "-k", "", "-F"]


class Postgres:
    """A server with one empty database, for as long as the context lasts."""

    def __enter__(self) -> Self:
        # Not pytest's: PostgreSQL's own user cannot enter a folder of root's.
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._folder.chmod(0o755)
        password, port = secrets.token_hex(16), free_port()
        command = make_cluster(self._folder, user=USER, password=password, database=USER)
        self.url = f"postgresql+psycopg2://{USER}:{password}@127.0.0.1:{port}/{USER}"
        self._process = Process(
            "PostgreSQL", [*command, "-p", str(port)], dict(os.environ), self._folder / "server.log"
        )
        try:
            wait_until(self._answers, START_SECONDS, "PostgreSQL answers")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _answers(self) -> bool:
        self._process.check()
        try:
            psycopg2.connect(self.url.replace("+psycopg2", "")).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _stop(self) -> None:
        self._process.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
