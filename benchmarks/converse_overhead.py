"""One Converse through the operator, beside the same call through raw boto3, against models of 20 and 200 ms.

The operator's whole ``execute`` is measured: the request is built, checked and sent, the answer read, the
history extended and the result given. The two take turns call by call, so that the machine's noise hits both;
the ratio is that of the medians.
"""

from __future__ import annotations

import contextvars
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from tables import met, print_table

if TYPE_CHECKING:
    from collections.abc import Callable

WARM_UP = 20
CALLS = {0.02: 300, 0.2: 60}
"""How often each model is asked, by the seconds that it takes. 20 ms leaves the operator one of its own."""
BUDGET = 1.05
MODEL = "amazon.nova-lite-v1:0"
MESSAGE = "Tell me how the day went. " * 20
HISTORY = [
    {"role": role, "content": [{"text": "It went well, thank you. " * 10}]}
    for _ in range(3)
    for role in ("user", "assistant")
]


def contenders(endpoint_url: str) -> dict[str, Callable[[], object]]:
    """Give the two ways to make the same call."""
    extra = {"region_name": "us-east-1", "endpoint_url": endpoint_url}
    keys = {"login": "key", "password": "secret"}
    os.environ["AIRFLOW_CONN_BENCH"] = json.dumps({"conn_type": "aws", **keys, "extra": extra})
    import boto3
    from airflow.sdk.bases.operator import ExecutorSafeguard
    from airflow_provider_aiml.operators.bedrock import BedrockConverseOperator

    client = boto3.client("bedrock-runtime", aws_access_key_id="key", aws_secret_access_key="secret", **extra)
    operator = BedrockConverseOperator(
        task_id="talk", model_id=MODEL, message=MESSAGE, history=HISTORY, max_tokens=500, aws_conn_id="bench"
    )
    own = contextvars.copy_context()
    own.run(ExecutorSafeguard.tracker.set, operator)
    instance = SimpleNamespace(dag_id="dag", run_id="run", task_id="talk", map_index=-1, try_number=1)
    metadata = {"dag_id": "dag", "run_id": "run", "task_id": "talk"}

    def raw() -> object:
        said = [*HISTORY, {"role": "user", "content": [{"text": MESSAGE}]}]
        answer = client.converse(
            modelId=MODEL, messages=said, inferenceConfig={"maxTokens": 500}, requestMetadata=metadata
        )
        message = answer["output"]["message"]
        return {"text": message["content"][0]["text"], "history": [*said, message], "usage": answer["usage"]}

    def ours() -> object:
        return own.run(operator.execute, {"ti": instance})

    return {"boto3": raw, "the operator": ours}


def measure(model_seconds: float, times: int) -> None:
    """Ask one model and print the table."""
    model = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("slow_model.py")), str(model_seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert model.stdout is not None
        calls = contenders(f"http://127.0.0.1:{model.stdout.readline().strip()}")
        logging.disable(logging.INFO)
        taken: dict[str, list[float]] = {name: [] for name in calls}
        for turn in range(times + WARM_UP):
            for name, call in calls.items():
                start = time.perf_counter()
                call()
                if turn >= WARM_UP:
                    taken[name].append(time.perf_counter() - start)
    finally:
        model.terminate()
        model.wait()
    medians = {name: statistics.median(values) for name, values in taken.items()}
    ratio = medians["the operator"] / medians["boto3"]
    rows = [[name, f"{value * 1000:.2f} ms"] for name, value in medians.items()]
    rows.append(["ratio", f"{ratio:.3f} ({met(ratio, BUDGET)}, budget {BUDGET})"])
    title = f"One Converse, model of {model_seconds * 1000:.0f} ms"
    print_table(title, ["through", f"median of {times}"], rows)


def main() -> None:
    """Measure with each model."""
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp())
    for model_seconds, times in CALLS.items():
        measure(model_seconds, times)


if __name__ == "__main__":
    main()
