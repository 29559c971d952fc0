"""Calls of a deployed API: signed, sent, and what their answers mean. API Gateway has no client in botocore
for them, only its session and its signer.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.httpsession import URLLib3Session
from botocore.session import Session
from botocore.utils import get_environ_proxies

from airflow_provider_aiml.endpoint_api.client import ApiRequest, answer_failure, region_of
from airflow_provider_aiml.exceptions import (
    AwsConfigurationError,
    Problem,
    RequestError,
    UnknownOutcomeError,
)
from airflow_provider_aiml.hooks.aws_client import AwsClientMixin
from airflow_provider_aiml.hooks.client_config import ClientConfig
from airflow_provider_aiml.inference.errors import translate
from airflow_provider_aiml.inference.quiet_logs import quiet_libraries
from airflow_provider_aiml.inference.retry import RetryPolicy, call_with_retries

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ["ApiCallsMixin"]

log = logging.getLogger(__name__)

READ_TIMEOUT = 305.0
"""Seconds to wait for an API's answer: a Regional one may take 300, and a shorter wait loses paid answers."""


class ApiCallsMixin(AwsClientMixin):
    """Calling an API.

    The session is set up as botocore sets up a client's: proxies and CA bundles of the environment, and what
    the connection's ``config_kwargs`` and the operator's ``botocore_config`` say of proxies, certificates and
    ``connect_timeout``. Their ``retries`` bound our own attempts, for botocore makes none here.
    """

    retry_args: Mapping[str, Any] | None
    validate: bool | Collection[str]
    log_payloads: bool
    quote_model_errors: bool

    def check(self, operation: str, members: Mapping[str, Any]) -> None:
        """Refuse a call of :meth:`invoke` that cannot be made, and send nothing.

        :param operation: there is one: ``InvokeApi``.
        :param members: its arguments; with ``validate=False`` they are not looked at.
        :raises RequestError: the connection or an argument cannot be used.
        """
        _ = self.conn_config
        if not self.validate:
            return
        request = {name: members.get(name) for name in ("url", "path", "query", "method")}
        ApiRequest(**{name: value for name, value in request.items() if value is not None}).full_url()
        authorization = members.get("authorization", "AWS_IAM")
        if authorization not in ("AWS_IAM", "NONE"):
            problem = Problem("authorization", repr(authorization), "AWS_IAM or NONE")
            raise RequestError("The API cannot be called", problems=(problem,))

    def invoke(
        self,
        *,
        url: str,
        path: str | Sequence[str] = "",
        query: Mapping[str, Any] | None = None,
        method: str = "GET",
        body: bytes | None = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        authorization: str = "AWS_IAM",
        api_key: str | None = None,
        timeout: float = READ_TIMEOUT,
    ) -> dict[str, Any]:
        """Call a deployed API.

        :param url: the stage's URL, as :meth:`describe` gives it.
        :param path: below it: text, whose slashes separate segments, or a list of segments.
        :param query: parameters; a list gives one several times, None leaves it out.
        :param method: GET or POST. Default: GET.
        :param body: of a POST.
        :param content_type: the body's.
        :param headers: further ones.
        :param authorization: AWS_IAM signs with the connection's credentials; NONE does not.
        :param api_key: sent as ``x-api-key``.
        :param timeout: seconds to wait for the answer. Default: 305.
        :return: ``StatusCode``, ``Headers`` (by lower-case name) and ``Body`` (bytes).
        :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.
        """
        asked = {"url": url, "path": path, "query": query, "method": method, "authorization": authorization}
        self.check("InvokeApi", asked)
        full = ApiRequest(url, path, query, method).full_url()
        given = {name.lower(): value for name, value in (headers or {}).items()}
        if content_type and body is not None:
            given["content-type"] = content_type
        if api_key:
            given["x-api-key"] = api_key

        def attempt() -> dict[str, Any]:
            request = AWSRequest(method, full, headers=given, data=body)
            # The signer writes what it signs to its DEBUG log: the query, and the key among the headers.
            with quiet_libraries(not self.log_payloads):
                if authorization == "AWS_IAM":
                    self._sign(request, full)
                return self._sent(request, full, timeout)

        return call_with_retries(attempt, self.retry_policy)

    def _sign(self, request: AWSRequest, url: str) -> None:
        """Sign anew for each attempt: a signature lasts for five minutes."""
        try:
            credentials = self.get_session().get_credentials()
        except (BotoCoreError, ClientError) as error:
            raise translate(error, operation="Invoke", service="execute-api") from None
        if credentials is None:
            hint = "give the connection keys, profile_name or role_arn, or set authorization='NONE'"
            raise AwsConfigurationError("There are no credentials to sign with", hint=hint)
        region = region_of(url) or self.conn_region_name
        frozen = credentials.get_frozen_credentials()
        SigV4Auth(frozen, "execute-api", region).add_auth(request)

    def _sent(self, request: AWSRequest, url: str, timeout: float) -> dict[str, Any]:
        parts = urlsplit(url)
        request.headers["Host"] = parts.netloc
        if override := self.conn_config.get_service_endpoint_url("execute-api"):
            url = override.rstrip("/") + url.removeprefix(f"{parts.scheme}://{parts.netloc}")
            request.url = url
        started = time.monotonic()
        try:
            with closing(self._http(url, timeout)) as http:
                response = http.send(request.prepare())
                body = response.content
        except (BotoCoreError, HTTPClientError) as error:
            raise translate(error, operation="Invoke", service="execute-api") from None
        answered = {name.lower(): value for name, value in response.headers.items()}
        log.info(
            "%s %s: status %s after %.3f s, %d bytes in, request id %s",
            request.method,
            parts.netloc,
            response.status_code,
            time.monotonic() - started,
            len(body),
            answered.get("x-amzn-requestid"),
        )
        failure = answer_failure(response.status_code, answered, body, quote_message=self.quote_model_errors)
        if failure is not None:
            raise failure
        if response.status_code >= 300:
            raise UnknownOutcomeError(f"The API answered {response.status_code}")
        _check_whole(answered, body)
        return {"StatusCode": response.status_code, "Headers": answered, "Body": body}

    def _http(self, url: str, timeout: float) -> URLLib3Session:
        """Make a session for one call, as ``botocore.endpoint.EndpointCreator`` makes a client's."""
        config: Any = self._call_config.config
        settings: dict[str, Any] = {
            "verify": self._verified_by,
            "proxies": get_environ_proxies(url) if config.proxies is None else config.proxies,
            "proxies_config": config.proxies_config,
            "client_cert": config.client_cert,
            "timeout": (config.connect_timeout, timeout),
            "max_pool_connections": 1,
        }
        return URLLib3Session(**settings)

    @cached_property
    def _verified_by(self) -> bool | str:
        """What TLS is verified by: the hook's or connection's setting, the profile's or the environment's."""
        if self.verify is not None:
            return self.verify
        # Not the hook's session, which may ask STS, and unsigned calls need no identity.
        settings = Session(profile=self.conn_config.profile_name)
        bundle: str | None = settings.get_config_variable("ca_bundle")
        return bundle or os.environ.get("REQUESTS_CA_BUNDLE") or True

    @cached_property
    def _call_config(self) -> ClientConfig:
        return ClientConfig.of_paid_calls(
            READ_TIMEOUT, self.conn_config.botocore_config, self._operator_config
        )

    @cached_property
    def retry_policy(self) -> RetryPolicy:
        """How often and how fast this hook sends again what surely did not run."""
        config = self._call_config
        return RetryPolicy.from_args(self.retry_args, config.botocore_attempts or config.attempts_bound)


def _check_whole(headers: Mapping[str, str], body: bytes) -> None:
    """Refuse an answer that broke off: botocore's session does not look. What it gives is as it was sent,
    not decoded, so the length holds for every content-encoding.

    :raises UnknownOutcomeError: with what had arrived.
    """
    announced = headers.get("content-length", "")
    if announced.isdigit() and len(body) < int(announced):
        failure = UnknownOutcomeError(
            f"The API's answer broke off after {len(body)} of {announced} bytes",
            request_id=headers.get("x-amzn-requestid"),
        )
        failure.partial_body = body
        raise failure
