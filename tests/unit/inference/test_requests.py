"""Requests are checked against botocore's service model, and every offending field is named at once."""

from __future__ import annotations

import io
import tempfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from airflow_provider_aiml.exceptions import PayloadError, RequestError
from airflow_provider_aiml.inference.requests import (
    api_members,
    check_request,
    load_operation,
    python_name,
)
from botocore import __version__ as botocore_version

if TYPE_CHECKING:
    from botocore.model import OperationModel

INVOKE = load_operation("sagemaker-runtime", "InvokeEndpoint")
INVOKE_ASYNC = load_operation("sagemaker-runtime", "InvokeEndpointAsync")
CONVERSE = load_operation("bedrock-runtime", "Converse")
INVOKE_MODEL = load_operation("bedrock-runtime", "InvokeModel")
LIST = load_operation("bedrock-runtime", "ListAsyncInvokes")
START = load_operation("bedrock-runtime", "StartAsyncInvoke")
NOVA = "amazon.nova-lite-v1:0"
CANARY = "canary7f3a"


def refused(operation: OperationModel, validate: Any = True, **params: Any) -> dict[str, str]:
    """Give what the error says of each field."""
    with pytest.raises(RequestError) as caught:
        check_request(operation, params, validate=validate)
    assert CANARY not in str(caught.value)
    assert caught.value.retryable is False
    assert caught.value.may_have_been_billed is False
    return {problem.field: f"{problem.found} / {problem.allowed}" for problem in caught.value.problems}


def turn(*content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(content)}]


def test_arguments_become_api_members_and_none_is_absent() -> None:
    request = check_request(
        INVOKE, {"endpoint_name": "scorer", "body": b"1,2", "content_type": "text/csv", "accept": None}
    )
    assert request == {"EndpointName": "scorer", "Body": b"1,2", "ContentType": "text/csv"}


@pytest.mark.parametrize(
    ("member", "argument"),
    [
        ("EndpointName", "endpoint_name"),
        ("S3OutputPathExtension", "s3_output_path_extension"),
        ("RequestTTLSeconds", "request_ttl_seconds"),
        ("InvocationTimeoutSeconds", "invocation_timeout_seconds"),
        ("InferenceComponentName", "inference_component_name"),
        ("TargetContainerHostname", "target_container_hostname"),
        ("PrefixAwareId", "prefix_aware_id"),
        ("modelId", "model_id"),
        ("performanceConfigLatency", "performance_config_latency"),
        ("additionalModelResponseFieldPaths", "additional_model_response_field_paths"),
    ],
)
def test_an_argument_is_the_members_name_in_snake_case(member: str, argument: str) -> None:
    assert python_name(member) == argument


def test_the_members_of_an_operation_say_what_the_model_says() -> None:
    members = api_members(INVOKE)
    assert list(members)[:2] == ["endpoint_name", "body"]
    name = members["endpoint_name"]
    assert (name.name, name.type, name.required, name.maximum) == ("EndpointName", "string", True, 63)
    body = members["body"]
    assert (body.is_body, body.sensitive, body.maximum, body.location) == (True, True, 6_291_456, None)
    variant = members["target_variant"]
    assert (variant.location, variant.wire_name) == ("header", "X-Amzn-SageMaker-Target-Variant")
    assert api_members(INVOKE_MODEL)["trace"].enum == ("ENABLED", "DISABLED", "ENABLED_FULL")


def test_every_offending_field_is_in_one_error() -> None:
    problems = refused(
        INVOKE,
        body=b"",
        content_type="é",
        inference_id="x" * 65,
        target_variant="-",
        session_id=7,
        target_modell="x",
    )
    assert set(problems) == {
        "endpoint_name",
        "content_type",
        "inference_id",
        "target_variant",
        "session_id",
        "target_modell",
    }
    assert problems["endpoint_name"].startswith("missing / text of at most 63 characters")
    assert problems["inference_id"].startswith("text of 65 characters / text of 1 to 64 characters")
    assert problems["session_id"].startswith("a int / ") or problems["session_id"].startswith("an int / ")


def test_an_unknown_argument_names_the_closest_and_botocores_version() -> None:
    problems = refused(INVOKE, endpoint_name="e", body=b"", target_varient="blue", EndpointName="e", zzz=1)
    assert problems["target_varient"].startswith(
        f"not a member of InvokeEndpoint in botocore {botocore_version} / target_variant (the closest"
    )
    assert "/ endpoint_name (the closest of endpoint_name, body," in problems["EndpointName"]
    assert "/ endpoint_name, body," in problems["zzz"]


@pytest.mark.parametrize("name", [f"{CANARY} and more", CANARY * 10])
def test_an_unknown_argument_that_is_no_name_is_not_quoted(name: str) -> None:
    assert "an argument" in refused(INVOKE, endpoint_name="e", body=b"", **{name: 1})


@pytest.mark.parametrize(
    ("params", "field", "said"),
    [
        ({"endpoint_name": "a" * 64}, "endpoint_name", "text of 64 characters / text of at most 63"),
        ({"endpoint_name": "under_score"}, "endpoint_name", "'under_score' / "),
        ({"endpoint_name": "e\n"}, "endpoint_name", "'e\\n' / "),
        ({"endpoint_name": ""}, "endpoint_name", "with no character"),
        ({"endpoint_name": b"e"}, "endpoint_name", "1 bytes / text"),
        ({"inference_id": ""}, "inference_id", "text of 0 characters / text of 1 to 64"),
        ({"custom_attributes": f"{CANARY}\r\nX-Other: 1"}, "custom_attributes", "with a line break or NUL"),
        ({"custom_attributes": f"{CANARY}é"}, "custom_attributes", "with a character outside ASCII"),
        ({"custom_attributes": CANARY * 200}, "custom_attributes", "text of 2000 characters / "),
        ({"target_model": " a"}, "target_model", "' a' / "),
        ({"body": 12345}, "body", "an int / bytes or a seekable binary file of at most 6291456 bytes"),
        ({"body": {"a": 1}}, "body", "a dict of 1 / "),
        ({"body": memoryview(b"a")}, "body", "a memoryview / "),
        ({"body": None}, "body", "missing / bytes"),
    ],
)
def test_a_member_of_invoke_endpoint_is_checked(params: dict[str, Any], field: str, said: str) -> None:
    problems = refused(INVOKE, **{"endpoint_name": "e", "body": b"", **params})
    assert list(problems) == [field]
    assert said in problems[field]


@pytest.mark.parametrize(
    ("operation", "params", "limit"),
    [
        (INVOKE, {"endpoint_name": "e"}, 6_291_456),
        (
            load_operation("sagemaker-runtime", "InvokeEndpointWithResponseStream"),
            {"endpoint_name": "e"},
            6_291_456,
        ),
        (INVOKE_ASYNC, {"endpoint_name": "e"}, 128_000),
        (INVOKE_MODEL, {"model_id": NOVA}, 25_000_000),
    ],
    ids=["real-time", "stream", "asynchronous inline", "bedrock"],
)
def test_a_body_of_the_limit_passes_and_one_byte_more_is_a_payload_error(
    operation: OperationModel, params: dict[str, Any], limit: int
) -> None:
    check_request(operation, {**params, "body": bytes(limit)})
    with pytest.raises(PayloadError) as caught:
        check_request(operation, {**params, "body": bytes(limit + 1)})
    assert f"body: is {limit + 1} bytes" in str(caught.value)
    assert "upgrade botocore" in str(caught.value)


def test_a_body_beside_another_fault_is_a_plain_request_error() -> None:
    with pytest.raises(RequestError) as caught:
        check_request(INVOKE, {"body": 1})
    assert type(caught.value) is RequestError


def test_a_body_is_passed_on_as_the_same_object() -> None:
    body = bytearray(1_000_000)
    assert check_request(INVOKE, {"endpoint_name": "e", "body": body})["Body"] is body


def test_text_as_body_is_measured_in_utf_8() -> None:
    check_request(INVOKE_ASYNC, {"endpoint_name": "e", "body": "x" * 128_000})
    fits = "é" * 64_000
    check_request(INVOKE_ASYNC, {"endpoint_name": "e", "body": fits})
    assert "128001 bytes" in refused(INVOKE_ASYNC, endpoint_name="e", body=fits + "x")["body"]
    assert "text of 1 characters" in refused(INVOKE_ASYNC, endpoint_name="e", body="\ud800")["body"]


def test_a_file_as_body_is_measured_from_where_it_stands_and_left_there() -> None:
    with tempfile.TemporaryFile() as stream:
        stream.write(bytes(128_010))
        stream.seek(10)
        check_request(INVOKE_ASYNC, {"endpoint_name": "e", "body": stream})
        assert stream.tell() == 10
        stream.seek(9)
        assert "128001 bytes" in refused(INVOKE_ASYNC, endpoint_name="e", body=stream)["body"]


def test_a_file_that_cannot_be_measured_is_refused() -> None:
    closed = io.BytesIO(b"x")
    closed.close()
    for body in (closed, io.StringIO("text"), object()):
        assert "a seekable binary file" in refused(INVOKE, endpoint_name="e", body=body)["body"]


@pytest.mark.parametrize(
    ("params", "field", "said"),
    [
        ({"request_ttl_seconds": 59}, "request_ttl_seconds", "59 / an int of 60 to 21600"),
        ({"request_ttl_seconds": 21_601}, "request_ttl_seconds", "21601 / "),
        ({"request_ttl_seconds": "900"}, "request_ttl_seconds", "text of 3 characters / an int of 60"),
        ({"request_ttl_seconds": 60.0}, "request_ttl_seconds", "a float / "),
        ({"invocation_timeout_seconds": True}, "invocation_timeout_seconds", "a bool / "),
        ({"invocation_timeout_seconds": 10**5000}, "invocation_timeout_seconds", "an int of 16610 bits / "),
        ({"filename": "a.b.c"}, "filename", "'a.b.c' / "),
        ({"s3_output_path_extension": "s3://b"}, "s3_output_path_extension", "'s3://b' / "),
        ({"input_location": "http://host/key"}, "input_location", "'http://host/key' / "),
        ({"input_location": "bucket/key"}, "input_location", "(https|s3)"),
        ({"input_location": "s3://b/" + "k" * 1018}, "input_location", "text of 1025 characters / "),
    ],
)
def test_a_member_of_invoke_endpoint_async_is_checked(params: dict[str, Any], field: str, said: str) -> None:
    problems = refused(INVOKE_ASYNC, **{"endpoint_name": "e", "input_location": "s3://b/k", **params})
    assert list(problems) == [field]
    assert said in problems[field]


@pytest.mark.parametrize(
    ("params", "field", "said"),
    [
        ({"model_id": "no spaces"}, "model_id", "'no spaces' / text of 1 to 2048 characters matching"),
        ({"messages": CANARY}, "messages", "text of 10 characters / a list"),
        ({"messages": [CANARY]}, "messages[0]", "text of 10 characters / a dict with any of role, content"),
        (
            {"messages": [{"role": CANARY, "content": []}]},
            "messages[0].role",
            "text of 10 characters / one of",
        ),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing / a list (required)"),
        ({"messages": turn({})}, "messages[0].content[0]", "a dict with 0 of them / a dict with exactly one"),
        ({"messages": turn({"text": 1})}, "messages[0].content[0].text", "an int / text"),
        ({"messages": turn({"text": "\ud800"})}, "messages[0].content[0].text", "with a lone surrogate"),
        ({"messages": turn({"txet": "x"})}, "messages[0].content[0].txet", "unknown / text (the closest"),
        ({"messages": turn({CANARY: "x"})}, "messages[0].content[0]", "a dict with an unknown key / "),
        ({"messages": turn({7: "x"})}, "messages[0].content[0]", "a dict with an unknown key / "),
        (
            {"messages": turn({"image": {"format": "png", "source": {"bytes": CANARY}}})},
            "messages[0].content[0].image.source.bytes",
            "text of 10 characters / bytes",
        ),
        (
            {"inference_config": {"temperature": 1.5}},
            "inference_config.temperature",
            "1.5 / a number of 0 to 1",
        ),
        ({"inference_config": {"temperature": float("nan")}}, "inference_config.temperature", "not finite"),
        ({"inference_config": {"maxTokens": 0}}, "inference_config.maxTokens", "0 / an int of at least 1"),
        ({"inference_config": {"topP": "1"}}, "inference_config.topP", "text of 1 characters / a number"),
        ({"inference_config": {"stopSequences": [""]}}, "inference_config.stopSequences[0]", "at least 1"),
        ({"inference_config": [1]}, "inference_config", "a list of 1 / a dict with any of maxTokens"),
        ({"request_metadata": {}}, "request_metadata", "a dict of 0 / a dict of 1 to 16 keys"),
        ({"request_metadata": {"a!" + CANARY: "x"}}, "request_metadata[key 0]", "text of 12 characters / "),
        ({"request_metadata": {"a": CANARY + "!"}}, "request_metadata[value 0]", "text of 11 characters / "),
        ({"request_metadata": [CANARY]}, "request_metadata", "a list of 1 / a dict"),
        ({"prompt_variables": {CANARY: {"text": 3}}}, "prompt_variables[value 0].text", "an int / text"),
        (
            {"additional_model_response_field_paths": ["/a"] * 11},
            "additional_model_response_field_paths",
            "a list of 11 / a list of 0 to 10 items",
        ),
        (
            {"performance_config": {"latency": "fast"}},
            "performance_config.latency",
            "one of standard, optimized",
        ),
        ({"tool_config": {}}, "tool_config.tools", "missing / a list"),
    ],
)
def test_a_member_of_converse_is_checked(params: dict[str, Any], field: str, said: str) -> None:
    problems = refused(CONVERSE, **{"model_id": NOVA, "messages": turn({"text": "hi"}), **params})
    assert field in problems
    assert said in problems[field]


def test_a_whole_conversation_passes_as_it_is() -> None:
    params = {
        "model_id": NOVA,
        "messages": [
            *turn({"text": "Grüße"}, {"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}}),
            {
                "role": "assistant",
                "content": [{"toolUse": {"toolUseId": "t", "name": "n", "input": {"a": [1]}}}],
            },
            *turn({"toolResult": {"toolUseId": "t", "content": [{"json": {"b": None}}]}}),
        ],
        "system": [{"text": "Be brief."}],
        "inference_config": {"maxTokens": 10, "temperature": 0, "topP": 0.5, "stopSequences": ["x"]},
        "tool_config": {"tools": [{"toolSpec": {"name": "n", "inputSchema": {"json": {"type": "object"}}}}]},
        "additional_model_request_fields": {"top_k": 5, "nested": [{"x": True, "y": 1.5}, "text"]},
    }
    request = check_request(CONVERSE, params)
    assert request["messages"] is params["messages"]
    assert set(request) == {
        "modelId",
        "messages",
        "system",
        "inferenceConfig",
        "toolConfig",
        "additionalModelRequestFields",
    }


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def _cycle() -> list[Any]:
    cycle: list[Any] = []
    cycle.extend([cycle, cycle])
    return cycle


@pytest.mark.parametrize(
    ("document", "field", "said"),
    [
        ({CANARY: datetime(2026, 1, 1, tzinfo=UTC)}, "model_input[value 0]", "a datetime.datetime"),
        ({"a": {(1, 2): CANARY}}, "model_input[value 0][key 0]", "a tuple of 2"),
        ({"\ud800": 1}, "model_input[key 0]", "with a lone surrogate"),
        ([CANARY, ["\udfff"]], "model_input[1][0]", "with a lone surrogate"),
        ([float("inf")], "model_input[0]", "a float that is not finite"),
        ((1, 2), "model_input", "a tuple of 2"),
        ({"a": {CANARY}}, "model_input[value 0]", "a set of 1"),
        (b"bytes", "model_input", "5 bytes"),
        (_nested(100_000), "model_input", "nested deeper than 500 levels"),
        (_cycle(), "model_input", "nested deeper than 500 levels"),
    ],
)
def test_a_document_that_cannot_be_json_is_refused_without_its_words(
    document: Any, field: str, said: str
) -> None:
    problems = refused(
        START,
        model_id=NOVA,
        model_input=document,
        output_data_config={"s3OutputDataConfig": {"s3Uri": "s3://bucket/out"}},
    )
    assert list(problems) == [field]
    assert said in problems[field]


@pytest.mark.parametrize(
    "document", [None, 1, "text", [], {}, _nested(400), {"é": [None, True, 1.5, {"b": []}]}]
)
def test_a_document_may_be_any_json(document: Any) -> None:
    fields = {"holds": document}
    request = check_request(
        CONVERSE, {"model_id": NOVA, "messages": [], "additional_model_request_fields": fields}
    )
    assert request["additionalModelRequestFields"] is fields


@pytest.mark.parametrize("when", [datetime(2026, 1, 1, tzinfo=UTC), 1_700_000_000, "2026-01-01T00:00:00Z"])
def test_a_timestamp_takes_what_botocore_takes(when: Any) -> None:
    assert check_request(LIST, {"submit_time_after": when}) == {"submitTimeAfter": when}


@pytest.mark.parametrize("when", [CANARY, [], 1e300])
def test_a_timestamp_that_botocore_cannot_read_is_refused(when: Any) -> None:
    assert "a datetime, seconds since 1970" in refused(LIST, submit_time_after=when)["submit_time_after"]


def test_a_bool_member_takes_only_a_bool() -> None:
    def document(enabled: Any) -> list[dict[str, Any]]:
        source = {"text": "x"}
        return turn({"document": {"name": "a", "source": source, "citations": {"enabled": enabled}}})

    check_request(CONVERSE, {"model_id": NOVA, "messages": document(True)})
    problems = refused(CONVERSE, model_id=NOVA, messages=document(1))
    assert problems == {"messages[0].content[0].document.citations.enabled": "an int / True or False"}


def test_an_event_stream_that_is_sent_is_left_to_botocore() -> None:
    operation = load_operation("bedrock-runtime", "InvokeModelWithBidirectionalStream")
    events = iter(())
    assert check_request(operation, {"model_id": NOVA, "body": events})["body"] is events
