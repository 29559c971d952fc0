"""The gateway's own errors, in its own words.

https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
"""

from __future__ import annotations

import json

from airflow_provider_aiml.local_aws.messages import Answer

__all__ = ["RefusedError"]


class RefusedError(Exception):
    """The gateway answers by itself.

    :param status: the HTTP status.
    :param message: of the JSON body.
    :param kind: for ``x-amzn-ErrorType``.
    """

    def __init__(self, status: int, message: str, kind: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind

    def answer(self) -> Answer:
        """Give it as an answer."""
        body = json.dumps({"message": self.message}).encode()
        headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", self.kind)]
        return Answer(self.status, headers, body)


def forbidden() -> RefusedError:
    """Give the answer to a missing stage or API key."""
    return RefusedError(403, "Forbidden", "ForbiddenException")


def failed() -> RefusedError:
    """Give the answer to what is wrong within the API itself."""
    return RefusedError(500, "Internal server error", "InternalServerErrorException")
