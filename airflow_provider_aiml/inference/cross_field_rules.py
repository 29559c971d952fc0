"""The few rules between fields that no service model holds.

Each rule gets the API members of a request and gives the problems it sees. A limit of a single field belongs
in the model, not here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from airflow_provider_aiml.exceptions import Problem

__all__ = ["broken_rules"]

Rule = Callable[[Mapping[str, Any]], Iterator[Problem]]

_MANAGED_PROMPT = re.compile(r"arn:[^:]+:bedrock:[^:]*:[^:]*:prompt/")
_FIXED_BY_THE_PROMPT = {
    "system": "system",
    "inferenceConfig": "inference_config",
    "toolConfig": "tool_config",
    "additionalModelRequestFields": "additional_model_request_fields",
}
_NOT_JMESPATH = frozenset({"true", "false", "1", "0"})


def broken_rules(operation: str, request: Mapping[str, Any]) -> list[Problem]:
    """Give what is wrong between the fields of a request.

    :param operation: the API's name of the operation.
    :param request: API members, absent ones left out.
    """
    return [problem for rule in _RULES.get(operation, ()) for problem in rule(request)]


def _one_input(request: Mapping[str, Any]) -> Iterator[Problem]:
    """SageMaker takes an input location or an inline body; botocore lets both and neither through.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointAsync.html
    """
    given = [name for name in ("InputLocation", "Body") if name in request]
    if len(given) == 2:
        yield Problem("input_location", "given together with body", "exactly one of input_location and body")
    elif not given:
        yield Problem("input_location", "missing, and so is body", "exactly one of input_location and body")


def _explanations_are_jmespath(request: Mapping[str, Any]) -> Iterator[Problem]:
    """A bare ``true`` is a JMESPath too, but names a key of the record, so no explanation would be made.

    https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-online-explainability-invoke-endpoint.html
    """
    value = request.get("EnableExplanations")
    if isinstance(value, (bool, int)) or (isinstance(value, str) and value.strip().lower() in _NOT_JMESPATH):
        yield Problem(
            "enable_explanations",
            "a bare truth value",
            "text with a JMESPath expression; literals stand in backticks: `true`, `false`, [0]>`0.8`",
        )


def _guardrail_is_versioned(request: Mapping[str, Any]) -> Iterator[Problem]:
    """A guardrail is named by identifier and version together.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html
    """
    yield from _both_or_none(request, "", ("guardrail_identifier", "guardrail_version"))


def _guardrail_config_is_versioned(request: Mapping[str, Any]) -> Iterator[Problem]:
    config = request.get("guardrailConfig")
    if isinstance(config, Mapping):
        yield from _both_or_none(config, "guardrail_config.", ("guardrailIdentifier", "guardrailVersion"))


def _both_or_none(holder: Mapping[str, Any], prefix: str, spelled: tuple[str, str]) -> Iterator[Problem]:
    for index, name in enumerate(("guardrailIdentifier", "guardrailVersion")):
        other = ("guardrailVersion", "guardrailIdentifier")[index]
        if name not in holder and other in holder:
            yield Problem(
                prefix + spelled[index], f"missing beside {spelled[1 - index]}", "both of them, or neither"
            )


def _managed_prompt_is_whole(request: Mapping[str, Any]) -> Iterator[Problem]:
    """A managed prompt brings its own settings; Bedrock refuses them in the request.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
    """
    model_id = request.get("modelId")
    if not isinstance(model_id, str) or _MANAGED_PROMPT.match(model_id) is None:
        return
    for name, argument in _FIXED_BY_THE_PROMPT.items():
        if name in request:
            yield Problem(argument, "given with a managed prompt as model_id", "absent: a prompt has its own")


_RULES: Mapping[str, tuple[Rule, ...]] = {
    "InvokeEndpoint": (_explanations_are_jmespath,),
    "InvokeEndpointAsync": (_one_input,),
    "InvokeModel": (_guardrail_is_versioned,),
    "InvokeModelWithResponseStream": (_guardrail_is_versioned,),
    "Converse": (_managed_prompt_is_whole, _guardrail_config_is_versioned),
    "ConverseStream": (_managed_prompt_is_whole, _guardrail_config_is_versioned),
}
