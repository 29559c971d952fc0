"""Where the output of a submission will be, if nobody wrote down where SageMaker said.

AWS documents the path extension only as "appended" to the endpoint's output path, so each plausible way to
join them is a candidate.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointAsync.html
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from airflow_provider_aiml.exceptions import OutputUnreadableError, RequestError
from airflow_provider_aiml.inference.outputs import SLOW_DOWN_CODES, AsyncInference, Location
from airflow_provider_aiml.inference.submissions import s3_uri

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OutputBase:
    """The endpoint's own configuration of where outputs go.

    :param output_path: ``S3OutputPath``.
    :param failure_path: ``S3FailurePath``; None without.
    """

    output_path: str
    failure_path: str | None = None


def describe_output_base(
    sagemaker: Any, endpoint_name: str, *, level: int = logging.WARNING
) -> OutputBase | None:
    """Ask SageMaker where an endpoint's outputs go; None where it may not be asked or has no such place.

    It needs ``sagemaker:DescribeEndpoint`` and ``sagemaker:DescribeEndpointConfig``.

    :param sagemaker: a boto3 client of SageMaker's control plane.
    :param endpoint_name: the endpoint.
    :param level: the log level at which a missing permission is named. Default: a warning.
    :raises OutputUnreadableError: SageMaker or the network is at fault, so that a retry may be told.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        endpoint = sagemaker.describe_endpoint(EndpointName=endpoint_name)
        config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    except (ClientError, BotoCoreError) as error:
        response = getattr(error, "response", {})
        code = response.get("Error", {}).get("Code") or type(error).__name__
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        if status >= 500 or code in SLOW_DOWN_CODES:
            message = f"Where the outputs of endpoint {endpoint_name} go cannot be asked; nothing was sent"
            raise OutputUnreadableError(message, code=code) from error
        log.log(
            level,
            "Where the outputs of endpoint %s go cannot be asked (%s); with sagemaker:DescribeEndpoint and "
            "sagemaker:DescribeEndpointConfig an inference of which no record is left could be found",
            endpoint_name,
            code,
        )
        return None
    output = config.get("AsyncInferenceConfig", {}).get("OutputConfig", {})
    path, failure_path = (_readable(output.get(name)) for name in ("S3OutputPath", "S3FailurePath"))
    if output.get("S3OutputPath") and path is None:
        log.log(
            level,
            "S3OutputPath of endpoint %s is no place on S3 that can be read; an inference of which no record "
            "is left cannot be found",
            endpoint_name,
        )
    return OutputBase(path, failure_path) if path else None


def _readable(path: Any) -> str | None:
    uri = s3_uri(path)
    try:
        Location.parse(f"{uri}/any", "S3OutputPath")
    except RequestError:
        return None
    return str(uri)


def candidates(base: OutputBase, extension: str, filename: str, inference_id: str) -> list[AsyncInference]:
    """Give each place where the output may be, the likeliest first.

    :param base: the endpoint's output configuration.
    :param extension: ``S3OutputPathExtension`` of the request.
    :param filename: ``Filename`` of the request.
    :param inference_id: ``InferenceId`` of the request.
    """
    outputs = _joined(base.output_path, extension, filename)
    failures = _joined(base.failure_path, extension, filename) if base.failure_path else []
    padded = [*failures, *[None] * (len(outputs) - len(failures))]
    return [
        AsyncInference(output, failure, inference_id)
        for output, failure in zip(outputs, padded, strict=False)
    ]


def _joined(path: str, extension: str, filename: str) -> list[Location]:
    """Give each place; joined to a bucket alone, an extension would name another bucket, a stranger's."""
    tidy, inner = path.rstrip("/"), extension.strip("/")
    ways = (f"{tidy}/{inner}/{filename}", f"{path}{extension}/{filename}", f"{path}{extension}{filename}")
    places = [Location.parse(way, "S3OutputPath") for way in dict.fromkeys(ways)]
    return [place for place in places if place.bucket == places[0].bucket]
