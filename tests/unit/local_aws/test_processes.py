from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from airflow_provider_aiml.local_aws import processes
from airflow_provider_aiml.local_aws.async_queue import AsyncQueue
from airflow_provider_aiml.local_aws.endpoints import AsyncConfig, Endpoint
from airflow_provider_aiml.local_aws.faults import Faults, Target
from airflow_provider_aiml.local_aws.invoking import Containers
from airflow_provider_aiml.local_aws.processes import ContainerLostError, ModelProcesses
from airflow_provider_aiml.local_aws.sockets import listen
from airflow_provider_aiml.local_aws.witness import Witness

TARGET = Target("sagemaker:InvokeEndpoint", "echo")
ECHO = "airflow_provider_aiml.local_aws.models.echo:model"


class Bucket:
    """Keeps what the queue writes, in the place of S3."""

    def __init__(self):
        self.objects = {}

    async def put_object(self, bucket, key, body, content_type):
        self.objects[f"s3://{bucket}/{key}"] = body


async def test_a_container_that_does_not_leave_is_killed(monkeypatch):
    monkeypatch.setattr(processes, "_END_SECONDS", 0.01)
    stubborn = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdin=subprocess.PIPE)

    await processes._end(stubborn)

    assert stubborn.returncode == -9


def unreachable():
    """Give a URL where nobody listens."""
    with listen("127.0.0.1", 0) as nobody:
        return f"http://127.0.0.1:{nobody.getsockname()[1]}"


async def test_a_container_that_dies_unseen_is_replaced_and_the_model_asked_once(monkeypatch):
    monkeypatch.setattr(processes, "_GONE_SECONDS", 60)
    running = ModelProcesses()
    witness = Witness()
    containers = Containers(running, witness, Faults())
    try:
        dying = await running.get(ECHO)
        dying.url = unreachable()
        # Its death is noticed only when it cannot be reached.
        dying.process.stdin.close()

        response, invocation = await containers.open(Endpoint("echo", "echo"), TARGET, {"Body": b"1"})
        body = await response.read()
        pids = running.pids()
    finally:
        await running.close()

    assert body == b"1"
    assert pids[ECHO] != dying.process.pid
    assert witness.invocations("echo") == [invocation]


async def test_a_container_that_cannot_be_reached_was_never_asked(monkeypatch):
    monkeypatch.setattr(processes, "_GONE_SECONDS", 0.1)
    running = ModelProcesses()
    witness = Witness()
    containers = Containers(running, witness, Faults())
    try:
        process = await running.get(ECHO)
        process.url = unreachable()

        with pytest.raises(ContainerLostError) as caught:
            await containers.open(Endpoint("echo", "echo"), TARGET, {"Body": b"1"})
    finally:
        await running.close()

    assert caught.value.accepted is False
    assert witness.invocations("echo") == []


async def test_a_container_that_still_loads_is_ended_with_the_rest():
    running = ModelProcesses()
    task = asyncio.create_task(running.get(ECHO))
    await asyncio.sleep(0.1)

    await running.close()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert running.pids() == {}


async def test_an_inference_whose_time_to_live_passes_in_the_queue_never_runs():
    bucket, witness, running, faults = Bucket(), Witness(), ModelProcesses(), Faults()
    queue = AsyncQueue(bucket, Containers(running, witness, faults), faults)
    config = AsyncConfig("s3://out", "s3://failed", max_concurrent=1, delay=600)
    endpoint = Endpoint("queued", "echo", config)
    queue.submit(endpoint, {"InferenceId": "holds the place", "Body": b"1"})
    expired = queue.submit(endpoint, {"InferenceId": "waits", "Body": b"1", "RequestTTLSeconds": 0.05})

    while queue.pending > 1:
        await asyncio.sleep(0.01)
    await queue.clear()
    await running.close()

    assert b"RequestTTLSeconds passed" in bucket.objects[expired["FailureLocation"]]
    assert witness.invocations("queued") == []
