"""One call, from the members of its request to the members of its answer."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import socket

import pytest
from airflow_provider_aiml.exceptions import (
    BusyError,
    ModelFailedError,
    PayloadError,
    RequestError,
    ResponseError,
    ServiceRefusedError,
    UnknownOutcomeError,
)
from airflow_provider_aiml.hooks.bedrock_runtime import BedrockRuntimeHook
from airflow_provider_aiml.hooks.sagemaker_runtime import SageMakerRuntimeHook

CANARY = "canary-4711"
FAST = {"attempts": 3, "base": 0, "cap": 0}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "yes"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10},
    "metrics": {"latencyMs": 1},
}
MESSAGES = [{"role": "user", "content": [{"text": CANARY}]}]


class Caller:
    """Calls a hook's method, or its coroutine twin on a loop of its own."""

    def __init__(self, twin):
        self.twin = twin

    def __call__(self, hook, method, **members):
        if self.twin:
            return asyncio.run(getattr(hook, f"a{method}")(**members))
        return getattr(hook, method)(**members)

    def endpoint(self, hook, **members):
        return self(hook, "invoke_endpoint", **{"endpoint_name": "e", "body": b"x", **members})


@pytest.fixture(params=["sync", "async"])
def call(request):
    return Caller(request.param == "async")


@pytest.fixture
def sagemaker(connect):
    def make(conn=None, **arguments):
        return SageMakerRuntimeHook(connect(**conn or {}), **{"retry_args": FAST, **arguments})

    return make


@pytest.fixture
def bedrock(connect):
    def make(**arguments):
        return BedrockRuntimeHook(connect(), **{"retry_args": FAST, **arguments})

    return make


def test_a_call_gives_the_answer_s_members_with_a_body_that_is_read(call, sagemaker, wire, reply):
    headers = {"Content-Type": "text/csv", "x-Amzn-Invoked-Production-Variant": "blue"}
    wire.reply(reply(b"1,2", headers=headers))

    answer = call.endpoint(sagemaker(), content_type="text/csv", target_model=None)

    assert (answer["Body"], answer["ContentType"], answer["InvokedProductionVariant"]) == (
        b"1,2",
        "text/csv",
        "blue",
    )
    assert answer["ResponseMetadata"]["RequestId"] == "request-1"
    request = wire.requests[0]
    assert (request.path, request.body, request.headers["Content-Type"]) == (
        "/endpoints/e/invocations",
        b"x",
        "text/csv",
    )
    assert "X-Amzn-SageMaker-Target-Model" not in request.headers


def test_an_asynchronous_submission_gives_the_locations(call, sagemaker, wire, reply):
    headers = {
        "X-Amzn-SageMaker-OutputLocation": "s3://b/out",
        "X-Amzn-SageMaker-FailureLocation": "s3://b/err",
    }
    wire.reply(reply(json.dumps({"InferenceId": "i-1"}).encode(), 202, headers))

    answer = call(sagemaker(), "invoke_endpoint_async", endpoint_name="e", input_location="s3://b/in")

    assert (answer["InferenceId"], answer["OutputLocation"]) == ("i-1", "s3://b/out")
    assert answer["FailureLocation"] == "s3://b/err"


def test_a_conversation_comes_back_as_a_dictionary(call, bedrock, wire, reply):
    wire.reply(reply(json.dumps(CONVERSE).encode()))

    answer = call(bedrock(), "converse", model_id="m", messages=MESSAGES, inference_config={"maxTokens": 9})

    assert answer["output"]["message"]["content"] == [{"text": "yes"}]
    assert json.loads(wire.requests[0].body)["inferenceConfig"] == {"maxTokens": 9}


def test_a_model_s_own_body_comes_back_as_bytes(call, bedrock, wire, reply):
    wire.reply(reply(b'{"a": 1}'))

    assert call(bedrock(), "invoke_model", model_id="m", body=b"{}")["body"] == b'{"a": 1}'


@pytest.mark.parametrize(
    ("method", "members", "path", "answer"),
    [
        (
            "count_tokens",
            {"model_id": "m", "input": {"invokeModel": {"body": b"{}"}}},
            "/count-tokens",
            {"inputTokens": 3},
        ),
        (
            "apply_guardrail",
            {
                "guardrail_identifier": "g1",
                "guardrail_version": "1",
                "source": "INPUT",
                "content": [{"text": {"text": "hi"}}],
            },
            "/apply",
            {"action": "NONE", "outputs": [], "assessments": [], "usage": {}},
        ),
        (
            "start_async_invoke",
            {
                "model_id": "amazon.nova-reel-v1:0",
                "model_input": {"a": 1},
                "output_data_config": {"s3OutputDataConfig": {"s3Uri": "s3://bucket/x"}},
            },
            "/async-invoke",
            {"invocationArn": "arn:aws:bedrock:eu-west-1:1:async-invoke/a"},
        ),
        (
            "get_async_invoke",
            {"invocation_arn": "arn:aws:bedrock:eu-west-1:123456789012:async-invoke/abcdefghijkl"},
            "/async-invoke/",
            {
                "invocationArn": "a",
                "modelArn": "m",
                "status": "InProgress",
                "submitTime": "2026-01-01T00:00:00Z",
                "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://bucket/x"}},
            },
        ),
    ],
)
def test_every_other_operation_of_bedrock_is_called(
    call, bedrock, wire, reply, method, members, path, answer
):
    wire.reply(reply(json.dumps(answer).encode()))

    given = call(bedrock(), method, **members)

    assert path in wire.requests[0].path
    assert set(answer) <= set(given)


def test_a_read_timeout_is_not_sent_again(call, sagemaker, wire):
    wire.reply(wire.hang())

    with pytest.raises(UnknownOutcomeError) as raised:
        call.endpoint(sagemaker(config={"read_timeout": 1}))

    assert raised.value.may_have_been_billed
    assert "read_timeout" in raised.value.hint
    assert wire.arrived.wait(30)
    assert len(wire.requests) == 1


@pytest.mark.parametrize("nothing", [{}, None], ids=["empty", "none"])
def test_empty_retries_do_not_let_botocore_buy_again(call, sagemaker, wire, nothing):
    wire.default = wire.hang()

    with pytest.raises(UnknownOutcomeError):
        call.endpoint(sagemaker(config={"read_timeout": 1, "retries": nothing}))

    assert wire.arrived.wait(30)
    assert len(wire.requests) == 1


def test_a_connection_that_is_reset_after_the_request_is_not_sent_again(call, sagemaker, wire, reply):
    wire.reply(reply(reset=True))

    with pytest.raises(UnknownOutcomeError):
        call.endpoint(sagemaker())
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("code", "status"),
    [("ThrottlingException", 400), ("ServiceUnavailable", 503), ("ModelNotReadyException", 429)],
)
def test_what_did_not_run_is_sent_again(call, sagemaker, wire, reply, code, status, caplog):
    wire.reply(reply(error=code, status=status), reply(error=code, status=status), reply(b"[1]"))

    caplog.set_level(logging.INFO)

    answer = call.endpoint(sagemaker())

    assert answer["Body"] == b"[1]"
    assert len(wire.requests) == 3
    assert "attempt 3" in caplog.text


@pytest.mark.parametrize("opened", [io.BytesIO, "file"])
def test_a_file_is_sent_again_from_where_it_stood(call, sagemaker, wire, reply, tmp_path, opened):
    wire.reply(reply(error="ThrottlingException"), reply(error="ThrottlingException"), reply(b"[1]"))
    content = b'skipped {"instances": [1, 2, 3]}'
    (tmp_path / "body").write_bytes(content)

    with (tmp_path / "body").open("rb") if opened == "file" else opened(content) as body:
        body.seek(8)
        call.endpoint(sagemaker(), body=body)

    assert [request.body for request in wire.requests] == [content[8:]] * 3


def test_attempts_end(call, sagemaker, wire, reply):
    wire.default = reply(error="ThrottlingException")

    with pytest.raises(BusyError) as raised:
        call.endpoint(sagemaker())
    assert (len(wire.requests), raised.value.code) == (3, "ThrottlingException")


def test_a_connection_that_is_refused_is_tried_again(call, connect, caplog):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        free = f"http://127.0.0.1:{unused.getsockname()[1]}"
        hook = SageMakerRuntimeHook(connect(endpoint_url=free), retry_args=FAST)

        with pytest.raises(BusyError) as raised:
            call.endpoint(hook)

    assert not raised.value.may_have_been_billed
    assert "Attempt 2 did not run" in caplog.text


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ModelError", 424),
        ("InternalFailure", 500),
        ("InternalDependencyException", 530),
        ("ModelTimeoutException", 408),
        ("ValidationError", 400),
    ],
)
def test_what_may_have_run_or_cannot_help_is_sent_once(call, sagemaker, wire, reply, code, status):
    wire.default = reply(error=code, status=status)

    with pytest.raises((ModelFailedError, UnknownOutcomeError, ServiceRefusedError)):
        call.endpoint(sagemaker())
    assert len(wire.requests) == 1


def test_a_model_s_words_are_quoted_unless_that_is_turned_off(call, sagemaker, wire, reply):
    body = json.dumps({"Message": "m", "OriginalMessage": "bad row", "OriginalStatusCode": 500}).encode()
    wire.default = reply(body, 424, {"x-amzn-ErrorType": "ModelError"})

    with pytest.raises(ModelFailedError) as quoted:
        call.endpoint(sagemaker())
    with pytest.raises(ModelFailedError) as unquoted:
        call.endpoint(sagemaker(quote_model_errors=False))

    assert (quoted.value.model_message, quoted.value.retryable) == ("bad row", True)
    assert unquoted.value.model_message is None


def test_a_body_that_breaks_off_is_kept_and_not_bought_again(call, sagemaker, wire, reply):
    wire.reply(reply(b"x" * 200_000, cut=150_000))

    with pytest.raises(ResponseError) as raised:
        call.endpoint(sagemaker())

    assert raised.value.may_have_been_billed
    assert raised.value.retryable
    assert raised.value.request_id == "request-1"
    assert set(raised.value.partial_body) <= {ord("x")}
    assert len(wire.requests) == 1


def test_all_that_did_arrive_of_a_body_is_kept(sagemaker, wire, reply):
    wire.reply(reply(b"x" * 200_000, cut=150_000))

    with pytest.raises(ResponseError) as raised:
        sagemaker().invoke_endpoint(endpoint_name="e", body=b"x")

    assert len(raised.value.partial_body) == 150_000


def test_an_answer_that_lacks_what_it_must_have_was_paid_for_and_is_kept(call, bedrock, wire, reply):
    body = json.dumps(CONVERSE).encode()[:-40]
    wire.reply(reply(body))

    with pytest.raises(ResponseError, match="lacks output") as raised:
        call(bedrock(), "converse", model_id="m", messages=MESSAGES)

    assert raised.value.may_have_been_billed
    assert not raised.value.retryable
    assert raised.value.partial_body == body
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    "body",
    [b"[]", b"null", b'"x"', b"\xff\xfe", b'{"output": "x"}', b'{"output": {"message": {"content": [3]}}}'],
)
def test_an_answer_that_botocore_cannot_parse_was_paid_for_and_is_kept(call, bedrock, wire, reply, body):
    wire.reply(reply(body))

    with pytest.raises(ResponseError, match="the answer is malformed") as raised:
        call(bedrock(), "converse", model_id="m", messages=MESSAGES)

    assert raised.value.partial_body == body
    assert raised.value.request_id == "request-1"
    assert raised.value.__context__ is None
    assert len(wire.requests) == 1


@pytest.mark.parametrize("kept", [len(json.dumps(CONVERSE)) - 40, 2])
def test_an_answer_of_bedrock_that_is_cut_off_is_kept_and_may_be_whole_next_time(bedrock, wire, reply, kept):
    body = json.dumps(CONVERSE).encode()
    wire.reply(reply(body, cut=kept))

    with pytest.raises(ResponseError, match=f"broke off after {kept} of {len(body)} bytes") as raised:
        bedrock().converse(model_id="m", messages=MESSAGES)

    assert raised.value.retryable
    assert raised.value.may_have_been_billed
    assert raised.value.partial_body == body[:kept]
    assert len(wire.requests) == 1


def test_a_cut_answer_of_a_coroutine_may_have_been_billed(bedrock, wire, reply):
    wire.reply(reply(json.dumps(CONVERSE).encode(), cut=40))

    with pytest.raises(UnknownOutcomeError) as raised:
        asyncio.run(bedrock().aconverse(model_id="m", messages=MESSAGES))

    assert raised.value.retryable
    assert len(wire.requests) == 1


def test_an_error_of_our_own_is_no_malformed_answer(sagemaker, wire, monkeypatch):
    hook = sagemaker()
    monkeypatch.setattr(hook, "_read", lambda *_: {}["nothing"])

    with pytest.raises(KeyError):
        hook.invoke_endpoint(endpoint_name="e", body=b"x")


def test_a_bad_request_is_not_sent(call, sagemaker, wire):
    with pytest.raises(RequestError) as raised:
        call(
            sagemaker(), "invoke_endpoint", endpoint_name="-bad", target_model="", body=b"", no_such_member=1
        )

    fields = {problem.field for problem in raised.value.problems}
    assert {"endpoint_name", "target_model", "no_such_member"} <= fields
    assert not wire.requests


def test_a_request_can_be_checked_without_sending_it(sagemaker, wire):
    hook = sagemaker()
    hook.check("InvokeEndpoint", {"endpoint_name": "e", "body": b"x"})

    with pytest.raises(RequestError):
        hook.check("InvokeEndpoint", {"endpoint_name": "-bad", "body": b"x"})
    assert not wire.requests


def test_the_client_itself_can_be_used_for_what_the_hook_does_not_offer(sagemaker, wire):
    response = sagemaker().conn.invoke_endpoint(EndpointName="e", Body=b"x")

    assert response["Body"].read() == b'{"ok": true}'
    assert len(wire.requests) == 1


def test_too_large_a_body_is_not_sent(call, sagemaker, wire):
    with pytest.raises((PayloadError, RequestError)):
        call.endpoint(sagemaker(), body=b"x" * 6_291_457)
    assert not wire.requests


@pytest.mark.parametrize(
    "arguments",
    [{"validate": False}, {"validate": {"min", "max"}}, {"config": {"parameter_validation": False}}],
    ids=str,
)
def test_checks_can_be_narrowed_or_turned_off(call, sagemaker, wire, arguments):
    call.endpoint(sagemaker(**arguments), endpoint_name="under_score")

    assert wire.requests[0].path == "/endpoints/under_score/invocations"


def test_bad_retry_arguments_are_refused_before_anything_else():
    with pytest.raises(RequestError):
        SageMakerRuntimeHook("no_such_connection", retry_args={"attempts": 0})


def test_the_connection_s_retries_bound_our_attempts(call, sagemaker, wire, reply):
    wire.default = reply(error="ThrottlingException")
    hook = sagemaker({"config_kwargs": {"retries": {"max_attempts": 1, "mode": "adaptive"}}})

    with pytest.raises(BusyError):
        call.endpoint(hook)
    assert len(wire.requests) == 2


def test_the_operator_s_retries_let_botocore_buy_twice_with_one_warning(call, sagemaker, wire, reply, caplog):
    wire.reply(reply(reset=True), reply(b"[1]"))
    hook = sagemaker(config={"retries": {"total_max_attempts": 2, "mode": "standard"}})

    answer = call.endpoint(hook)
    call.endpoint(hook)

    assert answer["Body"] == b"[1]"
    assert len(wire.requests) == 3
    warnings = [
        record
        for record in caplog.records
        if record.levelno == logging.WARNING and "paid for" in record.message
    ]
    assert len(warnings) == 1


def test_one_line_tells_of_a_call_without_its_payload(call, bedrock, wire, reply, caplog):
    wire.reply(reply(json.dumps(CONVERSE).encode()))

    with caplog.at_level(logging.INFO):
        call(bedrock(), "converse", model_id="some.model", messages=MESSAGES)

    (line,) = [record.getMessage() for record in caplog.records if "Converse on" in record.getMessage()]
    for fact in (
        "some.model",
        "status 200",
        "attempt 1",
        f"{len(wire.requests[0].body)} bytes out",
        "request-1",
    ):
        assert fact in line
    assert "tokens 7 in, 3 out" in line


@pytest.mark.parametrize("shown", [False, True])
def test_debug_logs_hold_payloads_only_where_asked(call, sagemaker, wire, reply, caplog, shown):
    caplog.set_level(logging.DEBUG)
    for name in ("botocore", "aiobotocore", "urllib3", "aiohttp"):
        caplog.set_level(logging.DEBUG, logger=name)
    wire.reply(reply(f"answer {CANARY}".encode()))

    call.endpoint(sagemaker(log_payloads=shown), body=CANARY.encode(), custom_attributes=CANARY)

    assert (CANARY in caplog.text) is shown


def test_an_error_holds_nothing_of_the_request_and_no_chain(call, bedrock, wire, reply):
    wire.reply(reply(error="ValidationException", message=f"bad text: {CANARY}"))

    with pytest.raises(ServiceRefusedError) as raised:
        call(bedrock(), "converse", model_id="m", messages=MESSAGES)

    assert CANARY not in str(raised.value) + repr(raised.value.__dict__)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


def test_log_payloads_shows_the_service_s_explanation(call, bedrock, wire, reply):
    wire.reply(reply(error="ValidationException", message="temperature is 7"))

    with pytest.raises(ServiceRefusedError, match="temperature is 7"):
        call(bedrock(log_payloads=True), "converse", model_id="m", messages=MESSAGES)


async def test_a_call_can_be_cancelled_and_leaves_nothing_open(sagemaker, wire):
    wire.reply(wire.hang())
    hook = sagemaker()
    task = asyncio.create_task(hook.ainvoke_endpoint(endpoint_name="e", body=b"x"))
    await asyncio.to_thread(wire.arrived.wait, 30)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert not hook._lent
    assert len(wire.requests) == 1


async def test_a_body_can_be_cancelled_while_it_is_read(sagemaker, wire, reply):
    hook = sagemaker()
    reading = asyncio.Event()

    class Body:
        closed = False

        async def read(self, _):
            reading.set()
            await asyncio.Event().wait()

        def close(self):
            self.closed = True

    body = Body()
    task = asyncio.create_task(hook._aread({"Body": body}, "Body", None))
    await reading.wait()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert body.closed
