"""What Airflow's provider discovery reads: plain data, for it is imported by every Airflow process."""

from __future__ import annotations

from typing import Any

_SAGEMAKER = "Amazon SageMaker Runtime"
_BEDROCK = "Amazon Bedrock Runtime"


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
        ],
        "hooks": [
            _modules(_SAGEMAKER, "hooks.sagemaker_runtime"),
            _modules(_BEDROCK, "hooks.bedrock_runtime"),
        ],
        "operators": [
            _modules(_SAGEMAKER, "operators.sagemaker"),
            _modules(_BEDROCK, "operators.bedrock", "operators.bedrock_async", "operators.bedrock_checks"),
        ],
        "sensors": [
            _modules(_SAGEMAKER, "sensors.sagemaker"),
            _modules(_BEDROCK, "sensors.bedrock"),
        ],
        "triggers": [
            _modules(_SAGEMAKER, "triggers.sagemaker"),
            _modules(_BEDROCK, "triggers.bedrock"),
        ],
    }


def _modules(integration: str, *names: str) -> dict[str, Any]:
    return {
        "integration-name": integration,
        "python-modules": [f"{__package__}.{name}" for name in names],
    }
