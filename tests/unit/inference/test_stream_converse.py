"""ConverseStream's events, put together to Converse's answer."""

from __future__ import annotations

import pytest
from airflow_provider_aiml.exceptions import ResponseError
from airflow_provider_aiml.inference.requests import load_operation
from airflow_provider_aiml.inference.stream_converse import ConverseAssembly

START = {"messageStart": {"role": "assistant"}}
STOP = {"messageStop": {"stopReason": "end_turn"}}
USAGE = {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}
METADATA = {"metadata": {"usage": USAGE, "metrics": {"latencyMs": 5}}}


def start(index=0, **kinds):
    return {"contentBlockStart": {"start": kinds, "contentBlockIndex": index}}


def delta(index=0, **kinds):
    return {"contentBlockDelta": {"delta": kinds, "contentBlockIndex": index}}


def stop(index=0):
    return {"contentBlockStop": {"contentBlockIndex": index}}


def assembled(*events):
    assembly = ConverseAssembly()
    for event in events:
        assembly.add(event)
    return assembly


def blocks(*events, stop_reason="end_turn"):
    assembly = assembled(START, *events, {"messageStop": {"stopReason": stop_reason}}, METADATA)
    return assembly.result()["output"]["message"]["content"]


def test_a_text_comes_with_all_that_converse_says_of_it():
    ends = {"messageStop": {"stopReason": "end_turn", "additionalModelResponseFields": {"a": 1}}}
    tells = {"metadata": {**METADATA["metadata"], "trace": {"t": 1}, "serviceTier": {"type": "flex"}}}

    assembly = assembled(START, delta(text="Hel"), delta(text="lo"), stop(), ends, tells)

    assert assembly.result() == {
        "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
        "stopReason": "end_turn",
        "additionalModelResponseFields": {"a": 1},
        "usage": USAGE,
        "metrics": {"latencyMs": 5},
        "trace": {"t": 1},
        "serviceTier": {"type": "flex"},
    }
    assert assembly.usage == USAGE


def test_blocks_stand_in_the_order_of_their_numbers():
    assert blocks(delta(1, text="b"), delta(0, text="a"), delta(1, text="c")) == [
        {"text": "a"},
        {"text": "bc"},
    ]


def test_a_block_without_a_delta_is_an_empty_text():
    assert blocks(stop()) == [{"text": ""}]
    assert blocks(start(), stop()) == [{"text": ""}]


def test_a_tools_input_is_joined_before_it_is_read():
    use = {"toolUseId": "t", "name": "add", "type": "server_tool_use"}

    found = blocks(start(toolUse=use), delta(toolUse={"input": '{"a": "x'}), delta(toolUse={"input": 'y"}'}))

    assert found == [{"toolUse": {**use, "input": {"a": "xy"}}}]


def test_a_tool_without_input_gets_an_empty_object():
    use = {"toolUseId": "t", "name": "now"}

    assert blocks(start(toolUse=use), stop()) == [{"toolUse": {**use, "input": {}}}]
    assert blocks(start(toolUse=use), delta(toolUse={"input": ""})) == [{"toolUse": {**use, "input": {}}}]


@pytest.mark.parametrize("promise", ["tool_use", "end_turn", "stop_sequence"])
@pytest.mark.parametrize(
    "cut",
    ["max_tokens", "content_filtered", "guardrail_intervened", "malformed_tool_use", "refusal", "newer"],
)
def test_a_tools_input_that_is_not_json_is_an_error_where_the_stop_promises_a_whole_one(promise, cut):
    events = (start(toolUse={"toolUseId": "t", "name": "add"}), delta(toolUse={"input": '{"canary": '}))

    with pytest.raises(ResponseError, match="a tool is not JSON") as raised:
        blocks(*events, stop_reason=promise)
    assert "canary" not in str(raised.value)
    assert blocks(*events, stop_reason=cut)[0]["toolUse"]["input"] == '{"canary": '


def test_reasoning_has_its_text_and_signature():
    found = blocks(
        delta(reasoningContent={"text": "be"}),
        delta(reasoningContent={"text": "cause"}),
        delta(reasoningContent={"signature": "sig"}),
    )

    assert found == [{"reasoningContent": {"reasoningText": {"text": "because", "signature": "sig"}}}]
    assert blocks(delta(reasoningContent={"text": "x"})) == [
        {"reasoningContent": {"reasoningText": {"text": "x"}}}
    ]


def test_reasoning_may_be_redacted():
    found = blocks(
        delta(reasoningContent={"redactedContent": b"a"}), delta(reasoningContent={"redactedContent": b"b"})
    )

    assert found == [{"reasoningContent": {"redactedContent": b"ab"}}]


def test_citations_stand_beside_the_text_that_they_prove():
    one, two = {"title": "a", "location": {"web": {"url": "u"}}}, {"title": "b"}

    found = blocks(delta(text="It "), delta(citation=one), delta(text="is."), delta(citation=two))

    assert found == [{"citationsContent": {"content": [{"text": "It is."}], "citations": [one, two]}}]


def test_the_result_of_a_tool_of_the_server_is_kept():
    begun = {"toolUseId": "t", "type": "web", "status": "success"}

    found = blocks(
        start(toolResult=begun),
        delta(toolResult=[{"text": "on"}]),
        delta(toolResult=[{"text": "e"}, {"text": "two"}]),
        delta(toolResult=[{"json": {"n": 3}}]),
    )

    content = [{"text": "one"}, {"text": "two"}, {"json": {"n": 3}}]
    assert found == [{"toolResult": {**begun, "content": content}}]


def test_an_image_comes_in_pieces_or_as_a_place():
    in_pieces = blocks(
        start(image={"format": "png"}),
        delta(image={"source": {"bytes": b"\x89P"}}),
        delta(image={"source": {"bytes": b"NG"}}),
    )
    place = {"s3Location": {"uri": "s3://b/k"}}

    assert in_pieces == [{"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}}]
    assert blocks(start(image={"format": "png"}), delta(image={"source": place})) == [
        {"image": {"format": "png", "source": place}}
    ]


def test_an_image_may_end_in_an_error():
    found = blocks(start(image={"format": "png"}), delta(image={"error": {"message": "no"}}))

    assert found == [{"image": {"format": "png", "error": {"message": "no"}}}]


def test_a_character_whose_halves_came_apart_is_whole():
    assert blocks(delta(text="\ud83d"), delta(text="\ude00")) == [{"text": "😀"}]


@pytest.mark.parametrize(
    ("event", "named"),
    [
        ({"surprise": {}}, "surprise"),
        (start(hologram={}), "hologram"),
        (start(SDK_UNKNOWN_MEMBER={"name": "hologram"}), "hologram"),
        (delta(hologram="x"), "hologram"),
        (delta(SDK_UNKNOWN_MEMBER={"name": "hologram"}), "hologram"),
        (delta(reasoningContent={"SDK_UNKNOWN_MEMBER": {"name": "proof"}}), "proof"),
        (delta(toolUse={"input": "", "more": 1}), "more"),
        (delta(toolResult=[{"video": {}}]), "video"),
        (delta(toolUse={}), "nothing"),
        (delta(), "without content"),
    ],
)
def test_what_is_not_known_is_an_error(event, named):
    with pytest.raises(ResponseError, match=named):
        assembled(START, event)


@pytest.mark.parametrize(
    "events",
    [
        (start(toolUse={"toolUseId": "t", "name": "n"}), delta(text="x")),
        (delta(text="x"), delta(reasoningContent={"text": "y"})),
        (delta(reasoningContent={"text": "y"}), delta(reasoningContent={"redactedContent": b"z"})),
    ],
)
def test_a_block_of_two_kinds_is_an_error_and_kept_as_it_came(events):
    assembly = assembled(START, *events, STOP, METADATA)

    with pytest.raises(ResponseError):
        assembly.result()
    assert len(assembly.partial()["output"]["blocks"]) == 1


@pytest.mark.parametrize("event", [STOP, METADATA, delta(text="x"), stop()])
def test_a_stream_begins_with_its_message(event):
    with pytest.raises(ResponseError, match="begins with"):
        assembled(event)


def test_a_second_message_is_an_error():
    with pytest.raises(ResponseError, match="second message"):
        assembled(START, START)


WHOLE = (START, delta(text="a"), stop(), STOP, METADATA)


@pytest.mark.parametrize("count", range(len(WHOLE)))
def test_a_stream_that_ends_early_is_an_error_and_what_came_is_kept(count):
    assembly = assembled(*WHOLE[:count])

    with pytest.raises(ResponseError, match="ended before") as raised:
        assembly.result()
    assert (raised.value.code, raised.value.retryable) == ("StreamCut", True)
    content = [{"text": "a"}] if count > 1 else []
    assert assembly.partial()["output"]["message"]["content"] == content


def test_what_came_of_a_tools_input_is_kept_as_text():
    assembly = assembled(
        START, start(toolUse={"toolUseId": "t", "name": "n"}), delta(toolUse={"input": '{"a'})
    )

    assert assembly.partial()["output"]["message"]["content"][0]["toolUse"]["input"] == '{"a'


def test_the_size_of_an_event_is_that_of_its_content():
    assembly = assembled(START)

    assert assembly.add(delta(text="é")) == 2
    assert assembly.add(delta(1, image={"source": {"bytes": b"123"}})) == 3
    assert assembly.add(delta(2, toolResult=[{"text": "ab"}, {"json": {"n": 1}}])) == 2
    assert assembly.add(STOP) == 0


def test_every_event_and_delta_of_botocores_model_has_its_place():
    """Fails when AWS adds one, which would then be an error in every stream that holds it."""
    shape = load_operation("bedrock-runtime", "ConverseStream").get_event_stream_output()
    samples = {
        "text": "t",
        "toolUse": {"input": "{}"},
        "toolResult": [{"text": "t"}],
        "reasoningContent": {"text": "t"},
        "citation": {"title": "t"},
        "image": {"source": {"bytes": b"b"}},
    }
    events = {name for name, member in shape.members.items() if not member.metadata.get("exception")}
    deltas = shape.members["contentBlockDelta"].members["delta"].members
    starts = shape.members["contentBlockStart"].members["start"].members

    for number, name in enumerate(deltas):
        assembled(START, delta(number, **{name: samples[name]}), STOP, METADATA).result()
    for name in starts:
        assembled(START, start(**{name: {}}), STOP, METADATA).result()
    assert events == set(ConverseAssembly()._take)
