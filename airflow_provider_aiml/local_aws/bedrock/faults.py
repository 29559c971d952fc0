"""Faults on demand: by a model id ``test.<fault>-v1:0``, or by request metadata on any model.

The metadata key is ``local-aws-fault`` (InvokeModel's metadata is a JSON string), its value a fault's name:

- refused before anything runs: ``access-denied``, ``not-found``, ``throttled``, ``not-ready``,
  ``unavailable``, ``internal-error``, ``quota-exceeded``, ``invalid``;
- the model fails: ``model-error``, ``model-timeout``;
- a stream breaks after its first half: ``stream-error``, ``stream-throttled``, ``stream-timeout``,
  ``stream-unavailable``, ``stream-internal-error``, ``stream-invalid``; ``stream-cut`` ends without a word;
- the answer ends early: ``content-filtered``, ``malformed-output``, ``malformed-tool-use``,
  ``context-window-exceeded``;
- whole calls of tools come with the stop reason ``end_turn``, as some models do: ``calls-at-end-turn``;
- an asynchronous invocation ends as Failed: ``async-failed``, or never ends: ``async-stuck``;
- ``none``: no fault, as ``test.none-v1:0``, a model that can do everything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_aiml.local_aws.bedrock.refusals import invalid, refusal

if TYPE_CHECKING:
    from airflow_provider_aiml.local_aws.bedrock.model_ids import Model

__all__ = ["METADATA_KEY", "Fault", "find_fault"]

METADATA_KEY: Final = "local-aws-fault"
_MODEL = "The model failed, as this test asked."
_ORIGINAL = {"originalStatusCode": 500, "originalMessage": "the stand-in was asked to fail"}

_BEFORE: Final = {
    "access-denied": (
        "AccessDeniedException",
        "You don't have access to the model with the specified model ID.",
    ),
    "internal-error": ("InternalServerException", "An internal server error occurred. Retry your request."),
    "invalid": ("ValidationException", "The request is refused, as this test asked."),
    "model-error": ("ModelErrorException", _MODEL),
    "model-timeout": ("ModelTimeoutException", "The request took too long to process."),
    "not-found": ("ResourceNotFoundException", "This model version has reached the end of its life."),
    "not-ready": ("ModelNotReadyException", "Model is not ready for inference."),
    "quota-exceeded": (
        "ServiceQuotaExceededException",
        "Your request exceeds the service quota for your account.",
    ),
    "throttled": ("ThrottlingException", "Too many requests, please wait before trying again."),
    "unavailable": ("ServiceUnavailableException", "Bedrock is unable to process your request."),
}
_STREAM: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "stream-cut": ("", {}),
    "stream-error": ("modelStreamErrorException", {"message": _MODEL, **_ORIGINAL}),
    "stream-internal-error": ("internalServerException", {"message": "An internal server error occurred."}),
    "stream-invalid": ("validationException", {"message": "The request is refused, as this test asked."}),
    "stream-throttled": ("throttlingException", {"message": "Too many tokens, please wait."}),
    "stream-timeout": ("modelTimeoutException", {"message": "The request took too long to process."}),
    "stream-unavailable": ("serviceUnavailableException", {"message": "Bedrock is unable to process this."}),
}
_STOPS: Final = {
    "calls-at-end-turn": "end_turn",
    "content-filtered": "content_filtered",
    "context-window-exceeded": "model_context_window_exceeded",
    "malformed-output": "malformed_model_output",
    "malformed-tool-use": "malformed_tool_use",
}
_OTHERS: Final = ("async-failed", "async-stuck", "none")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that a request asked for.

    :param name: its name, ``none`` for no fault.
    :param stop_reason: the stop reason that the answer shall have.
    :param event: the exception event that breaks a stream; ``""`` ends it silently; None leaves it whole.
    :param payload: the members of that event.
    """

    name: str = "none"
    stop_reason: str | None = None
    event: str | None = None
    payload: dict[str, Any] = field(default_factory=dict)


def find_fault(model: Model, metadata: Mapping[str, str] | str | None) -> Fault:
    """Find the fault which the request asks for.

    :param model: the model asked.
    :param metadata: the request's metadata; InvokeModel's is a JSON string.
    :raises ApiError: the fault itself, if it comes before the answer; ``ValidationException`` for metadata
        that is no JSON object, and for a fault that there is not.
    """
    name = _asked(model, metadata)
    if name in _BEFORE:
        code, message = _BEFORE[name]
        fields = {"originalStatusCode": 500, "resourceName": model.arn} if name == "model-error" else {}
        raise refusal(code, message, **fields)
    if name in _STOPS:
        return Fault(name, stop_reason=_STOPS[name])
    if name in _STREAM:
        event, payload = _STREAM[name]
        return Fault(name, event=event, payload=payload)
    if name not in _OTHERS:
        raise invalid(f"The local AWS has no fault named {name}.")
    return Fault(name)


def _asked(model: Model, metadata: Mapping[str, str] | str | None) -> str:
    if model.name.startswith("test."):
        return model.name.removeprefix("test.").removesuffix("-v1:0")
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata)
        except ValueError:
            raise invalid("The request metadata is not valid JSON.") from None
        if not isinstance(metadata, Mapping):
            raise invalid("The request metadata is not a JSON object.")
    return str((metadata or {}).get(METADATA_KEY, "none"))
