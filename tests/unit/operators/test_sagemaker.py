"""The real-time operator: what goes out, what comes back, and what is refused."""

from __future__ import annotations

import base64
import json

import pytest
from airflow_provider_aiml.exceptions import (
    AccessDeniedError,
    AwsConfigurationError,
    BusyError,
    EndpointNotReadyError,
    ModelFailedError,
    PayloadError,
    RequestError,
    ResponseError,
    UnknownOutcomeError,
)
from airflow_provider_aiml.inference.requests import load_operation, python_name
from airflow_provider_aiml.operators.sagemaker import _RESPONSE_KEYS, SageMakerInvokeEndpointOperator
from tests.airflow_versions import AirflowFailException
from tests.unit.running import run

QUICK = {"attempts": 2, "base": 0.01, "cap": 0.01}


def make(**kwargs):
    given = {"payload": {"a": 1}, **kwargs}
    if given["payload"] is None:
        del given["payload"]
    return SageMakerInvokeEndpointOperator(
        **{"task_id": "score", "endpoint_name": "echo", "retry_args": QUICK, **given}
    )


@pytest.fixture
def endpoint(aws):
    aws.add_endpoint("echo")
    return aws


def test_an_answer_has_what_the_service_said_and_no_absent_member(endpoint):
    assert run(make()) == {
        "body": {"a": 1},
        "content_type": "application/json",
        "invoked_production_variant": "AllTraffic",
    }


def test_an_empty_member_is_kept_as_empty_text(endpoint):
    assert run(make(custom_attributes=""))["custom_attributes"] == ""


def test_every_member_of_the_answer_has_its_key(endpoint):
    result = run(make(custom_attributes="trace=1", inference_id="mine", session_id="NEW_SESSION"))

    assert result == {
        "body": {"a": 1},
        "content_type": "application/json",
        "invoked_production_variant": "AllTraffic",
        "custom_attributes": "trace=1",
        "inference_id": "mine",
        "new_session_id": "session-1; Expires=2030-01-01T00:00:00Z",
    }


def test_every_member_of_the_service_model_s_answer_has_its_key():
    members = load_operation("sagemaker-runtime", "InvokeEndpoint").output_shape.members

    assert set(_RESPONSE_KEYS) == set(members) - {"Body"}
    assert {name: python_name(name) for name in _RESPONSE_KEYS} == _RESPONSE_KEYS


@pytest.mark.parametrize(
    ("payload", "content_type", "body"),
    [
        ({"a": [1, None]}, "application/json", {"a": [1, None]}),
        ('{"a": 1}', "application/json", {"a": 1}),
        ([["1", "x"], ["2", "y"]], "text/csv", [["1", "x"], ["2", "y"]]),
        ([{"a": 1}, {"a": 2}], "application/jsonlines", [{"a": 1}, {"a": 2}]),
        ("plain", "text/plain", "plain"),
        ("grün", "text/plain; charset=latin-1", "grün"),
    ],
)
def test_bodies_are_decoded_by_their_content_type(endpoint, payload, content_type, body):
    assert run(make(payload=payload, content_type=content_type))["body"] == body


@pytest.mark.parametrize(
    ("kwargs", "body"),
    [
        ({"payload": b"\x00\xff", "content_type": "application/octet-stream"}, b"\x00\xff"),
        ({"payload": {"a": 1}, "decode": False}, b'{"a":1}'),
    ],
)
def test_bytes_that_nobody_can_read_come_as_base64_and_say_so(endpoint, kwargs, body):
    result = run(make(**kwargs))

    assert (base64.b64decode(result["body"]), result["body_encoding"]) == (body, "base64")


def test_the_model_receives_what_was_given(endpoint):
    run(
        make(
            accept="text/csv",
            custom_attributes="x",
            target_variant="AllTraffic",
            inference_id="mine",
            request_members={"prefix_aware_id": "p"},
        )
    )

    (seen,) = endpoint.invocations("echo")
    assert json.loads(seen.body) == {"a": 1}
    assert seen.headers["accept"] == "text/csv"
    assert seen.headers["x-amzn-sagemaker-custom-attributes"] == "x"
    assert seen.inference_id == "mine"


def test_a_payload_is_read_from_object_storage(endpoint, s3, tmp_path):
    s3.put_object(Bucket="bucket", Key="in.json", Body=b'{"b": 2}')
    (tmp_path / "in.json").write_bytes(b'{"c": 3}')

    assert run(make(payload=None, payload_uri="s3://bucket/in.json"))["body"] == {"b": 2}
    assert run(make(payload=None, payload_uri="s3://aws_default@bucket/in.json"))["body"] == {"b": 2}
    assert run(make(payload=None, payload_uri=f"file://{tmp_path}/in.json"))["body"] == {"c": 3}


def test_an_expression_picks_from_the_whole_result(endpoint):
    assert run(make(result_expression="[body.a, content_type]")) == [1, "application/json"]


def test_a_result_that_is_too_large_for_comfort_warns_with_the_remedy(endpoint, told):
    result = run(make(payload="x" * 1_100_000, content_type="text/plain"))

    assert len(result["body"]) == 1_100_000
    assert "Set output_uri to keep it in object storage" in told.text


def test_a_throttled_call_is_sent_again(endpoint):
    endpoint.add_fault("sagemaker:InvokeEndpoint", code="ThrottlingException")

    assert run(make())["body"] == {"a": 1}
    assert len(endpoint.invocations("echo")) == 1


@pytest.mark.parametrize(
    ("fault", "error_class", "hopeless"),
    [
        ({"code": "ThrottlingException", "count": 2}, BusyError, False),
        ({"code": "InternalFailure"}, UnknownOutcomeError, False),
        ({"kind": "lose_answer"}, UnknownOutcomeError, False),
        ({"kind": "model_error", "status": 400, "message": "bad columns"}, ModelFailedError, True),
        ({"kind": "model_error", "status": 500, "message": "out of memory"}, ModelFailedError, False),
        ({"code": "AccessDeniedException"}, AccessDeniedError, True),
    ],
)
def test_what_a_retry_cannot_help_fails_for_good_and_the_rest_does_not(
    endpoint, fault, error_class, hopeless
):
    endpoint.add_fault("sagemaker:InvokeEndpoint", **fault)

    with pytest.raises(error_class) as caught:
        run(make())

    assert isinstance(caught.value, AirflowFailException) is hopeless
    assert caught.value.retryable is not hopeless


def test_an_endpoint_that_is_not_there_fails_for_good(endpoint):
    with pytest.raises(EndpointNotReadyError) as caught:
        run(make(endpoint_name="nobody"))

    assert isinstance(caught.value, AirflowFailException)


def test_the_models_own_words_are_quoted_unless_they_shall_not(endpoint):
    endpoint.add_fault("sagemaker:InvokeEndpoint", "model_error", status=400, message="bad columns", count=2)

    with pytest.raises(ModelFailedError, match="bad columns"):
        run(make())
    with pytest.raises(ModelFailedError) as caught:
        run(make(quote_model_errors=False))
    assert "bad columns" not in str(caught.value)


def test_a_malformed_answer_says_that_it_was_paid_for(endpoint):
    with pytest.raises(ResponseError, match="may have been billed") as caught:
        run(make(payload=b"{canary"))

    assert isinstance(caught.value, AirflowFailException)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("kwargs", "problem"),
    [
        ({"payload_uri": "s3://b/k"}, "payload / payload_uri: is payload and payload_uri"),
        ({"payload": None}, "payload / payload_uri: is none of them"),
        ({"payload": None, "payload_uri": "s3://bucket"}, "payload_uri: is a string of 11 characters"),
        ({"payload": None, "payload_uri": "bucket/key"}, "payload_uri: is a string"),
        ({"output_uri": ""}, "output_uri: is a string of 0 characters"),
        ({"output_uri": "s3:///key"}, "output_uri: is a string"),
        ({"output_uri": "s3://bucket"}, "output_uri: is a string"),
        ({"result_expression": "body["}, "result_expression: is not a JMESPath"),
    ],
)
def test_bad_input_is_refused_where_the_dag_is_read(kwargs, problem):
    with pytest.raises(RequestError, match=problem):
        make(**kwargs)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"payload": None, "payload_uri": "{{ params.where }}"},
        {"output_uri": "{{ params.where }}"},
        {"result_expression": "{% if true %}body{% endif %}"},
        {"output_uri": "s3://bucket/"},
        {"output_uri": "file:///tmp/x"},
    ],
)
def test_a_template_is_not_judged_before_it_is_rendered(kwargs):
    make(**kwargs)


@pytest.mark.parametrize("source", ["payload", "payload_uri"])
def test_a_template_that_renders_to_none_is_not_sent_as_json_s_null(endpoint, source):
    task = make(**{"payload": None, source: "{{ params.rows }}"})
    setattr(task, source, None)  # as Airflow leaves it after rendering

    with pytest.raises(RequestError, match="payload: is None") as caught:
        run(task)

    assert isinstance(caught.value, AirflowFailException)
    assert endpoint.request_counts() == {}


def test_the_text_null_is_json_s_null(endpoint):
    assert run(make(payload="null"))["body"] is None


@pytest.mark.parametrize(
    ("kwargs", "error_class", "problem"),
    [
        (
            {"payload": "x" * 6_291_457, "content_type": "text/plain"},
            PayloadError,
            r"payload: is 6291457 bytes",
        ),
        ({"payload": {"a": object()}}, PayloadError, r"payload\[value 0\]: is a object"),
        ({"payload": {"a": 1}, "content_type": "text/csv"}, PayloadError, "payload: is a dict"),
        (
            {"payload": "{", "content_type": "application/json"},
            PayloadError,
            "payload: is text of 1 characters",
        ),
        ({"payload": None, "payload_uri": "s3://bucket/none"}, PayloadError, "payload_uri: is absent"),
        ({"endpoint_name": "no_underscores"}, RequestError, "endpoint_name: is "),
        (
            {"endpoint_name": "no_underscores", "inference_id": ""},
            RequestError,
            "endpoint_name.*inference_id",
        ),
        ({"enable_explanations": "true"}, RequestError, "enable_explanations: is a bare truth value"),
        ({"request_members": {"tomorrow": 1}}, RequestError, "tomorrow: is not a member"),
        ({"request_members": "{}"}, RequestError, "request_members: is a str"),
        ({"aws_conn_id": "nobody"}, AwsConfigurationError, "aws_conn_id: is 'nobody'"),
        ({"aws_conn_id": "half"}, AwsConfigurationError, "login and password: is only the key id"),
        ({"aws_conn_id": "regionless"}, AwsConfigurationError, "region"),
        ({"botocore_config": {"nonsense": 1}}, AwsConfigurationError, "botocore_config: is unknown options"),
        ({"retry_args": {"attempts": 0}}, RequestError, r"retry_args\['attempts'\]"),
        (
            {"payload": None, "payload_uri": "s3://bucket/x", "aws_conn_id": "nobody"},
            AwsConfigurationError,
            "aws_conn_id: is 'nobody'",
        ),
    ],
)
def test_bad_input_is_refused_before_any_call_with_its_field(
    endpoint, s3, monkeypatch, kwargs, error_class, problem
):
    monkeypatch.setenv("AIRFLOW_CONN_HALF", '{"conn_type": "aws", "login": "key"}')
    monkeypatch.setenv("AIRFLOW_CONN_REGIONLESS", '{"conn_type": "aws", "login": "a", "password": "b"}')

    with pytest.raises(error_class, match=problem) as caught:
        run(make(**kwargs))

    assert isinstance(caught.value, AirflowFailException)
    assert not caught.value.may_have_been_billed
    assert not [name for name in endpoint.request_counts() if name.startswith("sagemaker:Invoke")]


def test_a_payload_in_a_store_that_is_down_may_be_there_at_the_next_try(endpoint, s3):
    s3.put_object(Bucket="bucket", Key="in.json", Body=b"{}")
    endpoint.add_fault("s3:*", code="InvalidRequest", status=400, for_seconds=60)

    with pytest.raises(PayloadError, match="payload_uri: is unreadable") as caught:
        run(make(payload=None, payload_uri="s3://bucket/in.json"))

    assert not isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize("given", [{"validate": False}, {"botocore_config": {"parameter_validation": False}}])
def test_without_checks_the_service_is_the_one_who_refuses(endpoint, given):
    with pytest.raises(Exception, match="ValidationError"):
        run(make(custom_attributes="x" * 1_025, **given))
