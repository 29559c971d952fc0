"""A deterministic stand-in for Amazon Bedrock's runtime, which says in each answer that it is one.

It knows nothing of HTTP: :class:`Bedrock` takes an operation's name and request and gives its response, or
raises :class:`~airflow_provider_aiml.local_aws.errors.ApiError`. What its model can be asked is told in
:mod:`.standin` and :mod:`.tools`, its guardrail in :mod:`.guardrails`, faults on demand in :mod:`.faults`.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_aiml.local_aws.bedrock.service import Bedrock

__all__ = ["Bedrock", "handle"]

_DEFAULT = Bedrock()


def handle(operation_name: str, request: dict[str, Any]) -> dict[str, Any]:
    """Answer one request without any S3; see :meth:`Bedrock.handle`.

    :param operation_name: the operation, as the service model names it.
    :param request: its members by name.
    :raises ApiError: with Bedrock's own code and status.
    """
    return _DEFAULT.handle(operation_name, request)
