"""What AWS and its libraries raise, in this provider's terms."""

from __future__ import annotations

import errno
import ssl

import pytest
from airflow_provider_aiml.exceptions import (
    AccessDeniedError,
    AwsConfigurationError,
    BusyError,
    EndpointNotReadyError,
    InferenceError,
    ModelFailedError,
    RequestError,
    ResponseError,
    ServiceRefusedError,
    UnknownOutcomeError,
    error_from_dict,
)
from airflow_provider_aiml.inference.error_codes import iam_action, meaning_of
from airflow_provider_aiml.inference.errors import QUOTE_BYTES, quote, retry_after, translate
from botocore import exceptions as boto
from botocore.exceptions import ClientError, EventStreamError
from botocore.parsers import ResponseParserError
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import ProtocolError

CANARY = "canary-4711"
SERVICES = ("sagemaker-runtime", "bedrock-runtime")


def answered(code, message="", *, operation="InvokeEndpoint", headers=None, stream=False, **members):
    response = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"RequestId": "r-1", "HTTPHeaders": headers or {}},
        **members,
    }
    return (EventStreamError if stream else ClientError)(response, operation)


def of(code, message="", *, operation="InvokeEndpoint", service="sagemaker-runtime", **more):
    flags = {key: more.pop(key) for key in ("quote_model_errors", "quote_service_messages") if key in more}
    error = answered(code, message, operation=operation, **more)
    return translate(error, operation=operation, service=service, **flags)


def modelled_codes():
    for service in SERVICES:
        for shape in Session().get_service_model(service).error_shapes:
            yield pytest.param(service, shape.name, id=f"{service}:{shape.name}")


# class, retryable, may have been billed, a word of the hint (None: no hint)
EXPECTED = {
    "sagemaker-runtime:InternalDependencyException": (UnknownOutcomeError, True, True, None),
    "sagemaker-runtime:InternalFailure": (UnknownOutcomeError, True, True, None),
    "sagemaker-runtime:InternalStreamFailure": (UnknownOutcomeError, True, True, None),
    "sagemaker-runtime:ModelError": (ModelFailedError, False, True, None),
    "sagemaker-runtime:ModelNotReadyException": (BusyError, True, False, "retry_args"),
    "sagemaker-runtime:ModelStreamError": (ModelFailedError, True, True, None),
    "sagemaker-runtime:ServiceUnavailable": (BusyError, True, False, None),
    "sagemaker-runtime:ValidationError": (ServiceRefusedError, False, False, None),
    "bedrock-runtime:AccessDeniedException": (AccessDeniedError, False, False, "bedrock:InvokeModel"),
    "bedrock-runtime:ConflictException": (ServiceRefusedError, False, False, "client_request_token"),
    "bedrock-runtime:InternalServerException": (UnknownOutcomeError, True, True, None),
    "bedrock-runtime:ModelErrorException": (ModelFailedError, False, True, None),
    "bedrock-runtime:ModelNotReadyException": (BusyError, True, False, "retry_args"),
    "bedrock-runtime:ModelStreamErrorException": (ModelFailedError, True, True, None),
    "bedrock-runtime:ModelTimeoutException": (UnknownOutcomeError, True, True, "asynchronous"),
    "bedrock-runtime:ResourceNotFoundException": (EndpointNotReadyError, False, False, "region_name"),
    "bedrock-runtime:ServiceQuotaExceededException": (ServiceRefusedError, False, False, "quota"),
    "bedrock-runtime:ServiceUnavailableException": (BusyError, True, False, None),
    "bedrock-runtime:ThrottlingException": (BusyError, True, False, None),
    "bedrock-runtime:ValidationException": (ServiceRefusedError, False, False, None),
}
COMMON = {
    "ThrottlingException": (BusyError, True, False, None),
    "Throttling": (BusyError, True, False, None),
    "ThrottledException": (BusyError, True, False, None),
    "TooManyRequestsException": (BusyError, True, False, None),
    "RequestLimitExceeded": (BusyError, True, False, None),
    "SlowDown": (BusyError, True, False, None),
    "503": (BusyError, True, False, None),
    "RequestTimeout": (UnknownOutcomeError, True, True, None),
    "AccessDenied": (AccessDeniedError, False, False, "sagemaker:InvokeEndpoint"),
    "ExpiredToken": (AccessDeniedError, True, False, "session token"),
    "ExpiredTokenException": (AccessDeniedError, True, False, "session token"),
    "InvalidSignatureException": (AccessDeniedError, False, False, "secret key"),
    "UnrecognizedClientException": (AccessDeniedError, False, False, "secret key"),
    "MissingAuthenticationToken": (AccessDeniedError, False, False, "secret key"),
    "RequestTimeTooSkewed": (AccessDeniedError, True, False, "clock"),
    "OptInRequired": (AccessDeniedError, False, False, "enable"),
    "413": (ServiceRefusedError, False, False, None),
    "BrandNewException": (UnknownOutcomeError, True, True, None),
}


@pytest.mark.parametrize(("service", "code"), list(modelled_codes()))
def test_every_code_of_the_service_models_is_in_the_table(service, code):
    assert meaning_of(code) is not None
    assert f"{service}:{code}" in EXPECTED, "a new code: decide what it means, and say it here"


@pytest.mark.parametrize(("name", "expected"), [*EXPECTED.items(), *COMMON.items()])
def test_a_code_decides_class_and_facts(name, expected):
    service, _, code = name.rpartition(":")
    service = service or "sagemaker-runtime"
    operation = "Converse" if service == "bedrock-runtime" else "InvokeEndpoint"

    error = of(code, service=service, operation=operation)

    error_class, retryable, billed, hint = expected
    assert (type(error), error.retryable, error.may_have_been_billed) == (error_class, retryable, billed)
    assert hint is None if error.hint is None else hint in error.hint
    assert (error.code, error.request_id) == (code, "r-1")


@pytest.mark.parametrize("code", ["ThrottlingException", "ModelNotReadyException", "ValidationError"])
@pytest.mark.parametrize("status", [200, 400, 429, 500, 503])
def test_the_http_status_does_not_decide(code, status):
    plain, odd = of(code), answered(code)
    odd.response["ResponseMetadata"]["HTTPStatusCode"] = status

    assert type(translate(odd, operation="InvokeEndpoint")) is type(plain)


@pytest.mark.parametrize(
    "spelled", ["aws.protocol#ThrottlingException", "ThrottlingException:http://x", "throttlingException"]
)
def test_a_code_is_found_however_it_is_spelled(spelled):
    assert isinstance(of(spelled), BusyError)


def test_a_throttling_without_a_message_is_understood():
    assert isinstance(of("ThrottlingException", None), BusyError)


def test_an_error_without_anything_in_it_counts_as_an_unknown_outcome():
    error = translate(ClientError({}, ""), operation="Converse")

    assert isinstance(error, UnknownOutcomeError)
    assert "Converse" in error.message


@pytest.mark.parametrize(
    ("status", "retryable"), [(500, True), (503, True), (429, True), (400, False), (None, False)]
)
def test_whether_a_failed_model_may_be_asked_again_depends_on_its_own_status(status, retryable):
    error = of("ModelError", OriginalStatusCode=status, OriginalMessage="no", LogStreamArn="arn:log")

    assert (error.retryable, error.original_status) == (retryable, status)
    assert error.log_stream_arn == "arn:log"
    assert "arn:log" in error.hint


def test_the_words_of_a_failed_model_are_quoted():
    error = of("ModelErrorException", "Bedrock says so", originalStatusCode=500, service="bedrock-runtime")

    assert error.model_message == "Bedrock says so"
    assert error.original_status == 500


def test_the_words_of_a_failed_model_can_be_left_out():
    error = of("ModelError", f"failed: {CANARY}", OriginalMessage=CANARY, quote_model_errors=False)

    assert error.model_message is None
    assert CANARY not in str(error) + repr(error) + repr(error.__dict__)


@given(st.text())
def test_a_quotation_is_at_most_two_kilobytes_of_whole_characters(words):
    quoted = quote(words * 50)

    assert len(quoted.encode()) <= QUOTE_BYTES
    whole = (words * 50).encode("utf-8", "replace").decode()
    fits = len(whole.encode()) <= QUOTE_BYTES
    assert quoted == whole if fits else quoted.endswith("…") and whole.startswith(quoted[:-1])


def test_a_long_message_is_cut_between_characters():
    quoted = of("ModelError", OriginalMessage="é" * 5000).model_message

    assert quoted == "é" * 1022 + "…"


@pytest.mark.parametrize(
    "code", ["ValidationError", "ValidationException", "SignatureDoesNotMatch", "NewThing"]
)
def test_a_message_that_may_repeat_the_payload_is_not_quoted(code):
    error = of(code, f"Value '{CANARY}' at 'body' failed to satisfy a constraint")

    assert CANARY not in str(error) + repr(error.to_dict())


def test_an_unquoted_explanation_is_announced_with_how_to_see_it():
    error = of("ValidationException", "a temperature of 7")

    assert "18 characters" in error.hint
    assert "log_payloads" in error.hint


def test_the_service_s_explanation_is_shown_where_the_operator_wants_it():
    error = of("ValidationException", "temperature is 7", quote_service_messages=True)

    assert "temperature is 7" in error.message
    assert error.hint is None


def test_a_message_that_names_the_missing_action_gives_the_hint():
    message = (
        "User: arn:aws:sts::1:r is not authorized to perform: bedrock:CallWithBearerToken on resource: x"
    )

    assert "bedrock:CallWithBearerToken" in of("AccessDeniedException", message).hint


def test_a_model_that_is_not_enabled_is_told_from_a_missing_permission():
    error = of("AccessDeniedException", "You don't have access to the model with the specified model ID.")

    assert isinstance(error, AccessDeniedError)
    assert "Model access" in error.hint


@pytest.mark.parametrize(
    ("message", "words", "retryable"),
    [
        ("Endpoint demo of account 123456789012 not found.", "endpoint_name", False),
        ("Inference Component a-b of account 123456789012 not found.", "endpoint_name", False),
        ("Endpoint demo of account 1 is not in service.", "InService", True),
        ("Endpoint demo of account 1 is not InService", "InService", True),
        ("Endpoint demo of account 1 is an async endpoint, use InvokeEndpointAsync", "Async", False),
        ("The provided model identifier is invalid.", "inference profiles", False),
        ("Invocation of model ID a.b with on-demand throughput isn't supported.", "inference profile", False),
        ("Operation not allowed", "offers", False),
    ],
)
def test_an_absent_unready_or_wrong_endpoint_is_told_from_a_bad_payload(message, words, retryable):
    error = of("ValidationError", message)

    assert isinstance(error, EndpointNotReadyError)
    assert words in error.hint
    assert error.retryable is retryable


@pytest.mark.parametrize(
    ("operation", "service", "action"),
    [
        ("InvokeEndpoint", "sagemaker-runtime", "sagemaker:InvokeEndpoint"),
        ("InvokeEndpointAsync", "sagemaker-runtime", "sagemaker:InvokeEndpointAsync"),
        ("Converse", "bedrock-runtime", "bedrock:InvokeModel"),
        ("ConverseStream", "bedrock-runtime", "bedrock:InvokeModelWithResponseStream"),
        ("ApplyGuardrail", "bedrock-runtime", "bedrock:ApplyGuardrail"),
        ("HeadObject", "s3", "s3:ListBucket"),
        ("SomethingNew", "s3", "s3:SomethingNew"),
        ("SomethingNew", "", "bedrock:SomethingNew"),
    ],
)
def test_the_hint_names_the_iam_action_of_the_operation(operation, service, action):
    assert action in iam_action(operation, service)


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalFailure"])
def test_sts_being_busy_means_that_nothing_was_sent(code):
    error = translate(answered(code, operation="AssumeRole"), operation="InvokeEndpoint")

    assert isinstance(error, BusyError)
    assert "AssumeRole" in error.message


def test_a_role_that_may_not_be_assumed_names_the_role_and_not_the_endpoint():
    error = translate(answered("AccessDenied", operation="AssumeRole"), operation="InvokeEndpoint")

    assert isinstance(error, AccessDeniedError)
    assert "sts:AssumeRole" in error.hint


@pytest.mark.parametrize(
    "code", ["throttlingException", "internalServerException", "serviceUnavailableException"]
)
def test_whatever_breaks_a_stream_that_has_begun_may_have_been_billed(code):
    error = of(code, stream=True)

    assert isinstance(error, UnknownOutcomeError)
    assert error.may_have_been_billed


@pytest.mark.parametrize(
    ("members", "retryable"),
    [
        ({}, True),
        ({"ErrorCode": "StreamBroken"}, True),
        ({"ErrorCode": "ModelInvocationTimeExceeded"}, True),
        ({"originalStatusCode": 500}, True),
        ({"originalStatusCode": 429}, True),
        ({"originalStatusCode": 400}, False),
    ],
)
@pytest.mark.parametrize("code", ["modelStreamErrorException", "ModelStreamError"])
def test_a_model_s_broken_stream_may_be_whole_next_time_unless_its_status_says_otherwise(
    code, members, retryable
):
    error = of(code, stream=True, **members)

    assert isinstance(error, ModelFailedError)
    assert error.retryable is retryable
    assert error.may_have_been_billed


def test_a_retry_after_is_read():
    assert retry_after(of("ThrottlingException", headers={"retry-after": "7"})) == 7.0


@pytest.mark.parametrize("header", ["", "soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_retry_after_that_is_no_number_is_left_aside(header):
    error = of("ThrottlingException", headers={"retry-after": header})

    assert isinstance(error, BusyError)
    assert retry_after(error) is None


def test_an_error_that_was_asked_to_wait_travels_as_a_busy_one():
    error = of("ThrottlingException", headers={"retry-after": "7"})

    assert type(error_from_dict(error.to_dict())) is BusyError


class ClientConnectorError(OSError):
    """Named as aiohttp's, which is told by name so that aiohttp need not be imported."""


ClientConnectorError.__module__ = "aiohttp.client_exceptions"


class ClientHttpProxyError(Exception):
    """As aiohttp raises when a proxy refuses its tunnel."""


class ClientOSError(OSError):
    """As aiohttp raises when an established connection is reset."""


ClientOSError.__module__ = "aiohttp.client_exceptions"


def refused_by_the_server():
    """Give what TLS 1.3 says after a request that came without the certificate that was wanted."""
    error = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED]")
    error.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    return error


URL = "https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/secret/invocations"


@pytest.mark.parametrize(
    "error",
    [
        boto.EndpointConnectionError(endpoint_url=URL, error=OSError("refused")),
        boto.EndpointConnectionError(endpoint_url=URL, error=ClientConnectorError()),
        boto.EndpointConnectionError(endpoint_url=URL),
        boto.ConnectTimeoutError(endpoint_url=URL),
        boto.ProxyConnectionError(proxy_url="http://proxy.example:3128", error=ClientConnectorError()),
        boto.ProxyConnectionError(proxy_url="http://proxy.example:3128", error=ClientHttpProxyError()),
        boto.SSLError(endpoint_url=URL, error=ssl.SSLEOFError(0, ClientConnectorError())),
    ],
)
def test_a_connection_that_was_never_established_surely_did_not_run(error):
    translated = translate(error, operation="InvokeEndpoint")

    assert isinstance(translated, BusyError)
    assert "amazonaws.com" in translated.message or "proxy.example" in translated.message
    assert "secret" not in str(translated)


@pytest.mark.parametrize(
    "error",
    [
        boto.ReadTimeoutError(endpoint_url=URL),
        boto.ConnectionClosedError(endpoint_url=URL, request=None),
        boto.ResponseStreamingError(error=OSError()),
        boto.HTTPClientError(error=OSError(CANARY)),
        boto.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        boto.EndpointConnectionError(endpoint_url=URL, error=ClientOSError("reset")),
        boto.SSLError(endpoint_url=URL, error=ssl.SSLEOFError("EOF")),
        boto.SSLError(endpoint_url=URL, error=ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]")),
        boto.ProxyConnectionError(proxy_url="http://proxy.example:3128"),
        ConnectionResetError(CANARY),
        TimeoutError(),
    ],
)
def test_a_connection_that_breaks_later_leaves_the_outcome_unknown(error):
    translated = translate(error, operation="InvokeEndpoint")

    assert isinstance(translated, UnknownOutcomeError)
    assert CANARY not in str(translated)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (boto.NoCredentialsError(), "role_arn"),
        (boto.PartialCredentialsError(provider="x", cred_var="y"), "both"),
        (boto.NoRegionError(), "region_name"),
        (boto.ProfileNotFound(profile="nobody"), "profile_name"),
        (boto.InvalidProxiesConfigError(), "proxies"),
        (boto.CredentialRetrievalError(provider="x", error_msg=CANARY), "extra"),
        (boto.SSLError(endpoint_url=URL, error=ssl.SSLCertVerificationError()), "verify"),
        (boto.SSLError(endpoint_url=URL, error=ssl.SSLError(1, ClientConnectorError())), "verify"),
        (boto.SSLError(endpoint_url=URL, error=refused_by_the_server()), "verify"),
    ],
)
def test_settings_that_cannot_be_used_name_what_to_change(error, words):
    translated = translate(error, operation="Converse")

    assert isinstance(translated, AwsConfigurationError)
    assert words in translated.hint
    assert CANARY not in str(translated)


@pytest.mark.parametrize(
    "cause",
    [
        FileNotFoundError(errno.ENOENT, CANARY),
        PermissionError(errno.EACCES, CANARY),
        IsADirectoryError(errno.EISDIR, CANARY),
        ProtocolError("Connection aborted.", FileNotFoundError(errno.ENOENT, CANARY)),
        ssl.SSLError(1, "[SSL] PEM lib (_ssl.c:3905)"),
    ],
)
@pytest.mark.parametrize("wrapper", [boto.HTTPClientError, boto.ConnectionClosedError])
def test_a_file_of_the_tls_settings_that_cannot_be_read_means_that_nothing_was_sent(wrapper, cause):
    error = translate(wrapper(error=cause, endpoint_url=URL), operation="Converse")

    assert isinstance(error, AwsConfigurationError)
    assert not error.may_have_been_billed
    assert "client_cert" in error.hint
    assert CANARY not in str(error)


@pytest.mark.parametrize(
    "cause", [PermissionError(errno.EPERM, "a firewall"), ssl.SSLError(1, "[SSL: BAD_RECORD_MAC]"), None]
)
def test_other_causes_leave_the_outcome_unknown(cause):
    try:
        raise FileNotFoundError("what the caller was handling")
    except FileNotFoundError as handled:
        error = boto.HTTPClientError(error=cause)
        error.__context__ = handled

    assert isinstance(translate(error, operation="Converse"), UnknownOutcomeError)


def test_credentials_that_could_not_be_fetched_may_be_there_next_time():
    error = translate(boto.CredentialRetrievalError(provider="x", error_msg="y"), operation="Converse")

    assert error.retryable


def test_what_botocore_says_of_bad_parameters_is_not_repeated():
    error = translate(boto.ParamValidationError(report=f"Invalid value {CANARY}"), operation="Converse")

    assert isinstance(error, RequestError)
    assert CANARY not in str(error)


def test_an_answer_that_cannot_be_parsed_was_paid_for():
    error = translate(ResponseParserError(CANARY), operation="Converse")

    assert isinstance(error, ResponseError)
    assert error.may_have_been_billed
    assert CANARY not in str(error)


def test_an_error_of_ours_stays_as_it_is():
    error = BusyError("x")

    assert translate(error, operation="Converse") is error


def test_causes_that_point_at_each_other_are_looked_at_once():
    error = boto.SSLError(endpoint_url=URL, error=ssl.SSLError())
    error.kwargs["error"].__cause__ = error

    assert isinstance(translate(error, operation="Converse"), InferenceError)
