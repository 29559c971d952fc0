"""Processes that a test or the demo starts, watches, kills and always ends, with all that they started."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Self, TypeVar

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

T = TypeVar("T")
STOP_SECONDS = 10.0


class ProcessError(Exception):
    """A process ended by itself, or something did not happen in time."""


def free_port(wanted: int = 0) -> int:
    """Give ``wanted`` if nothing listens there, else a free port which the kernel gives no client."""
    for port in (*filter(None, [wanted]), *random.sample(range(20_000, 32_000), 100)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ProcessError("there is no free port")


def wait_until(look: Callable[[], T | None], seconds: float, what: str, pause: float = 0.5) -> T:
    """Look again and again until there is something.

    :raises ProcessError: it is still not there after ``seconds``.
    """
    give_up = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > give_up:
            raise ProcessError(f"not within {seconds:.0f} s: {what}")
        time.sleep(pause)
    return found


class Process:
    """A program in a session of its own, whose output goes to a file.

    :param name: what it is, for errors.
    :param command: program and arguments.
    :param environment: its whole environment.
    :param log: where its output goes; appended to.
    :param stop_seconds: how long it may take to end when it is asked to.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self.name = name
        self.log = log
        self._stop_seconds = stop_seconds
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._popen = psutil.Popen(
                command,
                env=dict(environment),
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return int(self._popen.pid)

    @property
    def ended(self) -> bool:
        return self._popen.poll() is not None

    def output(self, lines: int = 40) -> str:
        """Give the end of what it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def check(self) -> None:
        """Raise if it ended by itself."""
        if self.ended:
            raise ProcessError(f"{self.name} ended with {self._popen.poll()}:\n{self.output()}")

    def finish(self, seconds: float) -> None:
        """Wait for a program that ends by itself, and raise if it failed."""
        try:
            code = self._popen.wait(seconds)
        except psutil.TimeoutExpired:
            self.stop()
            raise ProcessError(f"{self.name} took over {seconds:.0f} s:\n{self.output()}") from None
        if code:
            raise ProcessError(f"{self.name} ended with {code}:\n{self.output()}")

    def kill(self) -> None:
        """Kill it and all that it started, without any notice, as the loss of its machine would."""
        family = self._family()
        for process in family:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(family, timeout=STOP_SECONDS)

    def ask_to_end(self) -> None:
        """Ask it to end, and do not wait for it."""
        if not self.ended:
            _signal(self._popen, signal.SIGTERM)

    def stop(self) -> None:
        """Ask it to end, then kill what is left of it and of what it started."""
        family = self._family()
        self.ask_to_end()
        psutil.wait_procs([self._popen], timeout=self._stop_seconds)
        for process in family:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(family, timeout=STOP_SECONDS)

    def _family(self) -> list[psutil.Process]:
        """Everything in its session, orphans included, and everything below it."""
        found = {self.pid: self._popen}
        for process in psutil.process_iter():
            try:
                mine = os.getsid(process.pid) == self.pid
            except (ProcessLookupError, PermissionError):
                continue
            if mine:
                found[process.pid] = process
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {child.pid: child for child in self._popen.children(recursive=True)}
        return list(found.values())


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        process.send_signal(number)
