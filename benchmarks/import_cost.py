"""What it costs to import an operator module where a DAG file is parsed, beside the amazon provider's.

Every figure is taken in a fresh interpreter, over what each DAG file pays for anyway, ``from airflow.sdk
import BaseOperator, BaseSensorOperator``: once with compiled bytecode and once without.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from tables import met, print_table

OURS = (
    "airflow_provider_aiml.operators.sagemaker",
    "airflow_provider_aiml.operators.bedrock",
    "airflow_provider_aiml.operators.api_gateway",
    "airflow_provider_aiml.sensors.sagemaker",
)
PEERS = (
    "airflow.providers.amazon.aws.operators.bedrock",
    "airflow.providers.amazon.aws.operators.sagemaker",
    "airflow.providers.amazon.aws.sensors.sagemaker",
)
RUNS = 7
BUDGETS = {"compiled": 0.02, "not compiled": 0.05}
PROBE = """
import sys, time
from airflow.sdk import BaseOperator, BaseSensorOperator
start = time.perf_counter()
__import__(sys.argv[1])
print(time.perf_counter() - start)
"""


def seconds(module: str, environment: dict[str, str]) -> float:
    """Import ``module`` in a fresh interpreter and give the seconds that it took over the baseline."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, module], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout.strip().splitlines()[-1])


def measure(compiled: bool) -> dict[str, float]:
    """Give the median seconds of each module; the modules take turns, so that noise hits all alike."""
    with tempfile.TemporaryDirectory() as scratch:
        environment = {
            **os.environ,
            "AIRFLOW_HOME": f"{scratch}/home",
            "PYTHONPYCACHEPREFIX": f"{scratch}/pyc",
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        if not compiled:
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
        modules = OURS + PEERS
        for module in modules:
            seconds(module, environment)
        taken: dict[str, list[float]] = {module: [] for module in modules}
        for _ in range(RUNS if compiled else 3):
            for module in modules:
                taken[module].append(seconds(module, environment))
    return {module: statistics.median(values) for module, values in taken.items()}


def main() -> None:
    """Measure both ways and print the table."""
    figures = {"compiled": measure(True), "not compiled": measure(False)}
    rows = []
    for module in OURS + PEERS:
        row = [f"`{module.replace('airflow.providers.amazon.aws', 'amazon')}`"]
        for way, budget in BUDGETS.items():
            value = figures[way][module]
            verdict = f" ({met(value, budget)})" if module in OURS else ""
            row.append(f"{value * 1000:.1f} ms{verdict}")
        rows.append(row)
    slowest = max(figures["compiled"][module] for module in OURS)
    cheapest_peer = min(figures["compiled"][module] for module in PEERS)
    note = (
        "Budgets: 20 ms and 50 ms. Compiled, the amazon provider's cheapest costs "
        f"{cheapest_peer / slowest:.1f} times our dearest."
    )
    print_table("Importing an operator module, over airflow.sdk", ["module", *BUDGETS], rows, note)


if __name__ == "__main__":
    main()
