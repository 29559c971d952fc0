"""The example DAGs, loaded as Airflow loads them, with a database and the demo's endpoints."""

from __future__ import annotations

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow.sdk import DAG
    from airflow_provider_aiml.local_aws import LocalAws

EXAMPLE_DAGS = Path(__file__).parents[2] / "example_dags"
BUCKET = "demo-inference"


def load_dags(file: Path) -> list[DAG]:
    """Import a DAG file, and give the DAGs that it defines."""
    from airflow.sdk import DAG

    spec = spec_from_file_location(f"example_{file.stem}", file)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return [value for value in vars(module).values() if isinstance(value, DAG)]


@pytest.fixture(scope="session")
def _database() -> None:
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def example_dags() -> dict[str, DAG]:
    """Every DAG that the files in ``example_dags`` define, by its id, made anew: a run changes its params."""
    return {dag.dag_id: dag for file in EXAMPLE_DAGS.glob("*.py") for dag in load_dags(file)}


@pytest.fixture
def demo(aws: LocalAws, _database: None, monkeypatch: pytest.MonkeyPatch) -> LocalAws:
    """The local AWS with the demo's endpoints, behind an Airflow whose DAGs are the examples."""
    from airflow.sdk import ObjectStoragePath

    bundle = {
        "name": "dags-folder",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(EXAMPLE_DAGS)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    # [START endpoints]
    aws.add_endpoint("demo-tabular", "tabular")
    aws.add_endpoint("demo-text-stream", "text_stream")
    aws.add_endpoint(
        "demo-tabular-async",
        "tabular",
        s3_output_path=f"s3://{BUCKET}/output",
        s3_failure_path=f"s3://{BUCKET}/failure",
    )
    # [END endpoints]
    aws.add_endpoint("demo-throttled", "tabular")
    aws.add_fault("InvokeEndpoint*", code="ThrottlingException", resource="demo-throttled", for_seconds=3600)
    # In Airflow each task is a process of its own; here they share one, with its listings of S3.
    ObjectStoragePath(f"s3://{BUCKET}", conn_id="aws_default").fs.invalidate_cache()
    return aws
