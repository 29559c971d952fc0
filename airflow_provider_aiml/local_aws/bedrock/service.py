"""Amazon Bedrock's runtime as a function from an operation's name and request to its response."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.bedrock.async_invokes import AsyncInvokes, PutObject
from airflow_provider_aiml.local_aws.bedrock.bodies import parse_body
from airflow_provider_aiml.local_aws.bedrock.converse import conversation_from, converse
from airflow_provider_aiml.local_aws.bedrock.converse_rules import check_messages
from airflow_provider_aiml.local_aws.bedrock.converse_stream import broken as broken_stream
from airflow_provider_aiml.local_aws.bedrock.converse_stream import chunk_tokens, converse_events
from airflow_provider_aiml.local_aws.bedrock.families import family_of
from airflow_provider_aiml.local_aws.bedrock.faults import find_fault
from airflow_provider_aiml.local_aws.bedrock.guardrails import apply_guardrail
from airflow_provider_aiml.local_aws.bedrock.invoke import invoke_model, invoke_model_stream
from airflow_provider_aiml.local_aws.bedrock.model_ids import find_model
from airflow_provider_aiml.local_aws.bedrock.refusals import invalid, refusal

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.bedrock.documents import GetObject

__all__ = ["Bedrock"]

_Handler = Callable[[Mapping[str, Any]], dict[str, Any]]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Bedrock:
    """A stand-in for Amazon Bedrock's runtime. It keeps nothing but its asynchronous invocations.

    :param put_object: writes an object of S3 by URI; without it asynchronous invocations fail.
    :param get_object: reads an object of S3 by URI; without it documents and images in S3 are refused.
    :param clock: tells the time, with a time zone. Default: now, in UTC.
    :param async_delay: seconds that an asynchronous invocation takes. Default: 1.
    """

    def __init__(
        self,
        put_object: PutObject | None = None,
        *,
        get_object: GetObject | None = None,
        clock: Callable[[], dt.datetime] = _now,
        async_delay: float = 1.0,
    ) -> None:
        self._get_object = get_object
        self._async_invokes = AsyncInvokes(put_object, clock, async_delay)
        self._handlers: dict[str, _Handler] = {
            "ApplyGuardrail": apply_guardrail,
            "Converse": self._converse,
            "ConverseStream": self._converse_stream,
            "CountTokens": self._count_tokens,
            "GetAsyncInvoke": self._async_invokes.get,
            "InvokeModel": self._invoke_model,
            "InvokeModelWithResponseStream": self._invoke_model_stream,
            "ListAsyncInvokes": self._async_invokes.list,
            "StartAsyncInvoke": self._async_invokes.start,
        }

    @property
    def operations(self) -> frozenset[str]:
        """The names of the operations that can be asked for."""
        return frozenset(self._handlers)

    def handle(self, operation_name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one request.

        :param operation_name: the operation, as the service model names it.
        :param request: its members by name, bodies as bytes.
        :return: the members of the response by name; a stream is an iterator of (event name, members), where
            an event whose name ends in ``Exception`` is one.
        :raises ApiError: with Bedrock's own code and status.
        """
        handler = self._handlers.get(operation_name)
        if handler is None:
            raise refusal(
                "UnknownOperationException", f"The local AWS does not have the operation {operation_name}."
            )
        return handler(request)

    def finish_due(self) -> None:
        """Finish the asynchronous invocations whose time has come; to be called before S3 is looked at."""
        self._async_invokes.finish_due()

    def hold(self) -> None:
        """Let no asynchronous invocation end until the release."""
        self._async_invokes.hold()

    def release(self) -> None:
        """Let asynchronous invocations end again, those at once whose time has come."""
        self._async_invokes.release()

    def _converse(self, request: Mapping[str, Any]) -> dict[str, Any]:
        model = find_model(request["modelId"])
        fault = find_fault(model, request.get("requestMetadata"))
        return converse(model, request, fault, self._get_object)

    def _converse_stream(self, request: Mapping[str, Any]) -> dict[str, Any]:
        model = find_model(request["modelId"])
        metadata = request.get("requestMetadata", {})
        fault, size = find_fault(model, metadata), chunk_tokens(metadata)
        response = converse(model, request, fault, self._get_object)
        return {"stream": broken_stream(converse_events(response, size), fault)}

    def _invoke_model(self, request: Mapping[str, Any]) -> dict[str, Any]:
        model = find_model(request["modelId"])
        fault = find_fault(model, request.get("requestMetadata"))
        return invoke_model(model, request, fault, self._get_object)

    def _invoke_model_stream(self, request: Mapping[str, Any]) -> dict[str, Any]:
        model = find_model(request["modelId"])
        fault = find_fault(model, request.get("requestMetadata"))
        return invoke_model_stream(model, request, fault, self._get_object)

    def _count_tokens(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer CountTokens.

        https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html
        """
        model = find_model(request["modelId"])
        find_fault(model, None)
        if not model.can("count"):
            raise invalid("The provided model doesn't support counting tokens.")
        asked = request["input"]
        if "converse" in asked:
            check_messages(model, asked["converse"])
            return {"inputTokens": conversation_from(model, asked["converse"]).input_tokens()}
        body = parse_body(bytes(asked["invokeModel"]["body"]))
        return {"inputTokens": family_of(model, body).read(model, body).input_tokens()}
