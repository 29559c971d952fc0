"""``stream=True``: the same result as without, nothing lost when a stream breaks, and bought once."""

from __future__ import annotations

import itertools
import json
import logging

import pytest
from airflow_provider_aiml.exceptions import (
    EndpointNotReadyError,
    ModelFailedError,
    RequestError,
    ResponseError,
    UnknownOutcomeError,
)
from airflow_provider_aiml.inference.requests import api_members, load_operation
from airflow_provider_aiml.local_aws.event_stream import CONTENT_TYPE, event_message, json_payload
from airflow_provider_aiml.operators.bedrock import BedrockConverseOperator, BedrockInvokeModelOperator
from airflow_provider_aiml.operators.sagemaker import SageMakerInvokeEndpointOperator
from botocore.eventstream import EventStream
from tests.airflow_versions import AirflowFailException
from tests.unit.hooks.conftest import Reply, Wire
from tests.unit.running import run

CLAUDE = "anthropic.claude-3-5-sonnet-20240620-v1:0"
CANARY = "CANARY-17c5"
PLACE = "s3://bucket/answers/one"
QUICK = {"attempts": 1}
SAID = f"Say {json.dumps('one é 😀 two three four')}"
BODIES = {
    CLAUDE: {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 99,
        "messages": [{"role": "user", "content": SAID}],
    },
    "ai21.jamba-1-5-mini-v1:0": {"messages": [{"role": "user", "content": SAID}]},
    "amazon.nova-lite-v1:0": {"messages": [{"role": "user", "content": [{"text": SAID}]}]},
    "amazon.titan-text-lite-v1": {"inputText": SAID},
    "meta.llama3-8b-instruct-v1:0": {"prompt": SAID},
    "mistral.mistral-large-2402-v1:0": {"prompt": SAID},
}


@pytest.fixture
def endpoint(aws, s3):
    aws.add_endpoint("words", "text_stream")
    aws.add_endpoint("echo")
    return aws


def score(**kwargs):
    given = {"endpoint_name": "words", "payload": {"inputs": f"one é 😀 {CANARY}"}, "stream": True, **kwargs}
    return SageMakerInvokeEndpointOperator(task_id="score", retry_args=QUICK, **given)


def invoke(model=CLAUDE, **kwargs):
    given = {"model_id": model, "input_data": BODIES[model], "stream": True, **kwargs}
    return BedrockInvokeModelOperator(task_id="ask", retry_args=QUICK, **given)


def converse(**kwargs):
    given = {"model_id": CLAUDE, "message": SAID, "stream": True, **kwargs}
    return BedrockConverseOperator(task_id="talk", retry_args=QUICK, **given)


def without_times(result):
    return {key: value for key, value in result.items() if key != "meta"}


def stored(s3, key="answers/one"):
    return s3.get_object(Bucket="bucket", Key=key)["Body"].read()


def keys(s3):
    return sorted(found["Key"] for found in s3.list_objects_v2(Bucket="bucket").get("Contents", []))


# The same result.


def test_a_streamed_answer_of_an_endpoint_is_that_of_the_call_without(endpoint):
    streamed = run(score())

    assert streamed["body"][-1] == {"done": True, "tokens": 4}
    assert streamed == run(score(stream=False))


def test_a_streamed_answer_may_stay_undecoded(endpoint):
    assert run(score(decode=False)) == run(score(decode=False, stream=False))


def test_the_members_of_a_streamed_answer_are_there(endpoint):
    result = run(score(endpoint_name="echo", custom_attributes="trace=1", inference_id="mine"))

    assert (result["custom_attributes"], result["inference_id"]) == ("trace=1", "mine")


@pytest.mark.parametrize("model", BODIES)
@pytest.mark.usefixtures("aws")
def test_a_streamed_answer_of_every_family_is_that_of_the_call_without(model):
    expression = {"result_expression": "@"}
    streamed, whole = run(invoke(model, **expression)), run(invoke(model, stream=False, **expression))

    assert without_times(streamed.pop("body")) == without_times(whole.pop("body"))
    assert streamed == whole


@pytest.mark.usefixtures("aws")
def test_a_streamed_conversation_is_that_of_the_call_without():
    asked = {"service_tier": {"type": "flex"}, "additional_model_response_field_paths": ["/model"]}

    assert run(converse(**asked)) == run(converse(stream=False, **asked))


@pytest.mark.usefixtures("aws")
def test_thoughts_survive_the_stream():
    asked = {"additional_model_request_fields": {"thinking": {"type": "enabled"}}}

    streamed = run(converse(**asked))

    assert "reasoningContent" in streamed["message"]["content"][0]
    assert streamed == run(converse(stream=False, **asked))


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.mark.usefixtures("aws")
def test_a_loop_of_tools_streams_each_of_its_turns():
    asked = {"tools": [add], "message": 'use tool add with {"a": 1, "b": 2}'}

    streamed = run(converse(**asked))

    assert streamed["turns"] == 2
    assert streamed["tool_calls"]
    assert streamed == run(converse(stream=False, **asked))


@pytest.mark.usefixtures("aws")
def test_a_schema_is_kept_through_the_stream():
    shape = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

    assert isinstance(run(converse(output_schema=shape, message="How many?"))["n"], int)


# What a stream cannot do.


def test_members_that_the_stream_lacks_are_refused_when_the_task_is_made():
    lacking = set(api_members(load_operation("sagemaker-runtime", "InvokeEndpoint"))) - set(
        api_members(load_operation("sagemaker-runtime", "InvokeEndpointWithResponseStream"))
    )

    assert lacking >= {"target_model", "enable_explanations"}
    for name in lacking:
        with pytest.raises(RequestError, match=f"{name}: is given with stream=True"):
            score(**{name: "{{ ds }}"})


def test_members_that_the_stream_has_are_not():
    assert score(custom_attributes="a", target_variant="b", session_id="c", accept="d").stream


def test_a_member_that_was_added_later_is_refused_before_the_call(endpoint):
    with pytest.raises(RequestError, match="target_model"):
        run(score(request_members={"target_model": "m"}))
    assert not endpoint.invocations("words")


def test_a_stream_of_a_model_without_one_is_refused_with_a_hint(aws):
    with pytest.raises(EndpointNotReadyError, match="does not stream") as raised:
        run(
            BedrockInvokeModelOperator(
                task_id="ask",
                model_id="amazon.titan-embed-text-v2:0",
                input_data={"inputText": "a"},
                stream=True,
            )
        )
    assert "leave stream out" in raised.value.hint


def test_a_container_that_answers_in_one_piece_gets_a_hint(endpoint, told):
    run(score(endpoint_name="echo"))

    assert "came in one part" in told.text


def test_a_container_that_streams_gets_none_but_its_progress_in_numbers(endpoint, told):
    run(score())

    assert "came in one part" not in told.text
    assert "InvokeEndpointWithResponseStream on words: " in told.text
    assert "chunks, " in told.text
    assert CANARY not in told.text


@pytest.fixture
def wire():
    service = Wire()
    yield service
    service.close()


def test_the_chunks_of_a_family_that_is_not_known_are_the_body_and_that_is_said(wire, monkeypatch, told):
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", wire.connection())
    chunks = [json_payload({"bytes": json.dumps({"word": word}).encode()}) for word in "ab"]
    stream = b"".join(event_message("chunk", chunk) for chunk in chunks)
    headers = {"Content-Type": CONTENT_TYPE, "X-Amzn-Bedrock-Content-Type": "application/json"}
    wire.reply(Reply(stream, headers=headers))

    result = run(invoke(model_id="new.model-v1:0", result_expression="@"))

    assert result == {
        "body": [{"word": "a"}, {"word": "b"}],
        "body_form": "chunks",
        "content_type": "application/json",
    }
    assert "list of its chunks" in told.text


# Streams that break.


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("stream-error", ModelFailedError),
        ("stream-throttled", UnknownOutcomeError),
        ("stream-internal-error", UnknownOutcomeError),
        ("stream-cut", ResponseError),
    ],
)
@pytest.mark.parametrize("make", [converse, invoke])
def test_what_came_of_a_stream_that_breaks_is_kept_beside_the_answers_place(make, fault, error, s3):
    faulty = {"local-aws-fault": fault}
    metadata = faulty if make is converse else json.dumps(faulty)

    with pytest.raises(error) as raised:
        run(make(request_metadata=metadata, output_uri=PLACE))

    assert keys(s3) == ["answers/one.aiml.json", "answers/one.partial"]
    assert "one" in stored(s3, "answers/one.partial").decode()
    assert stored(s3, "answers/one.partial") == raised.value.partial_body
    assert raised.value.may_have_been_billed


class StoppedError(BaseException):
    """What Airflow raises in a task that is stopped, or takes longer than its ``execution_timeout``."""


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("make", [converse, invoke])
def test_what_came_before_a_task_is_stopped_is_kept_beside_the_answers_place(make, s3, monkeypatch):
    numbers, parse = itertools.count(1), EventStream._parse_event

    def stop_at_the_fifth(stream, message):
        if next(numbers) == 5:
            raise StoppedError
        return parse(stream, message)

    monkeypatch.setattr(EventStream, "_parse_event", stop_at_the_fifth)

    with pytest.raises(StoppedError):
        run(make(output_uri=PLACE))

    assert keys(s3) == ["answers/one.aiml.json", "answers/one.partial"]
    assert "one" in stored(s3, "answers/one.partial").decode()


def test_a_stream_that_is_not_as_its_family_writes_it_fails_for_good_and_what_came_is_kept(
    wire, monkeypatch, tmp_path
):
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", wire.connection())
    chunks = ({"outputs": [{"text": CANARY, "stop_reason": None}]}, {"outputs": [{"text": 5}]})
    bodies = [json_payload({"bytes": json.dumps(chunk).encode()}) for chunk in chunks]
    stream = b"".join(event_message("chunk", body) for body in bodies)
    wire.reply(Reply(stream, headers={"Content-Type": CONTENT_TYPE}))

    with pytest.raises(AirflowFailException, match="Mistral") as raised:
        run(invoke("mistral.mistral-large-2402-v1:0", output_uri=f"file://{tmp_path}/one"))

    assert isinstance(raised.value, ResponseError)
    assert CANARY in (tmp_path / "one.partial").read_text()


def test_what_came_of_an_endpoints_stream_is_in_the_error_without_a_place_for_it(endpoint):
    endpoint.add_fault("sagemaker:InvokeEndpointWithResponseStream", "truncate", keep_bytes=2, count=1)

    with pytest.raises(ResponseError) as raised:
        run(score())

    assert raised.value.partial_body.startswith(b'{"token": "one"}')
    assert len(endpoint.invocations("words")) == 1


def test_what_came_of_an_endpoints_stream_is_kept_beside_the_answers_place(endpoint, s3):
    endpoint.add_fault("sagemaker:InvokeEndpointWithResponseStream", "truncate", keep_bytes=2, count=1)

    with pytest.raises(ResponseError, match=r"answers/one\.partial"):
        run(score(output_uri=PLACE))

    assert keys(s3) == ["answers/one.aiml.json", "answers/one.partial"]
    assert stored(s3, "answers/one.partial").startswith(b'{"token": "one"}')


def test_a_turn_that_breaks_does_not_cost_those_before_it(aws, s3):
    def spoil(a: int) -> int:
        """Spoil what comes next."""
        aws.add_fault("bedrock:ConverseStream", "truncate", keep_bytes=2, count=1)
        return a

    def make():
        return converse(tools=[spoil], message='use tool spoil with {"a": 1}', output_uri=PLACE)

    with pytest.raises(ResponseError):
        run(make())
    before = aws.request_counts()["bedrock:ConverseStream"]

    result = run(make())

    assert (before, aws.request_counts()["bedrock:ConverseStream"]) == (2, 3)
    assert result["stop_reason"] == "end_turn"


# Bought once.


def test_a_streamed_answer_that_is_kept_is_not_bought_again(endpoint, s3, told):
    first = run(score(output_uri=PLACE))

    second = run(score(output_uri=PLACE))

    assert (
        first
        == second
        == {
            "content_type": "application/jsonlines",
            "invoked_production_variant": "AllTraffic",
            "output_uri": PLACE,
        }
    )
    assert first == run(score(output_uri=PLACE, stream=False))
    assert len(endpoint.invocations("words")) == 1
    assert "nothing is sent" in told.text


def test_an_expression_reads_a_kept_stream(endpoint, s3):
    expression = {"result_expression": "body[-1].tokens", "output_uri": PLACE}

    assert run(score(**expression)) == 4
    assert run(score(**expression)) == 4
    assert len(endpoint.invocations("words")) == 1


def test_an_expression_that_does_not_ask_for_the_body_does_not_read_it(endpoint, s3):
    assert run(score(result_expression="output_uri", output_uri=PLACE)) == PLACE
    assert "s3:GET" not in endpoint.request_counts()
    assert run(score(result_expression="keys(@)", output_uri=PLACE))[0] == "body"


def test_what_is_kept_of_a_stream_are_the_bytes_of_the_answer_without_one(endpoint, s3):
    run(score(output_uri=PLACE))
    run(score(output_uri="s3://bucket/answers/two", stream=False))

    assert stored(s3) == stored(s3, "answers/two")


def test_a_long_streamed_answer_goes_up_in_parts(endpoint, s3):
    payload = "x" * 6_000_000
    run(score(endpoint_name="echo", payload=payload, content_type="text/plain", output_uri=PLACE))

    assert stored(s3) == payload.encode()


def test_a_streamed_answer_may_be_kept_in_a_file_or_behind_another_connection(endpoint, s3, tmp_path):
    run(score(output_uri=f"file://{tmp_path}/one"))
    run(score(output_uri="s3://aws_default@bucket/answers/one"))

    assert (tmp_path / "one").read_bytes() == stored(s3)


def test_reinvoke_buys_a_stream_again(endpoint, s3):
    run(score(output_uri=PLACE))
    run(score(output_uri=PLACE, reinvoke=True))

    assert len(endpoint.invocations("words")) == 2


@pytest.mark.parametrize("make", [converse, invoke])
def test_a_kept_answer_of_bedrock_is_not_bought_again_either(make, aws, s3):
    first, second = (run(make(output_uri=PLACE)) for _ in range(2))

    assert first == second
    assert sum(count for name, count in aws.request_counts().items() if name.endswith("Stream")) == 1


def test_a_stream_is_not_begun_where_its_answer_cannot_be_kept(endpoint, s3):
    endpoint.add_fault("s3:PUT", code="AccessDenied", count=9)

    with pytest.raises(Exception, match="cannot be written"):
        run(score(output_uri=PLACE))
    assert not endpoint.invocations("words")


def test_no_word_of_a_stream_is_in_a_log_record_or_error(endpoint, s3, told, caplog):
    caplog.set_level(logging.DEBUG)
    endpoint.add_fault("sagemaker:InvokeEndpointWithResponseStream", "truncate", keep_bytes=4, count=1)

    with pytest.raises(ResponseError) as raised:
        run(score(payload={"inputs": f"{CANARY} b c d e f g"}, output_uri=PLACE))
    run(score(output_uri=PLACE))

    assert CANARY not in caplog.text
    assert CANARY not in told.text
    assert CANARY not in str(raised.value)
