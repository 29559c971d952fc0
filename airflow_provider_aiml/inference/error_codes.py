"""What each error code of AWS means for an inference: the table behind
:mod:`airflow_provider_aiml.inference.errors`.

Codes are looked up, never HTTP statuses: SageMaker throttles with status 400, and Bedrock answers a time-out
of the model with 408. A code of either runtime that is missing here fails a test, which walks botocore's
service models.

Services word their messages freely. A message is quoted only where ``quotable`` says that it cannot hold a
part of the request: a validation message may repeat the value that it refuses, and one about a signature the
signed headers.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_aiml.exceptions import (
    AccessDeniedError,
    BusyError,
    EndpointNotReadyError,
    InferenceError,
    ModelFailedError,
    ServiceRefusedError,
    UnknownOutcomeError,
)

__all__ = ["Meaning", "iam_action", "meaning_of"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an error code says.

    :param error_class: the class to raise.
    :param summary: what happened, in our words.
    :param quotable: whether the service's message surely holds nothing of the request.
    :param hint: what to change; empty where only waiting helps. ``{action}`` becomes the IAM action.
    :param retryable: overrides the class's own; None keeps it.
    """

    error_class: type[InferenceError]
    summary: str
    quotable: bool = False
    hint: str = ""
    retryable: bool | None = None


_THROTTLED = Meaning(BusyError, "the service throttled the call", quotable=True)
_OVERLOADED = Meaning(BusyError, "the service is overloaded", quotable=True)
_NOT_READY = Meaning(
    BusyError,
    "the model is still being loaded",
    quotable=True,
    hint="wait, or raise attempts and cap in retry_args",
)
_SERVER_FAULT = Meaning(UnknownOutcomeError, "the service failed in the middle of the call")
_MODEL_TIMED_OUT = Meaning(
    UnknownOutcomeError,
    "the model did not answer in the time that the service gives it",
    hint="make the request smaller, or use the asynchronous operation",
)
_MODEL_FAILED = Meaning(ModelFailedError, "the model failed")
_MODEL_BROKE_OFF = Meaning(ModelFailedError, "the model's answer broke off", retryable=True)
_DENIED = Meaning(
    AccessDeniedError,
    "the identity of the connection may not do this",
    quotable=True,
    hint="allow {action} to the identity of the connection",
)
_BAD_KEYS = Meaning(
    AccessDeniedError,
    "AWS does not accept the credentials",
    hint="check the access key, secret key and session token of the connection, and that they belong to this "
    "partition and endpoint",
)
_EXPIRED_KEYS = Meaning(
    AccessDeniedError,
    "the credentials have expired",
    hint="renew the session token of the connection, or let it assume a role (role_arn), which renews itself",
    retryable=True,
)
_SKEWED_CLOCK = Meaning(
    AccessDeniedError,
    "the request's time is too far from AWS's time",
    hint="set this machine's clock (NTP)",
    retryable=True,
)
_NOT_SUBSCRIBED = Meaning(
    AccessDeniedError,
    "the account is not subscribed to this service",
    quotable=True,
    hint="enable the service, and the model's Marketplace subscription, for the account in this region",
)
_INVALID = Meaning(ServiceRefusedError, "the service found the request invalid")
_ABSENT = Meaning(
    EndpointNotReadyError,
    "there is no such model or resource in this region",
    quotable=True,
    hint="check the identifier and region_name",
)
_QUOTA = Meaning(
    ServiceRefusedError,
    "a quota of the account is used up",
    quotable=True,
    hint="raise the quota in the Service Quotas console",
)
_CONFLICT = Meaning(
    ServiceRefusedError,
    "the request conflicts with an earlier one",
    quotable=True,
    hint="a client_request_token may be used again only with the very same request",
)
_TOO_LARGE = Meaning(ServiceRefusedError, "the request is too large for the service")

_MEANINGS: dict[str, Meaning] = {
    "throttling": _THROTTLED,
    "throttled": _THROTTLED,
    "requestthrottled": _THROTTLED,
    "toomanyrequests": _THROTTLED,
    "requestlimitexceeded": _THROTTLED,
    "bandwidthlimitexceeded": _THROTTLED,
    "slowdown": _THROTTLED,
    "429": _THROTTLED,
    "serviceunavailable": _OVERLOADED,
    "503": _OVERLOADED,
    "modelnotready": _NOT_READY,
    "internalfailure": _SERVER_FAULT,
    "internalserver": _SERVER_FAULT,
    "internalservererror": _SERVER_FAULT,
    "internalerror": _SERVER_FAULT,
    "internaldependency": _SERVER_FAULT,
    "internalstreamfailure": _SERVER_FAULT,
    "requesttimeout": _SERVER_FAULT,
    "modeltimeout": _MODEL_TIMED_OUT,
    "modelerror": _MODEL_FAILED,
    "modelstreamerror": _MODEL_BROKE_OFF,
    "accessdenied": _DENIED,
    "unauthorizedoperation": _DENIED,
    "notauthorized": _DENIED,
    "403": _DENIED,
    "unrecognizedclient": _BAD_KEYS,
    "invalidclienttokenid": _BAD_KEYS,
    "invalidaccesskeyid": _BAD_KEYS,
    "invalidsignature": _BAD_KEYS,
    "signaturedoesnotmatch": _BAD_KEYS,
    "incompletesignature": _BAD_KEYS,
    "missingauthenticationtoken": _BAD_KEYS,
    "invalidtoken": _BAD_KEYS,
    "expiredtoken": _EXPIRED_KEYS,
    "requestexpired": _EXPIRED_KEYS,
    "requesttimetooskewed": _SKEWED_CLOCK,
    "optinrequired": _NOT_SUBSCRIBED,
    "subscriptionrequired": _NOT_SUBSCRIBED,
    "validation": _INVALID,
    "validationerror": _INVALID,
    "serialization": _INVALID,
    "400": _INVALID,
    "resourcenotfound": _ABSENT,
    "nosuchbucket": _ABSENT,
    "nosuchkey": _ABSENT,
    "unknownoperation": _ABSENT,
    "404": _ABSENT,
    "servicequotaexceeded": _QUOTA,
    "limitexceeded": _QUOTA,
    "conflict": _CONFLICT,
    "requestentitytoolarge": _TOO_LARGE,
    "413": _TOO_LARGE,
}
_UNKNOWN = Meaning(UnknownOutcomeError, "the service answered with an error that this release does not know")


def meaning_of(code: str) -> Meaning | None:
    """Look a code up; None where it is not known.

    :param code: as the service spells it: with or without ``Exception``, a namespace, or a capital first
        letter (members of an event stream begin with a small one).
    """
    plain = code.rpartition("#")[2].partition(":")[0].casefold().removesuffix("exception")
    return _MEANINGS.get(plain)


def meaning_or_unknown(code: str) -> Meaning:
    """Look a code up; one that is not known may have cost money, so it counts as an unknown outcome."""
    return meaning_of(code) or _UNKNOWN


_IAM_ACTIONS = {
    "InvokeEndpoint": "sagemaker:InvokeEndpoint",
    "InvokeEndpointAsync": "sagemaker:InvokeEndpointAsync",
    "InvokeEndpointWithResponseStream": "sagemaker:InvokeEndpointWithResponseStream",
    "InvokeModel": "bedrock:InvokeModel",
    "Converse": "bedrock:InvokeModel",
    "StartAsyncInvoke": "bedrock:InvokeModel",
    "InvokeModelWithResponseStream": "bedrock:InvokeModelWithResponseStream",
    "InvokeModelWithBidirectionalStream": "bedrock:InvokeModelWithResponseStream",
    "ConverseStream": "bedrock:InvokeModelWithResponseStream",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject and s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "PutObject": "s3:PutObject",
}
_IAM_PREFIXES = {"sagemaker-runtime": "sagemaker", "bedrock-runtime": "bedrock"}


def iam_action(operation: str, service: str = "") -> str:
    """Name the IAM action that an operation needs.

    :param operation: the API's name, for example ``Converse``.
    :param service: botocore's name of the service, for operations whose action bears their own name.

    .. seealso:: https://docs.aws.amazon.com/service-authorization/latest/reference/
    """
    if known := _IAM_ACTIONS.get(operation):
        return known
    prefix = _IAM_PREFIXES.get(service, service or "bedrock")
    return f"{prefix}:{operation}"
