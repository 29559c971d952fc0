"""Answers InvokeModel and InvokeModelWithResponseStream: JSON in and out, in the family's own shape."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.bedrock import standin
from airflow_provider_aiml.local_aws.bedrock.bodies import parse_body
from airflow_provider_aiml.local_aws.bedrock.converse import cut_short, latency
from airflow_provider_aiml.local_aws.bedrock.converse_stream import Event, broken, chunk_tokens
from airflow_provider_aiml.local_aws.bedrock.families import EMBEDDERS, VIDEO_MAKERS, Body, Family, family_of
from airflow_provider_aiml.local_aws.bedrock.faults import Fault
from airflow_provider_aiml.local_aws.bedrock.guarding import Guard
from airflow_provider_aiml.local_aws.bedrock.refusals import invalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_aiml.local_aws.bedrock.conversation import Answer, Conversation
    from airflow_provider_aiml.local_aws.bedrock.documents import GetObject
    from airflow_provider_aiml.local_aws.bedrock.model_ids import Model

__all__ = ["body_answer", "invoke_model", "invoke_model_stream"]

_JSON = "application/json"


def invoke_model(
    model: Model, request: Mapping[str, Any], fault: Fault, get_object: GetObject | None = None
) -> dict[str, Any]:
    """Answer InvokeModel.

    :param model: the model asked.
    :param request: the request by member names, its body as bytes.
    :param fault: what shall go wrong.
    :param get_object: reads S3.
    :return: the response by member names, its body as bytes.
    :raises ApiError: ``ValidationException``.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html
    """
    _check_media_types(request)
    if model.family in VIDEO_MAKERS:
        raise invalid("The model can only be invoked asynchronously.")
    body = parse_body(bytes(request.get("body", b"")))
    if embed := EMBEDDERS.get(model.family):
        answered = embed(model, body)
    else:
        family, conversation, guard = _begin(model, request, body)
        answer = _answer(conversation, guard, fault, get_object)
        answered = family.write(conversation, answer, body) | _guard_members(request, guard)
    return _envelope(request) | {"body": json.dumps(answered).encode()}


def invoke_model_stream(
    model: Model, request: Mapping[str, Any], fault: Fault, get_object: GetObject | None = None
) -> dict[str, Any]:
    """Answer InvokeModelWithResponseStream; the member ``body`` is an iterator of events.

    :raises ApiError: ``ValidationException``.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html
    """
    _check_media_types(request)
    if not model.can("stream"):
        raise invalid("The model is unsupported for streaming.")
    body = parse_body(bytes(request.get("body", b"")))
    size = chunk_tokens(_metadata(request))
    family, conversation, guard = _begin(model, request, body)
    answer = _answer(conversation, guard, fault, get_object)
    chunks = list(family.chunks(conversation, answer, size))
    chunks[-1] = chunks[-1] | _guard_members(request, guard) | _metrics(answer)
    events: Iterator[Event] = (("chunk", {"bytes": json.dumps(chunk).encode()}) for chunk in chunks)
    return _envelope(request) | {"body": broken(events, fault)}


def body_answer(model: Model, body: Body) -> Any:
    """Answer a JSON body without HTTP's trimmings: what an asynchronous invocation writes.

    :raises ApiError: ``ValidationException``.
    """
    if make := VIDEO_MAKERS.get(model.family):
        return make(model, body)
    return json.loads(invoke_model(model, {"body": json.dumps(body).encode()}, Fault())["body"])


def _check_media_types(request: Mapping[str, Any]) -> None:
    content_type = request.get("contentType", _JSON).partition(";")[0].strip().lower()
    if content_type != _JSON:
        raise invalid("The provided Content Type is invalid or not supported for this model")
    accepted = [part.partition(";")[0].strip() for part in request.get("accept", _JSON).lower().split(",")]
    if not {"*/*", "application/*", _JSON, ""} & set(accepted):
        raise invalid("The provided Accept Type is invalid or not supported for this model")


def _begin(model: Model, request: Mapping[str, Any], body: Body) -> tuple[Family, Conversation, Guard]:
    family = family_of(model, body)
    guard = Guard(request.get("guardrailIdentifier"), request.get("guardrailVersion"))
    return family, family.read(model, body), guard


def _answer(conversation: Conversation, guard: Guard, fault: Fault, get_object: GetObject | None) -> Answer:
    refused = guard.refuse_question(conversation)
    if refused is not None:
        return refused
    return guard.watch_answer(cut_short(standin.answer(conversation, get_object), fault))


def _guard_members(request: Mapping[str, Any], guard: Guard) -> dict[str, Any]:
    if not guard.on:
        return {}
    members: dict[str, Any] = {"amazon-bedrock-guardrailAction": "INTERVENED" if guard.intervened else "NONE"}
    trace = guard.trace() or {}
    if request.get("trace", "DISABLED") != "DISABLED":
        seen = {"input": trace["inputAssessment"], "outputs": [trace.get("outputAssessments", {})]}
        members["amazon-bedrock-trace"] = {"guardrail": seen}
    return members


def _metrics(answer: Answer) -> dict[str, Any]:
    """Make what Bedrock adds to the last chunk of every family's stream."""
    return {
        "amazon-bedrock-invocationMetrics": {
            "inputTokenCount": answer.input_tokens,
            "outputTokenCount": answer.output_tokens,
            "invocationLatency": latency(answer),
            "firstByteLatency": 20,
        }
    }


def _metadata(request: Mapping[str, Any]) -> dict[str, str]:
    metadata: dict[str, str] = json.loads(request.get("requestMetadata") or "{}")
    return metadata


def _envelope(request: Mapping[str, Any]) -> dict[str, Any]:
    echoed = ("performanceConfigLatency", "serviceTier")
    return {"contentType": _JSON, **{member: request[member] for member in echoed if member in request}}
