"""Run every benchmark, print its table, and with ``--write`` keep them all in docs/benchmarks.md."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from summary import HEADING, README, REPORT, with_sentence, with_summary

HERE = Path(__file__).parent
HOW_TO_READ = """\
Every figure stands beside what a user would pick instead, taken in the same run; machines are noisy, so the
ratios count.

Stalls are those of the event loop. In parentheses: the longest that the loop's own thread computed without a
break, the part that is ours; the rest is other processes on the same cores. S3 is a small server of our own
in another process. `S3KeyTrigger` needs about 1.6 MB a wait, and was run with at most 500 waits.

"(watcher)": what the shared watcher adds for each output that is awaited, about 2 KB, as when one deferred
task waits for thousands. "(triggers)": a deferred task with a trigger of its own for each output, about
12 KB, rebuilt from what Airflow's database holds."""
BENCHMARKS: tuple[tuple[str, ...], ...] = (
    ("import_cost.py",),
    ("real_time_call.py",),
    ("converse_overhead.py",),
    ("stream_to_storage.py",),
    ("endpoint_api.py",),
    ("watch_waits.py", "--n", "500"),
    ("watch_waits.py", "--n", "2000", "10000", "100000", "--picture", "docs/images/wait-cost.svg"),
    ("watch_waits.py", "--triggers", "--n", "1000", "5000"),
    ("notices.py",),
)


_LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\dT\S+Z \[.*\n", re.M)
"""What Airflow logs goes to standard output, too."""


def main() -> int:
    """Run them one after the other; the exit status is 1 if one of them failed."""
    where = f"{dt.date.today():%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}"
    parts = [HEADING, f"Measured on {where}, by `make bench`. {HOW_TO_READ}\n"]
    failed = False
    for script, *arguments in BENCHMARKS:
        done = subprocess.run(
            [sys.executable, str(HERE / script), *arguments], stdout=subprocess.PIPE, text=True, check=False
        )
        tables = _LOG_LINE.sub("", done.stdout)
        print(tables, flush=True)
        failed = failed or done.returncode != 0
        parts.append(tables)
    if "--write" in sys.argv[1:] and not failed:
        missed = sum(part.count("**missed**") for part in parts)
        parts.insert(2, f"\nBudgets missed in this run: {missed or 'none'}.\n")
        parts.append("\n![What waits cost against their number](images/wait-cost.svg)\n")
        report = with_summary("".join(parts).replace("\n\n\n", "\n\n"))
        REPORT.write_text(report)
        README.write_text(with_sentence(README.read_text(), report))
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
