"""Streams put together: progress in numbers, and what came kept in the error that breaks one."""

from __future__ import annotations

import json
import logging

import pytest
from airflow_provider_aiml.exceptions import ModelFailedError, ResponseError
from airflow_provider_aiml.inference.streaming import (
    StreamProgress,
    converse_answer,
    keeping_partial,
    model_answer,
    payload_parts,
)

CANARY = "canary-4711"
CONVERSATION = (
    {"messageStart": {"role": "assistant"}},
    {"contentBlockDelta": {"delta": {"text": CANARY}, "contentBlockIndex": 0}},
    {"messageStop": {"stopReason": "end_turn"}},
    {"metadata": {"usage": {"inputTokens": 3, "outputTokens": 4}, "metrics": {}}},
)
MODEL = (
    {"chunk": {"bytes": json.dumps({"generation": CANARY, "stop_reason": None}).encode()}},
    {
        "chunk": {
            "bytes": json.dumps(
                {
                    "generation": "",
                    "stop_reason": "stop",
                    "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 4},
                }
            ).encode()
        }
    },
)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def progress(clock, caplog):
    caplog.set_level(logging.INFO, "airflow_provider_aiml.inference.streaming")
    return StreamProgress("Stream of demo", every=10, clock=clock)


def test_progress_is_told_as_numbers_every_so_many_seconds(progress, clock, caplog):
    for seconds, size in ((1, 5), (5, 5), (5, 5), (1, 5), (10, 5)):
        clock.now += seconds
        progress.note(size)
    clock.now += 1
    progress.end()

    assert caplog.messages == [
        "Stream of demo: 3 chunks, 15 bytes, the first after 1.000 s so far",
        "Stream of demo: 5 chunks, 25 bytes, the first after 1.000 s so far",
        "Stream of demo: 5 chunks, 25 bytes, the first after 1.000 s in 23.000 s",
    ]


def test_a_stream_without_a_chunk_has_no_first_one(progress, caplog):
    progress.end()

    assert caplog.messages == ["Stream of demo: 0 chunks, 0 bytes in 0.000 s"]


@pytest.mark.parametrize(("read", "events"), [(converse_answer, CONVERSATION), (model_answer, MODEL)])
def test_tokens_are_told_and_content_never(read, events, progress, caplog):
    read(events, progress)

    assert caplog.messages[-1].endswith(", tokens 3 in, 4 out")
    assert CANARY not in caplog.text
    assert (progress.chunks, progress.bytes > 0) == (len(events), True)


@pytest.mark.parametrize(("read", "events"), [(converse_answer, CONVERSATION), (model_answer, MODEL)])
def test_progress_need_not_be_asked_for(read, events):
    assert read(events)


def test_the_parts_of_a_payload_are_counted(progress):
    assert list(payload_parts([{"PayloadPart": {"Bytes": b"ab"}}, {"PayloadPart": {}}], progress)) == [
        b"ab",
        b"",
    ]
    assert (progress.chunks, progress.bytes) == (2, 2)


@pytest.mark.parametrize("read", [lambda events: list(payload_parts(events)), model_answer, converse_answer])
def test_an_event_that_is_not_known_is_an_error(read):
    with pytest.raises(ResponseError, match="not known: surprise"):
        read([{"surprise": {}}])


def breaking(events, error):
    yield from events
    raise error


@pytest.mark.parametrize(("read", "events"), [(converse_answer, CONVERSATION), (model_answer, MODEL)])
def test_what_came_is_in_the_error_that_breaks_the_stream_and_not_in_its_words(read, events):
    failure = ModelFailedError("the model failed")

    with pytest.raises(ModelFailedError) as raised:
        read(breaking(events[:-1], failure))

    assert raised.value is failure
    assert CANARY in raised.value.partial_body.decode()
    assert CANARY not in str(raised.value)


def test_a_conversation_that_cannot_be_put_together_is_an_error_that_keeps_what_came():
    odd = {"contentBlockDelta": {"delta": {"text": 5}, "contentBlockIndex": 0}}

    with pytest.raises(ResponseError, match="not as ConverseStream writes it: TypeError") as raised:
        converse_answer([*CONVERSATION[:2], odd, *CONVERSATION[2:]])

    assert CANARY in raised.value.partial_body.decode()
    assert CANARY not in str(raised.value)


def test_bytes_in_what_came_are_base64():
    image = {"contentBlockStart": {"start": {"image": {"format": "png"}}, "contentBlockIndex": 0}}
    delta = {
        "contentBlockDelta": {"delta": {"image": {"source": {"bytes": b"\x00"}}}, "contentBlockIndex": 0}
    }

    with pytest.raises(ResponseError) as raised:
        converse_answer([CONVERSATION[0], image, delta])

    content = json.loads(raised.value.partial_body)["output"]["message"]["content"]
    assert content == [{"image": {"format": "png", "source": {"bytes": {"$base64": "AA=="}}}}]


def test_an_error_that_knows_what_came_keeps_it():
    with pytest.raises(ResponseError) as raised, keeping_partial(lambda: b"other"):
        raise ResponseError("cut", partial_body=b"mine")

    assert raised.value.partial_body == b"mine"


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_an_error_that_is_not_ours_has_what_came_too(error):
    with pytest.raises(error) as raised, keeping_partial(lambda: b"what came"):
        raise error

    assert raised.value.partial_body == b"what came"
