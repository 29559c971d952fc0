"""What a request validator looks at: required parameters, and bodies against their model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.local_aws.execute_api.refusals import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_aiml.local_aws.execute_api.deployments import Picture

__all__ = ["validate"]


def validate(
    picture: Picture,
    method: Mapping[str, Any],
    parameters: Mapping[str, Mapping[str, str]],
    content_type: str,
    body: str,
) -> None:
    """Refuse what the method's validator refuses.

    :param parameters: ``path``, ``querystring`` and ``header``; header names in lower case.
    :raises RefusedError: a required parameter is missing, or the body does not fit its model.
    """
    validator = picture.validators.get(method.get("requestValidatorId") or "", {})
    if validator.get("validateRequestParameters"):
        _check_parameters(method.get("requestParameters") or {}, parameters)
    if validator.get("validateRequestBody"):
        model = (method.get("requestModels") or {}).get(content_type)
        if model is not None:
            _check_body(picture.models.get(model, {}), body)


def _check_parameters(declared: Mapping[str, bool], parameters: Mapping[str, Mapping[str, str]]) -> None:
    missing = []
    for full, required in declared.items():
        _, _, place, name = full.split(".", 3)
        given = parameters[place].get(name.lower() if place == "header" else name)
        if required and not given:
            missing.append(name)
    if missing:
        message = f"Missing required request parameters: [{', '.join(missing)}]"
        raise RefusedError(400, message, "BadRequestException")


def _check_body(schema: Mapping[str, Any], body: str) -> None:
    from jsonschema import Draft4Validator

    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if document is None or not Draft4Validator(schema).is_valid(document):
        raise RefusedError(400, "Invalid request body", "BadRequestException")
