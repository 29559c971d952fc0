from __future__ import annotations

import asyncio
import io
import json
import math
import os
import socket
import sys

import pytest
import uvicorn
from airflow_provider_aiml.local_aws import model_server
from airflow_provider_aiml.local_aws.model_contract import ModelAnswer, ModelRequest
from airflow_provider_aiml.local_aws.model_server import load_model, model_application
from airflow_provider_aiml.local_aws.models import echo, failing, tabular, text_stream
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer

DATA = load_breast_cancer()
ROWS = DATA.data[:20].tolist()
JSON = {"content-type": "application/json; charset=utf-8"}


def tabular_on(body, **headers):
    return tabular.model(
        ModelRequest(body, {name.replace("_", "-"): value for name, value in headers.items()})
    )


def labels(predictions):
    return [str(prediction["label"]) for prediction in predictions]


def test_the_classifier_is_right_almost_always():
    rows = DATA.data.tolist()
    answer = tabular.model(ModelRequest(json.dumps({"instances": rows}).encode(), JSON))

    predicted = labels(json.loads(answer.body)["predictions"])
    truth = [str(DATA.target_names[target]) for target in DATA.target]
    assert sum(map(str.__eq__, predicted, truth)) / len(truth) > 0.97


def test_json_and_csv_give_the_same_predictions_in_either_form():
    lines = "\n".join(",".join(map(str, row)) for row in ROWS).encode()

    from_json = json.loads(
        tabular_on(json.dumps({"instances": ROWS}).encode(), content_type="application/json").body
    )
    from_csv = tabular_on(lines, content_type="text/csv", accept="text/csv")

    assert from_csv.content_type == "text/csv"
    cells = [line.split(",") for line in from_csv.body.decode().splitlines()]
    assert [cell[0] for cell in cells] == labels(from_json["predictions"])
    assert [float(cell[1]) for cell in cells] == [one["probability"] for one in from_json["predictions"]]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "message"),
    [
        (b"{", "application/json", 400, "the body is not JSON"),
        (b"[]", "application/json", 400, "the body must be"),
        (b'{"instances": 1}', "application/json", 400, "the body must be"),
        (b'{"instances": []}', "application/json", 400, "there is no row"),
        (b'{"instances": [[1]]}', "application/json", 400, "row 1 has 1 features, the model takes 30"),
        (b'{"instances": [1]}', "application/json", 400, "row 1 has int"),
        (json.dumps({"instances": [[True] * 30]}).encode(), "application/json", 400, "not a finite number"),
        (
            json.dumps({"instances": [[math.nan] * 30]}).encode(),
            "application/json",
            400,
            "not a finite number",
        ),
        (b"a,b", "text/csv", 400, "not CSV of numbers"),
        (b"\xff", "text/csv", 400, "not CSV of numbers"),
        (b'"1', "text/csv", 400, "not CSV of numbers"),
        (b"x", "image/png", 415, "cannot read image/png"),
        (b"x", "", 415, "cannot read a body without a content type"),
    ],
)
def test_the_classifier_says_why_it_rejects_a_payload(body, content_type, status, message):
    answer = tabular_on(body, content_type=content_type)

    assert answer.status == status
    assert message in answer.body.decode()


@given(st.binary(max_size=200), st.sampled_from(["application/json", "text/csv", "text/plain"]))
def test_any_payload_is_either_classified_or_rejected(body, content_type):
    assert tabular_on(body, content_type=content_type).status in {200, 400, 415}


async def streamed(body, **headers):
    answer = await text_stream.model(ModelRequest(body, headers))
    return answer, b"".join([piece async for piece in answer.body]) if answer.status == 200 else answer.body


async def test_the_streaming_model_says_the_words_again():
    answer, body = await streamed(json.dumps({"inputs": "a b"}).encode(), **JSON)

    assert answer.content_type == "application/jsonlines"
    assert [json.loads(line) for line in body.splitlines()] == [
        {"token": "a"},
        {"token": "b"},
        {"done": True, "tokens": 2},
    ]


@pytest.mark.parametrize(
    ("body", "headers"), [(b"{", JSON), (b"[]", JSON), (b'{"inputs": 1}', JSON), (b"\xff", {})]
)
async def test_the_streaming_model_rejects_what_is_no_text(body, headers):
    answer, message = await streamed(body, **headers)

    assert answer.status == 400
    assert b"the body must be plain text" in message


async def test_the_echo_model_does_as_its_custom_attributes_say():
    headers = {echo.CUSTOM_ATTRIBUTES: "status=503, delay=0", "content-type": "text/csv"}

    answer = await echo.model(ModelRequest(b"1", headers))

    assert (answer.status, answer.body, answer.content_type) == (503, b"1", "text/csv")
    assert answer.headers == {echo.CUSTOM_ATTRIBUTES: "status=503, delay=0"}


async def test_the_echo_model_can_answer_with_headers_and_a_session():
    headers = {echo.CUSTOM_ATTRIBUTES: "headers", "x-amzn-sagemaker-session-id": "NEW_SESSION"}

    answer = await echo.model(ModelRequest(b"1", headers))

    assert json.loads(answer.body) == headers
    assert answer.headers["x-amzn-sagemaker-new-session-id"].startswith("session-1; Expires=")
    assert (await echo.model(ModelRequest(b"1", {}))).headers == {}


def test_the_echo_model_can_take_its_process_down(monkeypatch):
    codes = []
    monkeypatch.setattr(echo.os, "_exit", codes.append)
    coroutine = echo.model(ModelRequest(b"1", {echo.CUSTOM_ATTRIBUTES: "exit"}))

    asyncio.run(coroutine)

    assert codes == [1]


def test_the_failing_model_does_not_quote_the_payload():
    answer = failing.model(ModelRequest(b"secret", {}))

    assert (answer.status, answer.body) == (400, b"rejected 6 bytes")


async def call(model, method="POST", path="/invocations", pieces=(b"a", b"b")):
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b""})
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"method": method, "path": path, "headers": [(b"Accept", b"text/csv")]}
    await model_application(model)(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), body


async def test_a_plain_function_is_served_as_a_model():
    def model(request):
        return ModelAnswer(request.body + request.headers["accept"].encode(), headers={"X-Own": "1"})

    status, headers, body = await call(model)

    assert (status, body) == (200, b"abtext/csv")
    assert headers[b"x-own"] == b"1"
    assert headers[b"content-length"] == b"10"


async def test_a_stream_is_served_piece_by_piece():
    async def model(request):
        async def pieces():
            yield b"1"
            yield b"2"

        return ModelAnswer(pieces())

    status, headers, body = await call(model)

    assert (status, body) == (200, b"12")
    assert b"content-length" not in headers


async def test_a_models_crash_is_the_containers_500():
    def model(request):
        raise KeyError("column")

    status, _, body = await call(model)

    assert (status, body) == (500, b"KeyError: 'column'")


@pytest.mark.parametrize(
    ("method", "path", "expected"), [("GET", "/ping", 200), ("GET", "/invocations", 404)]
)
async def test_the_container_answers_its_ping_and_nothing_else(method, path, expected):
    status, _, _ = await call(failing.model, method, path)

    assert status == expected


def test_a_model_is_loaded_before_it_is_served():
    tabular.load.cache_clear()

    model = load_model("airflow_provider_aiml.local_aws.models.tabular:model")

    assert model is tabular.model
    assert tabular.load.cache_info().currsize == 1
    assert load_model("airflow_provider_aiml.local_aws.models.echo:model") is echo.model


@pytest.mark.parametrize(
    ("name", "message"),
    [("no_colon", "module:callable"), ("json:absent", "nothing that can be called"), ("math:pi", "nothing")],
)
def test_a_model_that_is_none_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        load_model(name)


def test_the_process_serves_its_model_on_the_socket_that_it_was_given(monkeypatch):
    served = []
    monkeypatch.setattr(model_server, "_end_with_parent", lambda: None)
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: served.extend(sockets))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        model_server.main(
            ["airflow_provider_aiml.local_aws.models.failing:model", "--fd", str(os.dup(listener.fileno()))]
        )
        model_server.main(["airflow_provider_aiml.local_aws.models.failing:model", "--port", "0"])
        inherited, own = served

        assert inherited.getsockname() == listener.getsockname()
        assert own.getsockname()[0] == "127.0.0.1"
        inherited.close()
        own.close()


def test_the_process_ends_when_its_standard_input_does(monkeypatch):
    codes = []
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    monkeypatch.setattr(os, "_exit", codes.append)

    model_server._end_with_parent()

    assert codes == [0]
