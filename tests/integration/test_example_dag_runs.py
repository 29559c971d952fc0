"""Each example DAG run from its first task to its last in this process, against the local AWS."""

from __future__ import annotations

import json

import boto3
import pytest
from tests.integration.conftest import BUCKET


@pytest.fixture
def objects(demo):
    """The demo's bucket."""
    connection = {"endpoint_url": demo.endpoint_url, "region_name": "us-east-1"}
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    return boto3.resource("s3", **connection, **keys).Bucket(BUCKET)


def states(run) -> dict[str, str]:
    return {
        task.task_id if task.map_index < 0 else f"{task.task_id}[{task.map_index}]": task.state
        for task in run.get_task_instances()
    }


def names(objects, prefix: str) -> list[str]:
    return [found.key for found in objects.objects.filter(Prefix=prefix)]


def test_real_time_scoring_keeps_the_scores_and_passes_its_own_check(demo, objects, example_dags):
    run = example_dags["aiml_realtime_scoring"].test(run_conf={"rows": 20})

    scores = [key for key in names(objects, "realtime/scores/") if not key.endswith(".aiml.json")]
    answer = json.loads(objects.Object(scores[0]).get()["Body"].read())
    assert run.state == "success", states(run)
    assert len(scores) == 1
    assert len(answer["predictions"]) == 20
    assert len(demo.invocations("demo-tabular")) == 1


def test_real_time_scoring_sends_csv_when_the_form_says_so(demo, example_dags):
    run = example_dags["aiml_realtime_scoring"].test(run_conf={"rows": 5, "content_type": "text/csv"})

    received = demo.invocations("demo-tabular")[0]
    assert run.state == "success", states(run)
    assert received.headers["content-type"] == "text/csv"
    assert len(received.body.decode().splitlines()) == 5


def test_real_time_scoring_fails_below_the_accuracy_that_is_asked_for(demo, example_dags):
    run = example_dags["aiml_realtime_scoring"].test(run_conf={"rows": 569, "minimum_accuracy": 1})

    assert run.state == "failed"
    assert states(run) == {"put_rows": "success", "score": "success", "check_accuracy": "failed"}


def test_asynchronous_scoring_succeeds_with_one_rejected_input(demo, example_dags):
    run = example_dags["aiml_async_scoring"].test()

    waits = {task: state for task, state in states(run).items() if task.startswith("wait")}
    assert run.state == "success"
    assert waits == {"wait[0]": "success", "wait[1]": "failed", "wait[2]": "success", "wait[3]": "success"}
    assert len(demo.invocations("demo-tabular-async")) == 4


def test_asynchronous_scoring_fails_when_more_inputs_fail_than_are_allowed(demo, example_dags):
    run = example_dags["aiml_async_scoring"].test(run_conf={"inputs": 1, "failures_allowed": 0})

    assert run.state == "failed"
    assert states(run)["summarize"] == "failed"


def test_the_daily_batch_scores_each_object_of_its_day(demo, objects, example_dags):
    from pendulum import datetime

    day = datetime(2026, 3, 2)
    for name in ("a.json", "b.json"):
        objects.put_object(
            Key=f"daily/2026-03-01/{name}", Body=json.dumps({"instances": [[0.0] * 30]}).encode()
        )
    objects.put_object(Key="daily/2026-03-02/of-the-next-day.json", Body=b"not to be scored")
    run = example_dags["aiml_daily_batch"].test(logical_date=day, run_conf={"deliver_samples": False})

    assert run.state == "success", states(run)
    assert set(states(run)) == {"deliver", "list_inputs", "score[0]", "score[1]", "report"}
    assert len(names(objects, "daily-scores/2026-03-01/")) == 2


def test_the_daily_batch_skips_a_day_without_objects(demo, example_dags):
    run = example_dags["aiml_daily_batch"].test(run_conf={"deliver_samples": False})

    assert run.state == "success"
    assert states(run)["report"] == "skipped"


def test_the_daily_batch_runs_without_a_date(demo, example_dags):
    run = example_dags["aiml_daily_batch"].test(logical_date=None)

    assert run.state == "success", states(run)
    assert states(run)["score[2]"] == "success"


def test_invoke_model_sends_what_the_form_says_and_gives_the_first_choice(demo, example_dags):
    run = example_dags["aiml_bedrock_invoke"].test(run_conf={"question": "42", "max_tokens": 50})

    received = json.loads(demo.invocations("ai21.jamba-instruct-v1:0")[0].body)
    assert run.state == "success", states(run)
    assert received["messages"] == [{"role": "user", "content": "42"}]
    assert (received["max_tokens"], received["temperature"], received["top_p"]) == (50, 0.4, 0.9)


def test_the_conversation_hands_its_history_on(demo, example_dags):
    run = example_dags["aiml_bedrock_converse"].test()

    first, second = demo.invocations("amazon.nova-lite-v1:0")
    assert run.state == "success", states(run)
    assert len(json.loads(first.body)["messages"]) == 1
    assert len(json.loads(second.body)["messages"]) == 3


def test_ticket_triage_writes_a_row_for_each_ticket(demo, objects, example_dags):
    run = example_dags["aiml_ticket_triage"].test()

    tables = [key for key in names(objects, "triage/") if key.endswith(".csv")]
    rows = objects.Object(tables[-1]).get()["Body"].read().decode().splitlines()
    assert run.state == "success", states(run)
    assert rows[0] == "category,urgency,ticket"
    assert [row.split(",")[:2] for row in rows[1:]] == [["billing", "3"], ["delivery", "5"], ["defect", "2"]]


def test_the_document_reaches_the_model(demo, objects, example_dags):
    run = example_dags["aiml_document_question"].test()

    sent = json.loads(demo.invocations("amazon.nova-lite-v1:0")[0].body)["messages"][0]["content"]
    attached = next(block["document"] for block in sent if "document" in block)
    assert run.state == "success", states(run)
    assert (attached["name"], attached["format"]) == ("document-1", "pdf")


def test_the_model_gets_the_result_of_the_function(demo, example_dags):
    run = example_dags["aiml_tool_use"].test()

    turns = [json.loads(turn.body)["messages"] for turn in demo.invocations("amazon.nova-lite-v1:0")]
    results = [block["toolResult"] for block in turns[1][-1]["content"] if "toolResult" in block]
    assert run.state == "success", states(run)
    assert len(turns) == 2
    assert "3" in json.dumps(results[0]["content"])


def test_a_checked_text_becomes_a_video(demo, objects, example_dags):
    run = example_dags["aiml_checked_video"].test(run_conf={"text": "A red bicycle"})

    asked = json.loads(demo.invocations("amazon.nova-reel-v1:1")[0].body)
    outputs = [key for key in names(objects, "videos/") if key.endswith("output.json")]
    assert run.state == "success", states(run)
    assert asked["modelInput"]["textToVideoParams"] == {"text": "A red bicycle"}
    assert len(outputs) == 1
    assert len(demo.invocations("amazon.nova-reel-v1:1")) == 1


def test_no_video_is_made_of_a_text_that_the_guardrail_blocks(demo, example_dags):
    run = example_dags["aiml_checked_video"].test(run_conf={"text": "A BLOCKED bicycle"})

    assert run.state == "failed"
    assert states(run) == {"check": "failed", **dict.fromkeys(("count", "start", "wait"), "upstream_failed")}
    assert demo.invocations("amazon.nova-reel-v1:1") == []


def test_a_streamed_answer_lies_whole_in_s3(demo, objects, example_dags):
    run = example_dags["aiml_streamed_answer"].test(run_conf={"prompt": "one two three"})

    written = [key for key in names(objects, "streamed/") if key.endswith(".txt")]
    lines = objects.Object(written[-1]).get()["Body"].read().decode().splitlines()
    assert run.state == "success", states(run)
    assert [json.loads(line).get("token") for line in lines] == ["one", "two", "three", None]


def test_the_api_is_deployed_called_changed_and_deleted(demo, example_dags):
    run = example_dags["aiml_endpoint_api"].test()

    assert run.state == "success", states(run)
    failed = {task for task, state in states(run).items() if state != "success"}
    assert failed == {"classify_nothing", "classify_throttled"}
    assert demo.invocations("demo-throttled") == []
    received = [json.loads(one.body) for one in demo.invocations("demo-tabular")]
    assert {len(body["instances"][0]) for body in received} == {30}
