"""The Converse operator with answers that the local AWS does not give: empty, blank, newer than botocore."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow_provider_aiml.exceptions import AnswerStoppedError, InferenceError, RequestError, ResponseError
from airflow_provider_aiml.inference.requests import check_request, load_operation
from airflow_provider_aiml.local_aws.bedrock.converse_rules import check_messages
from airflow_provider_aiml.local_aws.bedrock.model_ids import find_model
from airflow_provider_aiml.operators.bedrock import BedrockApplyGuardrailOperator, BedrockConverseOperator
from tests.unit.running import run

CLAUDE = "anthropic.claude-3-5-sonnet-20240620-v1:0"
PROMPT = "arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:1"
SUM = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
CANARY = "CANARY-90c1"
UNSAID = "[no text]"


class Model:
    """Stands where the hook does: holds each request against AWS's rules, and answers what it was told to."""

    conn_region_name = "us-east-1"
    conn_config = None

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def check(self, operation, members):
        check_request(load_operation("bedrock-runtime", operation), members)

    def converse(self, **members):
        check_messages(
            find_model(CLAUDE), check_request(load_operation("bedrock-runtime", "Converse"), members)
        )
        return self._answer(members)

    def converse_stream(self, **members):
        return {"stream": Events(self._answer(members))}

    def count_tokens(self, **members):
        return {"inputTokens": 1}

    def _answer(self, members):
        self.requests.append(members)
        return self.answers.pop(0)


class Events(list):
    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def said(*blocks, stop="end_turn"):
    message = {"role": "assistant", "content": list(blocks)}
    usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
    return {"output": {"message": message}, "stopReason": stop, "usage": usage, "metrics": {"latencyMs": 1}}


def text(words):
    return said({"text": words})


def use(name, arguments=None):
    return {"toolUse": {"toolUseId": "t1", "name": name, "input": arguments or {}}}


def converse(model, **kwargs):
    task = BedrockConverseOperator(**{"task_id": "talk", "model_id": CLAUDE, "message": "Hello", **kwargs})
    task.__dict__["hook"] = model
    return task


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@pytest.fixture
def place(tmp_path):
    return f"file://{tmp_path}/talk.json"


@pytest.fixture
def folder(tmp_path):
    return f"file://{tmp_path}/answers/"


class TestWhatNoRequestCanCarry:
    @pytest.mark.parametrize("blocks", [[], [{"text": ""}], [{"text": " "}]])
    def test_an_empty_answer_does_not_end_a_conversation(self, place, blocks):
        model = Model(said(*blocks), text("ok"))

        first = run(converse(model, history_uri=place))
        again = run(converse(model, history_uri=place), try_number=2)
        run(converse(model, history_uri=place, message="Again?"), run_id="later")

        assert first == again
        assert first["message"]["content"] == blocks
        assert model.requests[1]["messages"][1]["content"] == [{"text": UNSAID}]

    def test_an_empty_answer_in_a_list_does_not_end_it_either(self):
        model = Model(said(), text("ok"))
        first = run(converse(model))

        assert run(converse(model, history=first["history"]))["text"] == "ok"
        assert first["message"]["content"] == []

    def test_blank_text_beside_a_call_is_not_sent_back(self, folder):
        model = Model(said({"text": ""}, use("add", {"a": 1, "b": 2}), stop="tool_use"), text("3"))

        result = run(converse(model, tools=[add], output_uri=folder, result_expression="@"))

        assert result["text"] == "3"
        assert model.requests[1]["messages"][1]["content"] == [use("add", {"a": 1, "b": 2})]

    @pytest.mark.parametrize("mode", ["native", "tool"])
    def test_an_empty_answer_is_corrected(self, mode):
        model = Model(said(), text('{"sum": 1}'))

        assert run(converse(model, output_schema=SUM, schema_mode=mode)) == {"sum": 1}

    @pytest.mark.parametrize("stream", [False, True])
    def test_an_answer_with_what_botocore_does_not_know_fails_and_is_kept(self, place, folder, stream):
        unknown = {"SDK_UNKNOWN_MEMBER": {"name": "hologram"}}
        start = {"contentBlockStart": {"contentBlockIndex": 0, "start": unknown}}
        events = Events([{"messageStart": {"role": "assistant"}}, start])
        model = Model(events if stream else said({"text": CANARY}, unknown))

        with pytest.raises(ResponseError, match="not known: hologram") as caught:
            run(converse(model, history_uri=place, output_uri=folder, stream=stream))

        assert isinstance(caught.value, InferenceError)
        (partial,) = Path(folder.removeprefix("file://")).glob("*.partial")
        assert stream or CANARY in partial.read_text()
        assert not Path(place.removeprefix("file://")).exists()

    def test_a_managed_prompt_without_a_message_begins_no_conversation(self, place):
        model = Model()

        with pytest.raises(RequestError, match=r"message: is missing, beside history_uri"):
            run(converse(model, model_id=PROMPT, message=None, history_uri=place))
        assert model.requests == []


@pytest.mark.parametrize("reason", ["content_filtered", "guardrail_intervened"])
def test_a_stream_that_is_stopped_within_a_tools_input_follows_fail_on(reason):
    start = {"toolUse": {"toolUseId": "t1", "name": "add"}}
    events = [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockStart": {"contentBlockIndex": 0, "start": start}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"toolUse": {"input": '{"a": 1, "b'}}}},
        {"messageStop": {"stopReason": reason}},
        {"metadata": {"usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}}},
    ]

    with pytest.raises(AnswerStoppedError, match=reason):
        run(converse(Model(events), stream=True, tools=[add]))
    accepted = run(converse(Model(events), stream=True, tools=[add], fail_on=[]))
    assert accepted["message"]["content"][0]["toolUse"]["input"] == '{"a": 1, "b'


class TestHalfACharacter:
    """Models write half of a surrogate pair, which JSON can say, but neither UTF-8 nor XCom."""

    HALF = "smile \ud83d"
    GIVEN = "smile \ufffd"

    @pytest.mark.parametrize("tools", [None, [add]])
    def test_it_is_kept_as_it_came_and_given_as_xcom_carries_it(self, folder, place, tools):
        model = Model(text(self.HALF))
        ask = {"output_uri": folder, "history_uri": place, "tools": tools}

        first = run(converse(model, **ask, result_expression="[text, output_uri]"))
        Path(place.removeprefix("file://")).unlink()
        again = run(converse(model, **ask, result_expression="text"), try_number=2)

        assert first[0] == again == self.GIVEN
        assert len(model.requests) == 1
        kept = json.loads(Path(first[1].removeprefix("file://")).read_bytes())
        assert kept["output"]["message"]["content"] == [{"text": self.HALF}]

    def test_a_conversation_goes_on_after_it(self, place):
        model = Model(text(self.HALF), text("ok"))

        assert run(converse(model, history_uri=place))["message"]["content"] == [{"text": self.GIVEN}]

        assert run(converse(model, history_uri=place), run_id="later")["text"] == "ok"
        assert model.requests[1]["messages"][1]["content"] == [{"text": self.GIVEN}]

    def test_a_tool_may_return_it(self):
        def smile() -> str:
            """Smile."""
            return self.HALF

        model = Model(said(use("smile"), stop="tool_use"), text("ok"))

        assert run(converse(model, tools=[smile]))["text"] == "ok"

    def test_a_stream_that_gives_it_to_a_tool_is_kept(self, folder):
        start = {"toolUse": {"toolUseId": "t1", "name": "give_answer"}}
        events = [
            {"messageStart": {"role": "assistant"}},
            {"contentBlockStart": {"contentBlockIndex": 0, "start": start}},
            {
                "contentBlockDelta": {
                    "contentBlockIndex": 0,
                    "delta": {"toolUse": {"input": r'{"a": "\ud83d"}'}},
                }
            },
            {"messageStop": {"stopReason": "tool_use"}},
            {"metadata": {"usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}}},
        ]
        ask = {"output_schema": {"type": "object"}, "schema_mode": "tool", "output_uri": folder}

        assert run(converse(Model(events), stream=True, **ask)) == {"a": "\ufffd"}

    def test_the_kept_answer_of_a_guardrail_may_hold_it(self):
        task = BedrockApplyGuardrailOperator(
            task_id="guard", guardrail_identifier="g", guardrail_version="1", source="INPUT", content="x"
        )

        answer = task.answer_of({"action": "NONE", "outputs": [{"text": self.HALF}]})

        assert answer.response("ApplyGuardrail")["outputs"] == [{"text": self.HALF}]
