"""The one way in which the local AWS says no: an error with AWS's own code, status and shape.

Raised by every operation of the stand-in and turned into an HTTP answer in one place
(:mod:`airflow_provider_aiml.local_aws.answers`).
"""

from __future__ import annotations

from typing import Any

__all__ = ["ApiError"]


class ApiError(Exception):
    """An AWS error answer.

    :param code: AWS's error code, for example ``ModelError``; goes into ``x-amzn-ErrorType``.
    :param message: the message of the body; None gives JSON null, as SageMaker's throttling does.
    :param status: the HTTP status.
    :param fields: further members of the error's shape, for example ``OriginalStatusCode=500``.
    """

    def __init__(self, code: str, message: str | None, status: int = 400, **fields: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.fields = fields
