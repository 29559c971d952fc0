"""Run the example DAGs on a real Airflow against the local AWS: ``make demo``, and ``make up`` to keep it.

It writes to ``.run`` in the clone only, and removes what it wrote unless something went wrong.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

PROJECT = Path(__file__).parents[2]
sys.path.insert(0, str(PROJECT))

from tests.e2e.airflow_site import USER, AirflowSite  # noqa: E402
from tests.e2e.demo import EXAMPLE_DAGS, EXPECTATIONS, run_examples, table  # noqa: E402
from tests.e2e.local_aws_process import LocalAwsProcess  # noqa: E402
from tests.e2e.processes import ProcessError  # noqa: E402

if TYPE_CHECKING:
    from types import FrameType

AIRFLOW_PORT = 8080
LOCAL_AWS_PORT = 4566
_BEGAN = time.monotonic()


def main(arguments: list[str] | None = None) -> int:
    """Run the demo, and give the exit code."""
    parser = argparse.ArgumentParser(
        description="Run the example DAGs on a real Airflow, without any account."
    )
    parser.add_argument("--keep", action="store_true", help="leave it running with its UI until Ctrl-C")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    (PROJECT / ".run").mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="demo-", dir=PROJECT / ".run"))
    try:
        problems = _run(home, keep=options.keep)
    except KeyboardInterrupt:
        shutil.rmtree(home, ignore_errors=True)
        tell("Interrupted; everything is stopped")
        return 130
    except ProcessError as error:
        problems = [str(error)]
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    if problems:
        sys.stderr.write(f"What each process wrote, and the tasks' logs, are in {home}\n")
        return 1
    shutil.rmtree(home, ignore_errors=True)
    return 0


def tell(line: str) -> None:
    """Say how far it is."""
    sys.stdout.write(f"[{time.monotonic() - _BEGAN:5.1f} s] {line}\n")
    sys.stdout.flush()


def _run(home: Path, *, keep: bool) -> list[str]:
    tell("Starting a local AWS, and an Airflow on SQLite")
    with LocalAwsProcess(home, LOCAL_AWS_PORT if keep else 0) as aws:
        aws.wait_until_ready()
        tell(f"The local AWS answers at {aws.control.endpoint_url}")
        connection = {"AIRFLOW_CONN_AWS_DEFAULT": aws.connection_uri}
        with AirflowSite(home, [EXAMPLE_DAGS], connection, port=AIRFLOW_PORT if keep else 0) as site:
            tell("Airflow is healthy: API server, scheduler, DAG processor, triggerer")
            site.wait_for_dags({wanted.dag_id for wanted in EXPECTATIONS})
            tell(f"Running {len(EXPECTATIONS)} DAGs through its REST API")
            outcomes = run_examples(site.api, tell=tell)
            sys.stdout.write(f"\n{table(outcomes)}\n\n")
            problems = [problem for outcome in outcomes for problem in outcome.problems()]
            tell(
                "Not every run ended as its DAG expects" if problems else "Every run ended as its DAG expects"
            )
            if keep:
                _wait_for_goodbye(site, aws, problems)
            tell("Stopping")
    return problems


def _wait_for_goodbye(site: AirflowSite, aws: LocalAwsProcess, problems: list[str]) -> None:
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    sys.stdout.write(f"\n  Airflow    {site.url}   user {USER}   password {site.password}\n")
    sys.stdout.write(f"  local AWS  {aws.control.endpoint_url}\n\n  Ctrl-C ends it.\n")
    sys.stdout.flush()
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        sys.stdout.write("\n")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
