"""Run every benchmark, print its table, and with ``--write`` keep them all in docs/benchmarks.md."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
REPORT = HERE.parent / "docs" / "benchmarks.md"
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


def main() -> int:
    """Run them one after the other; the exit status is 1 if one of them failed."""
    where = f"{dt.date.today():%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}"
    parts = [
        "# Benchmarks\n",
        f"Measured on {where}, by `make bench`. Every figure stands beside what a user would pick instead, "
        "taken in the same run; the machines are noisy, so the ratios count.\n",
    ]
    failed = False
    for script, *arguments in BENCHMARKS:
        done = subprocess.run(
            [sys.executable, str(HERE / script), *arguments], stdout=subprocess.PIPE, text=True, check=False
        )
        print(done.stdout, flush=True)
        failed = failed or done.returncode != 0
        parts.append(done.stdout)
    if "--write" in sys.argv[1:] and not failed:
        missed = sum(part.count("**missed**") for part in parts)
        parts.insert(2, f"Budgets missed in this run: {missed or 'none'}.\n")
        parts.append("\n![What waits cost against their number](images/wait-cost.svg)\n")
        REPORT.write_text("".join(parts).replace("\n\n\n", "\n\n"))
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
