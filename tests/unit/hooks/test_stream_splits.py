"""Streams cut everywhere: the same text, lines and JSON wherever a piece ends, an error wherever one stops.

Each split of recorded streams into two pieces, that into single bytes and thousands of random ones: more than
50,000 comparisons, counted as they are made. Beside them each split of short texts, each stop at a byte, and
random streams. Streams of events go through botocore's own framing and parser.
"""

from __future__ import annotations

import itertools
import json
from random import Random

import pytest
from airflow_provider_aiml.exceptions import ResponseError
from airflow_provider_aiml.hooks.event_streams import EventStream
from airflow_provider_aiml.inference.errors import translate
from airflow_provider_aiml.inference.requests import load_operation
from airflow_provider_aiml.inference.stream_text import (
    JsonLines,
    Lines,
    ServerSentEvent,
    ServerSentEvents,
    Text,
    read_pieces,
)
from airflow_provider_aiml.inference.streaming import (
    converse_answer,
    keeping_partial,
    model_answer,
    payload_parts,
)
from airflow_provider_aiml.local_aws.bedrock import Bedrock
from airflow_provider_aiml.local_aws.event_stream import encode_stream, event_message
from botocore.eventstream import EventStream as BotocoreEventStream
from botocore.parsers import EventStreamJSONParser
from hypothesis import given, settings
from hypothesis import strategies as st

CLAUDE = "anthropic.claude-3-5-sonnet-20240620-v1:0"
TOOLS = {"tools": [{"toolSpec": {"name": "add", "inputSchema": {"json": {"type": "object"}}}}]}
SAID = "a é 😀\n\ufeffb\r\nc"
CALL = 'use tool add with {"first": "é 😀", "n": [1]}'
RANDOM_SPLITS = 2_400
"""Of each recorded stream."""


# What is cut.


def splits(body, pieces):
    """Give every way to cut ``body`` into so many pieces, empty ones included."""
    for cuts in itertools.combinations_with_replacement(range(len(body) + 1), pieces - 1):
        edges = (0, *cuts, len(body))
        yield [body[start:end] for start, end in itertools.pairwise(edges)]


class Connection:
    """What botocore reads: the pieces of a body, one by one."""

    def __init__(self, pieces):
        self.pieces = pieces
        self.closed = False

    def stream(self):
        return iter(self.pieces)

    def close(self):
        self.closed = True


def events_of(service, operation, pieces):
    connection = Connection(pieces)
    shape = load_operation(service, operation).get_event_stream_output()
    raw = BotocoreEventStream(connection, shape, EventStreamJSONParser(), operation)
    yield from EventStream(raw, lambda error: translate(error, operation=operation), True)
    assert connection.closed


def read_payload(pieces):
    got = []
    events = events_of("sagemaker-runtime", "InvokeEndpointWithResponseStream", pieces)
    with keeping_partial(lambda: b"".join(got)):
        got.extend(payload_parts(events))
    return b"".join(got)


def read_payload_by(reader):
    def read(pieces):
        events = events_of("sagemaker-runtime", "InvokeEndpointWithResponseStream", pieces)
        return list(read_pieces(reader(), payload_parts(events)))

    return read


def read_conversation(pieces):
    return converse_answer(events_of("bedrock-runtime", "ConverseStream", pieces))


def read_model(pieces):
    return json.loads(
        model_answer(events_of("bedrock-runtime", "InvokeModelWithResponseStream", pieces)).body
    )


def ask(operation, **request):
    return Bedrock().handle(operation, request)


def conversation(text, tokens, **request):
    """Record a conversation: the bytes of its stream, and what Converse says to the same."""
    request |= {"modelId": CLAUDE, "messages": [{"role": "user", "content": [{"text": text}]}]}
    chunked = {**request, "requestMetadata": {"local-aws-chunk-tokens": str(tokens)}}
    stream = ask("ConverseStream", **chunked)["stream"]
    return b"".join(encode_stream(stream)), ask("Converse", **request)


def invoked(model, body, tokens):
    """Record an invocation of a model: the bytes of its stream, and InvokeModel's body."""
    request = {"modelId": model, "body": json.dumps(body).encode()}
    metadata = json.dumps({"local-aws-chunk-tokens": str(tokens)})
    stream = ask("InvokeModelWithResponseStream", **request, requestMetadata=metadata)["body"]
    return b"".join(encode_stream(stream)), json.loads(ask("InvokeModel", **request)["body"])


def parts(*bodies):
    return b"".join(event_message("PayloadPart", body, "application/octet-stream") for body in bodies)


def model_bodies(text):
    said = f"Say {json.dumps(text)}"
    turn = [{"role": "user", "content": said}]
    return {
        CLAUDE: {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9999, "messages": turn},
        "ai21.jamba-1-5-mini-v1:0": {"messages": turn},
        "amazon.nova-lite-v1:0": {"messages": [{"role": "user", "content": [{"text": said}]}]},
        "amazon.titan-text-lite-v1": {"inputText": said},
        "meta.llama3-8b-instruct-v1:0": {"prompt": said},
        "mistral.mistral-large-2402-v1:0": {"prompt": said},
    }


def model_bodies_with_a_tool():
    turn, schema = [{"role": "user", "content": CALL}], {"type": "object"}
    claude = {"messages": turn, "tools": [{"name": "add", "input_schema": schema}]}
    function = {"type": "function", "function": {"name": "add", "parameters": schema}}
    return {
        CLAUDE: {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 99, **claude},
        "ai21.jamba-1-5-mini-v1:0": {"messages": turn, "tools": [function]},
    }


def without_times(body):
    """Leave out what no stream of the family tells."""
    return {key: value for key, value in body.items() if key != "meta"}


# Text.

READERS = {
    "text": (Text, SAID.encode(), SAID),
    "lines": (Lines, "a é\r\n\n😀x\r\n\rend".encode(), ["a é", "", "😀x", "\rend"]),
    "json lines": (
        JsonLines,
        '{"é": "😀\\ud83d\\ude00"}\r\n\n[1, 2.5, null]\n"\u2028"\ntrue'.encode(),
        [{"é": "😀😀"}, [1, 2.5, None], "\u2028", True],
    ),
    "server-sent events": (
        ServerSentEvents,
        '\ufeffevent: é\r\ndata: 1\rdata: 😀\r\n\r\n: x\n\ndata: {"a": 1}\n\n\ndata:[DONE]\n'.encode(),
        [ServerSentEvent("1\n😀", "é"), ServerSentEvent('{"a": 1}'), ServerSentEvent("[DONE]")],
    ),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("pieces", [2, 3])
def test_every_split_of_a_text_reads_the_same(name, pieces):
    reader, body, expected = READERS[name]

    for cut in splits(body, pieces):
        found = list(read_pieces(reader(), cut))
        assert ("".join(found) if isinstance(expected, str) else found) == expected, cut


def test_every_split_of_short_lines_into_four_reads_the_same():
    body = '{"é":1}\r\n"😀"\n2\n\n[3]'.encode()

    for cut in splits(body, 4):
        assert list(read_pieces(JsonLines(), cut)) == [{"é": 1}, "😀", 2, [3]], cut


@given(st.text(), st.lists(st.integers(0, 400)))
def test_random_text_survives_random_splits(text, cuts):
    body = text.encode()
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    pieces = [body[start:end] for start, end in itertools.pairwise(edges)]

    assert "".join(read_pieces(Text(), pieces)) == text.removeprefix("\ufeff")


@given(st.lists(st.recursive(st.none() | st.integers() | st.text(), st.lists)), st.lists(st.integers(0, 400)))
def test_random_json_lines_survive_random_splits(values, cuts):
    body = "".join(f"{json.dumps(value, ensure_ascii=False)}\n" for value in values).encode()
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    pieces = [body[start:end] for start, end in itertools.pairwise(edges)]

    assert list(read_pieces(JsonLines(), pieces)) == values


# Events.


def recordings():
    """Give streams of every kind: how to read one, its bytes, and what it says."""
    tool = conversation(CALL, 2, toolConfig=TOOLS)
    thought = conversation("Hi", 8, additionalModelRequestFields={"thinking": {"type": "enabled"}})
    yield "payload", read_payload, parts(b"a\xf0\x9f", b"", b"\x98\x80b\n", b"\x00"), "a😀b\n\x00".encode()
    for name in ("json lines", "server-sent events"):
        reader, body, said = READERS[name]
        stream = parts(*(body[at : at + 7] for at in range(0, len(body), 7)))
        yield name, read_payload_by(reader), stream, said
    yield "text", read_conversation, *conversation(f"Say {json.dumps(SAID)}", 3)
    yield "tool", read_conversation, *tool
    yield "thought", read_conversation, *thought
    for model, body in model_bodies("one 😀 two").items():
        stream, whole = invoked(model, body, 3)
        yield model, read_model, stream, without_times(whole)
    for model, body in model_bodies_with_a_tool().items():
        stream, whole = invoked(model, body, 3)
        yield f"{model} with a tool", read_model, stream, without_times(whole)


RECORDINGS = {name: rest for name, *rest in recordings()}


def many_splits(stream, random):
    """Give every split into two, that into single bytes, and random ones into more, each once."""
    yield from splits(stream, 2)
    cuts = set()
    while len(cuts) < RANDOM_SPLITS:
        cuts.add(tuple(sorted(random.sample(range(1, len(stream)), random.randrange(2, 20)))))
    for edges in (range(1, len(stream)), *cuts):
        yield [stream[start:end] for start, end in itertools.pairwise((0, *edges, len(stream)))]


def test_more_than_fifty_thousand_splits_of_recorded_streams_give_the_answer_of_the_call_without_one():
    compared = 0

    for name, (read, stream, expected) in RECORDINGS.items():
        for cut in many_splits(stream, Random(name)):
            assert read(cut) == expected, (name, [len(piece) for piece in cut])
            compared += 1

    assert compared > 50_000


def test_every_split_of_a_short_stream_into_three_gives_the_same_bytes():
    stream = parts(b"\xf0\x9f", b"\x98\x80")

    for cut in splits(stream, 3):
        assert read_payload(cut) == "😀".encode(), [len(piece) for piece in cut]


@pytest.mark.parametrize("name", sorted(RECORDINGS.keys() - READERS.keys()))
def test_a_stream_that_stops_at_any_byte_is_an_error_that_keeps_what_came(name):
    read, stream, expected = RECORDINGS[name]
    ends = message_ends(stream)

    for length in range(len(stream)):
        if name == "payload" and length in ends:
            # SageMaker's stream has no last event; there, the end of the HTTP body decides.
            assert expected.startswith(read([stream[:length]]))
            continue
        if name.startswith("amazon.nova") and length == max(ends - {len(stream)}):
            # The model had said that it is done; of what followed only the tokens are the answer's.
            assert read([stream[:length]]).items() < expected.items()
            continue
        with pytest.raises(ResponseError) as raised:
            read([stream[:length]])
        assert raised.value.code == "StreamCut", length
        assert raised.value.may_have_been_billed
        kept = raised.value.partial_body
        assert expected.startswith(kept) if name == "payload" else isinstance(json.loads(kept), (dict, list))


def message_ends(stream):
    ends, at = {0}, 0
    while at < len(stream):
        at += int.from_bytes(stream[at : at + 4], "big")
        ends.add(at)
    return ends


def test_what_came_of_a_conversation_grows_event_by_event_and_is_never_lost():
    _, stream, expected = RECORDINGS["text"]
    said = expected["output"]["message"]["content"][0]["text"]
    texts = []

    for end in sorted(message_ends(stream))[2:-1]:
        with pytest.raises(ResponseError) as raised:
            read_conversation([stream[:end]])
        texts.append(json.loads(raised.value.partial_body)["output"]["message"]["content"][0]["text"])

    assert all(said.startswith(text) for text in texts)
    assert texts == sorted(texts, key=len)
    assert texts[-1] == said


@settings(max_examples=300)
@given(st.text().filter(str.strip), st.integers(1, 9), st.randoms(use_true_random=False))
def test_random_conversations_survive_random_splits(text, tokens, random):
    stream, expected = conversation(text, tokens)

    assert read_conversation(random_pieces(stream, random)) == expected


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(model_bodies(""))),
    st.text(min_size=1),
    st.integers(1, 9),
    st.randoms(use_true_random=False),
)
def test_random_answers_of_every_family_survive_random_splits(model, text, tokens, random):
    stream, whole = invoked(model, model_bodies(text)[model], tokens)

    assert read_model(random_pieces(stream, random)) == without_times(whole)


@given(st.lists(st.binary()), st.randoms(use_true_random=False))
def test_random_bodies_of_an_endpoint_survive_random_splits(bodies, random):
    assert read_payload(random_pieces(parts(*bodies), random)) == b"".join(bodies)


def random_pieces(body, random):
    edges = sorted({0, len(body), *(random.randrange(len(body) + 1) for _ in range(random.randrange(20)))})
    return [body[start:end] for start, end in itertools.pairwise(edges)]
