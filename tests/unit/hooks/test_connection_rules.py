"""A connection holds one whole identity, or none."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import Connection
from airflow_provider_aiml.exceptions import AwsConfigurationError
from airflow_provider_aiml.hooks.connection_rules import check_connection, unknown_connection

SECRET = "canary-secret"
PAIR = {"aws_access_key_id": "AKIA", "aws_secret_access_key": SECRET}


def connection(login=None, password=None, extra=None):
    extra = json.dumps(extra) if isinstance(extra, dict) else extra
    return Connection(conn_id="ml", conn_type="aws", login=login, password=password, extra=extra)


@pytest.mark.parametrize(
    "whole",
    [
        connection(),
        connection("AKIA", SECRET),
        connection("AKIA", SECRET, {"aws_session_token": "t"}),
        connection(extra=PAIR),
        connection(extra={**PAIR, "aws_session_token": "t"}),
        connection(extra={"session_kwargs": {**PAIR, "aws_session_token": "t"}}),
        connection(extra={"role_arn": "arn:aws:iam::1:role/x", "region_name": "eu-west-1"}),
        connection(extra={"profile_name": "ml"}),
    ],
    ids=str,
)
def test_whole_identities_and_none_are_accepted(whole):
    check_connection(whole)


@pytest.mark.parametrize(
    ("half", "field"),
    [
        (connection(login="AKIA"), "login and password"),
        (connection(password=SECRET), "login and password"),
        (connection(login="AKIA", extra={"aws_secret_access_key": SECRET}), "login and password"),
        (connection(login="AKIA", extra=PAIR), "login and password"),
        (connection(extra={"aws_access_key_id": "AKIA"}), "extra: aws_access_key_id"),
        (connection(extra={"aws_secret_access_key": SECRET}), "extra: aws_access_key_id"),
        (connection(extra={"session_kwargs": {"aws_access_key_id": "AKIA"}}), "extra.session_kwargs"),
        (connection(extra={"session_kwargs": "profile"}), "extra.session_kwargs"),
        (connection(extra={"aws_session_token": SECRET}), "aws_session_token"),
        (connection(extra="{not json"), "extra"),
        (connection(extra="[1, 2]"), "extra"),
    ],
)
def test_half_an_identity_is_refused_and_named_without_its_values(half, field):
    with pytest.raises(AwsConfigurationError) as raised:
        check_connection(half)

    assert any(field in problem.field for problem in raised.value.problems)
    assert "'ml'" in str(raised.value)
    assert SECRET not in str(raised.value)


def test_an_unknown_connection_is_named():
    error = unknown_connection("typo")

    assert "typo" in str(error)
    assert not error.retryable
