"""Tools and schemas through the Converse operator, over HTTP; a retry goes on where the last try stopped."""

from __future__ import annotations

import json
import logging
from typing import Literal

import pytest
from airflow.sdk import DAG
from airflow_provider_aiml.exceptions import (
    AnswerMismatchError,
    BusyError,
    RequestError,
    ServiceRefusedError,
    StoredAnswerError,
    TurnLimitError,
)
from airflow_provider_aiml.operators.bedrock import BedrockConverseOperator
from pydantic import BaseModel
from tests.airflow_versions import AirflowFailException
from tests.unit.running import run

NOVA = "amazon.nova-pro-v1:0"
CLAUDE = "anthropic.claude-3-5-sonnet-20240620-v1:0"
LLAMA = "meta.llama3-1-8b-instruct-v1:0"
QUICK = {"attempts": 1}
CANARY = "CANARY-9b1d"
PLACE = "s3://bucket/answers/one.json"
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000030000000408020000000000000000")
PICTURE = {"format": "png", "source": {"bytes": PNG}}
NOTE = {"format": "txt", "name": "a", "source": {"bytes": b"x"}}
TWO_CALLS = 'use tool add with {"a": 1, "b": 2} then use tool add with {"a": 3, "b": 4}'


class Ticket(BaseModel):
    """A ticket."""

    urgency: Literal["low", "high"]
    count: int


SHAPE = {
    "type": "object",
    "properties": {"urgency": {"enum": ["low", "high"]}, "count": {"type": "integer"}},
    "required": ["urgency", "count"],
}


class Desk:
    """A tool that notes its calls and can break the worker."""

    def __init__(self, break_at: int | None = None) -> None:
        self.calls: list[tuple[int, int]] = []
        self.break_at = break_at

    def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        if self.break_at == len(self.calls):
            raise KeyboardInterrupt
        self.calls.append((a, b))
        return a + b


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def fail(text: str) -> str:
    """Fail."""
    raise RuntimeError(f"{CANARY} {text}")


def stop() -> str:
    """Stop."""
    raise AirflowFailException("enough")


def converse(**kwargs):
    given = {"task_id": "talk", "model_id": CLAUDE, "message": "Hello", "retry_args": QUICK, **kwargs}
    return BedrockConverseOperator(**given)


def asked(aws, model=CLAUDE):
    return [json.loads(seen.body) for seen in aws.invocations(model)]


class TestTools:
    def test_tools_run_and_the_usage_of_all_turns_is_added_up(self, aws):
        result = run(converse(message=TWO_CALLS, tools=[add]))

        assert "The tool add answered: " in result["text"]
        assert result["turns"] == 3
        called = {"name": "add", "status": "success"}
        assert result["tool_calls"] == [{"turn": 1, **called}, {"turn": 2, **called}]
        assert [message["role"] for message in result["history"]] == ["user", "assistant"] * 3
        assert result["usage"]["totalTokens"] > 100
        requests = asked(aws)
        assert [len(request["messages"]) for request in requests] == [1, 3, 5]
        assert all("toolSpec" in request["toolConfig"]["tools"][0] for request in requests)

    def test_a_conversation_with_tools_goes_on_with_them(self, aws, s3):
        first = run(converse(message=TWO_CALLS, tools=[add], history_uri="s3://bucket/talk.json"))
        second = run(
            converse(task_id="next", message="My turn", tools=[add], history_uri="s3://bucket/talk.json")
        )

        assert first["turns"] == 3
        assert "turn 2" in second["text"]
        assert run(converse(message=TWO_CALLS, tools=[add], history_uri="s3://bucket/talk.json")) == first

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_call_beside_the_stop_reason_end_turn_runs_and_the_conversation_goes_on(self, aws, s3, stream):
        odd = {"request_metadata": {"local-aws-fault": "calls-at-end-turn"}, "stream": stream}
        talk = {"tools": [add], "history_uri": "s3://bucket/talk.json"}

        result = run(converse(message=TWO_CALLS, **odd, **talk))

        assert [call["status"] for call in result["tool_calls"]] == ["success", "success"]
        assert "turn 2" in run(converse(task_id="next", message="And then?", **talk))["text"]

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("call", "told"),
        [
            ('functions.add with {"a": 1, "b": 2}', "There is no tool of that name; there are: add"),
            ("$READFILE with {}", "There is no tool of that name; there are: add"),
            ("add with [1, 2]", "The arguments do not fit"),
            ('add with "1, 2"', "The arguments do not fit"),
        ],
    )
    def test_a_call_that_no_request_can_carry_is_told_to_the_model_and_the_conversation_goes_on(
        self, aws, s3, call, told, stream
    ):
        talk = {"tools": [add], "history_uri": "s3://bucket/talk.json", "stream": stream}

        result = run(converse(message=f"use tool {call}", output_uri=PLACE, result_expression="@", **talk))

        assert told in result["text"]
        assert result["tool_calls"] == [{"turn": 1, "name": call.split()[0], "status": "error"}]
        assert "turn 2" in run(converse(task_id="next", message="And then?", **talk))["text"]

    def test_a_call_that_was_handed_back_is_answered_before_the_conversation_goes_on(self, aws, s3):
        spec = {"toolSpec": {"name": "lookup", "inputSchema": {"json": {"type": "object"}}}}
        talk = {"tool_config": {"tools": [spec]}, "history_uri": "s3://bucket/talk.json"}
        called = run(converse(message="use tool lookup", **talk))["message"]["content"][0]["toolUse"]
        result = {"toolUseId": called["toolUseId"], "content": [{"text": "found"}]}

        with pytest.raises(RequestError, match="message: is without the results of 1 of the calls of tools"):
            run(converse(task_id="next", message="And then?", **talk))
        answered = run(converse(task_id="next", message=[{"toolResult": result}], **talk))

        assert "The tool lookup answered: found" in answered["text"]
        assert len(asked(aws)) == 2

    @pytest.mark.parametrize(
        ("attached", "warned"), [({"images": PICTURE}, False), ({"documents": NOTE}, True)]
    )
    def test_the_result_of_a_call_comes_before_what_is_attached(self, aws, told, attached, warned):
        spec = {"toolSpec": {"name": "lookup", "inputSchema": {"json": {"type": "object"}}}}
        talk = {"model_id": NOVA, "tool_config": {"tools": [spec]}}
        called = run(converse(message="use tool lookup", **talk))
        use_id = called["message"]["content"][0]["toolUse"]["toolUseId"]
        answer = [{"text": "There"}, {"toolResult": {"toolUseId": use_id, "content": [{"text": "found"}]}}]

        run(converse(task_id="next", message=answer, history=called["history"], **talk, **attached))

        first = asked(aws, NOVA)[1]["messages"][-1]["content"][0]
        assert first["toolResult"]["toolUseId"] == use_id
        assert ("beside the result of a tool" in told.text) is warned

    def test_a_tool_that_fails_is_told_to_the_model_and_nothing_of_it_to_the_log(self, aws, told):
        logging.getLogger("botocore").setLevel(logging.DEBUG)
        message = f'use tool fail with {{"text": "{CANARY}"}} and use tool {CANARY} with {{}}'

        result = run(converse(message=message, tools=[fail]))

        assert [call["status"] for call in result["tool_calls"]] == ["error", "error"]
        assert "answered: The tool failed: RuntimeError" in result["text"]
        assert CANARY not in told.text

    def test_a_tool_may_fail_the_task(self, aws):
        with pytest.raises(AirflowFailException, match="enough"):
            run(converse(message="use tool stop with {}", tools=[stop]))

    def test_a_loop_without_end_is_ended(self, aws, s3, read):
        forever = {"message": "use tool add forever", "tools": [add], "max_turns": "4", "output_uri": PLACE}

        with pytest.raises(TurnLimitError, match="after 4 turns"):
            run(converse(**forever))
        with pytest.raises(TurnLimitError):
            run(converse(**forever), try_number=2)

        assert len(asked(aws)) == 4
        assert json.loads(read("answers/one.json"))["stopReason"] == "tool_use"
        with pytest.raises(TurnLimitError, match="after 5 turns"):
            run(converse(**{**forever, "max_turns": 5}), try_number=3)
        assert len(asked(aws)) == 5

    def test_a_limit_of_tokens_ends_the_loop(self, aws):
        with pytest.raises(TurnLimitError, match="tokens were used"):
            run(converse(message="use tool add forever", tools=[add], max_total_tokens=300, max_turns=99))

        assert 1 < len(asked(aws)) < 20

    def test_a_later_turn_over_the_input_limit_is_not_sent(self, aws):
        with pytest.raises(TurnLimitError, match="max_input_tokens") as caught:
            run(converse(message="use tool add forever", tools=[add], max_input_tokens=150, max_turns=99))

        assert 1 < len(asked(aws)) < 20
        assert caught.value.result["turns"] == len(asked(aws))
        assert caught.value.result["message"]["content"][0]["toolUse"]["name"] == "add"

    def test_a_worker_that_dies_in_a_tool_goes_on_there_and_pays_for_no_turn_twice(self, aws, s3):
        ask = {"message": TWO_CALLS, "output_uri": "s3://bucket/answers/"}
        broken, whole = Desk(break_at=1), Desk()

        with pytest.raises(KeyboardInterrupt):
            run(converse(tools=[broken.add], **ask))
        result = run(converse(tools=[whole.add], **ask), try_number=2)
        again = run(converse(tools=[whole.add], **ask), try_number=3)

        assert (broken.calls, whole.calls) == ([(1, 2)], [(3, 4)])
        assert result == again
        assert result["turns"] == 3
        assert len(asked(aws)) == 3

    def test_a_turn_that_the_service_refuses_is_tried_again_and_no_other(self, aws, s3):
        ask = {"message": TWO_CALLS, "tools": [add], "output_uri": PLACE}
        done = []

        class Busy(BedrockConverseOperator):
            def converse(self, request):
                if done:
                    raise BusyError("later")
                done.append(True)
                return super().converse(request)

        with pytest.raises(BusyError):
            run(Busy(task_id="talk", model_id=CLAUDE, **ask))
        run(converse(**ask), try_number=2)

        assert len(asked(aws)) == 3

    def test_a_later_turn_that_fails_gives_those_before_it_with_its_error(self, aws):
        class Busy(BedrockConverseOperator):
            def converse(self, request):
                if len(request["messages"]) > 1:
                    raise BusyError("later")
                return super().converse(request)

        with pytest.raises(BusyError) as caught:
            run(Busy(task_id="talk", model_id=CLAUDE, message=TWO_CALLS, tools=[add]))

        assert caught.value.may_have_been_billed
        (turn,) = json.loads(caught.value.partial_body)["turns"]
        assert turn["reply"][0]["toolResult"]["content"] == [{"json": {"result": 3}}]
        assert "partial" not in str(caught.value)

    def test_turns_that_cannot_be_read_are_never_bought_again_in_silence(self, aws, s3):
        s3.put_object(Bucket="bucket", Key="answers/one.json.turns.json", Body=b"{cut")

        with pytest.raises(StoredAnswerError, match=r"one.json.turns.json is not a record"):
            run(converse(message=TWO_CALLS, tools=[add], output_uri=PLACE))
        assert asked(aws) == []

    def test_reinvoke_begins_anew(self, aws, s3):
        for _ in range(2):
            run(converse(message=TWO_CALLS, tools=[add], output_uri=PLACE, reinvoke=True))

        assert len(asked(aws)) == 6

    def test_another_question_at_the_same_place_begins_anew(self, aws, s3):
        run(converse(message=TWO_CALLS, tools=[add], output_uri=PLACE))
        run(converse(message="use tool add", tools=[add], output_uri=PLACE))

        assert len(asked(aws)) == 5

    def test_tools_of_both_kinds_are_offered_and_foreign_calls_handed_back(self, aws):
        spec = {"toolSpec": {"name": "lookup", "inputSchema": {"json": {"type": "object"}}}}

        result = run(converse(message="use tool lookup", tools=[add], tool_config={"tools": [spec]}))

        assert result["stop_reason"] == "tool_use"
        assert len(asked(aws)[0]["toolConfig"]["tools"]) == 2
        assert result["tool_calls"] == []

    def test_a_cache_point_behind_the_tools_covers_those_that_run_here(self, aws):
        spec = {"toolSpec": {"name": "lookup", "inputSchema": {"json": {"type": "object"}}}}
        point = {"cachePoint": {"type": "default"}}

        run(converse(tools=[add], tool_config={"tools": [spec, point]}))

        (request,) = asked(aws)
        offered = request["toolConfig"]["tools"]
        assert [tool.get("toolSpec", {}).get("name") for tool in offered] == ["lookup", "add", None]

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ({"tools": [lambda x: x]}, r"tools\[0\]"),
            ({"tools": "add"}, "tools: is text"),
            ({"max_turns": 0}, "max_turns: is 0"),
            ({"max_total_tokens": 0}, "max_total_tokens: is 0"),
            ({"schema_retries": -1}, "schema_retries: is -1"),
            ({"max_turns": "many"}, "max_turns"),
            ({"fail_on": ["tired"]}, "fail_on"),
            ({"stamp_metadata": "perhaps"}, "stamp_metadata"),
            ({"output_schema": {"type": "thing"}}, r"output_schema\['type'\]"),
            ({"output_schema": SHAPE, "output_config": {"textFormat": {}}}, "output_config.textFormat"),
            (
                {"output_schema": SHAPE, "tool_config": {"tools": [{"toolSpec": {"name": "x"}}]}},
                "tool_config",
            ),
            ({"tool_config": "text"}, "tool_config: is a str"),
            ({"tool_config": {"tools": 5}}, "tool_config.tools: is a int"),
            ({"tool_config": {"tools": "add"}, "tools": [add]}, "tool_config.tools: is a str"),
            ({"validate": 5}, "validate: is an int"),
            ({"validate": b"x", "tools": [add]}, "validate: is 1 bytes"),
            ({"validate": object()}, "validate: is a object"),
            ({"message": [{"citationsContent": 5}]}, r"message\[0\].citationsContent: is an int"),
        ],
    )
    def test_bad_input_is_refused_before_any_call(self, aws, arguments, problem):
        with pytest.raises(RequestError, match=problem):
            run(converse(**arguments))
        assert asked(aws) == []

    def test_a_mapped_task_with_tools_and_a_schema_can_be_serialized(self):
        from tests.airflow_versions import DagSerialization

        with DAG("dag", schedule=None) as dag:
            converse(task_id="plain", tools=[add], output_schema=Ticket, documents=["s3://b/k"])
            BedrockConverseOperator.partial(
                task_id="mapped", model_id=CLAUDE, tools=[add], output_schema=SHAPE
            ).expand(message=["a", "b"])

        assert json.dumps(DagSerialization.to_dict(dag))


class TestSchema:
    def test_the_validated_object_is_what_xcom_holds(self, aws):
        result = run(converse(message="a high one, 7 times", output_schema=Ticket))

        assert result == {"urgency": "high", "count": 7}
        assert "outputConfig" in asked(aws)[0]

    def test_a_model_that_refuses_the_native_way_is_asked_by_a_forced_tool(self, aws):
        result = run(converse(model_id=NOVA, message="a high one, 7 times", output_schema=SHAPE))

        assert result == {"urgency": "high", "count": 7}
        (request,) = [one for one in asked(aws, NOVA) if "toolConfig" in one]
        assert request["toolConfig"]["toolChoice"] == {"tool": {"name": "give_answer"}}

    def test_a_shape_with_bounds_goes_natively_too(self, aws):
        bounded = {**SHAPE, "properties": {**SHAPE["properties"], "count": {"type": "integer", "minimum": 5}}}

        assert run(converse(message="low", output_schema=bounded)) == {"urgency": "low", "count": 5}
        (request,) = asked(aws)
        assert "outputConfig" in request

    @pytest.mark.parametrize("tools", [[], [add]])
    @pytest.mark.parametrize("mode", ["auto", "tool"])
    def test_a_model_that_cannot_be_forced_is_offered_the_answers_tool(self, aws, mode, tools):
        ask = {"message": "low 3", "output_schema": SHAPE, "schema_mode": mode, "tools": tools}

        output, turns = run(converse(model_id=LLAMA, result_expression="[output, turns]", **ask))

        assert set(output) == {"urgency", "count"}
        assert turns == 2, "it talks first, and is corrected"
        paid = [one for one in asked(aws, LLAMA) if "toolConfig" in one]
        assert not any("toolChoice" in one["toolConfig"] for one in paid[-2:])

    def test_the_native_way_alone_can_be_asked_for(self, aws):
        with pytest.raises(ServiceRefusedError, match="ValidationException"):
            run(converse(model_id=NOVA, output_schema=SHAPE, schema_mode="native"))
        assert run(converse(message="low 1", output_schema=SHAPE, schema_mode="tool"))["count"] == 1

    def test_an_expression_sees_the_whole_result(self, aws):
        expression = "[output.count, usage.totalTokens > `0`, stop_reason, turns, length(history)]"

        result = run(converse(message="low 3", output_schema=json.dumps(SHAPE), result_expression=expression))

        assert result == [3, True, "end_turn", 1, 2]

    def test_with_a_place_the_object_is_still_what_xcom_holds(self, aws, s3, read):
        ask = {"message": "low 3", "output_schema": SHAPE, "output_uri": PLACE}

        assert run(converse(**ask)) == run(converse(**ask), try_number=2) == {"urgency": "low", "count": 3}
        assert len(asked(aws)) == 1
        assert json.loads(read("answers/one.json"))["output"]

    def test_an_answer_that_does_not_fit_is_corrected_and_both_turns_are_paid_once(self, aws, s3, told):
        """A schema that the stand-in fits, and a model whose own rule it breaks at first."""

        class Odd(Ticket):
            @classmethod
            def model_validate_json(cls, text, **more):
                if tries.pop():
                    return super().model_validate_json('{"urgency": "none", "count": 1}')
                return super().model_validate_json(text, **more)

        tries = [False, True]
        ask = {"message": "low 3", "output_schema": Odd, "output_uri": PLACE, "schema_mode": "tool"}
        whole = "[output.count, turns, usage.totalTokens]"

        count, turns, tokens = run(converse(**ask, result_expression=whole))

        assert (count, turns) == (3, 2)
        assert tokens > 0
        assert "correction 1 of 2" in told.text
        tries.append(False)
        assert run(converse(**ask, result_expression=whole), try_number=2) == [count, turns, tokens]
        assert len(asked(aws)) == 2

    def test_an_answer_that_never_fits_fails_by_path_and_rule_and_is_kept(self, aws, s3, read, told):
        # The stand-in puts no limit on the length of what it says; the model's cut makes its JSON unreadable.
        ask = {"message": f'Say "{CANARY}" 3', "output_schema": SHAPE, "max_tokens": 2, "fail_on": []}

        with pytest.raises(AnswerMismatchError, match=r"after 1 corrections: \$: is text of") as caught:
            run(converse(**ask, schema_retries=1, output_uri=PLACE))

        assert isinstance(caught.value, AirflowFailException)
        assert len(asked(aws)) == 2
        assert json.loads(read("answers/one.json"))["stopReason"] == "max_tokens"
        assert CANARY not in told.text
        with pytest.raises(AnswerMismatchError):
            run(converse(**ask, schema_retries=1, output_uri=PLACE), try_number=2)
        assert len(asked(aws)) == 2

    @pytest.mark.parametrize("stream", [False, True])
    def test_an_answer_by_the_tool_that_is_no_object_is_corrected(self, aws, stream):
        request = {"message": 'use tool give_answer with "low 3"', "tools": [add], "stream": stream}

        assert set(run(converse(output_schema=SHAPE, schema_mode="tool", **request))) == {"urgency", "count"}
        assert len(asked(aws)) == 2

    def test_a_conversation_goes_on_behind_an_answer_of_a_shape(self, aws, s3):
        place = "s3://bucket/talk.json"
        first = run(converse(model_id=NOVA, message="low 3", output_schema=SHAPE, history_uri=place))
        second = run(converse(model_id=NOVA, task_id="b", message="And?", history_uri=place))

        assert first["count"] == 3
        assert "turn 2" in second["text"]
        again = run(converse(model_id=NOVA, message="low 3", output_schema=SHAPE, history_uri=place))
        assert again == first

    def test_tools_and_a_schema_go_together(self, aws):
        message = 'use tool add with {"a": 1, "b": 2}'

        for model in (CLAUDE, NOVA):
            result = run(
                converse(
                    model_id=model,
                    message=message,
                    tools=[add],
                    output_schema=SHAPE,
                    result_expression="[output, turns]",
                )
            )
            assert set(result[0]) == {"urgency", "count"}
