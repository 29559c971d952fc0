from __future__ import annotations

import json

import pytest
from airflow_provider_aiml.local_aws.bedrock import tokens
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CLAUDE = "anthropic.claude-3-5-sonnet-20240620-v1:0"
CHUNK = "local-aws-chunk-tokens"
TOOLS = {"tools": [{"toolSpec": {"name": "add", "inputSchema": {"json": {"type": "object"}}}}]}
THINK = {"thinking": {"type": "enabled"}}
HELLO = [{"role": "user", "content": [{"text": "Hello"}]}]


def events(ask, text, **request):
    messages = [{"role": "user", "content": [{"text": text}]}]
    return ask("ConverseStream", modelId=CLAUDE, messages=messages, **request)["stream"]


def joined(stream):
    return "".join(
        payload["delta"].get("text", "") for name, payload in stream if name == "contentBlockDelta"
    )


def test_a_streamed_answer_says_the_same_as_a_whole_one(ask):
    whole = ask.converse("Hello", system=[{"text": "Be kind"}], additionalModelResponseFieldPaths=["/model"])
    stream = events(ask, "Hello", system=[{"text": "Be kind"}], additionalModelResponseFieldPaths=["/model"])

    names = [name for name, _ in stream]
    assert names[0] == "messageStart"
    assert names[-3:] == ["contentBlockStop", "messageStop", "metadata"]
    assert joined(stream) == whole["output"]["message"]["content"][0]["text"]
    assert stream[-2][1] == {
        "stopReason": "end_turn",
        "additionalModelResponseFields": {"model": "anthropic.claude-3-5-sonnet-20240620-v1:0"},
    }
    assert stream[-1][1] == {"usage": whole["usage"], "metrics": whole["metrics"]}


@pytest.mark.parametrize("size", [1, 5, 100_000])
def test_the_metadata_set_how_many_tokens_a_chunk_has(ask, size):
    stream = events(ask, 'Say "one two three four five six"', requestMetadata={CHUNK: str(size)})
    texts = [payload["delta"]["text"] for name, payload in stream if name == "contentBlockDelta"]

    assert [tokens.count(text) for text in texts] == [size] * (7 // size) + [7 % size] * bool(7 % size)


@pytest.mark.parametrize("size", ["0", "x", "1000000", "²"])
def test_a_chunk_size_that_is_no_number_is_refused(ask, size):
    from airflow_provider_aiml.local_aws.bedrock.converse_stream import chunk_tokens
    from airflow_provider_aiml.local_aws.errors import ApiError

    with pytest.raises(ApiError, match="from 1 to 100000"):
        chunk_tokens({CHUNK: size})


def test_a_tools_input_is_streamed_in_pieces_of_json(ask):
    stream = events(ask, 'use tool add with {"first": 1, "second": 2}', toolConfig=TOOLS)
    start = next(payload for name, payload in stream if name == "contentBlockStart")
    pieces = [payload["delta"]["toolUse"]["input"] for name, payload in stream if name == "contentBlockDelta"]

    assert start["start"]["toolUse"]["name"] == "add"
    assert len(pieces) > 1
    assert json.loads("".join(pieces)) == {"first": 1, "second": 2}


def test_reasoning_is_streamed_before_the_text(ask):
    stream = events(ask, "Hello", additionalModelRequestFields=THINK)
    deltas = [payload for name, payload in stream if name == "contentBlockDelta"]

    assert "text" in deltas[0]["delta"]["reasoningContent"]
    assert any("signature" in delta["delta"].get("reasoningContent", {}) for delta in deltas)
    assert deltas[-1]["contentBlockIndex"] == 1


@pytest.mark.parametrize(
    ("fault", "event"),
    [
        ("stream-error", "modelStreamErrorException"),
        ("stream-throttled", "throttlingException"),
        ("stream-unavailable", "serviceUnavailableException"),
        ("stream-internal-error", "internalServerException"),
        ("stream-invalid", "validationException"),
    ],
)
def test_a_stream_breaks_in_its_middle_if_asked(ask, fault, event):
    by_metadata = events(ask, "Hello", requestMetadata={"local-aws-fault": fault})
    by_model = ask("ConverseStream", modelId=f"test.{fault}-v1:0", messages=HELLO)["stream"]

    for stream in (by_metadata, by_model):
        assert stream[-1][0] == event
        assert joined(stream[:-1])
        assert "messageStop" not in [name for name, _ in stream]


def test_a_models_time_out_breaks_an_invoked_stream(ask):
    body = json.dumps({"messages": [{"role": "user", "content": "Hello"}]}).encode()
    stream = ask("InvokeModelWithResponseStream", modelId="test.stream-timeout-v1:0", body=body)["body"]

    assert [name for name, _ in stream][-1] == "modelTimeoutException"


def test_the_error_of_a_model_says_what_the_model_said(ask):
    _, payload = events(ask, "Hello", requestMetadata={"local-aws-fault": "stream-error"})[-1]

    assert payload["originalStatusCode"] == 500
    assert payload["originalMessage"]


def test_a_stream_can_end_without_a_word(ask):
    names = [name for name, _ in events(ask, "Hello", requestMetadata={"local-aws-fault": "stream-cut"})]

    assert names[-1] == "contentBlockDelta"


def body_for(model):
    said = 'Say "one two three four five"'
    return {
        CLAUDE: {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 99,
            "messages": [{"role": "user", "content": said}],
        },
        "ai21.jamba-1-5-mini-v1:0": {"messages": [{"role": "user", "content": said}]},
        "amazon.nova-lite-v1:0": {"messages": [{"role": "user", "content": [{"text": said}]}]},
        "amazon.titan-text-lite-v1": {"inputText": said},
        "meta.llama3-8b-instruct-v1:0": {"prompt": said},
        "mistral.mistral-large-2402-v1:0": {"prompt": said},
    }[model]


TEXTS = {
    CLAUDE: lambda chunk: chunk.get("delta", {}).get("text", ""),
    "ai21.jamba-1-5-mini-v1:0": lambda chunk: chunk["choices"][0]["delta"].get("content", ""),
    "amazon.nova-lite-v1:0": lambda chunk: (
        chunk.get("contentBlockDelta", {}).get("delta", {}).get("text", "")
    ),
    "amazon.titan-text-lite-v1": lambda chunk: chunk["outputText"],
    "meta.llama3-8b-instruct-v1:0": lambda chunk: chunk["generation"],
    "mistral.mistral-large-2402-v1:0": lambda chunk: chunk["outputs"][0]["text"],
}


@pytest.mark.parametrize("model", TEXTS)
def test_each_familys_chunks_join_to_the_whole_text(ask, model):
    chunks = ask.chunks(model, body_for(model))

    assert "".join(map(TEXTS[model], chunks)) == "one two three four five"
    assert len(chunks) >= 2
    assert "amazon-bedrock-invocationMetrics" in chunks[-1]
    assert not any("amazon-bedrock-invocationMetrics" in chunk for chunk in chunks[:-1])


def test_the_metadata_of_invoke_model_are_a_json_string(ask):
    one = ask.chunks(CLAUDE, body_for(CLAUDE), requestMetadata=json.dumps({CHUNK: "1"}))
    all_at_once = ask.chunks(CLAUDE, body_for(CLAUDE), requestMetadata=json.dumps({CHUNK: "99"}))

    assert len(one) > len(all_at_once)


@pytest.mark.parametrize(("metadata", "said"), [("{", "not valid JSON"), ("[]", "not a JSON object")])
def test_metadata_that_are_no_json_object_are_refused(ask, metadata, said):
    error = ask.refused("InvokeModel", modelId=CLAUDE, body=b"{}", requestMetadata=metadata)

    assert said in error.message


def test_claude_streams_tools_and_thoughts(ask):
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 99,
        "messages": [{"role": "user", "content": 'use tool add with {"a": 1}'}],
        "tools": [{"name": "add"}],
        "thinking": {"type": "enabled"},
    }
    chunks = ask.chunks(CLAUDE, body)
    deltas = [chunk["delta"] for chunk in chunks if chunk["type"] == "content_block_delta"]

    assert {delta["type"] for delta in deltas} == {"thinking_delta", "signature_delta", "input_json_delta"}
    assert json.loads("".join(delta.get("partial_json", "") for delta in deltas)) == {"a": 1}


def test_jamba_streams_tool_calls(ask):
    tool = {"type": "function", "function": {"name": "add"}}
    chunks = ask.chunks(
        "ai21.jamba-1-5-mini-v1:0",
        {"messages": [{"role": "user", "content": "use tool add"}], "tools": [tool]},
    )

    assert chunks[1]["choices"][0]["delta"]["tool_calls"][0]["function"]["name"] == "add"
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_an_empty_titan_answer_still_has_its_last_chunk(ask):
    chunks = ask.chunks("amazon.titan-text-lite-v1", {"inputText": 'Say ""'})

    assert [chunk["outputText"] for chunk in chunks] == [""]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text().filter(str.strip), size=st.integers(1, 9))
def test_any_text_survives_the_stream(ask, text, size):
    stream = events(ask, text, requestMetadata={CHUNK: str(size)})

    assert joined(stream) == ask.text(text)


@given(st.text(), st.integers(1, 9))
def test_tokens_lose_nothing(text, size):
    assert "".join(tokens.split(text)) == text
    assert "".join(tokens.pieces(text, size)) == text
    assert tokens.cut(text, tokens.count(text)) == (text, False)
