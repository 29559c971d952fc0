"""The Bedrock operators: a model in its own format, and a conversation."""

from __future__ import annotations

import base64
import json

import pytest
from airflow_provider_aiml.exceptions import (
    AccessDeniedError,
    BusyError,
    EndpointNotReadyError,
    ModelFailedError,
    PayloadError,
    RequestError,
)
from airflow_provider_aiml.operators.bedrock import BedrockConverseOperator, BedrockInvokeModelOperator
from tests.airflow_versions import AirflowFailException
from tests.unit.running import run

JAMBA = "ai21.jamba-instruct-v1:0"
CLAUDE = "anthropic.claude-3-5-sonnet-20240620-v1:0"
NOVA = "amazon.nova-pro-v1:0"
QUICK = {"attempts": 2, "base": 0.01, "cap": 0.01}
ASKED = {
    "messages": [{"role": "user", "content": 'Say "yes"'}],
    "max_tokens": 20,
    "top_p": 0.5,
    "temperature": 0.1,
}


def invoke(**kwargs):
    given = {"input_data": ASKED, **kwargs}
    if given["input_data"] is None:
        del given["input_data"]
    return BedrockInvokeModelOperator(**{"task_id": "ask", "model_id": JAMBA, "retry_args": QUICK, **given})


def converse(**kwargs):
    given = {"task_id": "talk", "model_id": NOVA, "message": 'Say "yes"', "retry_args": QUICK, **kwargs}
    return BedrockConverseOperator(**given)


class TestInvokeModel:
    def test_it_gives_the_decoded_body(self, aws):
        result = run(invoke())

        assert result["choices"][0]["message"]["content"] == "yes"
        (seen,) = aws.invocations(JAMBA)
        assert json.loads(seen.body) == ASKED

    def test_an_expression_sees_the_whole_result(self, aws):
        expression = "[body.choices[0].message.content, content_type]"

        assert run(invoke(result_expression=expression)) == ["yes", "application/json"]

    def test_the_body_may_be_text_that_a_template_rendered(self, aws):
        assert run(invoke(input_data=json.dumps(ASKED)))["choices"]

    def test_the_body_may_be_in_object_storage(self, aws, s3):
        s3.put_object(Bucket="bucket", Key="ask.json", Body=json.dumps(ASKED))

        assert run(invoke(input_data=None, input_data_uri="s3://bucket/ask.json"))["choices"]

    def test_without_decoding_it_gives_base64(self, aws):
        result = run(invoke(decode=False))

        assert json.loads(base64.b64decode(result))["choices"]

    def test_every_member_is_sent(self, aws):
        result = run(
            invoke(
                content_type="application/json",
                accept_type="application/json",
                trace="ENABLED",
                performance_config_latency="optimized",
                service_tier="flex",
                request_metadata='{"team": "a"}',
                result_expression="@",
            )
        )

        assert result["service_tier"] == "flex"
        assert result["performance_config_latency"] == "optimized"

    @pytest.mark.parametrize(
        ("fault", "error_class", "hopeless"),
        [
            ("throttled", BusyError, False),
            ("access-denied", AccessDeniedError, True),
            ("model-error", ModelFailedError, False),
            ("not-found", EndpointNotReadyError, True),
        ],
    )
    def test_what_a_retry_cannot_help_fails_for_good(self, aws, fault, error_class, hopeless):
        with pytest.raises(error_class) as caught:
            run(invoke(model_id=f"test.{fault}-v1:0", input_data={}))

        assert isinstance(caught.value, AirflowFailException) is hopeless

    @pytest.mark.parametrize(
        ("kwargs", "problem"),
        [
            ({"input_data_uri": "s3://b/k"}, "input_data / input_data_uri: is input_data and input_data_uri"),
            ({"input_data": None}, "is none of them"),
            ({"input_data": None, "input_data_uri": "b/k"}, "input_data_uri: is a string"),
        ],
    )
    def test_bad_input_is_refused_where_the_dag_is_read(self, kwargs, problem):
        with pytest.raises(RequestError, match=problem):
            invoke(**kwargs)

    def test_a_template_that_renders_to_none_is_not_sent_as_json_s_null(self, aws):
        task = invoke(input_data="{{ params.rows }}")
        task.input_data = None  # as Airflow leaves it after rendering

        with pytest.raises(PayloadError, match="input_data: is None"):
            run(task)

        assert aws.request_counts() == {}

    @pytest.mark.parametrize(
        ("kwargs", "error_class", "problem"),
        [
            ({"input_data": {"a": object()}}, PayloadError, r"input_data\[value 0\]: is a object"),
            ({"input_data": b"x" * 25_000_001}, PayloadError, "input_data: is 25000001 bytes"),
            ({"model_id": "a b"}, RequestError, "model_id: is "),
            ({"trace": "MAYBE"}, RequestError, "trace: is "),
            ({"accept_type": 3}, RequestError, "accept_type: is "),
            ({"guardrail_identifier": "g123"}, RequestError, "guardrail_version: is missing"),
        ],
    )
    def test_bad_input_is_refused_before_any_call(self, aws, kwargs, error_class, problem):
        with pytest.raises(error_class, match=problem) as caught:
            run(invoke(**kwargs))

        assert isinstance(caught.value, AirflowFailException)
        assert aws.request_counts() == {}

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_body_of_too_many_tokens_is_not_sent(self, aws, s3, stream):
        said = [{"role": "user", "content": "word " * 200}]
        body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "messages": said}
        ask = {"model_id": CLAUDE, "input_data": body, "stream": stream, "output_uri": "s3://bucket/one.json"}

        with pytest.raises(RequestError, match=r"max_input_tokens: is exceeded by a request of \d+ tokens"):
            run(invoke(**ask, max_input_tokens=50))
        assert aws.invocations(CLAUDE) == []
        for _ in range(2):
            assert run(invoke(**ask, max_input_tokens="5000"))["output_uri"]
        assert aws.request_counts()["bedrock:CountTokens"] == 2, "what was paid for is not counted again"

    def test_a_body_that_cannot_be_counted_is_said_to_be_unchecked(self, aws, told):
        assert run(invoke(max_input_tokens=1))["choices"]
        assert "max_input_tokens is unchecked" in told.text


class TestConverse:
    def test_it_gives_text_message_history_stop_reason_usage_and_metrics(self, aws):
        result = run(converse())

        reply = {"role": "assistant", "content": [{"text": "yes"}]}
        assert result["text"] == "yes"
        assert result["message"] == reply
        assert result["history"] == [{"role": "user", "content": [{"text": 'Say "yes"'}]}, reply]
        assert result["stop_reason"] == "end_turn"
        assert (
            result["usage"]["totalTokens"] == result["usage"]["inputTokens"] + result["usage"]["outputTokens"]
        )
        assert result["metrics"]["latencyMs"] > 0
        assert json.loads(json.dumps(result)) == result

    def test_the_history_of_a_turn_goes_into_the_next_one(self, aws):
        first = run(converse(message="My name is Ada"))
        second = run(converse(message="What is my name?", history=json.loads(json.dumps(first["history"]))))

        assert "Ada" in second["text"]
        assert [message["role"] for message in second["history"]] == ["user", "assistant"] * 2
        assert second["history"][:2] == first["history"]

    def test_bytes_in_a_conversation_survive_xcom(self, aws, monkeypatch):
        document = {
            "document": {"name": "notes", "format": "txt", "source": {"bytes": b"line one\nline two"}}
        }

        first = run(converse(message=[document, {"text": "Read this"}]))
        history = json.loads(json.dumps(first["history"]))
        assert history[0]["content"][0]["document"]["source"]["bytes"] == {
            "$base64": base64.b64encode(b"line one\nline two").decode()
        }
        second = run(converse(message="line 2 of notes", history=history))

        assert "line two" in second["text"]

    def test_inference_parameters_may_be_flat_or_nested_and_flat_wins(self, aws):
        run(
            converse(
                inference_config={"maxTokens": 5, "temperature": 0.1},
                max_tokens="50",
                top_p=0.5,
                stop_sequences=["STOP"],
                system="Be brief",
            )
        )

        (seen,) = aws.invocations(NOVA)
        body = json.loads(seen.body)
        assert body["inferenceConfig"] == {
            "maxTokens": 50,
            "temperature": 0.1,
            "topP": 0.5,
            "stopSequences": ["STOP"],
        }
        assert body["system"] == [{"text": "Be brief"}]

    def test_without_parameters_none_are_sent_but_the_stamp(self, aws):
        run(converse())
        run(converse(stamp_metadata=False))

        stamped, plain = [json.loads(seen.body) for seen in aws.invocations(NOVA)]
        assert set(stamped) == {"messages", "requestMetadata"}
        assert set(plain) == {"messages"}

    def test_every_other_member_is_sent(self, aws):
        run(
            converse(
                additional_model_request_fields={"top_k": 5},
                additional_model_response_field_paths=["/stop_sequence"],
                request_metadata={"team": "a"},
                performance_config={"latency": "optimized"},
                service_tier={"type": "flex"},
            )
        )

        (seen,) = aws.invocations(NOVA)
        body = json.loads(seen.body)
        assert body["additionalModelRequestFields"] == {"top_k": 5}
        ids = {"dag_id": "dag", "run_id": "run", "task_id": "talk"}
        assert body["requestMetadata"] == {"team": "a", **ids}
        assert body["performanceConfig"] == {"latency": "optimized"}
        assert body["serviceTier"] == {"type": "flex"}

    @pytest.mark.parametrize(
        "off", [{"validate": False}, {"botocore_config": {"parameter_validation": False}}]
    )
    @pytest.mark.parametrize(("field", "value"), [("temperature", "warm"), ("max_tokens", "3.5")])
    def test_what_is_no_number_is_named_without_validation_too(self, aws, off, field, value):
        with pytest.raises(RequestError, match=f"{field}: is a str that is none"):
            run(converse(**{field: value}, **off))
        assert not aws.request_counts()

    def test_what_else_the_model_gives_is_in_the_result(self, aws):
        guardrail = {"guardrailIdentifier": "localguardrail", "guardrailVersion": "1", "trace": "enabled"}
        result = run(
            converse(
                message="Say mine@example.com",
                guardrail_config=guardrail,
                additional_model_response_field_paths=["/stop_reason"],
                performance_config={"latency": "standard"},
                service_tier={"type": "default"},
                fail_on=[],
            )
        )

        assert result["additional_model_response_fields"] == {"stop_reason": "guardrail_intervened"}
        assert result["trace"]["guardrail"]
        assert result["performance_config"] == {"latency": "standard"}
        assert result["service_tier"] == {"type": "default"}

    def test_a_model_that_asks_for_a_tool_says_so(self, aws):
        tool = {"name": "weather", "inputSchema": {"json": {"type": "object", "properties": {}}}}
        result = run(
            converse(
                message="Use a tool", tool_config={"tools": [{"toolSpec": tool}], "toolChoice": {"any": {}}}
            )
        )

        assert result["stop_reason"] == "tool_use"
        assert "toolUse" in result["message"]["content"][-1]

    @pytest.mark.parametrize(("fault", "reason"), [("content-filtered", "content_filtered"), ("none", None)])
    def test_an_answer_that_was_cut_off_or_withheld_warns_where_it_may(self, aws, told, fault, reason):
        run(converse(model_id=f"test.{fault}-v1:0", fail_on=[]))

        warned = [line for line in told.lines if "The model stopped with" in line]
        assert warned == (
            [f"warning: The model stopped with {reason}; its answer may be cut off or withheld"]
            if reason
            else []
        )

    @pytest.mark.parametrize(
        ("kwargs", "problem"),
        [
            ({"message": ""}, r"message\[0\]: is blank text"),
            ({"history": "[]"}, "history: is a str"),
            ({"history": [{"role": "user", "content": "x"}]}, "an answer at its end"),
            ({"message": [{"text": "x", "tomorrow": 1}]}, r"message\[0\]"),
            (
                {"message": [{"image": {"format": "bmp", "source": {"bytes": b"x"}}}]},
                r"message\[0\].image.format",
            ),
            (
                {
                    "history": [
                        {"role": "user", "content": [{"image": {"format": "bmp", "source": {"bytes": b""}}}]},
                        {"role": "assistant", "content": "x"},
                    ]
                },
                r"history\[0\].content\[0\].image.format",
            ),
            ({"max_tokens": 0}, " max_tokens: is 0"),
            ({"max_tokens": "many"}, " max_tokens: is text of 4 characters"),
            ({"temperature": 1.5}, " temperature: is 1.5"),
            ({"inference_config": {"maxTokens": 0}}, r"inference_config.maxTokens: is 0"),
            (
                {"temperature": 2, "max_tokens": 0, "top_p": "x", "inference_config": {"stopSequences": 3}},
                "(?s)(?=.* temperature: is 2)(?=.* max_tokens: is 0)(?=.* top_p: is text of 1 characters)"
                "(?=.*inference_config.stopSequences: is an int)",
            ),
            ({"inference_config": "{}"}, "inference_config: is a str"),
            ({"system": 3}, "system: is a int"),
            (
                {"model_id": "arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:1", "system": "x"},
                "system: is given with a managed prompt",
            ),
        ],
    )
    def test_bad_input_is_refused_before_any_call_by_its_argument(self, aws, kwargs, problem):
        with pytest.raises(RequestError, match=problem) as caught:
            run(converse(**kwargs))

        assert isinstance(caught.value, AirflowFailException)
        assert aws.request_counts() == {}
