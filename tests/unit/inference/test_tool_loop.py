from __future__ import annotations

import json
import logging

import pytest
from airflow_provider_aiml.exceptions import (
    AnswerMismatchError,
    AnswerStoppedError,
    BusyError,
    ServiceRefusedError,
    TurnLimitError,
)
from airflow_provider_aiml.inference.output_schema import OutputSchema
from airflow_provider_aiml.inference.structured_output import ANSWER_TOOL
from airflow_provider_aiml.inference.tool_calls import ToolBox
from airflow_provider_aiml.inference.tool_loop import Limits, ToolLoop
from airflow_provider_aiml.inference.tool_schemas import read_tools
from airflow_provider_aiml.inference.turns import Progress
from hypothesis import given
from hypothesis import strategies as st

SECRET = "CANARY-51c7"
REQUEST = {"model_id": "m", "messages": [{"role": "user", "content": [{"text": "go"}]}]}
SUM = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
USAGE = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}


class Stop(Exception):
    """Ends the task."""


class Tools:
    """Tools that note when they run."""

    def __init__(self):
        self.ran = []

    def add(self, a: int, b: int) -> int:
        """Add."""
        self.ran.append(("add", a, b))
        return a + b

    def fail(self) -> str:
        """Fail."""
        self.ran.append(("fail",))
        raise RuntimeError(SECRET)

    def end(self) -> None:
        """End."""
        raise Stop

    def box(self, **options):
        return ToolBox(read_tools([self.add, self.fail, self.end]), let_through=(Stop,), **options)


def text(said, stop="end_turn", **more):
    return reply({"text": said}, stop=stop, **more)


def reply(*blocks, stop="tool_use", **more):
    message = {"role": "assistant", "content": list(blocks)}
    metrics = {"latencyMs": 20}
    return {"output": {"message": message}, "stopReason": stop, "usage": USAGE, "metrics": metrics, **more}


def use(name, arguments=None, use_id="t1", **more):
    return {"toolUse": {"toolUseId": use_id, "name": name, "input": arguments or {}, **more}}


class Model:
    """Gives the answers that it was given; an exception is raised."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def __call__(self, request):
        self.requests.append(json.loads(json.dumps(request)))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def loop(model, box=None, saved=None, **options):
    def save(progress):
        if saved is not None:
            saved.append(progress.to_json("id"))

    return ToolLoop(REQUEST, model, save, tools=box or Tools().box(), **options)


def results_of(request):
    return [block["toolResult"] for block in request["messages"][-1]["content"]]


def test_an_answer_without_tools_is_the_outcome():
    outcome = loop(Model(text("hi"))).run(Progress())

    assert outcome.message == {"role": "assistant", "content": [{"text": "hi"}]}
    assert outcome.said == [outcome.message]
    assert (outcome.turns, outcome.usage, outcome.tool_calls) == (1, USAGE, [])


def test_tools_run_in_order_and_their_results_go_back_to_the_model():
    tools = Tools()
    calls = [use("add", {"a": 1, "b": 2}, "t1"), use("add", {"a": 3, "b": 4}, "t2")]
    model = Model(reply({"text": "Let me see"}, *calls), text("3 and 7"))

    outcome = loop(model, tools.box()).run(Progress())

    assert tools.ran == [("add", 1, 2), ("add", 3, 4)]
    said = results_of(model.requests[1])
    assert [result["content"] for result in said] == [[{"json": {"result": 3}}], [{"json": {"result": 7}}]]
    assert [result["toolUseId"] for result in said] == ["t1", "t2"]
    assert [message["role"] for message in outcome.said] == ["assistant", "user", "assistant"]
    assert outcome.usage == {"inputTokens": 20, "outputTokens": 10, "totalTokens": 30}
    assert outcome.metrics == {"latencyMs": 40}
    called = {"turn": 1, "name": "add", "status": "success"}
    assert outcome.tool_calls == [called, called]


@pytest.mark.parametrize("reason", ["end_turn", "stop_sequence"])
def test_a_call_runs_whatever_unremarkable_reason_the_model_stopped_for(reason):
    tools = Tools()
    model = Model(reply({"text": "I add"}, use("add", {"a": 1, "b": 2}), stop=reason), text("3"))

    outcome = loop(model, tools.box()).run(Progress())

    assert tools.ran == [("add", 1, 2)]
    assert [result["toolUseId"] for result in results_of(model.requests[1])] == ["t1"]
    assert outcome.said[-1]["content"] == [{"text": "3"}], "no call is left without its result"


@pytest.mark.parametrize("mode", ["native", "tool"])
def test_beside_a_schema_a_call_runs_too_whatever_the_reason_and_costs_no_correction(mode):
    tools = Tools()
    calls = reply({"text": "I add"}, use("add", {"a": 2, "b": 2}), stop="end_turn")
    answer = text('{"sum": 4}') if mode == "native" else reply(use(ANSWER_TOOL, {"sum": 4}), stop="end_turn")
    limits = Limits(schema_retries=0)

    outcome = loop(
        Model(calls, answer), tools.box(), schema=OutputSchema.of(SUM), modes=(mode,), limits=limits
    ).run(Progress())

    assert tools.ran == [("add", 2, 2)]
    assert (outcome.output, outcome.turns) == ({"sum": 4}, 2)


def test_a_tool_that_raises_is_told_to_the_model_and_not_to_the_log(caplog):
    caplog.set_level(logging.DEBUG)
    model = Model(reply(use("fail")), text("It failed"))

    outcome = loop(model).run(Progress())

    (result,) = results_of(model.requests[1])
    assert SECRET in result["content"][0]["text"]
    assert outcome.tool_calls[0]["status"] == "error"
    assert SECRET not in caplog.text
    assert "The tool fail failed with a RuntimeError" in caplog.text


def test_an_unknown_tool_is_told_to_the_model_with_the_names_there_are(caplog):
    model = Model(reply(use(SECRET)), text("Sorry"))

    loop(model).run(Progress())

    (result,) = results_of(model.requests[1])
    assert result["content"][0]["text"].endswith("there are: add, end, fail")
    assert SECRET not in caplog.text


def test_bad_arguments_are_told_to_the_model_and_the_tool_does_not_run(caplog):
    tools = Tools()
    model = Model(reply(use("add", {"a": SECRET})), text("Sorry"))

    loop(model, tools.box()).run(Progress())

    (result,) = results_of(model.requests[1])
    assert "b: Field required" in result["content"][0]["text"]
    assert tools.ran == []
    assert SECRET not in caplog.text


def test_an_error_that_is_let_through_ends_the_task():
    with pytest.raises(Stop):
        loop(Model(reply(use("end")))).run(Progress())


def test_a_result_that_cannot_be_written_is_a_failure_of_the_tool():
    def number() -> float:
        return float("nan")

    def thing() -> object:
        return object()

    box = ToolBox(read_tools([number]) | {"thing": read_tools([thing])["thing"]})
    model = Model(reply(use("number"), use("thing", use_id="t2")), text("Sorry"))

    outcome = loop(model, box).run(Progress())

    assert [called["status"] for called in outcome.tool_calls] == ["error", "error"]
    assert all("The tool failed" in said["content"][0]["text"] for said in results_of(model.requests[1]))


@pytest.mark.parametrize(
    ("returned", "content"),
    [
        ("text", [{"text": "text"}]),
        ("", [{"text": "(empty)"}]),
        ({"a": (1, 2)}, [{"json": {"a": [1, 2]}}]),
        ([1], [{"json": {"result": [1]}}]),
        (None, [{"json": {"result": None}}]),
    ],
)
def test_what_a_tool_returns_becomes_text_or_a_json_object(returned, content):
    def give():
        return returned

    model = Model(reply(use("give")), text("ok"))
    loop(model, ToolBox(read_tools([give]))).run(Progress())

    assert results_of(model.requests[1])[0]["content"] == content


def test_a_loop_without_end_is_ended_and_what_there_is_is_kept():
    model = Model(*[reply({"text": SECRET}, use("add", {"a": 1, "b": 1}))] * 9)
    tools = Tools()

    with pytest.raises(TurnLimitError, match="still asks for tools after 3 turns") as caught:
        loop(model, tools.box(), limits=Limits(max_turns=3)).run(Progress())

    assert len(model.requests) == 3
    assert len(tools.ran) == 2, "what the third turn asks for could never be told to the model"
    assert caught.value.result["turns"] == 3
    assert caught.value.result["usage"]["totalTokens"] == 45
    assert SECRET in str(caught.value.result)
    assert SECRET not in str(caught.value)


def test_a_limit_of_tokens_ends_the_loop_before_the_next_request():
    model = Model(*[reply(use("add", {"a": 1, "b": 1}))] * 9)
    tools = Tools()

    with pytest.raises(TurnLimitError, match="30 tokens were used by 2 turns"):
        loop(model, tools.box(), limits=Limits(max_total_tokens=30)).run(Progress())

    assert (len(model.requests), len(tools.ran)) == (2, 1)


def test_a_limit_that_was_raised_goes_on_with_the_tools_that_were_asked_for():
    model = Model(reply(use("add", {"a": 1, "b": 2})), text("3"))
    tools, progress = Tools(), Progress()

    with pytest.raises(TurnLimitError):
        loop(model, tools.box(), limits=Limits(max_turns=1)).run(progress)
    outcome = loop(model, tools.box(), limits=Limits(max_turns=2)).run(progress)

    assert tools.ran == [("add", 1, 2)]
    assert outcome.turns == 2


def test_tools_that_do_not_run_here_are_handed_back():
    calls = [use("add", {"a": 1, "b": 1}), use("elsewhere", use_id="t2")]
    tools = Tools()

    outcome = loop(Model(reply(*calls)), tools.box(declared=frozenset({"elsewhere"}))).run(Progress())

    assert outcome.message["content"] == calls
    assert tools.ran == []


def test_tools_that_the_service_runs_are_none_of_ours():
    outcome = loop(Model(reply(use("search", type="server_tool_use")))).run(Progress())

    assert outcome.turns == 1


def test_a_task_without_tools_hands_every_call_back():
    assert loop(Model(reply(use("add"))), ToolBox({})).run(Progress()).turns == 1


@pytest.mark.parametrize("reason", ["max_tokens", "content_filtered", "guardrail_intervened"])
def test_a_stop_that_fails_the_task_keeps_the_partial_answer_out_of_its_message(reason):
    with pytest.raises(AnswerStoppedError) as caught:
        loop(Model(text(SECRET, stop=reason))).run(Progress())

    assert caught.value.stop_reason == reason
    assert SECRET in str(caught.value.result)
    assert SECRET not in str(caught.value)


def test_a_call_that_was_cut_off_is_never_run():
    tools = Tools()
    cut = reply({"text": "So"}, use("add", {"a": 1, "b": 1}), stop="max_tokens")

    outcome = loop(Model(cut), tools.box(), fail_on=()).run(Progress())

    assert tools.ran == []
    assert outcome.message == cut["output"]["message"]
    assert outcome.said == [{"role": "assistant", "content": [{"text": "So"}]}], "no result will follow it"
    assert outcome.response["stopReason"] == "max_tokens"


def test_each_request_can_be_looked_at_before_it_is_sent():
    seen = []
    model = Model(reply(use("add", {"a": 1, "b": 2})), text("3"))

    loop(model, before_request=lambda *given: seen.append(given)).run(Progress())

    assert [len(request["messages"]) for request, _ in seen] == [1, 3]
    (_, nothing), (_, so_far) = seen
    assert nothing is None
    assert (so_far["turns"], so_far["usage"]) == (1, USAGE)
    assert so_far["message"]["content"] == [use("add", {"a": 1, "b": 2})]


def test_a_refusal_that_does_not_concern_the_schema_is_raised():
    denied = Model(ServiceRefusedError("no", code="AccessDenied"))
    with pytest.raises(ServiceRefusedError):
        loop(denied, schema=OutputSchema.of(SUM)).run(Progress())
    with pytest.raises(ServiceRefusedError):
        loop(Model(ServiceRefusedError("no", code="ValidationException"))).run(Progress())


def test_bytes_in_an_answer_go_back_to_the_model_as_bytes():
    redacted = {"reasoningContent": {"redactedContent": b"\x00\xff"}}
    requests = []

    def converse(request):
        requests.append(request)
        return reply(redacted, use("add", {"a": 1, "b": 1})) if len(requests) == 1 else text("2")

    outcome = loop(converse).run(Progress())

    assert requests[1]["messages"][1]["content"][0] == redacted
    assert json.dumps(outcome.said)


def test_a_refusal_at_the_beginning_of_a_stream_is_one_too():
    model = Model(ServiceRefusedError("no", code="validationException"), reply(use(ANSWER_TOOL, {"sum": 4})))

    assert loop(model, ToolBox({}), schema=OutputSchema.of(SUM)).run(Progress()).output == {"sum": 4}


def test_natively_refused_a_schema_is_asked_for_by_the_tool_and_stays_with_it():
    refusal = ServiceRefusedError("no", code="ValidationException")
    answers = [reply(use(ANSWER_TOOL, {"sum": "x"})), reply(use(ANSWER_TOOL, {"sum": 4}, "t2"))]
    model = Model(refusal, *answers)

    outcome = loop(model, schema=OutputSchema.of(SUM)).run(Progress())

    assert outcome.output == {"sum": 4}
    assert ["output_config" in request for request in model.requests] == [True, False, False]
    assert "does not fit" in results_of(model.requests[2])[0]["content"][0]["text"]
    assert outcome.said == [{"role": "assistant", "content": [{"text": '{"sum": 4}'}]}]
    assert outcome.usage["totalTokens"] == 30


def test_an_answer_of_the_wrong_shape_is_corrected_as_often_as_allowed():
    model = Model(text("4"), text('{"sum": "4"}'), text('{"sum": 4}'))

    outcome = loop(model, schema=OutputSchema.of(SUM)).run(Progress())

    assert outcome.output == {"sum": 4}
    assert outcome.turns == 3
    assert outcome.usage["totalTokens"] == 45
    assert outcome.said == [outcome.message]
    assert "does not fit" in model.requests[1]["messages"][-1]["content"][0]["text"]


def test_an_answer_that_never_fits_fails_with_path_and_rule_and_without_its_value():
    model = Model(*[text(json.dumps({"sum": SECRET}))] * 9)

    with pytest.raises(AnswerMismatchError, match=r"\$\.sum: is text of 11 characters") as caught:
        loop(model, ToolBox({}), schema=OutputSchema.of(SUM), limits=Limits(schema_retries=1)).run(Progress())

    assert len(model.requests) == 2
    assert SECRET in str(caught.value.result)
    assert SECRET not in str(caught.value)
    assert caught.value.problems


def test_tools_and_a_schema_go_together_in_both_ways():
    native = Model(reply(use("add", {"a": 2, "b": 2})), text('{"sum": 4}'))
    by_tool = Model(reply(use("add", {"a": 2, "b": 2})), reply(use(ANSWER_TOOL, {"sum": 4}, "t2")))

    for model, mode in ((native, "native"), (by_tool, "tool")):
        outcome = loop(model, schema=OutputSchema.of(SUM), modes=(mode,)).run(Progress())
        assert outcome.output == {"sum": 4}
        assert len(outcome.said) == 3
        assert outcome.said[-1]["content"] == [{"text": '{"sum": 4}'}]


def test_an_answer_forgotten_beside_tools_is_forced_once_whatever_the_retries():
    model = Model(text("It is 4"), reply(use(ANSWER_TOOL, {"sum": 4})))
    request = {**REQUEST, "tool_config": {"tools": [tool.spec for tool in Tools().box().tools.values()]}}
    machine = loop(model, schema=OutputSchema.of(SUM), modes=("tool",), limits=Limits(schema_retries=0))
    machine.request = request

    assert machine.run(Progress()).output == {"sum": 4}
    choices = [sent["tool_config"].get("toolChoice") for sent in model.requests]
    assert choices == [None, {"tool": {"name": ANSWER_TOOL}}]


def test_where_no_tool_can_be_forced_the_answers_is_offered_and_no_turn_is_paid_for_twice():
    refusal = ServiceRefusedError("no", code="ValidationException")
    model = Model(
        refusal, refusal, text("It is 4"), text("4!"), text("four"), reply(use(ANSWER_TOOL, {"sum": 4}))
    )

    outcome = loop(model, ToolBox({}), schema=OutputSchema.of(SUM)).run(Progress())

    assert (outcome.output, outcome.turns) == ({"sum": 4}, 4), "beside two corrections one for talking"
    assert ["output_config" in sent for sent in model.requests] == [True, *[False] * 5]
    choices = [sent.get("tool_config", {}).get("toolChoice") for sent in model.requests]
    assert choices == [None, {"tool": {"name": ANSWER_TOOL}}, *[None] * 4]
    assert all(sent["tool_config"]["tools"] for sent in model.requests[2:])


def test_a_correction_that_cannot_be_forced_is_asked_for_without_paying_for_what_came_before():
    refusal = ServiceRefusedError("no", code="ValidationException")
    calls = reply(use("add", {"a": 2, "b": 2}))
    model = Model(calls, text("It is 4"), refusal, reply(use(ANSWER_TOOL, {"sum": 4}, "t2")))
    machine = loop(model, schema=OutputSchema.of(SUM), modes=("tool",))
    machine.request = {
        **REQUEST,
        "tool_config": {"tools": [tool.spec for tool in Tools().box().tools.values()]},
    }

    outcome = machine.run(Progress())

    assert (outcome.output, outcome.turns) == ({"sum": 4}, 3)
    assert model.requests[3]["messages"] == model.requests[2]["messages"]
    assert "toolChoice" not in model.requests[3]["tool_config"]


def test_an_answer_beside_calls_of_tools_is_asked_for_again_alone():
    both = reply(use("add", {"a": 2, "b": 2}), use(ANSWER_TOOL, {"sum": 0}, "t2"))
    model = Model(both, reply(use(ANSWER_TOOL, {"sum": 4}, "t3")))

    outcome = loop(model, schema=OutputSchema.of(SUM), modes=("tool",)).run(Progress())

    assert [called["status"] for called in outcome.tool_calls] == ["success", "error"]
    assert outcome.output == {"sum": 4}


def test_corrections_do_not_count_as_turns_with_tools():
    calls = reply(use("add", {"a": 2, "b": 2}))
    model = Model(calls, text("4"), text("4"), text('{"sum": 4}'))

    outcome = loop(model, schema=OutputSchema.of(SUM), limits=Limits(max_turns=2)).run(Progress())

    assert outcome.output == {"sum": 4}


SCRIPT = [
    reply(use("add", {"a": 1, "b": 2}), use("fail", use_id="t2"), use("add", {"a": 3, "b": 4}, "t3")),
    reply(use("add", {"a": 5, "b": 6}, "t4")),
    text("not json"),
    text('{"sum": 11}'),
]


class Killed(BaseException):
    """The worker dies."""


@given(st.lists(st.integers(0, 4), max_size=6))
def test_however_often_it_is_killed_no_turn_is_paid_for_twice_and_no_finished_tool_runs_again(kills):
    """Each try is killed after its n-th saving; the next one reads what was saved last."""
    stored: list[bytes] = []
    tools = Tools()
    model = Model(*SCRIPT)

    for kill_after in [*kills, None]:
        left = kill_after

        def save(progress):
            nonlocal left
            stored.append(progress.to_json("id"))
            if left is not None:
                left -= 1
                if left < 0:
                    raise Killed

        read = Progress.from_json(stored[-1], "id", "file:///turns") if stored else Progress()
        assert read is not None
        machine = ToolLoop(REQUEST, model, save, tools=tools.box(), schema=OutputSchema.of(SUM))
        try:
            outcome = machine.run(read)
        except Killed:
            continue
        break

    assert outcome.output == {"sum": 11}
    assert len(model.requests) == 4
    assert tools.ran == [("add", 1, 2), ("fail",), ("add", 3, 4), ("add", 5, 6)]
    assert outcome.usage["totalTokens"] == 60


def test_a_call_that_failed_is_made_again_by_the_next_try_and_nothing_before_it():
    progress = Progress()
    model = Model(reply(use("add", {"a": 1, "b": 2})), BusyError("later"), text("3"))

    with pytest.raises(BusyError):
        loop(model).run(progress)
    outcome = loop(model).run(progress)

    assert outcome.turns == 2
    assert len(model.requests) == 3
