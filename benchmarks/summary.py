"""The first table of docs/benchmarks.md and the front page's sentence, taken from the tables further down.

Run this file to write both anew; a test compares them, and ``run_all.py --write`` does so by itself.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"
HEADING = "# Benchmarks\n\n"
_SUMMARY = re.compile(r"<!-- summary -->\n.*?<!-- end of the summary -->\n\n", re.S)
_SENTENCE = re.compile(r"500 deferred waits cost .*?(?=: \[benchmarks\])", re.S)
_OURS = "`airflow_provider_aiml."
Table = dict[str, dict[str, str]]


def table(page: str, title: str) -> Table:
    """Give the cells of one table, by the first cell of their row and the head of their column.

    :raises LookupError: the page has no such table.
    """
    found = re.search(rf"^### {re.escape(title)}.*?\n\n(.*?)\n\n", page, re.S | re.M)
    if found is None:
        raise LookupError(f"there is no table {title}")
    head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in found[1].splitlines()]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def figure(cell: str) -> float:
    """Give the number in a cell."""
    return float(cell.split()[0])


def summary(page: str) -> str:
    """Draw the table of what everything costs, beside what a user would pick instead."""
    rows = [*_imports(page), *_calls(page), *_waits(page)]
    lines = ["| what | ours | the alternative | budget |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _imports(page: str) -> Iterator[tuple[str, str, str, str]]:
    modules = table(page, "Importing an operator module")
    for column, budget in (("compiled", "≤ 20 ms"), ("not compiled", "≤ 50 ms")):
        costs = {name: figure(row[column]) for name, row in modules.items()}
        own = max(cost for name, cost in costs.items() if name.startswith(_OURS))
        other = min(cost for name, cost in costs.items() if not name.startswith(_OURS))
        yield f"importing an operator module, {column}", f"{own} ms", f"amazon provider: {other} ms", budget


def _calls(page: str) -> Iterator[tuple[str, str, str, str]]:
    column, budget = "median of 300", "≤ 1.05 times"
    call, converse = table(page, "One real-time call"), table(page, "One Converse")
    yield "one real-time call", call["the hook"][column], f"boto3: {call['boto3'][column]}", budget
    yield "one Converse", converse["the operator"][column], f"boto3: {converse['boto3'][column]}", budget
    stream, column = table(page, "A stream of 200 MB"), "throughput, median of 7"
    by_hand = f"boto3 by hand: {stream['by hand with boto3'][column]}"
    yield "a stream of 200 MB into S3", stream["the hook"][column], by_hand, "≥ 0.9 times"


def _waits(page: str) -> Iterator[tuple[str, str, str, str]]:
    ours, theirs = table(page, "500 triggers").values()
    for what, column, budget in (
        ("memory", "memory over idle", "≥ 25 times less"),
        ("CPU", "CPU of a core", "≥ 20 times less"),
        ("S3 calls a second", "S3 calls/s", "≥ 100 times fewer"),
    ):
        yield f"500 deferred waits: {what}", ours[column], f"`S3KeyTrigger`: {theirs[column]}", budget
    each = figure(theirs["memory over idle"]) / 500
    many = table(page, "100000 waits")["10% of the outputs there"]["memory over idle"]
    what = "100,000 outputs watched in one triggerer process: memory"
    yield what, many, f"not run: about {each:.1f} MB a wait", "≤ 256 MB"
    seen, column = table(page, "From a completed inference"), "99th percentile"
    noticed = seen["ours with notices, completing over 30 s"][column]
    polled = f"`S3KeyTrigger`: {seen['S3KeyTrigger, polling every 10 s'][column]}"
    yield "from output to resumed trigger, by notices, 99th percentile", noticed, polled, "≤ 1 s"


def with_summary(page: str) -> str:
    """Give the report with its first table written anew."""
    page = _SUMMARY.sub("", page)
    head = f"<!-- summary -->\n{summary(page)}\n<!-- end of the summary -->\n\n"
    return page.replace(HEADING, HEADING + head, 1)


def with_sentence(front_page: str, page: str) -> str:
    """Give the front page with its sentence of figures written anew."""
    (memory, calls), (their_memory, their_calls) = (
        (figure(one["memory over idle"]), figure(one["S3 calls/s"]))
        for one in table(page, "500 triggers").values()
    )
    sentence = (
        f"500 deferred waits cost {memory:.0f} MB and {calls:g} S3 calls a second; with the amazon "
        f"provider's `S3KeyTrigger`,\nin the same run, {their_memory:.0f} MB and {their_calls:.0f}"
    )
    return _SENTENCE.sub(lambda _: sentence, front_page)


if __name__ == "__main__":
    REPORT.write_text(with_summary(REPORT.read_text()))
    README.write_text(with_sentence(README.read_text(), REPORT.read_text()))
