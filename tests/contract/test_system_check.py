"""The check of a real account's output locations, against the local AWS, so that it stays runnable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def check(demo, tmp_path):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AIRFLOW_HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": demo.endpoint_url,
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "tests.system.check_output_locations", *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def test_the_outputs_of_an_endpoint_go_where_they_are_looked_for(check, demo):
    done = check("demo-tabular-async")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("candidate ") == 4
    assert len({one.inference_id for one in demo.invocations("demo-tabular-async")}) == 4


def test_an_endpoint_that_cannot_be_asked_is_said(check):
    done = check("nowhere")

    assert done.returncode == 1
    assert "no output path" in done.stdout
