"""Looks at the installed wheel as a user's Airflow does; see ``make wheel-check``."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path

DISTRIBUTION = "airflow-provider-aiml"


def listed_by_airflow() -> dict[str, str]:
    """Ask ``airflow providers list``."""
    with tempfile.TemporaryDirectory() as home:
        answer = subprocess.run(
            [Path(sys.executable).with_name("airflow"), "providers", "list", "--output", "json"],
            env={**os.environ, "AIRFLOW_HOME": home},
            capture_output=True,
            text=True,
            check=True,
        )
    assert "aiml" not in answer.stderr, answer.stderr
    rows = json.loads(answer.stdout[answer.stdout.index("[{") :])
    return {row["package_name"]: row["version"] for row in rows}


def main() -> None:
    installed = distribution(DISTRIBUTION)
    assert not installed.read_text("direct_url.json") or "editable" not in installed.read_text(
        "direct_url.json"
    )
    files = [str(file) for file in installed.files or []]
    strays = [
        file for file in files if not file.startswith(("airflow_provider_aiml/", "airflow_provider_aiml-"))
    ]
    assert not strays, f"the wheel ships more than the package: {strays}"
    assert "airflow_provider_aiml/py.typed" in files
    assert any(file.endswith("licenses/LICENSE") for file in files)

    version = listed_by_airflow()[DISTRIBUTION]
    assert version == installed.version

    (point,) = (point for point in installed.entry_points if point.group == "apache_airflow_provider")
    info = point.load()()
    modules = [
        module
        for kind in ("hooks", "operators", "sensors", "triggers")
        for entry in info[kind]
        for module in entry["python-modules"]
    ]
    for module in modules:
        importlib.import_module(module)
    sys.stdout.write(
        f"{DISTRIBUTION} {version}: {len(files)} files, listed by Airflow, {len(modules)} modules import\n"
    )


if __name__ == "__main__":
    main()
