"""What an ``aws`` connection must fulfil before a client is made from it: one whole identity, or none.

amazon's hook falls back to boto3's default chain where a connection is missing or its keys are not complete,
and so may buy inferences as another identity, in another account. Here both are errors.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.exceptions import AwsConfigurationError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow.sdk import Connection

__all__ = ["check_connection", "check_connection_id", "unknown_connection"]

KEY_PAIR = ("aws_access_key_id", "aws_secret_access_key")


def check_connection_id(conn_id: str | None) -> None:
    """Refuse an empty id, which is what a template gives that found nothing; None asks for the default chain.

    :raises AwsConfigurationError: it is empty.
    """
    if conn_id is None or conn_id.strip():
        return
    raise AwsConfigurationError(
        "No AWS connection is named, and the default chain is not used in its place",
        problems=(Problem("aws_conn_id", "an empty text", "the id of a connection, or None"),),
        hint="name a connection, or ask for boto3's default chain with aws_conn_id=None",
    )


def unknown_connection(conn_id: str) -> AwsConfigurationError:
    """Give the error for a connection that Airflow does not know."""
    return AwsConfigurationError(
        "The AWS connection is not defined, and another identity is not used in its place",
        problems=(
            Problem("aws_conn_id", repr(conn_id), "the id of a connection, or None for the default chain"),
        ),
        hint=f"create the connection {conn_id!r} (type aws), or correct the id where it is given",
    )


def check_connection(connection: Connection) -> None:
    """Refuse a connection that holds half an identity or an extra that is no JSON object.

    :raises AwsConfigurationError: every fault that there is; no value of the connection is in it.
    """
    problems = tuple(_problems(connection))
    if problems:
        raise AwsConfigurationError(
            f"The AWS connection {connection.conn_id!r} cannot be used",
            problems=problems,
            hint="https://airflow.apache.org/docs/apache-airflow-providers-amazon/stable/connections/aws.html",
        )


def _problems(connection: Connection) -> Iterator[Problem]:
    if fault := _half(connection.login, connection.password):
        yield Problem("login and password", fault, "both, or neither")
    try:
        extra = json.loads(connection.extra or "{}")
    except ValueError:
        yield Problem("extra", "no valid JSON", "a JSON object")
        return
    if not isinstance(extra, dict):
        yield Problem("extra", f"a JSON {type(extra).__name__}", "a JSON object")
        return
    yield from _extra_problems(extra, bool(connection.login))


def _extra_problems(extra: Mapping[str, Any], has_login: bool) -> Iterator[Problem]:
    for place, holder in (("extra", extra), ("extra.session_kwargs", extra.get("session_kwargs") or {})):
        if not isinstance(holder, dict):
            yield Problem(place, f"a {type(holder).__name__}", "a JSON object")
            continue
        if fault := _half(*(holder.get(key) for key in KEY_PAIR)):
            yield Problem(f"{place}: {' and '.join(KEY_PAIR)}", fault, "both, or neither")
        if holder.get("aws_session_token") and not has_login and not any(_pairs(extra)):
            yield Problem(
                f"{place}: aws_session_token", "without a key pair", "with the pair that it belongs to"
            )


def _pairs(extra: Mapping[str, Any]) -> Iterator[bool]:
    for holder in (extra, extra.get("session_kwargs") or {}):
        yield isinstance(holder, dict) and any(holder.get(key) for key in KEY_PAIR)


def _half(key_id: object, secret: object) -> str | None:
    if bool(key_id) == bool(secret):
        return None
    return "only the key id" if key_id else "only the secret"
