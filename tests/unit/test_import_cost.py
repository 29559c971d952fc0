"""DAG files are parsed again and again, so what they import must be cheap; import-linter sees no laziness."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from importlib.util import find_spec

import pytest

DEAR = (
    "boto3",
    "botocore",
    "aiobotocore",
    "aiohttp",
    "moto",
    "sklearn",
    "numpy",
    "airflow.providers.amazon.aws",
)
PACKAGES = ("operators", "sensors", "decorators")

LOADED_BY_IMPORT = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""


def task_modules() -> list[str]:
    names = [f"airflow_provider_aiml.{package}" for package in PACKAGES]
    packages = [importlib.import_module(name) for name in names if find_spec(name)]
    return [
        f"{package.__name__}.{module.name}"
        for package in packages
        for module in pkgutil.iter_modules(package.__path__)
    ]


def loaded_by_importing(module: str) -> list[str]:
    answer = subprocess.run(
        [sys.executable, "-c", LOADED_BY_IMPORT, module], capture_output=True, text=True, check=True
    )
    return json.loads(answer.stdout.splitlines()[-1])


@pytest.mark.parametrize("module", task_modules())
def test_importing_a_task_module_loads_neither_aws_libraries_nor_the_amazon_provider(module):
    loaded = loaded_by_importing(module)

    assert module in loaded
    assert [name for name in loaded for dear in DEAR if name == dear or name.startswith(f"{dear}.")] == []


def test_the_look_at_sys_modules_does_find_a_dear_import():
    loaded = loaded_by_importing("airflow.providers.amazon.aws.hooks.base_aws")

    assert {"boto3", "botocore", "airflow.providers.amazon.aws"} <= set(loaded)


def test_the_provider_info_is_read_without_importing_a_task_module():
    loaded = loaded_by_importing("airflow_provider_aiml.get_provider_info")

    assert [name for name in loaded if name.startswith("airflow_provider_aiml")] == [
        "airflow_provider_aiml",
        "airflow_provider_aiml.get_provider_info",
    ]
    assert "airflow" not in loaded
