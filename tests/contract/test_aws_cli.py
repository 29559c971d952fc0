"""The AWS CLI, unchanged but for its endpoint, against the local AWS.

It pins a botocore of its own, so it lives in an environment of its own: ``.venv-cli``, which the Makefile
makes, or whatever ``aws`` is on the path.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from sklearn.datasets import load_breast_cancer

ROOT = Path(__file__).resolve().parents[2]
ROW = load_breast_cancer().data[0].tolist()


@pytest.fixture(scope="module")
def aws_command():
    own = ROOT / ".venv-cli" / "bin" / "aws"
    found = str(own) if own.exists() else shutil.which("aws")
    assert found, "there is no AWS CLI: install awscli into .venv-cli (make test does) or on the path"
    return found


@pytest.fixture
def aws_cli(demo, aws_command, tmp_path):
    """Give a function that runs the CLI and gives its output as JSON, or as text where it is none."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": demo.endpoint_url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
    }

    def run(*arguments, fails=False):
        done = subprocess.run(
            [aws_command, *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode != 0) == fails, done.stderr
        text = done.stderr if fails else done.stdout
        return json.loads(text) if text.startswith("{") else text

    return run


def test_the_cli_invokes_demo_tabular(aws_cli, tmp_path):
    (tmp_path / "in.json").write_text(json.dumps({"instances": [ROW]}))

    answer = aws_cli(
        *("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "demo-tabular"),
        *("--content-type", "application/json", "--body", "fileb://in.json", "out.json"),
    )

    assert answer == {"ContentType": "application/json", "InvokedProductionVariant": "AllTraffic"}
    assert json.loads((tmp_path / "out.json").read_text())["predictions"][0]["label"] == "malignant"


def test_the_cli_submits_to_demo_tabular_async_and_reads_the_output(aws_cli, tmp_path):
    (tmp_path / "in.csv").write_text(",".join(map(str, ROW)))
    aws_cli("s3", "cp", "in.csv", "s3://demo-inference/cli/in.csv", "--content-type", "text/csv")

    answer = aws_cli(
        *("sagemaker-runtime", "invoke-endpoint-async", "--endpoint-name", "demo-tabular-async"),
        *("--input-location", "s3://demo-inference/cli/in.csv"),
    )
    bucket, _, key = answer["OutputLocation"].removeprefix("s3://").partition("/")
    aws_cli("s3api", "wait", "object-exists", "--bucket", bucket, "--key", key)
    output = aws_cli("s3", "cp", answer["OutputLocation"], "-")

    assert output["predictions"][0]["label"] == "malignant"
    assert answer["FailureLocation"].startswith("s3://demo-inference/failure/")


def test_the_cli_invokes_a_bedrock_model(aws_cli, tmp_path):
    (tmp_path / "in.json").write_text(
        json.dumps({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 40})
    )

    aws_cli(
        *("bedrock-runtime", "invoke-model", "--model-id", "ai21.jamba-instruct-v1:0"),
        *("--content-type", "application/json", "--body", "fileb://in.json", "out.json"),
    )

    answer = json.loads((tmp_path / "out.json").read_text())
    assert "stand-in" in answer["choices"][0]["message"]["content"]


def test_the_cli_converses(aws_cli):
    answer = aws_cli(
        *("bedrock-runtime", "converse", "--model-id", "ai21.jamba-1-5-mini-v1:0"),
        *("--messages", '[{"role": "user", "content": [{"text": "hi"}]}]'),
    )

    assert answer["stopReason"] == "end_turn"
    assert "stand-in" in answer["output"]["message"]["content"][0]["text"]


def test_the_cli_is_told_of_an_absent_endpoint_in_awss_words(aws_cli, tmp_path):
    (tmp_path / "in.json").write_text("{}")

    message = aws_cli(
        *("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "absent", "--body", "fileb://in.json"),
        "out.json",
        fails=True,
    )

    assert "(ValidationError)" in message
    assert "Endpoint absent of account 123456789012 not found." in message


def test_the_cli_describes_the_demo_endpoint(aws_cli):
    endpoint = aws_cli("sagemaker", "describe-endpoint", "--endpoint-name", "demo-tabular-async")

    assert endpoint["EndpointStatus"] == "InService"
