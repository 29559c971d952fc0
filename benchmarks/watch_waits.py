"""What it costs to wait for N outputs in one process: memory, CPU, loop stalls and S3 calls.

``--n 500`` runs real triggers, ours beside amazon's S3KeyTrigger, each in a process of its own against its
own :mod:`s3_stand_in`. Larger N register with the watcher itself, or with ``--triggers`` are real triggers of
ours, rebuilt from what they serialize to.

In parentheses stands the longest that the loop's own thread computed without a break: the part of a stall
that is ours. The rest is other processes on the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib
import json
import logging
import os
import selectors
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s3_stand_in import BUCKET, failure_key, output_key
from tables import met, print_table

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

HERE = Path(__file__).parent
SHARES = (0.0, 0.1, 0.5, 0.9)
COMPILED = tempfile.TemporaryDirectory(prefix="compiled-")  # filled by a first, small run of each role
BATCH = 50  # waits that are registered before the loop is let go
BUDGET_MB, BUDGET_CPU, BUDGET_STALL_MS = 256, 25, 50


def memory_mb() -> float:
    """Give the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class StallMeter(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Notes how long the loop is busy between two looks at its sockets, and how much of that it computed.

    The rest is the machine's: another thread or process had the core.
    """

    def __init__(self) -> None:
        super().__init__()
        self.longest = self.computed = 0.0
        self.since = (time.perf_counter(), time.thread_time())

    def select(self, timeout: float | None = None) -> Any:
        """Measure, then wait for the sockets."""
        self.longest = max(self.longest, time.perf_counter() - self.since[0])
        self.computed = max(self.computed, time.thread_time() - self.since[1])
        ready = super().select(timeout)
        self.since = (time.perf_counter(), time.thread_time())
        return ready

    def read(self) -> tuple[float, float]:
        """Give the longest stall since the last reading, and the longest computation, in milliseconds."""
        read = (self.longest * 1000, self.computed * 1000)
        self.longest = self.computed = 0.0
        return read


async def ask(url: str) -> bytes:
    """Fetch from the stand-in without holding the loop."""
    return await asyncio.to_thread(lambda: urllib.request.urlopen(url).read())


async def run_trigger(classpath: str, kwargs: dict[str, Any]) -> None:
    """Rebuild a trigger as the triggerer does, and run it to its event."""
    module, _, name = classpath.rpartition(".")
    trigger = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(kwargs)))
    async for event in trigger.run():
        assert event.payload["status"] in {"completed", "success"}, event


def our_trigger(number: int, interval: float) -> Coroutine[Any, Any, None]:
    """Give a wait by our trigger."""
    from airflow_provider_aiml.triggers.sagemaker import SageMakerAsyncInferenceTrigger

    inference = {
        "inference_id": f"id-{number}",
        "output_location": f"s3://{BUCKET}/{output_key(number)}",
        "failure_location": f"s3://{BUCKET}/{failure_key(number)}",
    }
    trigger = SageMakerAsyncInferenceTrigger(
        inferences=[inference], poll_interval=interval, timeout_at=time.time() + 36_000
    )
    return run_trigger(*trigger.serialize())


def s3_key_trigger(number: int, interval: float) -> Coroutine[Any, Any, None]:
    """Give a wait by amazon's trigger, for the output alone."""
    from airflow.providers.amazon.aws.triggers.s3 import S3KeyTrigger

    trigger = S3KeyTrigger(bucket_name=BUCKET, bucket_key=output_key(number), poke_interval=interval)
    return run_trigger(*trigger.serialize())


def our_watch(number: int, interval: float) -> Coroutine[Any, Any, Any]:
    """Give a wait by the watcher itself."""
    from airflow_provider_aiml.inference.output_watch import watch_output
    from airflow_provider_aiml.inference.outputs import AsyncInference, Location, PollSchedule

    inference = AsyncInference(
        Location(BUCKET, output_key(number)), Location(BUCKET, failure_key(number)), f"id-{number}"
    )
    return watch_output(
        inference,
        share_key="benchmark",
        open_client=open_client,
        schedule=PollSchedule(interval),
        deadline=time.time() + 36_000,
    )


def open_client() -> Any:
    """Open an S3 client as the trigger does."""
    from airflow_provider_aiml.hooks.sagemaker_runtime import SageMakerRuntimeHook

    return SageMakerRuntimeHook().aopen_s3_client()


WAITS = {"watcher": our_watch, "triggers": our_trigger, "S3KeyTrigger": s3_key_trigger}


async def measure(
    role: str, n: int, interval: float, polls: int, shares: list[float], url: str, meter: StallMeter
) -> dict[str, Any]:
    """Register the waits, then measure some polls at each share of outputs that are there."""
    make = WAITS[role]
    make(0, interval).close()
    open_client()
    logging.disable(logging.INFO)
    seen: dict[int, float] = {}

    def note(task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise SystemExit(f"a wait failed, so that nothing was measured: {error!r}")
        seen[int(task.get_name())] = time.monotonic()

    gc.collect()
    await asyncio.sleep(0)
    idle = memory_mb()
    meter.read()
    began = time.monotonic()
    tasks = []
    for first in range(0, n, BATCH):
        for number in range(first, min(n, first + BATCH)):
            tasks.append(asyncio.create_task(make(number, interval), name=str(number)))
            tasks[-1].add_done_callback(note)
        await asyncio.sleep(0.001)
    registered = time.monotonic() - began
    if role == "S3KeyTrigger":
        while sum(json.loads(await ask(f"{url}/_calls")).values()) < n:  # noqa: ASYNC110
            await asyncio.sleep(interval)
    await asyncio.sleep(2 * interval + 1)
    result: dict[str, Any] = {"registered": registered, "start_stall": meter.read(), "shares": []}
    there = 0
    for share in shares:
        wanted = int(n * share)
        appeared = time.monotonic()
        if wanted > there:
            await ask(f"{url}/_appear?start={there}&end={wanted}")
            appeared = time.monotonic()
            await asyncio.sleep(2 * interval + 1)
        late = [seen.get(number, float("inf")) - appeared for number in range(there, wanted)]
        there = wanted
        calls, cpu, wall = json.loads(await ask(f"{url}/_calls")), time.process_time(), time.monotonic()
        await asyncio.sleep(polls * interval)
        spent = time.monotonic() - wall
        cpu = time.process_time() - cpu
        after = json.loads(await ask(f"{url}/_calls"))
        result["shares"].append(
            {
                "share": share,
                "memory": memory_mb() - idle,
                "cpu": 100 * cpu / spent,
                "stall": meter.read(),
                "calls_per_second": sum(after[kind] - calls[kind] for kind in after) / spent,
                "seen_after": max(late, default=None),
            }
        )
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return result


@contextlib.contextmanager
def stand_in() -> Iterator[str]:
    """Run an S3 stand-in in a process of its own."""
    server = subprocess.Popen(
        [sys.executable, str(HERE / "s3_stand_in.py")], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{server.stdout.readline().split()[1]}"
    finally:
        server.terminate()
        server.wait()


def run_role(role: str, n: int, interval: float, polls: int, shares: tuple[float, ...]) -> dict[str, Any]:
    """Measure in a process of its own, with compiled modules, as an installed Airflow has them."""
    with stand_in() as url, tempfile.TemporaryDirectory() as home:
        extra = {"region_name": "us-east-1", "endpoint_url": url}
        connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}
        environment = {
            **os.environ,
            "AIRFLOW_HOME": home,
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
            "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX", COMPILED.name),
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        arguments = [str(n), str(interval), str(polls), json.dumps(shares), url]
        command = [sys.executable, str(Path(__file__)), "--role", role, *arguments]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def row(label: str, at: dict[str, Any], start: list[float]) -> list[str]:
    """Give a row of the table."""
    late = at["seen_after"]
    stall = at["stall"]
    return [
        label,
        f"{at['memory']:.1f} MB",
        f"{at['cpu']:.2f} %",
        f"{start[0]:.0f} ({start[1]:.0f}) ms",
        f"{stall[0]:.0f} ({stall[1]:.0f}) ms",
        f"{at['calls_per_second']:.2f}",
        "-" if late is None else f"{late:.1f} s",
    ]


HEAD = ["waits", "memory over idle", "CPU of a core", "stall at start", "stall", "S3 calls/s", "seen after"]


def judge(what: str, value: float, budget: float, unit: str) -> str:
    """Say a figure, its budget, and whether it is kept."""
    return f"{what} {value:.1f} {unit} (at most {budget:.0f} {unit}: {met(value, budget)})"


def compare(n: int, polls: int) -> None:
    """Print our triggers beside amazon's."""
    interval = 5.0
    ours = run_role("triggers", n, interval, polls, (0.0,))
    theirs = run_role("S3KeyTrigger", n, interval, polls, (0.0,))
    a, b = ours["shares"][0], theirs["shares"][0]
    least = {"memory": 25, "cpu": 20, "calls_per_second": 100}
    judged = []
    for what, wanted in least.items():
        ratio = b[what] / max(a[what], 1e-9)
        judged.append(f"{what.split('_')[0]} {ratio:.0f}x less (at least {wanted}x: {met(wanted, ratio)})")
    judged.append(judge("own stall", max(a["stall"][1], ours["start_stall"][1]), BUDGET_STALL_MS, "ms"))
    rows = [
        row("ours, output and failure", a, ours["start_stall"]),
        row("S3KeyTrigger, output alone", b, theirs["start_stall"]),
    ]
    title = f"{n} triggers that wait, polling every {interval:.0f} s"
    print_table(title, HEAD, rows, f"{', '.join(judged)}.")


def curve(role: str, n: int, polls: int) -> tuple[int, float, float]:
    """Print what N waits of ours cost while outputs appear; give N, memory and CPU with a tenth there."""
    interval = 10.0
    result = run_role(role, n, interval, polls, SHARES)
    start = result["start_stall"]
    shares = result["shares"]
    rows = [row(f"{at['share']:.0%} of the outputs there", at, start) for at in shares]
    early = [at for at in shares if at["share"] <= 0.1]
    judged = [
        judge("memory", max(at["memory"] for at in early), BUDGET_MB, "MB"),
        judge("CPU with a tenth of the outputs there", max(at["cpu"] for at in early), BUDGET_CPU, "%"),
        judge("own stall", max(start[1], *(at["stall"][1] for at in shares)), BUDGET_STALL_MS, "ms"),
        judge("seen after", max(at["seen_after"] or 0.0 for at in shares), interval + 2, "s"),
    ]
    print_table(
        f"{n} waits ({role}), polling every {interval:.0f} s",
        HEAD,
        rows,
        f"{', '.join(judged)}. Registered in {result['registered']:.1f} s.",
    )
    return n, max(at["memory"] for at in early), max(at["cpu"] for at in early)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, nargs="+", default=[500, 10_000, 100_000])
    parser.add_argument("--triggers", action="store_true", help="real triggers of ours at every size")
    parser.add_argument("--polls", type=int, default=2, help="how many polls to measure")
    parser.add_argument("--picture", type=Path, help="draw the curve of cost against N as an SVG")
    parser.add_argument("--role", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        role, n, interval, polls, shares, url = options.role
        meter = StallMeter()
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(meter)) as runner:
            figures = runner.run(
                measure(role, int(n), float(interval), int(polls), json.loads(shares), url, meter)
            )
        print(json.dumps(figures))
        return
    points = []
    for role in WAITS:
        run_role(role, 1, 0.2, 1, (0.0,))
    for n in options.n:
        if n <= 500:
            compare(n, options.polls)
        else:
            points.append(curve("triggers" if options.triggers else "watcher", n, options.polls))
    if options.picture:
        from wait_picture import draw

        options.picture.write_text(draw(points))


if __name__ == "__main__":
    main()
