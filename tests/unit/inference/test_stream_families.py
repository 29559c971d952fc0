"""The streams of the model families, put together to the body of InvokeModel."""

from __future__ import annotations

import json

import pytest
from airflow_provider_aiml.exceptions import ModelFailedError, ResponseError
from airflow_provider_aiml.inference.streaming import ModelAssembly, model_answer

METRICS = {"inputTokenCount": 3, "outputTokenCount": 2, "invocationLatency": 9, "firstByteLatency": 1}


def assembled(*chunks):
    assembly = ModelAssembly()
    for chunk in chunks:
        assembly.add(chunk if isinstance(chunk, bytes) else json.dumps(chunk).encode())
    return assembly


def body(*chunks):
    return json.loads(assembled(*chunks).answer().body)


CLAUDE_START = {
    "type": "message_start",
    "message": {
        "id": "m",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 3},
    },
}
CLAUDE_END = (
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop", "amazon-bedrock-invocationMetrics": METRICS},
)


def claude_block(start, *deltas, index=0):
    return (
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    )


def claude(*blocks, end=CLAUDE_END):
    return body(CLAUDE_START, *(event for block in blocks for event in block), *end)


def test_claude_says_text_and_counts():
    text = claude_block(
        {"type": "text", "text": ""},
        {"type": "text_delta", "text": "a"},
        {"type": "text_delta", "text": "b"},
        {"type": "citations_delta", "citation": {"cited_text": "c"}},
    )

    assert claude(text, [{"type": "ping"}]) == {
        "id": "m",
        "role": "assistant",
        "content": [{"type": "text", "text": "ab", "citations": [{"cited_text": "c"}]}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }


def test_claude_thinks_and_asks_for_tools():
    thought = claude_block(
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "signature_delta", "signature": "s"},
    )
    use = {"type": "tool_use", "id": "t", "name": "add", "input": {}}
    pieces = ({"type": "input_json_delta", "partial_json": piece} for piece in ("", '{"a"', ": 1}"))

    content = claude(thought, claude_block(use, *pieces, index=1), claude_block(use, index=2))["content"]

    assert content[0] == {"type": "thinking", "thinking": "hm", "signature": "s"}
    assert [block["input"] for block in content[1:]] == [{"a": 1}, {}]


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "model_context_window_exceeded", "pause_turn"])
def test_claudes_tool_input_that_is_not_json_is_an_error_unless_it_was_cut_short(reason):
    use = claude_block({"type": "tool_use", "input": {}}, {"type": "input_json_delta", "partial_json": "{"})
    cut = ({"type": "message_delta", "delta": {"stop_reason": reason}}, CLAUDE_END[1])

    with pytest.raises(ResponseError, match="not JSON"):
        claude(use)
    assert claude(use, end=cut)["content"][0]["input"] == "{"


@pytest.mark.parametrize(
    "chunk",
    [
        {"type": "hologram"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "hologram_delta"}},
    ],
)
def test_what_claude_says_and_is_not_known_is_an_error(chunk):
    with pytest.raises(ResponseError, match="not known: hologram"):
        assembled(CLAUDE_START, chunk)


@pytest.mark.parametrize(
    "events",
    [
        claude_block({"type": "text", "text": ""}, {"type": "text_delta", "text": "lost"})[1:],
        claude_block({"type": "text", "text": "a"})[:1] * 2,
    ],
)
def test_a_delta_of_no_block_and_a_block_that_begins_twice_are_errors(events):
    with pytest.raises(ResponseError, match="content block"):
        assembled(CLAUDE_START, *events)


def test_an_error_that_claude_reports_is_the_models_failure():
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "canary"}}

    with pytest.raises(ModelFailedError) as raised:
        assembled(CLAUDE_START, error)
    assert raised.value.code == "overloaded_error"
    assert "canary" not in str(raised.value)


NOVA = (
    {"messageStart": {"role": "assistant"}},
    {"contentBlockDelta": {"delta": {"text": "a"}, "contentBlockIndex": 0}},
    {"contentBlockDelta": {"delta": {"text": "b"}, "contentBlockIndex": 0}},
    {"contentBlockStop": {"contentBlockIndex": 0}},
    {"messageStop": {"stopReason": "end_turn"}},
    {"metadata": {"usage": {"inputTokens": 3}, "metrics": {}, "trace": {}}},
)


def test_nova_says_what_converse_says_without_metrics():
    assert body(*NOVA) == {
        "output": {"message": {"role": "assistant", "content": [{"text": "ab"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 3},
    }


def test_nova_is_whole_once_it_stopped_though_the_stream_does_not_tell_the_tokens():
    assert body(*NOVA[:-1]) == {
        "output": {"message": {"role": "assistant", "content": [{"text": "ab"}]}},
        "stopReason": "end_turn",
    }


def choice(index=0, reason=None, **members):
    return {"index": index, "finish_reason": reason, **members}


def completion(*choices, **members):
    return {"id": "c", "object": "chat.completion.chunk", "choices": list(choices), **members}


def test_a_completion_joins_each_choice_on_its_own():
    found = body(
        completion(choice(delta={"role": "assistant", "content": "", "refusal": None})),
        completion(choice(1, delta={"role": "assistant", "content": "x"}), usage=None),
        completion(choice(delta={"content": "a", "reasoning_content": "be"})),
        completion(choice(delta={"content": "b", "reasoning_content": "cause"}, logprobs={"content": [1]})),
        completion(choice(logprobs={"content": [2], "refusal": None}, reason="stop", delta={})),
        completion(choice(1, delta={}, reason="length")),
        completion(usage={"total_tokens": 5}, **{"amazon-bedrock-invocationMetrics": METRICS}),
        completion(usage=None),
    )

    message = {"role": "assistant", "content": "ab", "refusal": None, "reasoning_content": "because"}
    assert found == {
        "id": "c",
        "object": "chat.completion",
        "usage": {"total_tokens": 5},
        "choices": [
            choice(0, "stop", message=message, logprobs={"content": [1, 2], "refusal": None}),
            choice(1, "length", message={"role": "assistant", "content": "x"}),
        ],
    }


def test_a_completions_tool_calls_are_joined_by_their_number():
    def calls(*calls):
        return completion(choice(delta={"content": None, "tool_calls": list(calls)}))

    found = body(
        calls({"index": 0, "id": "t", "type": "function", "function": {"name": "add", "arguments": ""}}),
        calls({"index": 0, "id": None, "function": {"arguments": '{"a"'}}, {"index": 1, "id": "u"}),
        calls({"index": 0, "function": {"arguments": ": 1}"}}, {"index": 1, "function": None}),
        completion(choice(reason="tool_calls", delta={})),
    )

    assert found["choices"][0]["message"] == {
        "content": None,
        "tool_calls": [
            {"id": "t", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
            {"id": "u", "function": None},
        ],
    }


def deltas(*deltas):
    """Give the completion's message of a stream that says these, one a chunk."""
    chunks = [completion(choice(delta=delta)) for delta in deltas]
    return body(*chunks, completion(choice(reason="stop", delta={})))["choices"][0]["message"]


def test_the_arguments_of_a_call_may_begin_as_null():
    def call(**function):
        return {"tool_calls": [{"index": 0, "function": function}]}

    message = deltas(call(name="add", arguments=None), call(arguments="{"), call(arguments="}"))

    assert message == {"tool_calls": [{"function": {"name": "add", "arguments": "{}"}}]}


def test_a_function_call_of_the_older_shape_is_whole():
    pieces = ({"name": "add", "arguments": ""}, {"arguments": '{"a":'}, {"arguments": " 1}"})

    message = deltas(*({"function_call": piece} for piece in pieces))

    assert message == {"function_call": {"name": "add", "arguments": '{"a": 1}'}}


def test_content_that_comes_as_blocks_is_whole():
    def thinking(text):
        return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}

    message = deltas(
        {"role": "assistant", "content": ""},
        {"content": [thinking("Hm")]},
        {"content": [thinking(", so")]},
        {"content": [{"type": "reference", "reference_ids": [1]}]},
        {"content": [{"type": "reference", "reference_ids": [2]}]},
        {"content": "Forty"},
        {"content": "-two"},
        {"content": [{"type": "text", "text": "!"}]},
    )

    assert message["content"] == [
        thinking("Hm, so"),
        {"type": "reference", "reference_ids": [1]},
        {"type": "reference", "reference_ids": [2]},
        {"type": "text", "text": "Forty-two!"},
    ]


def test_lists_of_a_choice_grow_and_what_is_said_again_counts_once():
    message = deltas(
        {"role": "assistant", "annotations": [1], "name": "", "prefix": False},
        {"role": "assistant", "annotations": [2], "name": "x", "prefix": False},
        {"content": [], "name": ""},
    )

    assert message == {
        "role": "assistant",
        "annotations": [1, 2],
        "name": "x",
        "prefix": False,
        "content": [],
    }


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ({"thought": "a"}, {"thought": "b"}, "thought"),
        ({"audio": {"data": "a"}}, {"audio": {"data": "b"}}, "data"),
        ({"score": 0}, {"score": 1}, "score"),
        ({"content": "a"}, {"content": {"text": "b"}}, "content"),
        ({"tool_calls": [{"id": "a"}]}, {"tool_calls": [{"id": "b"}]}, "id"),
        ({"tool_calls": "a"}, {"tool_calls": [{"id": "b"}]}, "tool_calls"),
    ],
)
def test_pieces_of_a_member_that_is_not_known_are_an_error(first, second, named):
    chunks = [completion(choice(delta=delta)) for delta in (first, second)]

    with pytest.raises(ResponseError, match=f"pieces of a member that is not known: {named}"):
        assembled(*chunks)


def test_a_completion_may_come_as_messages_or_as_text():
    messages = body(
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "stop_reason": None}]},
        {"choices": [{"index": 0, "message": {"content": "b", "tool_calls": None}, "stop_reason": "stop"}]},
    )
    texts = body(
        {"choices": [{"text": "a", "stop_reason": None}]}, {"choices": [{"text": "b", "stop_reason": "stop"}]}
    )

    assert messages["choices"][0]["message"] == {"role": "assistant", "content": "ab"}
    assert texts == {"choices": [{"text": "ab", "stop_reason": "stop"}]}


def test_titan_gives_one_result():
    def chunk(text, count=None, reason=None):
        counts = {"index": 0, "inputTextTokenCount": 3, "totalOutputTextTokenCount": count}
        return {"outputText": text, **counts, "completionReason": reason}

    assert body(chunk("a"), chunk("b", 2, "FINISH")) == {
        "inputTextTokenCount": 3,
        "results": [{"outputText": "ab", "tokenCount": 2, "completionReason": "FINISH"}],
    }


def test_llama_gives_the_counts_that_are_not_null():
    found = body(
        {"generation": "a", "prompt_token_count": 3, "generation_token_count": 1, "stop_reason": None},
        {"generation": None, "prompt_token_count": None, "generation_token_count": 2, "stop_reason": "stop"},
    )

    assert found == {
        "generation": "a",
        "prompt_token_count": 3,
        "generation_token_count": 2,
        "stop_reason": "stop",
    }


def test_mistral_gives_its_outputs():
    found = body(
        {"outputs": [{"text": "a", "stop_reason": None}, {"text": "x", "stop_reason": "stop"}], "id": "i"},
        {"outputs": [{"text": "b", "stop_reason": "length"}]},
    )

    outputs = [{"text": "ab", "stop_reason": "length"}, {"text": "x", "stop_reason": "stop"}]
    assert found == {"id": "i", "outputs": outputs}


def test_cohere_repeats_its_whole_answer_at_the_end():
    whole = {"text": "ab", "generation_id": "g"}
    chunks = (
        {"event_type": "stream-start", "generation_id": "g"},
        {"event_type": "text-generation", "text": "a"},
        {"event_type": "text-generation", "text": "b"},
        {"event_type": "stream-end", "finish_reason": "COMPLETE", "response": whole},
    )

    assert body(*chunks) == {**whole, "finish_reason": "COMPLETE"}
    assert json.loads(assembled(*chunks[:3]).partial()) == {"text": "ab"}


NULLS = {
    "claude": (
        CLAUDE_START,
        *claude_block(
            {"type": "text", "text": None},
            {"type": "text_delta", "text": "a"},
            {"type": "text_delta", "text": None},
        ),
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": None},
        CLAUDE_END[1],
    ),
    "nova": (*NOVA[:2], {"contentBlockDelta": {"delta": {"text": None}, "contentBlockIndex": 0}}, *NOVA[3:]),
    "mistral": (
        {"outputs": [{"text": "a", "stop_reason": None}]},
        {"outputs": [{"text": None, "stop_reason": "stop"}]},
    ),
}


@pytest.mark.parametrize("family", NULLS)
def test_a_piece_of_text_that_is_null_is_none(family):
    assert '"text": "a"' in json.dumps(body(*NULLS[family]))


MISSHAPEN = {
    "claude": (CLAUDE_START, *claude_block({"type": "text", "text": 5}, {"type": "text_delta", "text": "a"})),
    "claude's end": (
        CLAUDE_START,
        *claude_block({"type": "text", "text": "a"}),
        {"type": "message_delta", "usage": 5},
    ),
    "nova": (*NOVA[:2], {"contentBlockDelta": {"delta": {"text": 5}, "contentBlockIndex": 0}}, *NOVA[3:]),
    "completion": (completion(choice(delta={"content": "a"})), {"choices": [{"index": {}}]}),
    "mistral": ({"outputs": [{"text": "a"}]}, {"outputs": [{"text": 5, "stop_reason": "stop"}]}),
    "llama": ({"generation": "a"}, {"generation": 5, "stop_reason": "stop"}),
    "titan": ({"outputText": "a"}, {"outputText": [], "completionReason": "FINISH"}),
    "bedrock": ({"generation": "a", "stop_reason": "stop"}, {"amazon-bedrock-invocationMetrics": 5}),
}


@pytest.mark.parametrize("family", MISSHAPEN)
def test_an_answer_that_cannot_be_put_together_is_an_error_that_keeps_what_came(family):
    chunks = [*MISSHAPEN[family], *(CLAUDE_END if family.startswith("claude") else ())]
    events = [{"chunk": {"bytes": json.dumps(chunk).encode()}} for chunk in chunks]

    with pytest.raises(ResponseError, match=r"not as .* writes it: (Type|Value)Error") as raised:
        model_answer(events)

    assert not raised.value.retryable
    assert '"a"' in json.dumps(json.loads(raised.value.partial_body))


def test_what_bedrock_adds_is_told_apart_from_what_the_model_said():
    answer = assembled(
        {"amazon-bedrock-trace": {"guardrail": {}}},
        {"generation": "a", "stop_reason": None},
        {
            "generation": "",
            "stop_reason": "stop",
            "amazon-bedrock-guardrailAction": "NONE",
            "amazon-bedrock-invocationMetrics": METRICS,
        },
    ).answer()

    assert (answer.family, answer.metrics) == ("Meta Llama", METRICS)
    assert json.loads(answer.body) == {
        "generation": "a",
        "stop_reason": "stop",
        "amazon-bedrock-guardrailAction": "NONE",
        "amazon-bedrock-trace": {"guardrail": {}},
    }


def test_chunks_of_a_family_that_is_not_known_are_given_as_a_list():
    answer = assembled({"word": "a"}, {"word": "b", "amazon-bedrock-invocationMetrics": METRICS}, {}).answer()

    assert (answer.family, answer.metrics) == (None, METRICS)
    listed = [{"word": "a"}, {"word": "b", "amazon-bedrock-invocationMetrics": METRICS}, {}]
    assert json.loads(answer.body) == listed


def test_chunks_that_are_not_json_are_joined():
    answer = assembled(b"\x00one", b"[1]", b"two").answer()

    assert (answer.family, answer.body) == (None, b"\x00one[1]two")


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"generation": "a"}, b"{", "not a JSON object"),
        ({"outputs": [{"text": "a"}]}, {"outputs": [{}]}, "KeyError"),
        (CLAUDE_START, {"type": "content_block_start"}, "KeyError"),
        (NOVA[0], {"contentBlockDelta": {"delta": {"toolUse": 5}}}, "TypeError"),
        ({"choices": [{"text": "a"}]}, {"choices": [5]}, "AttributeError"),
    ],
)
def test_a_chunk_that_is_not_as_its_family_writes_is_an_error(first, second, said):
    with pytest.raises(ResponseError, match=said):
        assembled(first, second)


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        (CLAUDE_START, CLAUDE_END[0]),
        NOVA[:3],
        NOVA[:4],
        (completion(choice(delta={"content": "a"})),),
        (completion(),),
        ({"generation": "a", "stop_reason": None},),
        ({"outputText": "a", "completionReason": None},),
        ({"outputs": [{"text": "a", "stop_reason": None}]},),
        ({"event_type": "text-generation", "text": "a"},),
    ],
)
def test_a_stream_that_ends_before_the_model_is_done_is_an_error(chunks):
    assembly = assembled(*chunks)

    with pytest.raises(ResponseError, match="ended before") as raised:
        assembly.answer()
    assert raised.value.retryable
    assert isinstance(json.loads(assembly.partial()), (dict, list))


def test_a_character_whose_halves_came_apart_is_whole():
    assert (
        body({"generation": "\ud83d"}, {"generation": "\ude00", "stop_reason": "stop"})["generation"] == "😀"
    )
