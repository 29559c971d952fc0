"""Event streams: errors in our terms, quiet debug logs, nothing left open."""

from __future__ import annotations

import asyncio
import json
import logging
import struct
import zlib

import pytest
from airflow_provider_aiml.exceptions import (
    ModelFailedError,
    ResponseError,
    ServiceRefusedError,
    UnknownOutcomeError,
)
from airflow_provider_aiml.hooks.bedrock_runtime import BedrockRuntimeHook
from airflow_provider_aiml.hooks.sagemaker_runtime import SageMakerRuntimeHook
from airflow_provider_aiml.inference.streaming import payload_parts

CANARY = "canary-4711"
STREAM = {"Content-Type": "application/vnd.amazon.eventstream"}


def frame(payload, **headers):
    """Encode one message: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html."""
    encoded = b""
    for name, value in headers.items():
        key, text = f":{name.replace('_', '-')}".encode(), value.encode()
        encoded += struct.pack("!B", len(key)) + key + struct.pack("!BH", 7, len(text)) + text
    prelude = struct.pack("!II", 16 + len(encoded) + len(payload), len(encoded))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + encoded + payload
    return message + struct.pack("!I", zlib.crc32(message))


def part(payload):
    return frame(
        payload, event_type="PayloadPart", message_type="event", content_type="application/octet-stream"
    )


def event(kind, **content):
    body = json.dumps(content).encode()
    return frame(body, event_type=kind, message_type="event", content_type="application/json")


def fault(kind, **content):
    body = json.dumps(content).encode()
    return frame(body, exception_type=kind, message_type="exception", content_type="application/json")


def sync_events(hook, method, members, stop_after=None):
    response = getattr(hook, method)(**members)
    stream = response.get("Body") or response.get("body") or response["stream"]
    events = []
    with stream:
        for number, found in enumerate(stream, 1):
            events.append(found)
            if number == stop_after:
                break
    return events


def async_events(hook, method, members, stop_after=None):
    async def read():
        response = await getattr(hook, f"a{method}")(**members)
        stream = response.get("Body") or response.get("body") or response["stream"]
        assert hook._lent, "the client is held while the stream is open"
        events = []
        async with stream:
            async for found in stream:
                events.append(found)
                if len(events) == stop_after:
                    break
        assert not hook._lent, "the client is given back with the stream"
        return events

    return asyncio.run(read())


@pytest.fixture(params=[sync_events, async_events], ids=["sync", "async"])
def events(request):
    return request.param


@pytest.fixture
def hook(connect):
    return SageMakerRuntimeHook(connect())


SAGEMAKER = ("invoke_endpoint_with_response_stream", {"endpoint_name": "e", "body": b"x"})


def test_the_parts_of_an_answer_come_in_order(events, hook, wire, reply):
    wire.reply(reply(part(b"one") + part(b"two"), headers=STREAM))

    assert events(hook, *SAGEMAKER) == [
        {"PayloadPart": {"Bytes": b"one"}},
        {"PayloadPart": {"Bytes": b"two"}},
    ]


@pytest.mark.parametrize(
    ("method", "members", "body", "expected"),
    [
        (
            "converse_stream",
            {"model_id": "m", "messages": [{"role": "user", "content": [{"text": "hi"}]}]},
            event("messageStart", role="assistant"),
            {"messageStart": {"role": "assistant"}},
        ),
        (
            "invoke_model_with_response_stream",
            {"model_id": "m", "body": b"{}"},
            event("chunk", bytes="aGk="),
            {"chunk": {"bytes": b"hi"}},
        ),
    ],
)
def test_bedrock_s_streams_are_read_alike(events, connect, wire, reply, method, members, body, expected):
    wire.reply(reply(body, headers=STREAM))

    assert events(BedrockRuntimeHook(connect()), method, members) == [expected]


def test_a_stream_may_be_left_early(events, hook, wire, reply):
    wire.reply(reply(part(b"one") * 3, headers=STREAM))

    assert len(events(hook, *SAGEMAKER, stop_after=1)) == 1


def test_a_modelled_error_in_a_stream_is_raised_as_ours(events, hook, wire, reply):
    wire.reply(reply(part(b"one") + fault("ModelStreamError", Message="out of memory"), headers=STREAM))

    with pytest.raises(ModelFailedError) as raised:
        events(hook, *SAGEMAKER)
    assert raised.value.model_message == "out of memory"
    assert raised.value.__context__ is None


CONVERSE = ("converse_stream", {"model_id": "m", "messages": [{"role": "user", "content": [{"text": "hi"}]}]})


def test_a_refusal_behind_the_first_event_may_have_been_billed(events, connect, wire, reply):
    begun = event("messageStart", role="assistant")
    wire.reply(reply(begun + fault("validationException", message="too long"), headers=STREAM))

    with pytest.raises(UnknownOutcomeError, match="after the answer had begun") as raised:
        events(BedrockRuntimeHook(connect()), *CONVERSE)
    assert raised.value.may_have_been_billed
    assert not raised.value.retryable
    assert raised.value.code == "validationException"


def test_a_refusal_as_the_first_event_is_one(events, connect, wire, reply):
    wire.reply(reply(fault("validationException", message="no such tool"), headers=STREAM))

    with pytest.raises(ServiceRefusedError) as raised:
        events(BedrockRuntimeHook(connect()), *CONVERSE)
    assert not raised.value.may_have_been_billed


def test_a_server_fault_in_a_stream_leaves_the_outcome_unknown(events, hook, wire, reply):
    wire.reply(reply(fault("InternalStreamFailure", Message="oops"), headers=STREAM))

    with pytest.raises(UnknownOutcomeError):
        events(hook, *SAGEMAKER)
    assert len(wire.requests) == 1


def test_a_frame_that_is_damaged_is_an_error_of_ours(events, hook, wire, reply):
    damaged = bytearray(part(b"one"))
    damaged[-6] ^= 0xFF
    wire.reply(reply(bytes(damaged), headers=STREAM))

    with pytest.raises(ResponseError, match="malformed") as raised:
        events(hook, *SAGEMAKER)
    assert raised.value.may_have_been_billed


@pytest.mark.parametrize("shown", [False, True])
def test_debug_logs_hold_the_parts_only_where_asked(events, connect, wire, reply, caplog, shown):
    for name in ("botocore", "aiobotocore", "urllib3", "aiohttp"):
        caplog.set_level(logging.DEBUG, logger=name)
    wire.reply(reply(event("messageStart", role=CANARY), headers=STREAM))
    hook = BedrockRuntimeHook(connect(), log_payloads=shown)

    events(hook, "converse_stream", {"model_id": "m"})

    assert (CANARY in caplog.text) is shown


def test_a_stream_that_is_refused_before_it_begins_is_sent_again(events, connect, wire, reply):
    wire.reply(reply(error="ThrottlingException"), reply(part(b"one"), headers=STREAM))
    hook = SageMakerRuntimeHook(connect(), retry_args={"base": 0})

    assert len(events(hook, *SAGEMAKER)) == 1
    assert len(wire.requests) == 2


def test_an_event_that_botocore_does_not_know_is_an_error_and_not_left_out(events, hook, wire, reply):
    wire.reply(reply(part(b"one") + event("Surprise", a=1) + part(b"two"), headers=STREAM))

    with pytest.raises(ResponseError, match="does not know: Surprise") as raised:
        events(hook, *SAGEMAKER)
    assert raised.value.code == "UnknownEvent"


def test_the_events_of_the_protocol_itself_are_passed_over(events, hook, wire, reply):
    wire.reply(reply(event("initial-response") + part(b"one"), headers=STREAM))

    assert events(hook, *SAGEMAKER) == [{"PayloadPart": {"Bytes": b"one"}}]


def test_a_connection_that_closes_within_an_event_is_a_cut_answer(events, hook, wire, reply):
    cut = part(b"one") + part(b"two")[:-1]
    wire.reply(reply(cut, headers=STREAM))

    with pytest.raises(ResponseError, match="broke off") as raised:
        events(hook, *SAGEMAKER)
    assert (raised.value.code, raised.value.retryable) == ("StreamCut", True)


def test_a_connection_that_breaks_within_the_body_is_a_cut_answer(events, hook, wire, reply):
    wire.reply(reply(part(b"one") + part(b"two"), headers=STREAM, cut=len(part(b"one"))))

    with pytest.raises(ResponseError, match="broke off") as raised:
        events(hook, *SAGEMAKER)
    assert (raised.value.may_have_been_billed, raised.value.retryable) == (True, True)


def test_an_error_in_a_stream_tells_why_it_broke(events, hook, wire, reply):
    broken = fault("ModelStreamError", Message="words", ErrorCode="StreamBroken")
    wire.reply(reply(part(b"one") + broken, headers=STREAM))

    with pytest.raises(ModelFailedError, match="StreamBroken") as raised:
        events(hook, *SAGEMAKER)
    assert raised.value.code == "ModelStreamError"


def test_a_model_that_fails_in_a_stream_says_its_status_and_words(events, connect, wire, reply):
    words = {"message": "no", "originalStatusCode": 503, "originalMessage": "out of memory"}
    wire.reply(reply(fault("modelStreamErrorException", **words), headers=STREAM))

    with pytest.raises(ModelFailedError) as raised:
        events(BedrockRuntimeHook(connect()), "converse_stream", {"model_id": "m"})
    assert (raised.value.original_status, raised.value.model_message) == (503, "out of memory")
    assert raised.value.retryable


def test_an_error_of_a_kind_that_botocore_does_not_know_keeps_its_name(events, hook, wire, reply):
    unknown = frame(
        b"not json", exception_type="NewError", message_type="exception", content_type="text/plain"
    )
    wire.reply(reply(unknown, headers=STREAM))

    with pytest.raises(UnknownOutcomeError) as raised:
        events(hook, *SAGEMAKER)
    assert raised.value.code == "NewError"


@pytest.mark.parametrize("message_type", ["event", "exception"])
@pytest.mark.parametrize("payload", [b"[]", b'{"delta": 5, "message": 5}'])
def test_an_event_that_is_not_as_modelled_is_malformed(events, connect, wire, reply, payload, message_type):
    name = {"event": "contentBlockDelta", "exception": "modelStreamErrorException"}[message_type]
    headers = {f"{message_type}_type": name, "message_type": message_type, "content_type": "application/json"}
    wire.reply(reply(frame(payload, **headers), headers=STREAM))

    with pytest.raises((ResponseError, ModelFailedError)) as raised:
        events(BedrockRuntimeHook(connect()), "converse_stream", {"model_id": "m"})
    assert raised.value.may_have_been_billed


def test_an_error_message_of_the_protocol_has_its_code(events, hook, wire, reply):
    wire.reply(reply(frame(b"", message_type="error", error_code="Throttling"), headers=STREAM))

    with pytest.raises(UnknownOutcomeError) as raised:
        events(hook, *SAGEMAKER)
    assert raised.value.code == "Throttling"


@pytest.mark.parametrize("byte", [0, 9, -6])
def test_a_later_frame_that_is_damaged_is_an_error_behind_what_came_before_it(hook, wire, reply, byte):
    damaged = bytearray(part(b"two"))
    damaged[byte] ^= 0xFF
    wire.reply(reply(part(b"one") + bytes(damaged) + part(b"three"), headers=STREAM))
    stream = hook.invoke_endpoint_with_response_stream(**SAGEMAKER[1])["Body"]
    found = []

    with pytest.raises(ResponseError):
        found.extend(payload_parts(stream))
    assert found == [b"one"]


def test_a_frame_that_claims_to_be_larger_than_any_is_refused_at_once(events, hook, wire, reply):
    prelude = struct.pack("!II", 1 << 31, 0)
    wire.reply(reply(prelude + struct.pack("!I", zlib.crc32(prelude)), headers=STREAM))

    with pytest.raises(ResponseError, match="malformed"):
        events(hook, *SAGEMAKER)
