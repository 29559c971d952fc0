"""What went wrong on this side of the wire, where no service answered: settings, connections, answers that
nobody can parse.

Nothing of a request goes into a message: botocore's own texts hold values, so none of them is quoted.
"""

from __future__ import annotations

import errno
import json
import re
import ssl
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore import exceptions as boto
from botocore.eventstream import ParserError
from botocore.parsers import ResponseParserError

from airflow_provider_aiml.exceptions import (
    AwsConfigurationError,
    BusyError,
    InferenceError,
    RequestError,
    ResponseError,
    UnknownOutcomeError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["never_answered"]

_CONFIGURATION_ERRORS: tuple[type[BaseException], ...] = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.MetadataRetrievalError,
    boto.NoAuthTokenError,
    boto.TokenRetrievalError,
    boto.UnauthorizedSSOTokenError,
    boto.SSOError,
    boto.NoRegionError,
    boto.InvalidRegionError,
    boto.ProfileNotFound,
    boto.ConfigNotFound,
    boto.ConfigParseError,
    boto.InvalidConfigError,
    boto.InvalidProxiesConfigError,
    boto.UnknownEndpointError,
    boto.EndpointProviderError,
    boto.UnknownServiceError,
    boto.InvalidRetryConfigurationError,
    boto.UnknownSignatureVersionError,
    boto.UnsupportedSignatureVersionError,
    boto.InvalidDefaultsMode,
    boto.MissingDependencyException,
)
_HINTS: dict[type[BaseException], str] = {
    boto.NoRegionError: "set region_name on the task, in the connection's extra, or in AWS_DEFAULT_REGION",
    boto.InvalidRegionError: "correct region_name on the task or in the connection's extra",
    boto.NoCredentialsError: "give the connection keys, profile_name or role_arn, or the worker a role",
    boto.PartialCredentialsError: "give both the access key id and the secret access key",
    boto.ProfileNotFound: "correct profile_name in the connection's extra, or mount ~/.aws on the worker",
    boto.InvalidProxiesConfigError: "correct proxies in the connection's config_kwargs or in botocore_config",
}
_TRANSIENT = (boto.CredentialRetrievalError, boto.MetadataRetrievalError)


def never_answered(error: BaseException, operation: str) -> InferenceError:
    """Judge what went wrong on this side of the wire."""
    if isinstance(error, boto.ParamValidationError):
        return RequestError(f"{operation}: botocore found the request invalid", hint="see validate")
    if isinstance(error, _CONFIGURATION_ERRORS):
        hint = next((text for kind, text in _HINTS.items() if isinstance(error, kind)), None)
        words = re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__.removesuffix("Error")).lower()
        return AwsConfigurationError(
            f"{operation}: the connection's settings cannot be used ({words})",
            code=type(error).__name__,
            retryable=isinstance(error, _TRANSIENT),
            hint=hint or "check the connection's extra and the worker's AWS settings",
        )
    if isinstance(error, ResponseParserError | ParserError | json.JSONDecodeError):
        return ResponseError(f"{operation}: the answer is malformed", code=type(error).__name__)
    if isinstance(error, boto.SSLError | boto.ProxyConnectionError) and _tls_refused(error):
        return AwsConfigurationError(
            f"{operation}: no trusted TLS connection to {_host(error)}",
            code="SSLError",
            hint="set verify to the CA bundle of your proxy or endpoint, or correct endpoint_url",
        )
    if _unreadable_file(error):
        return AwsConfigurationError(
            f"{operation}: a file of the TLS settings cannot be read",
            code=type(error).__name__,
            hint="correct verify, client_cert or the proxy's CA bundle: the worker needs the file, as PEM",
        )
    if _never_connected(error):
        return BusyError(
            f"{operation}: no connection to {_host(error)}",
            code=type(error).__name__,
            hint="check region_name, endpoint_url, proxies and the way to AWS (VPC endpoint, NAT, DNS)",
        )
    return _lost(error, operation)


def _lost(error: BaseException, operation: str) -> UnknownOutcomeError:
    timed_out = isinstance(error, boto.ReadTimeoutError | TimeoutError)
    what = "no answer came in time" if timed_out else "the connection broke before the answer was whole"
    hint = "raise read_timeout in botocore_config, or make the request smaller" if timed_out else None
    return UnknownOutcomeError(f"{operation}: {what}", code=type(error).__name__, hint=hint)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Give the error and what it wraps: in ``kwargs`` (botocore), ``reason``, ``args`` or as its cause.

    Not its context, which may be anything that its caller was handling.
    """
    queue: list[Any] = [error]
    seen: set[int] = set()
    while queue:
        found = queue.pop(0)
        if not isinstance(found, BaseException) or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        kept = getattr(found, "kwargs", None)
        queue.extend([kept.get("error")] if isinstance(kept, dict) else [])
        queue.extend([found.__cause__, getattr(found, "reason", None), *found.args])


def _unreadable_file(error: BaseException) -> bool:
    """Say whether TLS could not begin for want of a file: a CA bundle, a client's certificate."""
    known = isinstance(error, boto.HTTPClientError | boto.SSLError)
    return known and any(map(_is_about_a_file, _causes(error)))


def _is_about_a_file(cause: object) -> bool:
    if isinstance(cause, ssl.SSLError):
        return getattr(cause, "library", "") == "X509" or "PEM lib" in str(cause)
    if isinstance(cause, PermissionError):
        return cause.errno == errno.EACCES  # EPERM is a firewall's.
    return isinstance(cause, FileNotFoundError | IsADirectoryError | NotADirectoryError)


def _never_connected(error: BaseException) -> bool:
    """Say whether the request surely never reached AWS.

    An error's name says little. aiobotocore calls every lost connection ``EndpointConnectionError`` (seen
    with 3.10.0). Behind a proxy botocore calls one ``ProxyConnectionError`` that broke while the answer was
    awaited: http.client closes it, and urllib3 takes it for one that never reached the proxy (seen with
    2.8.0).
    """
    if isinstance(error, boto.ConnectTimeoutError) or any(map(_while_connecting, _causes(error))):
        return True
    if not isinstance(error, boto.EndpointConnectionError):
        return False
    return not type(error.kwargs.get("error")).__module__.startswith("aiohttp")


def _while_connecting(cause: BaseException) -> bool:
    """Say whether it went wrong before anything of a request was sent, a proxy's tunnel and TLS included.

    aiohttp says so by the error's class, urllib3 only by where it arose: in ``connect``.
    """
    if {kind.__name__ for kind in type(cause).__mro__} & {"ClientConnectorError", "ClientHttpProxyError"}:
        return True
    frames = (frame for frame, _ in traceback.walk_tb(cause.__traceback__))
    return any(
        frame.f_code.co_name == "connect" and frame.f_globals.get("__name__", "").startswith("urllib3.")
        for frame in frames
    )


def _tls_refused(error: BaseException) -> bool:
    """Say whether TLS was refused, by either side, before a request could be read."""
    causes = list(_causes(error))
    if any(map(_is_about_a_certificate, causes)):
        return True
    broke_off = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
    refused = any(isinstance(cause, ssl.SSLError) and not isinstance(cause, broke_off) for cause in causes)
    return refused and any(map(_while_connecting, causes))


def _is_about_a_certificate(cause: BaseException) -> bool:
    """Say whether a certificate was refused. With TLS 1.3 the client learns only after its request that the
    server did not take the client's own.
    """
    if isinstance(cause, ssl.SSLError):
        alert = re.search("ALERT_.*(CERTIFICATE|UNKNOWN_CA)", getattr(cause, "reason", None) or "")
        return isinstance(cause, ssl.SSLCertVerificationError) or alert is not None
    return type(cause).__name__ == "CertificateError"  # urllib3's, of a name that differs.


def _host(error: BaseException) -> str:
    kept = getattr(error, "kwargs", {})
    address = str(kept.get("endpoint_url") or kept.get("proxy_url") or "")
    return urlsplit(address).hostname or "AWS"
