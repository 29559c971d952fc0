"""The front of the local AWS: takes every request, lets faults happen, and hands it to who answers it."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from airflow_provider_aiml.local_aws.answers import error_answer, foreign_error_answer, result_answer
from airflow_provider_aiml.local_aws.errors import ApiError
from airflow_provider_aiml.local_aws.faults import Fault, Faults, Target
from airflow_provider_aiml.local_aws.messages import (
    Answer,
    ConnectionDroppedError,
    Request,
    read_request,
    reset_connection,
    send_answer,
)
from airflow_provider_aiml.local_aws.operations import Operation, find_operation, read_request_members
from airflow_provider_aiml.local_aws.validation import check_members

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.witness import Witness

__all__ = ["Front", "own_target", "target_of"]

_log = logging.getLogger(__name__)

OwnHandler = Callable[[Target, dict[str, Any], Request], Awaitable[dict[str, Any]]]
Handler = Callable[[Request], Awaitable[Answer]]
_VALIDATION_CODES = {"sagemaker-runtime": "ValidationError", "bedrock-runtime": "ValidationException"}


class Front:
    """An ASGI application.

    :param services: who answers the operations of each of our own services, by botocore's service name.
    :param elsewhere: who answers all other requests: moto.
    :param control: who answers ``/_local_aws/``.
    """

    def __init__(
        self,
        services: dict[str, OwnHandler],
        elsewhere: Handler,
        control: Handler,
        faults: Faults,
        witness: Witness,
    ) -> None:
        self._services = services
        self._elsewhere = elsewhere
        self._control = control
        self._faults = faults
        self._witness = witness

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one HTTP request."""
        try:
            request = await read_request(scope, receive)
            answer = await self.answer(request)
        except ConnectionDroppedError:
            reset_connection(scope)
            await receive()
            return
        await send_answer(answer, scope, send)
        if answer.sent_bytes is not None:
            await receive()

    async def answer(self, request: Request) -> Answer:
        """Answer a request, or fail at it as the faults have it.

        :raises ConnectionDroppedError: if a fault wants no answer at all.
        """
        if request.raw_path.startswith("/_local_aws/"):
            return await self._control(request)
        operation = find_operation(request)
        target = own_target(operation, request) if operation else target_of(request)
        self._witness.saw_request(target.operation)
        try:
            await self._fail_before(target)
            if operation is None:
                answer = await self._ask_elsewhere(target, request)
            else:
                answer = result_answer(operation.model, await self._run(operation, target, request))
        except ApiError as error:
            answer = (
                error_answer(error, operation.service) if operation else foreign_error_answer(error, request)
            )
        return self._fail_after(target, answer)

    async def _ask_elsewhere(self, target: Target, request: Request) -> Answer:
        try:
            return await self._elsewhere(request)
        except (ApiError, ConnectionDroppedError):
            raise
        except Exception as error:  # moto raises what it has not got, and where it has a fault
            _log.warning("Moto could not answer %s: %s", target.operation, error)
            raise ApiError("InternalFailure", f"The local AWS could not answer: {error}", 500) from error

    async def _run(self, operation: Operation, target: Target, request: Request) -> dict[str, Any]:
        if not request.is_authenticated:
            raise ApiError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
        members = read_request_members(operation, request)
        assert operation.model.input_shape is not None
        check_members(operation.model.input_shape, members, _VALIDATION_CODES[operation.service])
        return await self._services[operation.service](target, members, request)

    async def _fail_before(self, target: Target) -> None:
        await self._faults.delay(target)
        if self._faults.take(target, "drop"):
            raise ConnectionDroppedError
        if fault := self._faults.take(target, "error"):
            throttled = fault.code == "ThrottlingException" and target.operation.startswith("sagemaker:")
            message = fault.message if fault.message or throttled else f"{fault.code} on demand"
            raise ApiError(fault.code, message, fault.status_for(target), **fault.fields)

    def _fail_after(self, target: Target, answer: Answer) -> Answer:
        if self._faults.take(target, "lose_answer"):
            raise ConnectionDroppedError
        if fault := self._faults.take(target, "truncate"):
            answer.sent_bytes = _kept(fault, answer)
        return answer


def _kept(fault: Fault, answer: Answer) -> int:
    if fault.keep_bytes is not None:
        return fault.keep_bytes
    return len(answer.body) // 2 if isinstance(answer.body, bytes) else 1


def own_target(operation: Operation, request: Request) -> Target:
    """Say what a request to one of our own operations is about: its first path member is its resource."""
    match = operation.path.fullmatch(request.raw_path)
    resources = [unquote(value) for value in match.groups()] if match else []
    return Target(f"{operation.signing_name}:{operation.name}", next(iter(resources), ""))


def target_of(request: Request) -> Target:
    """Say what a request to one of moto's services is about."""
    service = request.signing_name or ("execute-api" if _is_api_host(request) else "s3")
    if target := request.headers.get("x-amz-target"):
        name = target.rpartition(".")[2]
        return Target(f"{service}:{name}", _resource_in_json(request.body))
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        actions = parse_qs(request.body.decode("utf-8", "replace")).get("Action")
        if actions:
            # Only STS takes forms without a signature: AssumeRoleWithWebIdentity and its like.
            return Target(f"{request.signing_name or 'sts'}:{actions[0]}")
    if service == "s3":
        return _s3_target(request)
    return Target(f"{service}:{request.method}", unquote(request.raw_path))


def _is_api_host(request: Request) -> bool:
    """Whether an unsigned request is for a deployed API, and no object of S3's."""
    return ".execute-api." in request.headers.get("host", "") or request.raw_path.startswith(
        "/_aws/execute-api/"
    )


def _resource_in_json(body: bytes) -> str:
    try:
        members = json.loads(body)
    except ValueError:
        return ""
    return str(members.get("EndpointName", "")) if isinstance(members, dict) else ""


def _s3_target(request: Request) -> Target:
    bucket, _, key = unquote(request.raw_path.lstrip("/")).partition("/")
    if key:
        return Target(f"s3:{request.method}", bucket, key)
    lists = request.method == "GET" and ("list-type" in request.query_params or not request.query)
    if lists and bucket:
        return Target("s3:LIST", bucket, request.query_params.get("prefix", ""))
    return Target(f"s3:{request.method}_BUCKET", bucket)
