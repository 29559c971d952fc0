from __future__ import annotations

import json

import pytest
from airflow_provider_aiml.local_aws import bedrock
from airflow_provider_aiml.local_aws.bedrock import refusals

HELLO = [{"role": "user", "content": [{"text": "Hello"}]}]
JAMBA = json.dumps({"messages": [{"role": "user", "content": "Hello"}]}).encode()

BEFORE = [
    ("access-denied", "AccessDeniedException", 403),
    ("internal-error", "InternalServerException", 500),
    ("invalid", "ValidationException", 400),
    ("model-error", "ModelErrorException", 424),
    ("model-timeout", "ModelTimeoutException", 408),
    ("not-found", "ResourceNotFoundException", 404),
    ("not-ready", "ModelNotReadyException", 429),
    ("quota-exceeded", "ServiceQuotaExceededException", 400),
    ("throttled", "ThrottlingException", 429),
    ("unavailable", "ServiceUnavailableException", 503),
]


@pytest.mark.parametrize(("name", "code", "status"), BEFORE)
def test_a_model_id_asks_for_a_fault(ask, name, code, status):
    errors = [
        ask.refused("Converse", modelId=f"test.{name}-v1:0", messages=HELLO),
        ask.refused("InvokeModel", modelId=f"test.{name}-v1:0", body=JAMBA),
    ]

    assert [(error.code, error.status) for error in errors] == [(code, status)] * 2


@pytest.mark.parametrize(("name", "code", "status"), BEFORE)
def test_metadata_ask_any_model_for_a_fault(ask, name, code, status):
    fault = {"local-aws-fault": name}
    errors = [
        ask.refused("Converse", modelId="amazon.nova-lite-v1:0", messages=HELLO, requestMetadata=fault),
        ask.refused(
            "InvokeModel", modelId="ai21.jamba-1-5-mini-v1:0", body=JAMBA, requestMetadata=json.dumps(fault)
        ),
    ]

    assert [(error.code, error.status) for error in errors] == [(code, status)] * 2


def test_every_status_is_that_of_the_service_model(ask):
    import botocore.session

    model = botocore.session.get_session().get_service_model("bedrock-runtime")
    shapes = {
        shape.name: shape
        for name in model.operation_names
        for shape in model.operation_model(name).error_shapes
    }

    for name, code, _ in BEFORE:
        assert refusals.STATUS[code] == shapes[code].metadata["error"]["httpStatusCode"], name


def test_a_model_error_tells_the_models_own_status(ask):
    error = ask.refused("Converse", modelId="test.model-error-v1:0", messages=HELLO)

    assert error.fields["originalStatusCode"] == 500
    assert error.fields["resourceName"].endswith("test.model-error-v1:0")


def test_an_arn_names_itself_in_a_model_error(ask):
    arn = "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefghijkl"
    fault = {"local-aws-fault": "model-error"}

    error = ask.refused("Converse", modelId=arn, messages=HELLO, requestMetadata=fault)

    assert error.fields["resourceName"] == arn


@pytest.mark.parametrize(
    ("name", "stop"),
    [
        ("content-filtered", "content_filtered"),
        ("malformed-output", "malformed_model_output"),
        ("malformed-tool-use", "malformed_tool_use"),
        ("context-window-exceeded", "model_context_window_exceeded"),
    ],
)
def test_an_answer_can_end_early(ask, name, stop):
    answer = ask("Converse", modelId=f"test.{name}-v1:0", messages=HELLO)
    whole = ask("Converse", modelId="test.none-v1:0", messages=HELLO)

    assert answer["stopReason"] == stop
    assert 0 < answer["usage"]["outputTokens"] < whole["usage"]["outputTokens"]


def test_an_early_end_without_text_leaves_no_block(ask):
    tools = {"tools": [{"toolSpec": {"name": "add", "inputSchema": {"json": {"type": "object"}}}}]}
    asked = [{"role": "user", "content": [{"text": "use tool add"}]}]

    answer = ask("Converse", modelId="test.malformed-tool-use-v1:0", messages=asked, toolConfig=tools)

    assert answer["output"]["message"]["content"] == []


@pytest.mark.parametrize(("text", "called"), [("use tool add", True), ("Hello", False)])
def test_whole_calls_can_come_with_the_wrong_stop_reason(ask, text, called):
    tools = {"tools": [{"toolSpec": {"name": "add", "inputSchema": {"json": {"type": "object"}}}}]}
    asked = [{"role": "user", "content": [{"text": text}]}]

    answer = ask("Converse", modelId="test.calls-at-end-turn-v1:0", messages=asked, toolConfig=tools)

    assert answer["stopReason"] == "end_turn"
    assert any("toolUse" in block for block in answer["output"]["message"]["content"]) is called


def test_an_operation_that_there_is_not_is_refused(ask):
    error = ask.refused_raw("InvokeGuardrailChecks")

    assert (error.code, error.status) == ("UnknownOperationException", 404)


def test_the_module_answers_without_an_object():
    answer = bedrock.handle("Converse", {"modelId": "amazon.nova-lite-v1:0", "messages": HELLO})

    assert answer["stopReason"] == "end_turn"
    assert "StartAsyncInvoke" in bedrock.Bedrock().operations
