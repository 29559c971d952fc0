from __future__ import annotations

import datetime as dt
import json

import pytest
from airflow_provider_aiml.local_aws.event_stream import (
    encode_event,
    encode_stream,
    event_message,
    exception_message,
    json_payload,
)
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

HEADERS = st.dictionaries(st.text(min_size=1, max_size=40), st.text(max_size=200), max_size=8)


def parse(*pieces):
    """Return the headers and the payloads that botocore's own parser finds."""
    buffer = EventStreamBuffer()
    found = []
    for piece in pieces:
        buffer.add_data(piece)
        found += [(message.headers, message.payload) for message in buffer]
    return found


@given(HEADERS, st.binary(max_size=500))
def test_botocore_reads_what_was_framed(headers, payload):
    assert parse(encode_event(headers, payload)) == [(headers, payload)]


@given(st.lists(st.tuples(HEADERS, st.binary(max_size=60)), max_size=4), st.data())
def test_messages_can_be_cut_anywhere(messages, data):
    stream = b"".join(encode_event(*message) for message in messages)
    cut = data.draw(st.integers(0, len(stream)))

    assert parse(stream[:cut], stream[cut:]) == [tuple(message) for message in messages]


@given(st.binary(min_size=1, max_size=50), st.data())
def test_a_changed_payload_is_noticed(payload, data):
    framed = bytearray(encode_event({"a": "b"}, payload))
    at = data.draw(st.integers(len(framed) - 4 - len(payload), len(framed) - 1))
    framed[at] ^= data.draw(st.integers(1, 255))

    with pytest.raises(ChecksumMismatch):
        parse(bytes(framed))


def test_an_event_names_its_type():
    assert parse(event_message("PayloadPart", b"\0", "application/octet-stream")) == [
        (
            {
                ":event-type": "PayloadPart",
                ":content-type": "application/octet-stream",
                ":message-type": "event",
            },
            b"\0",
        )
    ]


def test_an_exception_names_its_type():
    [(headers, _)] = parse(exception_message("ModelStreamError", b"{}"))

    assert headers == {
        ":exception-type": "ModelStreamError",
        ":content-type": "application/json",
        ":message-type": "exception",
    }


def test_a_stream_of_events_may_end_in_an_exception():
    framed = encode_stream([("chunk", {"bytes": b"hi"}), ("throttlingException", {"message": "slow down"})])
    (first, chunk), (last, broken) = parse(*framed)

    assert first[":event-type"] == "chunk"
    assert json.loads(chunk) == {"bytes": "aGk="}
    assert last[":exception-type"] == "throttlingException"
    assert json.loads(broken) == {"message": "slow down"}


def test_times_become_seconds():
    assert json_payload({"at": dt.datetime(1970, 1, 2, tzinfo=dt.UTC)}) == b'{"at": 86400.0}'


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(TypeError, match="set"):
        json_payload({"at": set()})


@pytest.mark.parametrize(
    ("headers", "payload"),
    [
        ({"": "x"}, b""),
        ({"n" * 256: "x"}, b""),
        ({"n": "x" * 32_768}, b""),
        ({str(number): "x" * 32_767 for number in range(5)}, b""),
        ({}, b"x" * (24 * 1024 * 1024 + 1)),
    ],
)
def test_what_clients_do_not_take_is_not_framed(headers, payload):
    with pytest.raises(ValueError, match=r"too long|at most"):
        encode_event(headers, payload)
