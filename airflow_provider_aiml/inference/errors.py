"""Turn what AWS and its libraries raise into the errors of :mod:`airflow_provider_aiml.exceptions`: the one
place.

Nothing of a request goes into a message: botocore's own texts hold values, so none of them is quoted, and a
service's message only where :mod:`airflow_provider_aiml.inference.error_codes` calls it safe. A model's own
words are quoted up to 2 KB, unless that is turned off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore import exceptions as boto

from airflow_provider_aiml.exceptions import (
    AccessDeniedError,
    BusyError,
    EndpointNotReadyError,
    InferenceError,
    ModelFailedError,
    ServiceRefusedError,
    UnknownOutcomeError,
)
from airflow_provider_aiml.inference.error_codes import Meaning, iam_action, meaning_or_unknown
from airflow_provider_aiml.inference.unanswered import never_answered

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AskedToWaitError", "not_sent", "quote", "retry_after", "translate"]

QUOTE_BYTES = 2048
"""The most of a model's or service's own words that goes into an error."""


class AskedToWaitError(BusyError):
    """Busy, and the service said for how long.

    :param seconds: what its Retry-After header asked for.
    """

    def __init__(self, message: str, *, seconds: float, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.seconds = seconds


def retry_after(error: BaseException | None) -> float | None:
    """Give the seconds that the service asked to wait, where it did."""
    return error.seconds if isinstance(error, AskedToWaitError) else None


def quote(words: str, limit: int = QUOTE_BYTES) -> str:
    """Cut words to at most ``limit`` bytes of UTF-8, between two characters."""
    encoded = words.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return encoded.decode()
    return encoded[: limit - 3].decode("utf-8", "ignore") + "…"


def translate(
    error: BaseException,
    *,
    operation: str,
    service: str = "",
    quote_model_errors: bool = True,
    quote_service_messages: bool = False,
) -> InferenceError:
    """Say in this provider's terms what an exception of a call means.

    :param error: what botocore, aiobotocore, urllib3 or aiohttp raised; an error of ours is given back.
    :param operation: the API operation that was asked for, for example ``InvokeEndpoint``.
    :param service: botocore's name of the service, for example ``bedrock-runtime``.
    :param quote_model_errors: put the model's own words, at most 2 KB, into the error. Default: True.
    :param quote_service_messages: also quote messages of the service that may repeat a part of the request,
        for example validation messages. Default: False.
    """
    if isinstance(error, InferenceError):
        return error
    if isinstance(error, boto.ClientError):
        answer = _Answer(error, operation, service)
        return answer.translated(quote_model_errors, quote_service_messages)
    return never_answered(error, operation)


def not_sent(failure: InferenceError) -> BusyError:
    """Say that the call itself never left, for what it needs first, its credentials, could not be had.

    :param failure: what happened on the way.
    """
    return BusyError(
        f"{failure.message}; nothing was sent",
        code=failure.code,
        request_id=failure.request_id,
        hint="check the way to what gives the connection its keys, such as STS (VPC endpoint, NAT, DNS)",
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """An error that a service answered with."""

    error: boto.ClientError
    operation: str
    service: str

    @property
    def response(self) -> Mapping[str, Any]:
        return self.error.response or {}

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.response.get("ResponseMetadata") or {}

    @property
    def code(self) -> str:
        return str((self.response.get("Error") or {}).get("Code") or "Unknown")

    @property
    def message(self) -> str:
        return str((self.response.get("Error") or {}).get("Message") or "")

    @property
    def asked(self) -> str:
        """The operation that answered: STS where the credentials of the call could not be had."""
        return self.error.operation_name or self.operation

    @property
    def facts(self) -> dict[str, Any]:
        headers = self.metadata.get("HTTPHeaders") or {}
        request_id = self.metadata.get("RequestId") or headers.get("x-amzn-requestid")
        return {"code": self.code, "request_id": request_id}

    def translated(self, quote_model_errors: bool, quote_service_messages: bool) -> InferenceError:
        meaning = meaning_or_unknown(self.code)
        in_stream = isinstance(self.error, boto.EventStreamError)
        if issubclass(meaning.error_class, ModelFailedError):
            return self._model_failed(meaning, quote_model_errors)
        if self._about_credentials():
            return self._no_credentials(meaning)
        message = f"{self.asked}: {meaning.summary}"
        if self.message and (meaning.quotable or quote_service_messages):
            message += f" ({quote(self.message, 512)})"
        if in_stream and issubclass(meaning.error_class, BusyError | UnknownOutcomeError):
            return UnknownOutcomeError(f"{message}, after the answer had begun", **self.facts)
        if issubclass(meaning.error_class, BusyError):
            return self._busy(message, meaning)
        return self._refused(message, meaning)

    def _model_failed(self, meaning: Meaning, quote_model_errors: bool) -> ModelFailedError:
        given = self.response.get("OriginalStatusCode") or self.response.get("originalStatusCode")
        status = int(str(given)) if str(given).isdigit() else None
        log_stream = self.response.get("LogStreamArn")
        words = self.response.get("OriginalMessage") or self.response.get("originalMessage") or self.message
        found = f" with status {status}" if status else ""
        cause = _STREAM_CAUSES.get(str(self.response.get("ErrorCode")), "")
        return ModelFailedError(
            f"{self.asked}: the model failed{found}{cause}",
            model_message=quote(str(words)) if words and quote_model_errors else None,
            original_status=status,
            log_stream_arn=log_stream,
            retryable=meaning.retryable if status is None else status >= 500 or status == 429,
            hint=f"the container's log is {log_stream}" if log_stream else None,
            **self.facts,
        )

    def _about_credentials(self) -> bool:
        return self.asked.startswith(("AssumeRole", "GetSessionToken", "GetRoleCredentials", "CreateToken"))

    def _no_credentials(self, meaning: Meaning) -> InferenceError:
        """The call itself never left, whatever the code says."""
        message = f"{self.operation}: no credentials, for {self.asked} failed: {meaning.summary}"
        if issubclass(meaning.error_class, BusyError | UnknownOutcomeError):
            return BusyError(message, **self.facts)
        hint = f"allow sts:{self.asked} on the connection's role_arn, in its trust policy too"
        return AccessDeniedError(message, hint=hint, **self.facts)

    def _busy(self, message: str, meaning: Meaning) -> BusyError:
        hint = meaning.hint or None
        headers = self.metadata.get("HTTPHeaders") or {}
        asked = str(headers.get("retry-after", ""))
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", asked):
            return AskedToWaitError(message, seconds=float(asked), hint=hint, **self.facts)
        return BusyError(message, hint=hint, **self.facts)

    def _refused(self, message: str, meaning: Meaning) -> InferenceError:
        if meaning.error_class is ServiceRefusedError and self.message and (known := self._known_refusal()):
            return known
        hint = meaning.hint.replace("{action}", self._action())
        if meaning.error_class is AccessDeniedError and "access to the model" in self.message.lower():
            hint = "enable the model for the account in this region (Bedrock console, Model access)"
        if meaning.error_class is ServiceRefusedError and self.message and self.message not in message:
            hint = hint or (
                f"the service's explanation ({len(self.message)} characters) may quote the payload, so it is "
                "shown only with log_payloads=True"
            )
        return meaning.error_class(message, hint=hint or None, retryable=meaning.retryable, **self.facts)

    def _action(self) -> str:
        named = re.search(r"not authorized to perform: ([\w-]+:\w+)", self.message)
        return named[1] if named else iam_action(self.asked, self.service)

    def _known_refusal(self) -> InferenceError | None:
        """Read those validation messages whose cause is the endpoint or model and not the payload."""
        for pattern, cause, hint, retryable in _REFUSALS:
            if pattern.search(self.message):
                return EndpointNotReadyError(
                    f"{self.asked}: {cause}", hint=hint, retryable=retryable, **self.facts
                )
        return None


_STREAM_CAUSES = {
    "ModelInvocationTimeExceeded": " (ModelInvocationTimeExceeded: it did not finish in the time it has)",
    "StreamBroken": " (StreamBroken: its connection to SageMaker ended within the answer)",
}
_REFUSALS: tuple[tuple[re.Pattern[str], str, str, bool], ...] = (
    (
        re.compile(
            r"^(Endpoint|Inference Component|Variant|InferenceComponent) \S+ .*not found", re.IGNORECASE
        ),
        "there is no such endpoint, variant or inference component in this account and region",
        "check endpoint_name, region_name and the account of the connection",
        False,
    ),
    (
        re.compile(r"^Endpoint \S+ .*(is not in|not) ?(in ?service|InService)", re.IGNORECASE),
        "the endpoint is not InService",
        "wait until DescribeEndpoint says InService, or read its FailureReason",
        True,
    ),
    (
        re.compile(r"^(.{0,80}\b)?endpoint\b.{0,200}\basync", re.IGNORECASE | re.DOTALL),
        "the endpoint is of the other kind: real-time or asynchronous",
        "use SageMakerInvokeEndpointAsyncOperator for an asynchronous endpoint, "
        "SageMakerInvokeEndpointOperator for a real-time one",
        False,
    ),
    (
        re.compile(r"^The provided model identifier is invalid", re.IGNORECASE),
        "this region knows no model of that identifier",
        "check model_id and region_name; inference profiles begin with us., eu., apac. or global.",
        False,
    ),
    (
        re.compile(r"on-demand throughput", re.IGNORECASE),
        "the model cannot be called on demand by its plain identifier",
        "use the id or ARN of an inference profile that contains the model",
        False,
    ),
    (
        re.compile(
            r"^.{0,200}\b(unsupported for|(does not|doesn.t|not) support(ed)?\b.{0,80})\W?stream", re.I
        ),
        "the model, or the container behind the endpoint, does not stream",
        "leave stream out; a container streams if it sends its answer in chunks as it is made",
        False,
    ),
    (
        re.compile(r"^(Operation not allowed|This action doesn.t support the model)", re.IGNORECASE),
        "the model does not offer this operation, or the account may not use it",
        "check in the Bedrock console which operations the model offers, and that it is enabled",
        False,
    ),
)
