from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from importlib.metadata import entry_points, metadata, version
from importlib.resources import files
from pathlib import Path

import airflow_provider_aiml
import jsonschema
import pytest
from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator
from airflow.triggers.base import BaseTrigger
from airflow_provider_aiml.get_provider_info import get_provider_info

DISTRIBUTION = "airflow-provider-aiml"
INTERNAL = {"airflow_provider_aiml.hooks.aws_client"}
"""What the hooks share; its S3Hook serves our own waits."""
KINDS = {"hooks": BaseHook, "operators": BaseOperator, "sensors": BaseSensorOperator, "triggers": BaseTrigger}


DISCOVER = """
import json, logging, warnings

class Kept(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())

lines = []
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    from airflow.providers_manager import ProvidersManager
    for logger in ("", "airflow", "airflow.providers_manager"):
        logging.getLogger(logger).addHandler(Kept(logging.WARNING))
    manager = ProvidersManager()
    provider = manager.providers["airflow-provider-aiml"]
    types = list(manager.hooks)
lines += [f"{warning.filename}: {warning.message}" for warning in warned]
found = {"version": provider.version, "data": provider.data, "warnings": lines, "connection_types": types}
print(json.dumps(found))
"""


def listed_modules(kind: str) -> set[str]:
    return {module for entry in get_provider_info().get(kind, []) for module in entry["python-modules"]}


def public_classes(module: str, kind: str) -> list[type]:
    return [
        found
        for name, found in inspect.getmembers(importlib.import_module(module), inspect.isclass)
        if found.__module__ == module and issubclass(found, KINDS[kind]) and not name.startswith("_")
    ]


def existing_modules(kind: str) -> set[str]:
    package = importlib.import_module(f"airflow_provider_aiml.{kind}")
    names = [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
    return {name for name in names if public_classes(name, kind)} - INTERNAL


@pytest.fixture(scope="module")
def discovery():
    # A process of its own: the manager is a singleton that keeps what earlier tests let it find.
    answer = subprocess.run([sys.executable, "-c", DISCOVER], capture_output=True, text=True, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


def test_the_version_of_the_module_is_that_of_the_distribution():
    assert version(DISTRIBUTION) == airflow_provider_aiml.__version__


def test_the_distribution_declares_what_deferral_and_object_storage_need():
    requirements = metadata(DISTRIBUTION).get_all("Requires-Dist") or []
    (amazon,) = (line for line in requirements if line.startswith("apache-airflow-providers-amazon"))

    assert "[aiobotocore,s3fs]" in amazon


def test_type_checkers_see_that_the_package_is_typed():
    assert (files("airflow_provider_aiml") / "py.typed").is_file()


def test_airflow_finds_exactly_one_entry_point_of_this_distribution():
    found = [
        point
        for point in entry_points(group="apache_airflow_provider")
        if point.dist and point.dist.name == DISTRIBUTION
    ]

    assert [point.load() for point in found] == [get_provider_info]


def test_the_package_name_is_the_canonical_name_of_the_distribution():
    assert get_provider_info()["package-name"] == DISTRIBUTION


def test_the_provider_info_follows_airflows_own_schema():
    schema = json.loads((files("airflow") / "provider_info.schema.json").read_text())

    jsonschema.validate(get_provider_info(), schema)
    assert set(get_provider_info()) <= set(schema["properties"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_module_is_listed_and_every_listed_module_exists(kind):
    assert listed_modules(kind) == existing_modules(kind)


@pytest.mark.parametrize(
    ("kind", "module"), [(kind, module) for kind in KINDS for module in sorted(listed_modules(kind))]
)
def test_every_listed_module_offers_a_class_of_its_kind(kind, module):
    own = public_classes(module, kind)

    assert own
    assert all(found.__doc__ for found in own)


@pytest.mark.parametrize("kind", KINDS)
def test_every_integration_named_by_a_module_is_described(kind):
    described = {integration["integration-name"] for integration in get_provider_info()["integrations"]}

    assert {entry["integration-name"] for entry in get_provider_info()[kind]} <= described


def test_the_providers_manager_loads_the_provider_without_a_warning(discovery):
    assert discovery["version"] == airflow_provider_aiml.__version__
    assert get_provider_info().items() <= discovery["data"].items()
    assert [line for line in discovery["warnings"] if "aiml" in line] == []


def test_the_connections_of_the_provider_are_the_aws_ones(discovery):
    assert "aws" in discovery["connection_types"]
    assert "connection-types" not in get_provider_info()


def test_no_folder_named_airflow_could_hide_airflow_itself():
    root = Path(airflow_provider_aiml.__file__).parent

    assert [path for path in root.rglob("airflow") if path.is_dir()] == []
