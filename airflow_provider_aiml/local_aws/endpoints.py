"""SageMaker endpoints of the local AWS: what each serves, here and in moto's control plane.

An endpoint that a client creates through the control plane works too, if its model's container says in its
environment what to run: ``{"LOCAL_AWS_MODEL": "module:callable"}``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_aiml.local_aws.errors import ApiError
from airflow_provider_aiml.local_aws.wsgi_bridge import Moto, MotoRefusedError

__all__ = [
    "ACCOUNT",
    "MODEL_VARIABLE",
    "AsyncConfig",
    "Endpoint",
    "Endpoints",
    "resolve_model",
    "with_lower_case_arns",
]

ACCOUNT = "123456789012"
MODEL_VARIABLE = "LOCAL_AWS_MODEL"
_OWN_MODELS = {
    "echo": "airflow_provider_aiml.local_aws.models.echo:model",
    "failing": "airflow_provider_aiml.local_aws.models.failing:model",
    "tabular": "airflow_provider_aiml.local_aws.models.tabular:model",
    "text_stream": "airflow_provider_aiml.local_aws.models.text_stream:model",
}
_ROLE = f"arn:aws:iam::{ACCOUNT}:role/local-aws"
_WATCHED = {"CreateEndpoint", "UpdateEndpoint", "DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel"}

_ENDPOINT_ARN = re.compile(rb'"arn:[a-z-]+:sagemaker:[^":]+:[0-9]+:endpoint/[A-Za-z0-9-]+"')


def with_lower_case_arns(body: bytes) -> bytes:
    """Write the ARNs of endpoints in an answer of moto's as SageMaker does: in lower case."""
    return _ENDPOINT_ARN.sub(lambda arn: arn[0].lower(), body)


def resolve_model(model: str) -> str:
    """Give ``module:callable`` for the short name of one of our models; anything else is taken as it is."""
    return _OWN_MODELS.get(model, model)


@dataclass(frozen=True, slots=True)
class AsyncConfig:
    """What makes an endpoint asynchronous.

    :param s3_output_path: ``s3://bucket/prefix`` of the outputs.
    :param s3_failure_path: of the failures; None: they leave no object.
    :param success_topic: ARN of the SNS topic told of successes.
    :param error_topic: ARN of the SNS topic told of failures.
    :param include_response_in: ``SUCCESS_NOTIFICATION_TOPIC``, ``ERROR_NOTIFICATION_TOPIC``: these notices
        carry the model's response.
    :param max_concurrent: how many inferences run at once.
    :param delay: seconds that each inference waits before it runs.
    """

    s3_output_path: str
    s3_failure_path: str | None = None
    success_topic: str | None = None
    error_topic: str | None = None
    include_response_in: tuple[str, ...] = ()
    max_concurrent: int = 4
    delay: float = 0.0

    def to_api(self) -> dict[str, Any]:
        """Give it as CreateEndpointConfig's AsyncInferenceConfig."""
        notification: dict[str, Any] = {
            "SuccessTopic": self.success_topic,
            "ErrorTopic": self.error_topic,
            "IncludeInferenceResponseIn": list(self.include_response_in),
        }
        output = {
            "S3OutputPath": self.s3_output_path,
            "S3FailurePath": self.s3_failure_path,
            "NotificationConfig": {name: value for name, value in notification.items() if value},
        }
        return {
            "OutputConfig": {name: value for name, value in output.items() if value},
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": self.max_concurrent},
        }

    @classmethod
    def from_api(cls, config: dict[str, Any]) -> AsyncConfig:
        """Read it from DescribeEndpointConfig."""
        output = config["OutputConfig"]
        notification = output.get("NotificationConfig") or {}
        return cls(
            s3_output_path=output["S3OutputPath"],
            s3_failure_path=output.get("S3FailurePath"),
            success_topic=notification.get("SuccessTopic"),
            error_topic=notification.get("ErrorTopic"),
            include_response_in=tuple(notification.get("IncludeInferenceResponseIn") or ()),
            max_concurrent=(config.get("ClientConfig") or {}).get("MaxConcurrentInvocationsPerInstance") or 4,
        )

    def buckets(self) -> set[str]:
        """Give the buckets that outputs and failures are written to."""
        return {urlsplit(path).netloc for path in (self.s3_output_path, self.s3_failure_path) if path}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint.

    :param name: its name.
    :param model: ``module:callable``, or the short name of one of our own models.
    :param asynchronous: None for a real-time endpoint.
    :param variant: the name of its only production variant.
    :param region: where it lives.
    :param model_timeout: seconds within which the container must answer a real-time call.
    """

    name: str
    model: str
    asynchronous: AsyncConfig | None = None
    variant: str = "AllTraffic"
    region: str = "us-east-1"
    model_timeout: float = 60.0


class Endpoints:
    """The endpoints, by region and name."""

    def __init__(self, moto: Moto) -> None:
        self._moto = moto
        self._known: dict[tuple[str, str], Endpoint] = {}

    async def add(self, endpoint: Endpoint) -> None:
        """Add or replace an endpoint, and register it in the control plane as InService."""
        config = endpoint.asynchronous
        for bucket in sorted(config.buckets()) if config else ():
            await self._moto.create_bucket(bucket)
        container = {"Image": f"local-aws/{endpoint.name}", "Environment": {MODEL_VARIABLE: endpoint.model}}
        variant = {
            "VariantName": endpoint.variant,
            "ModelName": endpoint.name,
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
        }
        call, region, name = self._moto.sagemaker, endpoint.region, endpoint.name
        await call("CreateModel", region, ModelName=name, ExecutionRoleArn=_ROLE, PrimaryContainer=container)
        asynchronous = {"AsyncInferenceConfig": config.to_api()} if config else {}
        await call(
            "CreateEndpointConfig",
            region,
            EndpointConfigName=name,
            ProductionVariants=[variant],
            **asynchronous,
        )
        await call("CreateEndpoint", region, EndpointName=name, EndpointConfigName=name)
        self._known[region, name] = endpoint

    async def remove(self, name: str, region: str) -> None:
        """Delete an endpoint."""
        self._known.pop((region, name), None)
        await self._moto.sagemaker("DeleteEndpoint", region, EndpointName=name)

    def clear(self) -> None:
        """Forget every endpoint; moto's record of them is moto's to forget."""
        self._known.clear()

    def control_plane_changed(self, operation: str, region: str, members: dict[str, Any]) -> None:
        """Take note of a client's call: the endpoint that it names is looked up anew."""
        if operation in _WATCHED:
            self._known.pop((region, str(members.get("EndpointName"))), None)

    async def find(self, name: str, region: str) -> Endpoint:
        """Give an endpoint.

        :raises ApiError: AWS's ValidationError, if there is none in this region.
        """
        known = self._known.get((region, name))
        if known is None:
            known = self._known[region, name] = await self._look_up(name, region)
        return known

    async def _look_up(self, name: str, region: str) -> Endpoint:
        call = self._moto.sagemaker
        try:
            endpoint = await call("DescribeEndpoint", region, EndpointName=name)
            config_name = endpoint["EndpointConfigName"]
            config = await call("DescribeEndpointConfig", region, EndpointConfigName=config_name)
            variant = config["ProductionVariants"][0]
            model = await call("DescribeModel", region, ModelName=variant["ModelName"])
        except MotoRefusedError as error:
            raise ApiError("ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.") from error
        containers = [model.get("PrimaryContainer") or {}, *(model.get("Containers") or [])]
        runs = next(
            (found for one in containers if (found := (one.get("Environment") or {}).get(MODEL_VARIABLE))),
            None,
        )
        if runs is None:
            reason = f"its container has no {MODEL_VARIABLE} in its environment, so there is nothing to run"
            raise ApiError(
                "ValidationError", f"Endpoint {name} cannot be invoked at the local AWS: {reason}."
            )
        asynchronous = config.get("AsyncInferenceConfig")
        return Endpoint(
            name,
            runs,
            AsyncConfig.from_api(asynchronous) if asynchronous else None,
            variant=variant["VariantName"],
            region=region,
        )
