"""The demo: each example DAG run once on an Airflow, what each gave, and whether that was to be expected."""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tests.e2e.airflow_api import AirflowApi, Task

EXAMPLE_DAGS = Path(__file__).parents[2] / "example_dags"
SCHEDULE_SECONDS = 90
RESULT_WIDTH = 90
_HEADINGS = ("DAG", "task", "state", "seconds", "result")
_NUMBER = _HEADINGS.index("seconds")
# SageMaker wraps what the container said; without it, what stands behind our own introduction is shown.
_MODEL_SAID = re.compile(r'(?s)The model said: (?:.*?with message "(?=.))?([^"]*)')
_ID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_S3_URI = re.compile(r's3://[^\s"]*/([^\s"/]+)')


@dataclass(frozen=True, slots=True)
class Expectation:
    """How a DAG's run should end.

    :param dag_id: the DAG.
    :param state: the run's state.
    :param failures: what the tasks that should fail have to say, by their names; all others succeed.
    :param results: what must be in a task's result, by its name.
    :param scheduled: whether the scheduler starts the run by itself, as soon as the DAG is switched on.
    """

    dag_id: str
    state: str = "success"
    failures: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)
    scheduled: bool = False


EXPECTATIONS = (
    Expectation("aiml_realtime_scoring", results={"check_accuracy": '"accuracy": 0.9'}),
    Expectation(
        "aiml_async_scoring",
        failures={"wait[1]": "row 1 has 29 features, the model takes 30"},
        results={"summarize": "row 1 has 29 features"},
    ),
    Expectation("aiml_daily_batch", results={"report": '"tables": 3'}, scheduled=True),
    Expectation("aiml_bedrock_invoke", results={"ask": "stand-in for ai21.jamba-instruct-v1:0"}),
    Expectation("aiml_bedrock_converse", results={"remember": "Your name is Ada."}),
    Expectation("aiml_ticket_triage", results={"write_table": '["billing", "delivery", "defect"]'}),
    Expectation("aiml_document_question", results={"ask": "2 pages"}),
    Expectation("aiml_tool_use", results={"ask": '"turns": 2'}),
    Expectation("aiml_checked_video", results={"count": '"input_tokens": ', "wait": '"status": "completed"'}),
    Expectation("aiml_streamed_answer", results={"measure": '"bytes": '}),
    Expectation(
        "aiml_endpoint_api",
        failures={
            "classify_nothing": "Missing required request parameters: [features]",
            "classify_throttled": "Too many requests, or the model is not ready",
        },
        results={
            "classify": '"label": "malignant"',
            "call_too_fast": '"throttled": ',
            "classify_again": '{"tumour": "malignant"}',
            "delete": '"status": "deleted"',
        },
    ),
)
"""One for each file in ``example_dags``."""


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one task.

    :param result: its XCom as JSON, or what it failed with.
    """

    dag_id: str
    task: str
    state: str
    seconds: float | None
    result: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a DAG's run ended."""

    expectation: Expectation
    state: str
    rows: Sequence[Row]

    def problems(self) -> list[str]:
        """Say what is not as the DAG expects; empty if all is."""
        wanted = self.expectation
        found = [f"the run is {self.state}, not {wanted.state}"] if self.state != wanted.state else []
        if not self.rows:
            found.append("no task ran")
        for row in self.rows:
            state = "failed" if row.task in wanted.failures else "success"
            if row.state != state:
                found.append(f"{row.task} is {row.state}, not {state}")
        results = {row.task: row.result for row in self.rows}
        for task, text in {**wanted.failures, **wanted.results}.items():
            if text not in results.get(task, ""):
                found.append(f"{task} does not say {text!r}")
        return [f"{wanted.dag_id}: {problem}" for problem in found]


def run_examples(
    api: AirflowApi,
    expectations: Iterable[Expectation] = EXPECTATIONS,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Outcome]:
    """Switch each DAG on, start it or let the scheduler, wait for it, and collect what it gave."""
    expectations = list(expectations)
    for wanted in expectations:
        api.unpause(wanted.dag_id)
    runs = [(wanted, _start(api, wanted)) for wanted in expectations]
    outcomes = []
    for wanted, run_id in runs:
        state = api.wait_for_run(wanted.dag_id, run_id)
        tell(f"{wanted.dag_id}: {state}")
        rows = [_row(api, task) for task in api.tasks(wanted.dag_id, run_id)]
        outcomes.append(Outcome(wanted, state, rows))
    return outcomes


def _start(api: AirflowApi, wanted: Expectation) -> str:
    if not wanted.scheduled:
        return api.trigger(wanted.dag_id)
    found = wait_until(
        lambda: api.run_ids(wanted.dag_id), SCHEDULE_SECONDS, f"the scheduler starts {wanted.dag_id}"
    )
    return found[0]


def _row(api: AirflowApi, task: Task) -> Row:
    result = api.failure(task) if task.state == "failed" else _as_text(api.xcom(task))
    return Row(task.dag_id, task.name, task.state or "none", task.seconds, result)


def _as_text(value: Any) -> str:
    """Give an XCom as text; of a conversation only what the model said."""
    if isinstance(value, dict) and "text" in value:
        value = value["text"]
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def table(outcomes: Iterable[Outcome]) -> str:
    """Draw what each task gave; a long text goes over two lines."""
    lines = [_HEADINGS, *(line for outcome in outcomes for row in outcome.rows for line in _lines(row))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    drawn = [
        "  ".join(
            cell.rjust(width) if column == _NUMBER else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    drawn.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(drawn)


def _lines(row: Row) -> list[tuple[str, ...]]:
    seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
    text = _short(row)
    most = 1 if text.startswith(("{", "[")) else 2
    first, *more = textwrap.wrap(text, RESULT_WIDTH, max_lines=most, placeholder=" …") or [""]
    return [
        (row.dag_id, row.task, row.state, seconds, first),
        *(("", "", "", "", line) for line in more),
    ]


def _short(row: Row) -> str:
    """Give a result so that a reader sees the point: the model's own words, no folders, short ids."""
    if row.state == "failed" and (said := _MODEL_SAID.search(row.result)):
        return f"the model said: {said[1]}"
    return _ID.sub(r"\1…", _S3_URI.sub(r"s3://…/\1", row.result))
