"""What all tasks share: the hook's settings, object storage, and errors that fail for good."""

from __future__ import annotations

import logging
import re

import pytest
from airflow_provider_aiml.aws_task import (
    AwsTask,
    check_place,
    deferrable_default,
    failing_for_good,
    has_jinja,
    hopeless,
    own_s3_uri,
)
from airflow_provider_aiml.exceptions import (
    AwsConfigurationError,
    BusyError,
    ModelFailedError,
    Problem,
    RequestError,
    public_class,
)
from airflow_provider_aiml.hooks.sagemaker_runtime import SageMakerRuntimeHook
from tests.airflow_versions import AirflowFailException


class Task(AwsTask):
    hook_module = "airflow_provider_aiml.hooks.sagemaker_runtime"
    hook_name = "SageMakerRuntimeHook"


def test_the_hook_gets_all_that_the_task_was_given():
    given = {
        "aws_conn_id": "mine",
        "region_name": "eu-west-1",
        "verify": "/etc/ca.pem",
        "botocore_config": {"read_timeout": 5},
        "validate": {"min"},
        "retry_args": {"attempts": 2},
        "log_payloads": True,
        "quote_model_errors": False,
    }
    task = Task(task_id="t", **given)

    hook = task.hook
    assert isinstance(hook, SageMakerRuntimeHook)
    assert task.hook is hook
    assert (hook.aws_conn_id, hook._region_name, hook._verify) == ("mine", "eu-west-1", "/etc/ca.pem")
    assert hook._operator_config.read_timeout == 5
    assert (hook.validate, hook.retry_args) == ({"min"}, {"attempts": 2})
    assert (hook.log_payloads, hook.quote_model_errors) == (True, False)


def test_one_s3_client_serves_the_whole_task(aws):
    task = Task(task_id="t")

    assert task.s3 is task.s3
    assert task.s3.meta.endpoint_url == aws.endpoint_url


def test_an_error_that_no_retry_can_help_stops_airflow_s_retries_and_keeps_its_class():
    error = ModelFailedError("Failed", model_message="too long", original_status=400, code="ModelError")

    with pytest.raises(ModelFailedError) as caught, failing_for_good():
        raise error

    assert isinstance(caught.value, AirflowFailException)
    assert str(caught.value) == str(error)
    assert caught.value.__dict__ == error.__dict__
    assert caught.value.to_dict() == error.to_dict()
    assert public_class(type(caught.value)) is ModelFailedError
    assert caught.value.__suppress_context__


def test_an_error_that_a_retry_may_help_passes_as_it_is():
    error = BusyError("Throttled")

    with pytest.raises(BusyError) as caught, failing_for_good():
        raise error
    assert caught.value is error


def test_an_error_that_fails_for_good_already_is_not_wrapped_again():
    error = hopeless(RequestError("Bad", problems=(Problem("a", "1", "2"),)))

    with pytest.raises(RequestError) as caught, failing_for_good(), failing_for_good():
        raise error
    assert caught.value is error


def test_two_errors_of_a_class_that_fail_for_good_are_of_one_class():
    assert type(hopeless(RequestError("a"))) is type(hopeless(RequestError("b")))


def test_the_cause_of_an_error_is_kept():
    cause = ValueError("x")

    with pytest.raises(RequestError) as caught, failing_for_good():
        raise RequestError("Bad") from cause
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize(
    ("value", "template"),
    [("{{ ds }}", True), ("{% if x %}", True), ("{x}", False), (3, False), (None, False)],
)
def test_only_text_with_jinja_is_a_template(value, template):
    assert has_jinja(value) is template


@pytest.mark.parametrize("uri", ["s3://b/k", "gs://b/k", "file:///k", "file://host/k", "{{ x }}", None, 3])
def test_a_place_or_what_may_become_one_passes(uri):
    check_place(uri, "payload_uri")


@pytest.mark.parametrize(
    "uri", ["", "s3", "s3://", "s3://b", "s3://b/", "s3:///k", "/k", "://b/k", "file://"]
)
def test_what_is_no_place_is_refused_with_its_field(uri):
    with pytest.raises(RequestError, match=rf"payload_uri: is a string of {len(uri)} characters"):
        check_place(uri, "payload_uri")


@pytest.mark.parametrize("uri", ["s3://b/", "s3://b/folder/", "file:///"])
def test_a_folder_is_a_place_where_folders_may_be(uri):
    check_place(uri, "output_uri", folder=True)


def test_a_bucket_without_a_slash_is_no_folder():
    with pytest.raises(RequestError, match="s3://bucket/folder/"):
        check_place("s3://b", "output_uri", folder=True)


@pytest.mark.parametrize(
    ("uri", "own"),
    [
        ("s3://bucket/key", "s3://bucket/key"),
        ("s3a://bucket/folder/", "s3://bucket/folder/"),
        ("s3n://bucket/a@b", "s3://bucket/a@b"),
        ("s3://mine@bucket/key", None),
        ("gs://bucket/key", None),
        ("bucket/key", None),
        ("", None),
    ],
)
def test_a_place_on_s3_is_the_task_s_own_unless_it_names_a_connection(uri, own):
    assert own_s3_uri(uri) == own


def test_a_place_on_s3_is_opened_with_the_task_s_connection_or_the_one_that_it_names(aws, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_MINE", aws.connection_uri)
    monkeypatch.setenv("AIRFLOW_CONN_THEIRS", aws.connection_uri)
    task = Task(task_id="t", aws_conn_id="mine")

    assert re.fullmatch(r"s3://mine-[0-9a-f]{16}@b/k", str(task.object_path("s3://b/k")))
    assert re.fullmatch(r"s3a://mine-[0-9a-f]{16}@b/k", str(task.object_path("s3a://b/k")))
    assert re.fullmatch(r"s3://theirs-[0-9a-f]{16}@b/k", str(task.object_path("s3://theirs@b/k")))
    assert "mine" not in str(task.object_path("file:///k"))


def test_a_place_on_s3_needs_a_connection_that_is_there(aws):
    with pytest.raises(AwsConfigurationError, match="'nobody'"):
        Task(task_id="t", aws_conn_id="nobody").object_path("s3://b/k")


@pytest.mark.parametrize(
    ("rendered", "problem"),
    [
        ("/etc/hostname", "input_data_uri: is a string of 13 characters that lacks a scheme"),
        ("rows.json", "lacks a scheme"),
        ("", "lacks a scheme"),
        ("s3:/bucket/rows.json", "lacks a scheme, a bucket or a key"),
        ("s3://bucket/", "lacks a scheme, a bucket or a key"),
        ("bogus://bucket/key", "of a scheme that no installed provider knows"),
        (["s3://bucket/key"], "input_data_uri: is a list of 1"),
        (5, "input_data_uri: is an int"),
    ],
    ids=str,
)
def test_a_body_is_read_from_a_place_in_object_storage_only(rendered, problem):
    with pytest.raises(RequestError, match=problem):
        Task(task_id="t").read_body(None, rendered, "text/plain", "input_data")


@pytest.mark.parametrize(("given", "expected"), [(None, False), ("True", True)])
def test_whether_to_defer_is_airflow_s_setting(monkeypatch, given, expected):
    if given:
        monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", given)

    assert deferrable_default() is expected


@pytest.mark.parametrize("log_payloads", [False, True])
def test_aws_s_libraries_stay_quiet_while_the_task_works_unless_it_says_otherwise(caplog, log_payloads):
    log = logging.getLogger("botocore.endpoint")
    with caplog.at_level(logging.DEBUG, "botocore.endpoint"):
        with Task(task_id="t", log_payloads=log_payloads).careful():
            log.debug("canary")
        log.debug("afterwards")

    assert ("canary" in caplog.text) is log_payloads
    assert "afterwards" in caplog.text
