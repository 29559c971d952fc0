from __future__ import annotations

import pytest
from airflow_provider_aiml.exceptions import (
    AccessDeniedError,
    EndpointNotReadyError,
    RequestError,
    ServiceRefusedError,
    TurnLimitError,
)
from airflow_provider_aiml.inference.input_limit import InputLimit, counted_input
from airflow_provider_aiml.inference.requests import check_request, load_operation

REQUEST = {
    "model_id": "amazon.nova-lite-v1:0",
    "messages": [{"role": "user", "content": [{"text": "x"}]}],
    "system": [{"text": "y"}],
    "tool_config": {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object"}}}}]},
    "additional_model_request_fields": {"top_k": 3},
    "request_metadata": {"a": "b"},
}


def limit(most, answer):
    def count(**members):
        if isinstance(answer, Exception):
            raise answer
        return {"inputTokens": answer}

    return InputLimit(most, count)


def test_what_is_counted_is_all_that_count_tokens_takes():
    members = {"model_id": "amazon.nova-lite-v1:0", "input": counted_input(REQUEST)}
    sent = check_request(load_operation("bedrock-runtime", "CountTokens"), members)

    shape = load_operation("bedrock-runtime", "CountTokens").input_shape.members["input"]
    assert set(sent["input"]["converse"]) == set(shape.members["converse"].members)


def test_of_a_body_in_the_models_own_format_the_whole_is_counted():
    members = {"model_id": "amazon.nova-lite-v1:0", "input": counted_input({**REQUEST, "body": b"{}"})}
    sent = check_request(load_operation("bedrock-runtime", "CountTokens"), members)

    assert sent["input"] == {"invokeModel": {"body": b"{}"}}


def test_a_request_within_the_limit_passes():
    limit(10, 10).check(REQUEST)
    limit(None, RuntimeError()).check(REQUEST)


def test_a_request_over_the_limit_is_refused():
    with pytest.raises(RequestError, match="11 tokens, allowed is at most 10"):
        limit(10, 11).check(REQUEST)


def test_a_later_request_over_the_limit_keeps_what_was_paid_for():
    with pytest.raises(TurnLimitError, match="11 tokens") as caught:
        limit(10, 11).check(REQUEST, {"turns": 2})

    assert caught.value.result == {"turns": 2}


@pytest.mark.parametrize(
    "error",
    [
        ServiceRefusedError("x", code="ValidationException"),
        EndpointNotReadyError("x", code="ResourceNotFoundException"),
        RequestError("x"),
    ],
)
def test_a_model_that_cannot_count_is_said_to_be_unchecked(error, caplog):
    limit(1, error).check(REQUEST)

    assert "max_input_tokens is unchecked" in caplog.text


def test_another_refusal_is_raised():
    with pytest.raises(AccessDeniedError):
        limit(1, AccessDeniedError("x", code="AccessDeniedException")).check(REQUEST)
