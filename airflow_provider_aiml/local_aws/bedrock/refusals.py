"""Bedrock's ways of saying no, with the HTTP status of each; nothing is decided here."""

from __future__ import annotations

from typing import Any, Final

from airflow_provider_aiml.local_aws.errors import ApiError

__all__ = ["STATUS", "invalid", "malformed", "refusal"]

STATUS: Final = {
    "AccessDeniedException": 403,
    "ConflictException": 400,
    "InternalServerException": 500,
    "ModelErrorException": 424,
    "ModelNotReadyException": 429,
    "ModelStreamErrorException": 424,
    "ModelTimeoutException": 408,
    "ResourceNotFoundException": 404,
    "ServiceQuotaExceededException": 400,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "UnknownOperationException": 404,
    "ValidationException": 400,
}
"""HTTP status by error code, as in Bedrock's service model."""


def refusal(code: str, message: str, **fields: Any) -> ApiError:
    """Make the error *code* with the status that Bedrock gives it.

    :param code: one of :data:`STATUS`.
    :param message: the message of the body.
    :param fields: further members of the error's shape.
    """
    return ApiError(code, message, STATUS[code], **fields)


def invalid(message: str) -> ApiError:
    """Make a ``ValidationException``."""
    return refusal("ValidationException", message)


def malformed(problems: list[str]) -> ApiError:
    """Make the ``ValidationException`` that InvokeModel answers to a body against the model's schema."""
    found = ", ".join(problems)
    if len(problems) > 1:
        found = f"{len(problems)} schema violations found, {found}"
    return invalid(f"Malformed input request: {found}, please reformat your input and try again.")
