"""aiobotocore, unchanged but for its endpoint, against the local AWS."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiobotocore.session import get_session
from botocore.exceptions import ClientError


@pytest.fixture
def client(demo):
    def create(service):
        return get_session().create_client(
            service,
            endpoint_url=demo.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )

    return create


async def test_a_model_is_invoked(demo, client):
    demo.add_endpoint("echo")
    async with client("sagemaker-runtime") as runtime:
        answer = await runtime.invoke_endpoint(
            EndpointName="echo", Body=b"[1]", ContentType="application/json"
        )
        async with answer["Body"] as body:
            assert await body.read() == b"[1]"

    assert answer["ContentType"] == "application/json"


async def test_hundreds_of_calls_at_once_are_each_answered_with_their_own(demo, client):
    demo.add_endpoint("crowded")
    async with client("sagemaker-runtime") as runtime:

        async def invoke(number):
            answer = await runtime.invoke_endpoint(
                EndpointName="crowded", Body=str(number), CustomAttributes="delay=0.05"
            )
            async with answer["Body"] as body:
                return int(await body.read())

        answers = await asyncio.gather(*map(invoke, range(300)))

    assert answers == list(range(300))
    assert len(demo.invocations("crowded")) == 300


async def test_an_asynchronous_inference_ends_in_its_failure_object(demo, client):
    async with client("sagemaker-runtime") as runtime, client("s3") as s3:
        answer = await runtime.invoke_endpoint_async(
            EndpointName="demo-tabular-async", Body=b'{"instances": [[1]]}', ContentType="application/json"
        )
        bucket, _, key = answer["FailureLocation"].removeprefix("s3://").partition("/")
        for _ in range(1_200):
            try:
                stored = await s3.get_object(Bucket=bucket, Key=key)
                break
            except ClientError:
                await asyncio.sleep(0.05)
        else:
            pytest.fail("there is no failure object")
        async with stored["Body"] as body:
            assert b"row 1 has 1 features" in await body.read()


async def test_streams_of_both_runtimes_are_read(demo, client):
    async with client("sagemaker-runtime") as runtime:
        answer = await runtime.invoke_endpoint_with_response_stream(
            EndpointName="demo-text-stream", Body=b"one two", ContentType="text/plain"
        )
        body = b"".join([event["PayloadPart"]["Bytes"] async for event in answer["Body"]])
    async with client("bedrock-runtime") as bedrock:
        stream = (
            await bedrock.converse_stream(
                modelId="ai21.jamba-1-5-mini-v1:0", messages=[{"role": "user", "content": [{"text": "hi"}]}]
            )
        )["stream"]
        events = [next(iter(event)) async for event in stream]

    assert json.loads(body.splitlines()[-1]) == {"done": True, "tokens": 2}
    assert (events[0], events[-1]) == ("messageStart", "metadata")
