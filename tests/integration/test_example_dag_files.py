"""What every example DAG owes its reader, and the trigger form that Airflow makes of it."""

from __future__ import annotations

import ast
import re

import pytest
from pytest_socket import disable_socket, enable_socket
from tests.e2e.demo import EXPECTATIONS
from tests.integration.conftest import EXAMPLE_DAGS, load_dags

FILES = sorted(EXAMPLE_DAGS.glob("*.py"))
NAMES = [file.stem for file in FILES]


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_file_is_one_dag_of_its_name_and_parses_without_network(file):
    disable_socket(allow_unix_socket=True)
    try:
        dags = load_dags(file)
    finally:
        enable_socket()

    assert [dag.dag_id for dag in dags] == [file.stem]


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_file_imports_only_airflow_sdk_and_ours_when_it_is_parsed(file):
    tree = ast.parse(file.read_text())
    modules = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    ours = re.compile(r"airflow_provider_aiml\.((operators|sensors|decorators)\.\w+|endpoint_api)")

    assert {name for name in modules if not ours.fullmatch(name)} <= {
        "__future__",
        "airflow.sdk",
        "datetime",
        "json",
    }


def test_every_example_runs_in_the_demo():
    assert {wanted.dag_id for wanted in EXPECTATIONS} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_dag_is_described_tagged_and_documented(example_dags, name):
    dag = example_dags[name]

    assert dag.description
    assert "aiml" in dag.tags
    assert dag.doc_md.lstrip().startswith("###")
    assert "aws_default" in dag.doc_md


@pytest.mark.parametrize("name", NAMES)
def test_each_param_has_a_type_a_title_a_description_and_a_valid_default(example_dags, name):
    params = example_dags[name].params

    assert len(params) > 1
    for key in params:
        param = params.get_param(key)
        assert {"type", "title"} <= param.schema.keys(), key
        assert param.description, key
        assert param.resolve() == param.value


@pytest.mark.parametrize("name", NAMES)
def test_free_text_and_choices_are_narrowed_where_they_have_a_form(example_dags, name):
    params = example_dags[name].params
    text = [params.get_param(key) for key in params if params.get_param(key).schema["type"] == "string"]
    narrowing = {"enum", "pattern", "minLength", "examples"}

    assert text
    assert all(narrowing & param.schema.keys() for param in text)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("aiml_realtime_scoring", "content_type", "text/plain"),
        ("aiml_realtime_scoring", "bucket", "No_Bucket"),
        ("aiml_realtime_scoring", "prefix", "/slash-first-is-fine-but-not-last/"),
        ("aiml_realtime_scoring", "minimum_accuracy", 1.5),
        ("aiml_async_scoring", "endpoint_name", "-begins-with-a-dash"),
        ("aiml_bedrock_invoke", "model_id", "amazon.nova-lite-v1:0"),
        ("aiml_bedrock_invoke", "max_tokens", 0),
    ],
)
def test_the_form_refuses_a_value_that_cannot_work(example_dags, name, key, value):
    with pytest.raises(Exception, match=f"(?s)Failed validating.*On instance:.*{re.escape(str(value))}"):
        example_dags[name].params.get_param(key).resolve(value)


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_what_the_documentation_quotes_is_marked_from_start_to_end(file):
    marks = re.findall(r"^ *# \[(START|END) (\w+)\]$", file.read_text(), re.M)

    assert marks
    assert [mark for mark, _ in marks] == ["START", "END"] * (len(marks) // 2)
    assert all(begin[1] == end[1] for begin, end in zip(marks[::2], marks[1::2], strict=True))


def test_every_wait_of_an_example_is_deferred(example_dags):
    asynchronous = [
        getattr(task, "partial_kwargs", None) or vars(task)
        for dag in example_dags.values()
        for task in dag.tasks
        if "Async" in task.task_type
    ]
    waiting = [task for task in asynchronous if task.get("wait_for_completion", True)]

    assert len(waiting) == 3
    assert all(task["deferrable"] for task in waiting)
