"""langchain-aws, unchanged but for its endpoint, against the local AWS.

It lives in an environment of its own, ``.venv-langchain``, which the Makefile makes: it is a client to test
with and no dependency.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-langchain" / "bin" / "python"


@pytest.fixture(scope="module")
def told(demo, tmp_path_factory):
    """Give what the model told ChatBedrockConverse, by what it was asked."""
    assert PYTHON.exists(), "there is no .venv-langchain: make test makes it"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path_factory.mktemp("home")),
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": demo.endpoint_url,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    done = subprocess.run(
        [str(PYTHON), "-I", str(Path(__file__).with_name("langchain_client.py"))],
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_it_invokes(told):
    answer = told["invoke"]

    assert (answer["text"], answer["stop_reason"]) == ("one é 😀 two", "end_turn")
    assert (
        answer["usage"]["total_tokens"] == answer["usage"]["input_tokens"] + answer["usage"]["output_tokens"]
    )


def test_it_goes_on_with_a_conversation(told):
    assert "Your name is Ada." in told["go_on"]


def test_it_streams(told):
    answer = told["stream"]

    assert answer["pieces"] > 1
    assert (answer["text"], answer["stop_reason"]) == ("one é 😀 two three four five", "end_turn")
    assert answer["usage"]["output_tokens"] > 0


def test_it_calls_tools(told):
    answer = told["use_tools"]

    assert (answer["name"], answer["args"]) == ("add", {"a": 1, "b": 2})
    assert "3" in answer["answer"]


def test_it_calls_tools_in_a_stream(told):
    assert told["stream_tools"] == [{"name": "add", "args": {"a": 1, "b": 2}}]


def test_it_gets_structured_output(told):
    assert isinstance(told["structure"]["summary"], str)
    assert isinstance(told["structure"]["priority"], int)
