"""A stream of 200 MB from an endpoint into object storage, beside the same by hand with boto3.

By hand is what a task would do without this provider: read the stream, ``upload_fileobj``. It leaves no
record by which a retry knows that the object is whole, and nothing of a stream that breaks. The two take
turns, so that the machine's noise hits both; the ratio is that of the medians. Memory is taken in a process
of its own, over that process at rest after a first, small stream.
"""

from __future__ import annotations

import io
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tables import print_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MB = 1_000_000
SIZES = (50 * MB, 200 * MB)
TURNS = 7
LEAST_THROUGHPUT = 0.90
MOST_MEMORY = 64
KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


class Readable(io.RawIOBase):
    """The payload of a stream as a file, for ``upload_fileobj``."""

    def __init__(self, events: Iterable[dict[str, Any]]) -> None:
        self._events = iter(events)
        self._rest = b""

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Give the next ``size`` bytes."""
        pieces, have = [self._rest], len(self._rest)
        while (size < 0 or have < size) and (event := next(self._events, None)):
            pieces.append(event["PayloadPart"]["Bytes"])
            have += len(pieces[-1])
        whole = b"".join(pieces)
        end = have if size < 0 else size
        self._rest = whole[end:]
        return whole[:end]


def by_hand(url: str) -> Callable[[int], None]:
    """Give what a task does with boto3 alone."""
    import boto3

    runtime = boto3.client("sagemaker-runtime", endpoint_url=url, **KEYS)
    s3 = boto3.client("s3", endpoint_url=url, **KEYS)

    def copy(size: int) -> None:
        answer = runtime.invoke_endpoint_with_response_stream(
            EndpointName="demo", Body=b"x", CustomAttributes=str(size)
        )
        s3.upload_fileobj(Readable(answer["Body"]), "bucket", "by-hand")

    return copy


def by_hook(url: str) -> Callable[[int], None]:
    """Give what the operator does: the hook's stream into a store, with a record of what was answered."""
    os.environ["AIRFLOW_CONN_BENCH"] = json.dumps(
        {
            "conn_type": "aws",
            "login": "key",
            "password": "secret",
            "extra": {"region_name": "us-east-1", "endpoint_url": url},
        }
    )
    from airflow.sdk import ObjectStoragePath
    from airflow_provider_aiml.hooks.sagemaker_runtime import SageMakerRuntimeHook
    from airflow_provider_aiml.inference.growing_upload import GrowingUpload
    from airflow_provider_aiml.inference.outputs import Location
    from airflow_provider_aiml.inference.stream_store import StreamStore
    from airflow_provider_aiml.inference.streaming import StreamProgress, payload_parts

    hook = SageMakerRuntimeHook("bench")
    location = Location("bucket", "by-hook")
    path = ObjectStoragePath(str(location), conn_id="bench")

    def copy(size: int) -> None:
        store = StreamStore(path, str(location), "identity")
        store.announce()
        progress = StreamProgress("InvokeEndpointWithResponseStream on demo")
        answer = hook.invoke_endpoint_with_response_stream(
            endpoint_name="demo", body=b"x", custom_attributes=str(size)
        )
        parts = payload_parts(answer["Body"], progress)
        kept = store.save_stream(parts, {}, lambda read: GrowingUpload(hook.s3_client(), location, read))
        progress.end()
        assert kept.size >= size * 0.99

    return copy


WAYS = {"by hand with boto3": by_hand, "the hook": by_hook}


def status(field: str) -> float:
    """Read a size of this process, in MB."""
    text = Path("/proc/self/status").read_text()
    return (
        next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{field}:")) * 1024 / MB
    )


def print_memory(url: str, way: str) -> None:
    """Print by how much each size of stream makes this process grow."""
    copy = WAYS[way](url)
    copy(20 * MB)
    grown = []
    idle = status("VmRSS")
    for size in SIZES:
        Path("/proc/self/clear_refs").write_text("5")
        copy(size)
        grown.append(status("VmHWM") - idle)
    print(json.dumps(grown))


def memory(url: str, way: str) -> list[float]:
    """Take the memory in a new process."""
    done = subprocess.run(
        [sys.executable, __file__, url, way], stdout=subprocess.PIPE, text=True, check=True, env=os.environ
    )
    grown: list[float] = json.loads(done.stdout.splitlines()[-1])
    return grown


def throughput(url: str) -> dict[str, float]:
    """Give the median MB/s of each way."""
    copies = {name: way(url) for name, way in WAYS.items()}
    taken: dict[str, list[float]] = {name: [] for name in copies}
    for turn in range(TURNS + 1):
        for name, copy in copies.items():
            start = time.perf_counter()
            copy(SIZES[-1])
            if turn:
                taken[name].append(time.perf_counter() - start)
    return {name: SIZES[-1] / MB / statistics.median(seconds) for name, seconds in taken.items()}


def main() -> None:
    """Measure and print the table."""
    stand_in = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("stream_stand_in.py"))],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert stand_in.stdout is not None
        url = f"http://127.0.0.1:{stand_in.stdout.readline().strip()}"
        grown = {way: memory(url, way) for way in WAYS}
        speed = throughput(url)
    finally:
        stand_in.terminate()
        stand_in.wait()
    rows = [[way, f"{speed[way]:.0f} MB/s", *(f"{growth:.0f} MB" for growth in grown[way])] for way in WAYS]
    ratio = speed["the hook"] / speed["by hand with boto3"]
    verdicts = (
        "met" if ratio >= LEAST_THROUGHPUT else "**missed**",
        "met" if max(grown["the hook"]) <= MOST_MEMORY else "**missed**",
    )
    print_table(
        "A stream of 200 MB into object storage",
        ["through", f"throughput, median of {TURNS}", *(f"memory for {size // MB} MB" for size in SIZES)],
        rows,
        f"Throughput {ratio:.2f} of that by hand ({verdicts[0]}, budget {LEAST_THROUGHPUT}), with a "
        "checksum, a record for retries and the bytes kept on disk until they are stored. Memory over the "
        f"process at rest: {max(grown['the hook']):.0f} MB ({verdicts[1]}, budget {MOST_MEMORY} MB). The "
        "endpoint and S3 are one small server in another process.",
    )


if __name__ == "__main__":
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp())
    logging.disable(logging.INFO)
    if len(sys.argv) > 1:
        print_memory(sys.argv[1], sys.argv[2])
    else:
        main()
