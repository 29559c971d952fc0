from __future__ import annotations

import json
import pickle
import re

import pytest
from airflow_provider_aiml import exceptions
from airflow_provider_aiml.exceptions import (
    BusyError,
    InferenceError,
    ModelFailedError,
    OutputExpiredError,
    PayloadError,
    Problem,
    RequestError,
    ResponseError,
    UnknownOutcomeError,
    error_from_dict,
    public_class,
)
from airflow_provider_aiml.hooks.deploy_checks import aws_errors
from airflow_provider_aiml.inference.outputs import Location
from airflow_provider_aiml.inference.s3_objects import s3_reading
from airflow_provider_aiml.inference.streaming import _as_written_by
from botocore.exceptions import ClientError

PUBLIC = [getattr(exceptions, name) for name in exceptions.__all__ if name.endswith("Error")]


def test_an_error_says_what_happened_which_request_and_what_to_do():
    error = InferenceError(
        "It failed.",
        code="Code",
        request_id="r-1",
        inference_id="i-1",
        may_have_been_billed=True,
        hint="do it",
    )

    assert str(error) == (
        "It failed. [code Code, request id r-1, inference id i-1] A retry cannot help. "
        "The call may have been billed. Hint: do it"
    )


def test_an_error_without_facts_is_one_sentence_and_whether_a_retry_helps():
    assert str(BusyError("Throttled")) == "Throttled. A retry may help."


@pytest.mark.parametrize("error_class", PUBLIC)
def test_every_error_survives_its_json_form(error_class):
    error = error_class("Message", code="C", request_id="r", inference_id="i", retryable=True, hint="h")

    again = error_from_dict(json.loads(json.dumps(error.to_dict())))

    assert type(again) is error_class
    assert again.to_dict() == error.to_dict()


@pytest.mark.parametrize("error_class", PUBLIC)
def test_every_error_can_be_pickled(error_class):
    again = pickle.loads(pickle.dumps(error_class("Message", code="C", hint="h")))

    assert (type(again), str(again)) == (error_class, str(error_class("Message", code="C", hint="h")))


def test_the_tree_in_the_docstring_is_the_tree():
    drawn, path = {}, []
    for indent, name in re.findall(r"^ {4}([│ ]*(?:[├└]── )?)(\w+Error)\b", exceptions.__doc__, re.MULTILINE):
        depth = len(indent) // 4
        path[depth:] = [name]
        drawn[name] = path[depth - 1] if depth else "Exception"

    assert drawn == {error_class.__name__: error_class.__base__.__name__ for error_class in PUBLIC}


@pytest.mark.parametrize("name", ["AnErrorOfTomorrow", "json", "Problem", None])
def test_an_event_with_an_unknown_type_still_becomes_an_error(name):
    error = error_from_dict({"type": name, "retryable": True})

    assert type(error) is InferenceError
    assert error.retryable
    assert "holds no message" in str(error)


def test_a_subclass_from_elsewhere_travels_as_its_public_class():
    elsewhere = type("Elsewhere", (OutputExpiredError,), {"__module__": "elsewhere"})

    assert public_class(elsewhere) is OutputExpiredError
    assert elsewhere("x").to_dict()["type"] == "OutputExpiredError"


def test_a_request_error_lists_every_problem():
    problems = (Problem("a", "1", "2"), Problem("b", "missing", "text"))

    assert RequestError("Refused", problems=problems).message == (
        "Refused: a: is 1, allowed is 2; b: is missing, allowed is text"
    )


@pytest.mark.parametrize(
    ("field", "called"),
    [
        ("body", "payload"),
        ("body.x", "payload.x"),
        ("body[0]", "payload[0]"),
        ("bodyguard", "bodyguard"),
        ("messages[1].content[0].text", "message[0].text"),
        ("messages[1].role", "history[1].role"),
        ("messages", "history"),
        ("other", "other"),
    ],
)
def test_a_problem_takes_the_name_that_its_reader_knows(field, called):
    names = {"body": "payload", "messages[1].content": "message", "messages": "history"}

    assert Problem(field, "1", "2").called(names) == Problem(called, "1", "2")


def test_a_renamed_error_keeps_its_class_and_all_that_it_says():
    error = PayloadError(
        "Refused", problems=(Problem("body", "1", "2"),), code="C", hint="h", retryable=True, request_id="r"
    )

    again = error.with_fields_called({"body": "payload"})

    assert type(again) is PayloadError
    assert str(again) == str(error).replace("body", "payload")
    assert again.to_dict() == {**error.to_dict(), "message": again.message}


def test_a_model_failure_quotes_the_model_only_where_there_is_something_to_quote():
    assert str(ModelFailedError("Failed", model_message="too long")).endswith("The model said: too long")
    assert "The model said" not in str(ModelFailedError("Failed"))


def test_the_bytes_of_a_partial_answer_are_in_no_message():
    error = ResponseError("Cut off", partial_body=b"canary")

    assert error.partial_body == b"canary"
    assert "canary" not in f"{error} {error!r} {error.to_dict()}"


def test_the_defaults_of_a_class_can_be_overruled_for_one_error():
    assert UnknownOutcomeError("x").retryable
    assert not UnknownOutcomeError("x", retryable=False).retryable
    assert UnknownOutcomeError.retryable


@pytest.mark.parametrize(
    ("translating", "words"),
    [
        (
            s3_reading(Location("bucket", "key")),
            ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject"),
        ),
        (aws_errors("CreateStack"), ClientError({"Error": {"Code": "AccessDenied"}}, "CreateStack")),
        (_as_written_by("a model"), ValueError("words that repeat a payload")),
    ],
)
def test_an_error_of_ours_does_not_drag_along_the_one_that_it_translates(translating, words):
    def pieces():
        with translating:
            yield 1
            raise words

    with pytest.raises(InferenceError) as raised:
        list(pieces())

    assert raised.value.__context__ is None
