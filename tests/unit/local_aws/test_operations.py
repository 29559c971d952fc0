from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import botocore.session
import pytest
from airflow_provider_aiml.local_aws.answers import error_answer, result_answer, to_json
from airflow_provider_aiml.local_aws.errors import ApiError
from airflow_provider_aiml.local_aws.front import own_target, target_of
from airflow_provider_aiml.local_aws.messages import Request
from airflow_provider_aiml.local_aws.operations import (
    find_operation,
    from_json,
    read_request_members,
    service_model,
)
from airflow_provider_aiml.local_aws.validation import check_members, compile_pattern, violations
from botocore.model import Shape
from hypothesis import given
from hypothesis import strategies as st

SERVICES = ("sagemaker-runtime", "bedrock-runtime")


def signed(service, method="POST", path="/", *, query="", body=b"", **headers):
    authorization = (
        f"AWS4-HMAC-SHA256 Credential=k/20260101/eu-west-1/{service}/aws4_request, SignedHeaders=host"
    )
    lower = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return Request(method, path, query, {"authorization": authorization, **lower}, (), body)


def read(request):
    operation = find_operation(request)
    return operation.name, read_request_members(operation, request)


def all_patterns():
    for service in SERVICES:
        model = service_model(service)
        for name in model.shape_names:
            if pattern := model.shape_for(name).metadata.get("pattern"):
                yield pattern


@pytest.mark.parametrize("pattern", sorted(set(all_patterns())))
def test_every_pattern_of_both_services_is_really_checked(pattern):
    assert compile_pattern(pattern) is not compile_pattern(r"\p{Unknown}")


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"\p{ASCII}*", "a\x7f", "a\x80"),
        (r"\A\S[\p{Print}]*\z", "a b", "a\x7f"),
        (r"[a-z]+", "a", "a\n"),
    ],
)
def test_a_java_pattern_is_matched_whole(pattern, good, bad):
    assert compile_pattern(pattern).fullmatch(good)
    assert not compile_pattern(pattern).fullmatch(bad)


def test_a_pattern_that_python_cannot_express_lets_everything_pass():
    assert compile_pattern(r"\p{Unknown}+").fullmatch("any\nthing")


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_is_found_by_its_verb_path_and_signing_name(service):
    model = botocore.session.get_session().get_service_model(service)
    for name in model.operation_names:
        operation = model.operation_model(name)
        path = operation.http["requestUri"].replace("{", "a").replace("}", "b%2Fc")
        request = signed(model.signing_name, operation.http["method"], path)
        found = find_operation(request)
        assert found is not None
        assert found.name == name
        assert find_operation(Request(operation.http["method"], path)).name == name
        assert find_operation(signed("s3", operation.http["method"], path)) is None
        assert find_operation(signed(model.signing_name, "PATCH", path)) is None


def test_members_are_read_from_path_headers_and_body():
    request = signed(
        "sagemaker",
        path="/endpoints/my%2Dname/async-invocations",
        body=b"\x00",
        x_amzn_sagemaker_requestttlseconds="60",
        x_amzn_sagemaker_inputlocation="s3://b/k",
    )

    assert read(request) == (
        "InvokeEndpointAsync",
        {"EndpointName": "my-name", "RequestTTLSeconds": 60, "InputLocation": "s3://b/k", "Body": b"\x00"},
    )


def test_members_are_read_from_a_json_body_with_blobs_and_documents():
    body = {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"image": {"format": "png", "source": {"bytes": base64.b64encode(b"\x89").decode()}}},
                ],
            }
        ],
        "additionalModelRequestFields": {"top_k": [1, {"a": None}]},
        "inferenceConfig": {"maxTokens": 5, "temperature": 1},
        "requestMetadata": {"a": "b"},
        "system": None,
        "unknown": 1,
    }
    name, members = read(signed("bedrock", path="/model/m%3A0/converse", body=json.dumps(body).encode()))

    assert name == "Converse"
    assert members == {
        "modelId": "m:0",
        "messages": [
            {"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": b"\x89"}}}]}
        ],
        "additionalModelRequestFields": {"top_k": [1, {"a": None}]},
        "inferenceConfig": {"maxTokens": 5, "temperature": 1},
        "requestMetadata": {"a": "b"},
    }


def test_members_are_read_from_the_query():
    query = "maxResults=5&submitTimeAfter=2026-01-02T03:04:05Z"
    query += "&submitTimeBefore=Fri,%2002%20Jan%202026%2003:04:05%20GMT"
    _, members = read(signed("bedrock", "GET", "/async-invoke", query=query))

    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert members == {"maxResults": 5, "submitTimeAfter": moment, "submitTimeBefore": moment}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b'{"messages": {}}',
        b'{"messages": [1]}',
        b'{"messages": [{"role": 1}]}',
        b'{"inferenceConfig": {"maxTokens": "5"}}',
        b'{"inferenceConfig": {"maxTokens": true}}',
        b'{"messages": [{"content": [{"image": {"source": {"bytes": "*"}}}]}]}',
        b"\xff",
    ],
)
def test_what_cannot_be_of_its_type_is_a_serialization_exception(body):
    with pytest.raises(ApiError) as caught:
        read(signed("bedrock", path="/model/m/converse", body=body))

    assert caught.value.code == "SerializationException"


@pytest.mark.parametrize(("name", "value"), [("maxResults", "many"), ("submitTimeAfter", "soon")])
def test_a_query_value_that_cannot_be_of_its_type_is_a_serialization_exception(name, value):
    with pytest.raises(ApiError) as caught:
        read(signed("bedrock", "GET", "/async-invoke", query=f"{name}={value}"))

    assert caught.value.code == "SerializationException"


_KEYS = st.sampled_from(["messages", "role", "content", "text", "inferenceConfig", "maxTokens"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(_KEYS, inner),
    max_leaves=20,
)


@given(_JSON)
def test_any_json_is_either_read_or_refused(document):
    request = signed("bedrock", path="/model/m/converse", body=json.dumps(document).encode())
    operation = find_operation(request)
    try:
        members = read_request_members(operation, request)
        check_members(operation.model.input_shape, members, "ValidationException")
    except ApiError as error:
        assert error.code in {"SerializationException", "ValidationException"}  # noqa: PT017


def test_violations_inside_of_lists_and_maps_are_named_with_their_place():
    shape = service_model("bedrock-runtime").operation_model("Converse").input_shape
    members = {
        "modelId": "m",
        "messages": [
            {"role": "nobody", "content": [{"toolUse": {"name": "", "input": {}}}]},
            {"role": "user"},
        ],
        "system": [{"text": "x"}],
        "inferenceConfig": {"temperature": 2.0, "maxTokens": 0, "stopSequences": ["a", ""]},
        "requestMetadata": {"": "*"},
    }

    found = list(violations(shape, members, ""))

    places = {violation.split("'")[1] for violation in found}
    assert places >= {
        "messages.1.member.role",
        "messages.1.member.content.1.member.toolUse.toolUseId",
        "messages.1.member.content.1.member.toolUse.name",
        "messages.2.member.content",
        "inferenceConfig.temperature",
        "inferenceConfig.maxTokens",
        "inferenceConfig.stopSequences.2.member",
        "requestMetadata.key",
    }
    assert any("enum value set: [user, assistant" in violation for violation in found)


@given(st.integers(-5, 70_000))
def test_a_number_is_refused_exactly_outside_of_its_limits(seconds):
    shape = service_model("sagemaker-runtime").operation_model("InvokeEndpointAsync").input_shape
    members = {"EndpointName": "e", "RequestTTLSeconds": seconds}

    assert (list(violations(shape, members, "")) == []) == (60 <= seconds <= 21_600)


def test_a_result_travels_where_its_model_says():
    model = service_model("sagemaker-runtime")

    answer = result_answer(
        model.operation_model("InvokeEndpoint"),
        {"Body": b"\x00", "ContentType": "image/png", "CustomAttributes": "", "NewSessionId": None},
    )

    headers = {name.lower(): value for name, value in answer.headers}
    assert (answer.status, answer.body) == (200, b"\x00")
    assert headers["content-type"] == "image/png"
    assert headers["x-amzn-sagemaker-custom-attributes"] == ""
    assert "x-amzn-sagemaker-new-session-id" not in headers


def test_an_operation_without_a_payload_member_answers_in_json():
    operation = service_model("bedrock-runtime").operation_model("GetAsyncInvoke")
    result = {"submitTime": datetime(2026, 1, 2, tzinfo=UTC), "lastModifiedTime": 0, "endTime": "2026-01-02"}

    answer = result_answer(operation, {"status": "Completed", **result})

    assert json.loads(answer.body) == {
        "status": "Completed",
        "submitTime": "2026-01-02T00:00:00Z",
        "lastModifiedTime": "1970-01-01T00:00:00Z",
        "endTime": "2026-01-02",
    }


def test_blobs_lists_maps_and_documents_have_their_json_form():
    shape = service_model("bedrock-runtime").operation_model("Converse").input_shape
    value = {
        "messages": [
            {"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": b"\x89"}}}]}
        ],
        "requestMetadata": {"a": "b"},
        "additionalModelRequestFields": {"a": [1]},
    }

    assert json.loads(json.dumps(to_json(shape, value)))["messages"][0]["content"][0]["image"]["source"] == {
        "bytes": "iQ=="
    }
    assert to_json(shape, value)["requestMetadata"] == {"a": "b"}
    assert to_json(shape, value)["additionalModelRequestFields"] == {"a": [1]}


def test_each_service_spells_the_message_of_an_error_its_own_way():
    error = ApiError("ValidationError", "no", 400)

    assert json.loads(error_answer(error, "sagemaker-runtime").body) == {"Message": "no"}
    assert json.loads(error_answer(error, "bedrock-runtime").body) == {"message": "no"}
    assert ("x-amzn-ErrorType", "ValidationError") in error_answer(error, "bedrock-runtime").headers


@pytest.mark.parametrize(
    ("request_", "operation", "resource", "key"),
    [
        (signed("s3", "GET", "/b", query="list-type=2&prefix=a%2Fb"), "s3:LIST", "b", "a/b"),
        (signed("s3", "GET", "/b/"), "s3:LIST", "b", ""),
        (signed("s3", "GET", "/b", query="location"), "s3:GET_BUCKET", "b", ""),
        (signed("s3", "GET", "/"), "s3:GET_BUCKET", "", ""),
        (signed("s3", "PUT", "/b"), "s3:PUT_BUCKET", "b", ""),
        (signed("s3", "HEAD", "/b/a%20b"), "s3:HEAD", "b", "a b"),
        (Request("GET", "/b/k"), "s3:GET", "b", "k"),
        (signed("apigateway", "GET", "/restapis"), "apigateway:GET", "/restapis", ""),
        (
            signed("sagemaker", body=b'{"EndpointName": "e"}', x_amz_target="SageMaker.DescribeEndpoint"),
            "sagemaker:DescribeEndpoint",
            "e",
            "",
        ),
        (signed("sagemaker", body=b"[", x_amz_target="SageMaker.ListModels"), "sagemaker:ListModels", "", ""),
        (
            signed("sagemaker", body=b"[]", x_amz_target="SageMaker.ListModels"),
            "sagemaker:ListModels",
            "",
            "",
        ),
        (
            Request(
                "POST",
                "/",
                headers={"content-type": "application/x-www-form-urlencoded"},
                body=b"Action=AssumeRoleWithWebIdentity",
            ),
            "sts:AssumeRoleWithWebIdentity",
            "",
            "",
        ),
        (
            signed("s3", "POST", "/b/k", content_type="application/x-www-form-urlencoded", body=b"x"),
            "s3:POST",
            "b",
            "k",
        ),
    ],
)
def test_what_a_request_is_about(request_, operation, resource, key):
    target = target_of(request_)

    assert (target.operation, target.resource, target.key) == (operation, resource, key)


def test_what_a_request_to_one_of_our_own_operations_is_about():
    request = signed("bedrock", path="/model/anthropic.claude%3A0/invoke")

    target = own_target(find_operation(request), request)

    assert (target.operation, target.resource) == ("bedrock:InvokeModel", "anthropic.claude:0")
    listing = signed("bedrock", "GET", "/async-invoke")
    assert own_target(find_operation(listing), listing).resource == ""


def test_a_presigned_query_counts_as_a_signature():
    request = Request("GET", "/b/k", query="X-Amz-Credential=k%2F20260101%2Feu-west-1%2Fs3%2Faws4_request")

    assert (request.region, request.signing_name, request.is_authenticated) == ("eu-west-1", "s3", True)


def test_a_bearer_token_authenticates_and_nothing_does_not():
    assert Request("POST", "/", headers={"authorization": "Bearer bedrock-api-key-x"}).is_authenticated
    assert not Request("POST", "/").is_authenticated
    assert Request("POST", "/").region == "us-east-1"


def test_timestamps_of_a_json_body_may_be_numbers_or_text():
    shape = Shape("Moment", {"type": "timestamp"})

    assert from_json(shape, 0) == from_json(shape, "1970-01-01T00:00:00Z") == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_boolean_has_no_limits_to_break():
    assert list(violations(Shape("Flag", {"type": "boolean"}), False, "flag")) == []
