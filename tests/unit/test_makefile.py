"""What the Makefile's commands make before they run the tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("command", ["test", "test-lowest", "test-matrix"])
@pytest.mark.parametrize("environment", ["$(CLI)", "$(LANGCHAIN)"])
def test_every_command_that_runs_all_tests_makes_the_environments_of_foreign_clients(command, environment):
    rule = re.search(rf"^{command}:(.*?)(##|$)", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert rule
    assert environment in rule[1].split()
