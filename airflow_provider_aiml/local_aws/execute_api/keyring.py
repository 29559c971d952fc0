"""The secrets of the access keys that the local AWS has given out, learnt from its own answers."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

from airflow_provider_aiml.local_aws.execute_api.signature import Secret
from airflow_provider_aiml.local_aws.moto_clients import ACCESS_KEY, SECRET_KEY

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.messages import Answer, Request

__all__ = ["Keyring"]

_TAGS = ("AccessKeyId", "SecretAccessKey", "SessionToken")


class Keyring:
    """Access keys and their secrets: the connection's own, and those that IAM and STS have made."""

    def __init__(self) -> None:
        self._secrets: dict[str, Secret] = {}
        self.clear()

    def clear(self) -> None:
        """Forget all keys but the connection's."""
        self._secrets = {ACCESS_KEY: Secret(SECRET_KEY)}

    def get(self, access_key: str) -> Secret | None:
        """Give the secret of a key."""
        return self._secrets.get(access_key)

    def watch(self, request: Request, answer: Answer) -> None:
        """Learn the keys in an answer of IAM or STS."""
        if request.signing_name not in ("iam", "sts", None) or not isinstance(answer.body, bytes):
            return
        if answer.status != 200 or b"<SecretAccessKey>" not in answer.body:
            return
        text = answer.body.decode()
        found = [re.search(rf"<{tag}>([^<]+)</{tag}>", text) for tag in _TAGS]
        access_key, secret, token = (unescape(match[1]) if match else None for match in found)
        if access_key and secret:
            self._secrets[access_key] = Secret(secret, token)
