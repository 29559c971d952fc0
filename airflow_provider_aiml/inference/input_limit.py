"""A limit on the tokens of a request, kept before the request is sent.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_aiml.exceptions import (
    EndpointNotReadyError,
    Problem,
    RequestError,
    ServiceRefusedError,
    TurnLimitError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["InputLimit", "counted_input"]

log = logging.getLogger(__name__)

_COUNTED: Final = {
    "messages": "messages",
    "system": "system",
    "tool_config": "toolConfig",
    "additional_model_request_fields": "additionalModelRequestFields",
}


def counted_input(request: Mapping[str, Any]) -> dict[str, Any]:
    """Give what CountTokens counts of a request to Converse or, where it has a body, to InvokeModel.

    :param request: the request's members by their snake_case names.
    :return: the ``input`` of CountTokens.
    """
    if "body" in request:
        return {"invokeModel": {"body": request["body"]}}
    return {"converse": {theirs: request[ours] for ours, theirs in _COUNTED.items() if ours in request}}


@dataclass(frozen=True, slots=True)
class InputLimit:
    """How many tokens a request may have.

    :param most: the limit; None for none.
    :param count: CountTokens: the request's members by their snake_case names in, the response out.
    """

    most: int | None
    count: Callable[..., Mapping[str, Any]]

    def check(self, request: Mapping[str, Any], result: Mapping[str, Any] | None = None) -> None:
        """Refuse a request that is larger. Where the model cannot count, that is said, and it passes.

        :param request: members of Converse or InvokeModel by their snake_case names.
        :param result: what there is of the answer, where turns before it were paid for; else None.
        :raises RequestError: it is larger; nothing was sent.
        :raises TurnLimitError: it is larger, and others were sent before it.
        :raises InferenceError: CountTokens failed for another reason.
        """
        counted = None if self.most is None else self._counted(request)
        if self.most is None or counted is None or counted <= self.most:
            return
        found = f"exceeded by a request of {counted} tokens"
        problem = Problem("max_input_tokens", found, f"at most {self.most}")
        if result is not None:
            raise TurnLimitError(f"The next turn was not sent: {problem}", result=result)
        raise RequestError("The request was not sent", problems=(problem,))

    def _counted(self, request: Mapping[str, Any]) -> int | None:
        try:
            answer = self.count(model_id=request.get("model_id"), input=counted_input(request))
            return int(answer["inputTokens"])
        except (RequestError, EndpointNotReadyError) as error:
            why = error.code or "the request does not fit CountTokens"
        except ServiceRefusedError as error:
            if error.code != "ValidationException":
                raise
            why = error.code
        log.warning("max_input_tokens is unchecked: this model's tokens cannot be counted (%s)", why)
        return None
