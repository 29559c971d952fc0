from __future__ import annotations

import json

import pytest
from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.inference.output_schema import MisfitError, OutputSchema
from airflow_provider_aiml.inference.requests import check_request, load_operation
from airflow_provider_aiml.inference.structured_output import (
    ANSWER_TOOL,
    answer_message,
    correction,
    modes_of,
    read_answer,
    with_schema,
)

SCHEMA = OutputSchema.of(
    {"type": "object", "description": "Sum.", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
)
PLAIN = OutputSchema.of({"type": "object"})
REQUEST = {"model_id": "anthropic.claude-v1", "messages": [{"role": "user", "content": [{"text": "2+2"}]}]}
TOOL = {"toolSpec": {"name": "add", "inputSchema": {"json": {"type": "object"}}}}


def said(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def called(answer, name=ANSWER_TOOL, use_id="t1"):
    return {"toolUse": {"toolUseId": use_id, "name": name, "input": answer}}


def accepted(request):
    check_request(load_operation("bedrock-runtime", "Converse"), request)


def test_natively_the_schema_travels_as_text_in_the_output_config():
    request = with_schema({**REQUEST, "output_config": {"effort": "low"}}, SCHEMA, "native")

    accepted(request)
    assert request["output_config"]["effort"] == "low"
    definition = request["output_config"]["textFormat"]["structure"]["jsonSchema"]
    assert json.loads(definition["schema"]) == {**SCHEMA.asked, "additionalProperties": False}
    assert "additionalProperties" not in SCHEMA.asked
    assert definition["description"] == "Sum."
    plain = with_schema(REQUEST, PLAIN, "native")["output_config"]["textFormat"]["structure"]
    assert "description" not in plain["jsonSchema"]


def test_the_answer_tool_is_forced_where_it_is_alone():
    request = with_schema(REQUEST, SCHEMA, "tool")

    accepted(request)
    assert request["tool_config"]["toolChoice"] == {"tool": {"name": ANSWER_TOOL}}
    assert request["tool_config"]["tools"][0]["toolSpec"]["inputSchema"] == {"json": SCHEMA.asked}
    assert "Sum." in request["tool_config"]["tools"][0]["toolSpec"]["description"]


def test_beside_other_tools_the_model_chooses_until_the_answer_is_forced():
    both = {**REQUEST, "tool_config": {"tools": [TOOL]}}
    free, forced = (with_schema(both, PLAIN, "tool", forced=forced) for forced in (False, True))

    accepted(free)
    accepted(forced)
    assert "toolChoice" not in free["tool_config"]
    assert len(free["tool_config"]["tools"]) == 2
    assert forced["tool_config"]["toolChoice"] == {"tool": {"name": ANSWER_TOOL}}


def test_the_cache_points_behind_the_tools_cover_the_answers_tool_too_and_are_no_tool_themselves():
    point = {"cachePoint": {"type": "default"}}
    beside = with_schema({**REQUEST, "tool_config": {"tools": [point, TOOL, point]}}, PLAIN, "tool")
    alone = with_schema({**REQUEST, "tool_config": {"tools": [point]}}, PLAIN, "tool")

    accepted(beside)
    assert [list(tool) for tool in beside["tool_config"]["tools"]] == [
        ["cachePoint"],
        ["toolSpec"],
        ["toolSpec"],
        ["cachePoint"],
    ]
    assert "toolChoice" not in beside["tool_config"]
    assert list(alone["tool_config"]["tools"][-1]) == ["cachePoint"]
    assert alone["tool_config"]["toolChoice"] == {"tool": {"name": ANSWER_TOOL}}


def test_a_schema_beside_a_text_format_or_an_answer_tool_of_ones_own_is_refused():
    with pytest.raises(RequestError, match=r"output_config\.textFormat"):
        with_schema({**REQUEST, "output_config": {"textFormat": {}}}, SCHEMA, "native")
    own = {"tools": [{"toolSpec": {"name": ANSWER_TOOL}}]}
    with pytest.raises(RequestError, match="another name"):
        with_schema({**REQUEST, "tool_config": own}, SCHEMA, "tool")


@pytest.mark.parametrize("mode", ["native", "tool"])
def test_an_answer_in_text_is_read_in_both_ways(mode):
    assert read_answer(said({"text": '{"sum":'}, {"text": " 4}"}), SCHEMA, mode) == {"sum": 4}
    cited = {"citationsContent": {"content": [{"text": '{"sum": 4}'}], "citations": []}}
    assert read_answer(said(cited), SCHEMA, mode) == {"sum": 4}


def test_an_answer_by_the_tool_is_its_input():
    assert read_answer(said({"text": "So:"}, called({"sum": 4})), SCHEMA, "tool") == {"sum": 4}


@pytest.mark.parametrize("message", [said(), said({"text": " "}), said(called({}, "add"))])
@pytest.mark.parametrize("mode", ["native", "tool"])
def test_a_message_without_an_answer_is_a_misfit(message, mode):
    with pytest.raises(MisfitError):
        read_answer(message, SCHEMA, mode)


def test_a_correction_tells_the_model_what_was_wrong_in_the_way_it_answered():
    misfit = MisfitError((), "$.sum: 'x' is not of type 'integer'")

    (native,) = correction(said({"text": "{}"}), misfit, "native")
    (textual,) = correction(said({"text": "{}"}), misfit, "tool")
    results = correction(said(called({}), called({}, use_id="t2")), misfit, "tool")

    assert misfit.told in native["text"]
    assert ANSWER_TOOL in textual["text"]
    assert [block["toolResult"]["toolUseId"] for block in results] == ["t1", "t2"]
    assert all(block["toolResult"]["status"] == "error" for block in results)


def test_a_call_of_a_tool_that_there_is_not_gets_its_result_in_a_correction():
    misfit = MisfitError((), "There is no answer.")

    (result,) = correction(said({"text": "So:"}, called({}, "other", "t7")), misfit, "tool")

    assert result["toolResult"]["toolUseId"] == "t7"
    assert ANSWER_TOOL in result["toolResult"]["content"][0]["text"]
    kept = answer_message(said({"text": "{}"}, called({}, "other")), {}, "tool")
    assert kept == said({"text": "{}"})


def test_a_history_keeps_the_answer_as_text_so_that_it_can_go_on():
    reasoning = {"reasoningContent": {"reasoningText": {"text": "hm"}}}

    kept = answer_message(said(reasoning, called({"sum": 4})), {"sum": 4}, "tool")

    assert kept == said(reasoning, {"text": '{"sum": 4}'})
    assert answer_message(said({"text": "{}"}), {}, "tool") == said({"text": "{}"})
    assert answer_message(said({"text": "{}"}), {}, "native") == said({"text": "{}"})


def test_what_bedrock_ran_itself_keeps_its_call_beside_its_result():
    search = {"toolUse": {"toolUseId": "s1", "name": "search", "input": {}, "type": "server_tool_use"}}
    found = {"toolResult": {"toolUseId": "s1", "content": [{"text": "4"}]}}

    kept = answer_message(said(search, found, called({"sum": 4})), {"sum": 4}, "tool")

    assert kept == said(search, found, {"text": '{"sum": 4}'})


@pytest.mark.parametrize(
    ("mode", "native", "modes"),
    [
        ("auto", True, ("native", "tool", "offer")),
        ("auto", False, ("tool", "offer")),
        ("native", False, ("native",)),
        ("tool", True, ("tool", "offer")),
    ],
)
def test_auto_asks_natively_first_where_botocore_knows_how(mode, native, modes):
    assert modes_of(mode, native) == modes
