"""One real-time call through the hook, beside the same call through raw boto3, against a model of 20 ms.

The two take turns call by call, so that the machine's noise hits both; the ratio is that of the medians.
"""

from __future__ import annotations

import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tables import met, print_table

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = 300
MODEL_SECONDS = 0.02
BUDGET = 1.05
BODY = b'{"instances": [' + b",".join(b"[%s]" % b",".join([b"1.25"] * 30) for _ in range(20)) + b"]}"


def contenders(endpoint_url: str) -> dict[str, Callable[[], object]]:
    """Give the two ways to make the same call."""
    import boto3
    from airflow_provider_aiml.hooks.sagemaker_runtime import SageMakerRuntimeHook

    os.environ["AIRFLOW_CONN_BENCH"] = (
        '{"conn_type": "aws", "login": "key", "password": "secret", '
        f'"extra": {{"region_name": "us-east-1", "endpoint_url": "{endpoint_url}"}}}}'
    )
    hook = SageMakerRuntimeHook("bench")
    client = boto3.client(
        "sagemaker-runtime",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )

    def raw() -> object:
        response = client.invoke_endpoint(EndpointName="demo", ContentType="application/json", Body=BODY)
        return response["Body"].read()

    def ours() -> object:
        return hook.invoke_endpoint(endpoint_name="demo", content_type="application/json", body=BODY)["Body"]

    return {"boto3": raw, "the hook": ours}


def main() -> None:
    """Measure and print the table."""
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp())
    model = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("slow_model.py")), str(MODEL_SECONDS)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert model.stdout is not None
        calls = contenders(f"http://127.0.0.1:{model.stdout.readline().strip()}")
        logging.disable(logging.INFO)
        taken: dict[str, list[float]] = {name: [] for name in calls}
        for turn in range(CALLS + 20):
            for name, call in calls.items():
                start = time.perf_counter()
                call()
                if turn >= 20:
                    taken[name].append(time.perf_counter() - start)
    finally:
        model.terminate()
        model.wait()
    medians = {name: statistics.median(values) for name, values in taken.items()}
    ratio = medians["the hook"] / medians["boto3"]
    rows = [[name, f"{value * 1000:.2f} ms"] for name, value in medians.items()]
    rows.append(["ratio", f"{ratio:.3f} ({met(ratio, BUDGET)}, budget {BUDGET})"])
    print_table("One real-time call, model of 20 ms", ["through", "median of 300"], rows)


if __name__ == "__main__":
    main()
