from __future__ import annotations

import base64

import pytest

CLAUDE = "eu.anthropic.claude-sonnet-4-20250514-v1:0"
USER = {"role": "user", "content": "My name is Ada. What is my name?"}
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x03"


def claude(*messages, **members):
    return {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 200,
        "messages": list(messages),
        **members,
    }


def test_claude_answers_as_a_message(ask):
    answer = ask.invoke(CLAUDE, claude(USER, system="Be kind"))

    assert answer["type"] == "message"
    assert answer["role"] == "assistant"
    assert answer["model"] == "anthropic.claude-sonnet-4-20250514-v1:0"
    assert "Your name is Ada." in answer["content"][0]["text"]
    assert '"Be kind"' in answer["content"][0]["text"]
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("end_turn", None)
    assert set(answer["usage"]) == {"input_tokens", "output_tokens"}


def test_claude_names_the_stop_sequence(ask):
    answer = ask.invoke(CLAUDE, claude({"role": "user", "content": 'Say "a b"'}, stop_sequences=["b"]))

    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "b")


def test_claude_calls_tools_and_reads_their_results(ask):
    tools = [{"name": "add", "input_schema": {"type": "object"}}]
    question = {"role": "user", "content": 'use tool add with {"a": 1}'}
    first = ask.invoke(CLAUDE, claude(question, tools=tools))
    use = first["content"][0]
    result = {"type": "tool_result", "tool_use_id": use["id"], "content": "no", "is_error": True}
    turns = [
        question,
        {"role": "assistant", "content": first["content"]},
        {"role": "user", "content": [result]},
    ]
    second = ask.invoke(CLAUDE, claude(*turns, tools=tools))

    assert (use["type"], use["name"], use["input"]) == ("tool_use", "add", {"a": 1})
    assert first["stop_reason"] == "tool_use"
    assert "The tool add failed: no" in second["content"][0]["text"]


@pytest.mark.parametrize(
    ("choice", "stop"),
    [
        ({"type": "tool", "name": "add"}, "tool_use"),
        ({"type": "any"}, "tool_use"),
        ({"type": "none"}, "end_turn"),
    ],
)
def test_claude_follows_the_tool_choice(ask, choice, stop):
    body = claude({"role": "user", "content": "Hi"}, tools=[{"name": "add"}], tool_choice=choice)

    assert ask.invoke(CLAUDE, body)["stop_reason"] == stop


def test_claude_reads_images_documents_and_thoughts(ask):
    data = base64.b64encode(PNG).decode()
    content = [
        {"type": "text", "text": "line 1 of notes"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        {"type": "document", "title": "notes", "source": {"type": "text", "data": "hello"}},
        {
            "type": "document",
            "source": {
                "type": "base64",
                "media_type": "application/pdf",
                "data": base64.b64encode(b"%PDF-").decode(),
            },
        },
    ]
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    turns = [USER, {"role": "assistant", "content": [thought]}, {"role": "user", "content": content}]
    answer = ask.invoke(CLAUDE, claude(*turns, thinking={"type": "enabled", "budget_tokens": 1024}))

    assert answer["content"][0]["type"] == "thinking"
    said = answer["content"][1]["text"]
    assert "image (png): 2x3 pixels" in said
    assert 'Line 1 of notes reads: "hello"' in said
    assert "(pdf): 0 pages" in said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": [USER], "max_tokens": 5}, "required key [anthropic_version] not found"),
        (claude(USER, anthropic_version="x"), "not a valid enum value"),
        (claude(USER, top_q=1), "extraneous key [top_q] is not permitted"),
        (claude({"role": "user", "content": ""}), "expected minLength: 1, actual: 0"),
        (claude(USER, {"role": "assistant", "content": "x"}), "prefill"),
        (claude({"role": "user", "content": [{"type": "poem"}]}), "Input tag 'poem'"),
        (
            claude({"role": "user", "content": [{"type": "image"}]}),
            "messages.0.content.0: Input should be a valid image",
        ),
        (
            claude(
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": "é"},
                        }
                    ],
                }
            ),
            "valid image",
        ),
    ],
)
def test_a_claude_body_that_is_wrong_is_refused(ask, body, said):
    assert said in ask.invoke_refused(CLAUDE, body)
