"""Signature Version 4, checked: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from airflow_provider_aiml.local_aws.execute_api.refusals import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_aiml.local_aws.messages import Request

__all__ = ["Secret", "check_signature"]

_ALGORITHM = "AWS4-HMAC-SHA256"
_HEADER = re.compile(
    rf"{_ALGORITHM} +Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]+)"
)
_LEEWAY = timedelta(minutes=15)
_SAFE = "-_.~"


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret key, with the token that must come with it, if any."""

    key: str
    token: str | None = None


def check_signature(
    request: Request, secret_of: Callable[[str], Secret | None], region: str, now: datetime
) -> str:
    """Check the signature of a request for ``execute-api``; give the access key.

    :param secret_of: gives the secret of an access key; None for a key that nobody has.
    :raises RefusedError: unsigned, out of date, by an unknown key, or wrong.
    """
    authorization = request.headers.get("authorization")
    if not authorization:
        raise RefusedError(403, "Missing Authentication Token", "MissingAuthenticationTokenException")
    parsed = _HEADER.fullmatch(authorization.strip())
    scope = parsed[1].split("/") if parsed else []
    if parsed is None or len(scope) != 5:
        raise RefusedError(403, "Authorization header is malformed", "IncompleteSignatureException")
    access_key, date, signed_region, service, _ = scope
    secret = secret_of(access_key)
    if secret is None or secret.token not in (None, request.headers.get("x-amz-security-token")):
        message = "The security token included in the request is invalid."
        raise RefusedError(403, message, "UnrecognizedClientException")
    if (signed_region, service) != (region, "execute-api"):
        message = (
            f"Credential should be scoped to a valid region and to execute-api, not {signed_region}/{service}"
        )
        raise RefusedError(403, message, "InvalidSignatureException")
    stamp = request.headers.get("x-amz-date", "")
    _check_date(stamp, date, now)
    wanted = _signature(request, secret, stamp, scope[1:], parsed[2].split(";"))
    if not hmac.compare_digest(wanted, parsed[3]):
        message = (
            "The request signature we calculated does not match the signature you provided. Check your AWS "
            "Secret Access Key and signing method. Consult the service documentation for details."
        )
        raise RefusedError(403, message, "InvalidSignatureException")
    return access_key


def _check_date(stamp: str, date: str, now: datetime) -> None:
    try:
        signed = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise RefusedError(403, "X-Amz-Date is missing", "IncompleteSignatureException") from None
    if abs(now - signed) > _LEEWAY or not stamp.startswith(date):
        message = f"Signature expired: {stamp} is now earlier than {now - _LEEWAY:%Y%m%dT%H%M%SZ}"
        raise RefusedError(403, message, "InvalidSignatureException")


def _signature(request: Request, secret: Secret, stamp: str, scope: list[str], names: list[str]) -> str:
    canonical = "\n".join(
        [
            request.method,
            quote(request.raw_path or "/", safe=f"/{_SAFE}"),
            _canonical_query(request.query),
            "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in names),
            ";".join(names),
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    text = "\n".join([_ALGORITHM, stamp, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret.key}".encode()
    for part in (*scope, text):
        digest = hmac.new(key, part.encode(), hashlib.sha256)
        key = digest.digest()
    return digest.hexdigest()


def _canonical_query(query: str) -> str:
    """Sort the query and encode it strictly, whichever way it was encoded."""
    pairs = [part.partition("=") for part in query.split("&") if part]
    encoded = [
        (quote(unquote(name), safe=_SAFE), quote(unquote(value), safe=_SAFE)) for name, _, value in pairs
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))
