"""Runs the README's own DAG on the Airflow whose program is the first argument."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3
from airflow_provider_aiml.local_aws import LocalAws

PROJECT = Path(__file__).parents[2]
_DAG = re.compile(r"```python\n(?P<code>from airflow\.sdk import DAG\n.*?)```", re.DOTALL)
_DAG_ID = re.compile(r'with DAG\("(?P<id>[^"]+)"')
_BUCKET = re.compile(r'output_uri="s3://(?P<name>[^/]+)/')
_ENDPOINT = re.compile(r'endpoint_name="(?P<name>[^"]+)"')


def main(airflow: Path) -> None:
    (code,) = (found["code"] for found in _DAG.finditer((PROJECT / "README.md").read_text()))
    dag_id, endpoint = _found(_DAG_ID, code), _found(_ENDPOINT, code)
    # The local AWS starts its models from here, so that they find their module.
    os.chdir(PROJECT)
    bucket = _found(_BUCKET, code)
    with LocalAws(demo=False) as aws, tempfile.TemporaryDirectory() as home:
        aws.add_endpoint(endpoint, model="tests.e2e.models.iris:model")
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=aws.endpoint_url, **keys).create_bucket(Bucket=bucket)
        file = Path(home) / "dags" / "readme.py"
        file.parent.mkdir()
        file.write_text(code)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW_CONN_AWS_DEFAULT": aws.connection_uri,
        }
        for command in (["db", "migrate"], ["dags", "test", dag_id, "--dagfile-path", str(file)]):
            done = subprocess.run(
                [airflow, *command], env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                sys.exit(
                    f"airflow {' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
                )
        seen = aws.invocations(endpoint)
    if [invocation.status for invocation in seen] != [200]:
        sys.exit(f"the model was not invoked exactly once and with success, but: {seen}\n{done.stdout}")
    sys.stdout.write(f"The README's DAG {dag_id!r} ran, and its model was invoked once\n")


def _found(pattern: re.Pattern[str], code: str) -> str:
    match = pattern.search(code)
    if match is None:
        sys.exit(f"the README's DAG has nothing like {pattern.pattern}")
    return match[1]


if __name__ == "__main__":
    # Absolute, yet unresolved: in a virtual environment the program itself says where that is.
    main(Path(sys.argv[1]).absolute())
