"""What a caller gets when the model's endpoint refuses or fails."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from airflow_provider_aiml.endpoint_api.error_mapping import integration_responses
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.endpoint_api.samples import RATINGS, api

THROTTLES = [
    "Rate exceeded",
    "Request rate exceeded.",
    "Too Many Requests",
    "Too many requests, please wait before trying again.",
    "The request was denied due to request throttling.",
    "ThrottlingException",
    "ThrottlingException: Rate exceeded",
    "Please reduce your request rate.",
    "SlowDown",
]


def given_to_caller(status: int, body: Any) -> tuple[int, str]:
    answer = api().render_response(status=status, body=body)
    document = json.loads(answer.body)
    assert list(document) == ["message"]
    return answer.status, document["message"]


@pytest.mark.parametrize("status", [400, 413, 424, 429, 500, 503, 504])
def test_a_status_is_kept_with_the_message(status: int) -> None:
    assert given_to_caller(status, {"message": 'it\'s "so"'}) == (status, 'it\'s "so"')


@pytest.mark.parametrize(("status", "kept"), [(404, 400), (401, 400), (502, 500), (530, 500)])
def test_another_status_becomes_its_class(status: int, kept: int) -> None:
    assert given_to_caller(status, {"Message": "no"})[0] == kept


def test_a_role_that_may_not_invoke_is_not_the_callers_fault() -> None:
    assert given_to_caller(403, {"Message": "no"})[0] == 500


@pytest.mark.parametrize("arrived", [400, 429, 503])
@pytest.mark.parametrize("body", [{"message": None}, {"Message": None}, '{"message" : null }'], ids=str)
def test_a_throttle_that_came_with_a_null_message_is_429(body: Any, arrived: int) -> None:
    status, message = given_to_caller(arrived, body)
    assert status == 429
    assert "Too many requests" in message


EMPTY = [{}, "", {"message": ""}, {"message": "null"}, {"Message": None, "message": "so"}]
NO_OBJECT = ["<html>\n<h1>503</h1></html>", "upstream failed", "[1]", '"message": null', "{half"]


@pytest.mark.parametrize(("arrived", "kept"), [(400, 400), (404, 400), (405, 400), (500, 500), (503, 503)])
@pytest.mark.parametrize("body", [*EMPTY, *NO_OBJECT], ids=str)
def test_an_answer_without_a_message_keeps_its_status_and_is_told_of_in_json(
    body: Any, arrived: int, kept: int
) -> None:
    assert given_to_caller(arrived, body)[0] == kept


def test_a_null_message_of_a_failure_is_no_throttle_for_the_model_may_have_run() -> None:
    assert given_to_caller(500, {"message": None}) == (500, "The model's endpoint failed")


@pytest.mark.parametrize("arrived", [400, 403, 408, 413, 429, 500, 503, 504, 530])
@pytest.mark.parametrize("message", THROTTLES)
def test_a_throttle_that_says_so_is_429_whichever_status_it_came_with(message: str, arrived: int) -> None:
    assert given_to_caller(arrived, {"message": message}) == (429, message)


def test_a_throttle_that_names_what_is_internal_is_429_with_a_plain_message() -> None:
    status, message = given_to_caller(400, {"message": "Rate exceeded for account 111122223333"})
    assert (status, message[:17]) == (429, "Too many requests")


@pytest.mark.parametrize("message", THROTTLES)
def test_a_model_that_was_throttled_itself_has_failed_and_stays_424(message: str) -> None:
    assert given_to_caller(424, {"OriginalMessage": message, "Message": message}) == (424, message)


@pytest.mark.parametrize(
    "message",
    [
        "1 validation error detected: Value 'too many requests' at 'customAttributes' failed to satisfy",
        "The throttle is not a number",
        "Endpoint moderate exceeded its size",
        "The error rate exceeds 5",
        "The model's upstream said: rate exceeded",
        "Your request has been throttled\nby the service",
        "slow down in row 5",
    ],
)
def test_a_message_that_only_has_a_word_of_throttling_in_it_keeps_its_status(message: str) -> None:
    assert given_to_caller(400, {"Message": message}) == (400, message)


def test_a_failed_model_is_quoted_by_its_own_words() -> None:
    body = {
        "ErrorCode": "INTERNAL_FAILURE_FROM_MODEL",
        "LogStreamArn": "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/sagemaker/Endpoints/x",
        "Message": 'Received server error (500) from primary with message "bad row". See https://console …',
        "OriginalMessage": "bad row",
        "OriginalStatusCode": 500,
    }
    assert given_to_caller(424, body) == (424, "bad row")


@pytest.mark.parametrize(
    "internal",
    [
        "Endpoint my-endpoint of account 111122223333 not found.",
        "See\nhttps://eu-west-1.console.aws.amazon.com/cloudwatch for details",
        "not authorized on arn:aws:sagemaker:eu-west-1:1:endpoint/x",
        "Traceback (most recent call last)",
        "NullPointerException\n\tat com.acme.Model.predict(Model.java:12)",
        "at java.lang.Thread.run(Native Method)",
        'File "inference.py", line 12, in predict_fn\nKeyError',
        "Unable to load s3://acme-models/m.tar.gz",
        "No such file: '/opt/ml/model/model.pkl'",
        "[Errno 2] /home/model-server/tmp/x",
        "HTTPConnectionPool(host='10.0.4.17', port=8080): refused",
        "cannot reach ip-10-0-4-17.eu-west-1.compute.internal",
        "cannot connect to localhost:8080",
        "the key ASIAIOSFODNN7EXAMPLE has expired",
    ],
)
def test_nothing_internal_is_in_a_message(internal: str) -> None:
    for status in (400, 424, 500, 503):
        kept, message = given_to_caller(status, {"Message": internal, "OriginalMessage": internal})
        assert kept == status
        assert message not in internal


@pytest.mark.parametrize(
    "own",
    [
        "/instances/0/in0 is 1.5.2, which is no number",
        "Expecting value: line 1 column 2 (char 1)",
        "warn: 30 columns and/or 2 rows are missing",
    ],
)
def test_what_is_the_callers_business_is_quoted(own: str) -> None:
    for status in (400, 424, 500, 503):
        assert given_to_caller(status, {"Message": own, "OriginalMessage": own}) == (status, own)


@given(st.text(), st.sampled_from(["", *THROTTLES]), st.text())
def test_whatever_a_message_holds_the_body_is_json(before: str, throttle: str, after: str) -> None:
    words = f"{before} {throttle} {after}" if before or after else throttle
    status, message = given_to_caller(400, {"message": words})
    assert status == (429 if words == throttle != "" else 400)
    assert message == words or "endpoint refused" in message or status == 429


def test_a_success_goes_through_the_response_template() -> None:
    body = {"predictions": [{"scores": [0.5]}, {"scores": [0.25]}]}
    answer = api(response_mapping_template=RATINGS).render_response(body=body)
    assert (answer.status, json.loads(answer.body)) == (200, {"ratings": [0.5, 0.25]})


def test_without_a_response_template_the_models_answer_is_passed_on() -> None:
    answer = api().render_response(body='{"a":  1}')
    assert (answer.status, answer.body) == (200, '{"a":  1}')


@pytest.mark.parametrize(("status", "kept"), [(424, 400), (429, 400), (503, 500)])
def test_the_constructs_mapping_knows_only_400_and_500_and_keeps_the_body(status: int, kept: int) -> None:
    answer = api(error_mapping="construct").render_response(status=status, body='{"Message": "x"}')
    assert (answer.status, answer.body) == (kept, '{"Message": "x"}')


@pytest.mark.parametrize("mapping", ["faithful", "construct"])
def test_each_failing_status_is_chosen_by_exactly_one_pattern(mapping: str) -> None:
    patterns = [one.get("SelectionPattern") for one in integration_responses(api(error_mapping=mapping))]
    assert patterns[0] is None
    for status in range(400, 600):
        assert sum(bool(re.fullmatch(pattern, str(status))) for pattern in patterns[1:]) == 1


def test_every_status_that_may_be_given_is_declared() -> None:
    method = api().template()["Resources"]["Method"]["Properties"]
    declared = [one["StatusCode"] for one in method["MethodResponses"]]
    assert declared == ["200", "400", "413", "424", "429", "500", "503", "504"]
