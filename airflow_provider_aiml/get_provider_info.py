"""What Airflow's provider discovery reads: plain data, for it is imported by every Airflow process."""

from __future__ import annotations

from typing import Any

_SAGEMAKER = "Amazon SageMaker Runtime"
_BEDROCK = "Amazon Bedrock Runtime"
_API_GATEWAY = "Amazon API Gateway for SageMaker"


def get_provider_info() -> dict[str, Any]:
    """Describe the provider in the shape of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-aiml",
        "name": "AWS machine-learning inference",
        "description": "SageMaker Runtime and Amazon Bedrock inference as dependable tasks.",
        "integrations": [
            {
                "integration-name": _SAGEMAKER,
                "external-doc-url": "https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Operations_Amazon_SageMaker_Runtime.html",
                "tags": ["aws", "machine-learning"],
            },
            {
                "integration-name": _BEDROCK,
                "external-doc-url": "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html",
                "tags": ["aws", "machine-learning", "generative-ai"],
            },
            {
                "integration-name": _API_GATEWAY,
                "external-doc-url": "https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-rest-api.html",
                "tags": ["aws", "machine-learning"],
            },
        ],
        "hooks": [
            _modules(_SAGEMAKER, "hooks.sagemaker_runtime"),
            _modules(_BEDROCK, "hooks.bedrock_runtime"),
            _modules(_API_GATEWAY, "hooks.api_gateway"),
        ],
        "operators": [
            _modules(_SAGEMAKER, "operators.sagemaker"),
            _modules(_BEDROCK, "operators.bedrock", "operators.bedrock_async", "operators.bedrock_checks"),
            _modules(_API_GATEWAY, "operators.api_gateway"),
        ],
        "sensors": [
            _modules(_SAGEMAKER, "sensors.sagemaker"),
            _modules(_BEDROCK, "sensors.bedrock"),
        ],
        "triggers": [
            _modules(_SAGEMAKER, "triggers.sagemaker"),
            _modules(_BEDROCK, "triggers.bedrock"),
            _modules(_API_GATEWAY, "triggers.api_gateway"),
        ],
        "extra-links": [
            f"{__package__}.links.api_gateway.{link}" for link in ("StackLink", "ApiLink", "AccessLogLink")
        ],
    }


def _modules(integration: str, *names: str) -> dict[str, Any]:
    return {
        "integration-name": integration,
        "python-modules": [f"{__package__}.{name}" for name in names],
    }
