"""The input of an asynchronous inference: within the request where it fits, else an object on S3.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointAsync.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.exceptions import PayloadError, Problem
from airflow_provider_aiml.inference.output_look import LASTING_CODES, fault_code
from airflow_provider_aiml.inference.requests import api_members, load_operation

if TYPE_CHECKING:
    from airflow_provider_aiml.inference.outputs import Location

__all__ = ["inline_limit", "upload"]


def inline_limit() -> int:
    """Give the bytes that a request may hold; 0 where the installed botocore knows no inline body."""
    inline = api_members(load_operation("sagemaker-runtime", "InvokeEndpointAsync")).get("body")
    return int(inline.maximum or 0) if inline else 0


def upload(client: Any, body: bytes, location: Location, content_type: str) -> None:
    """Put a body where SageMaker reads it.

    :param client: a boto3 S3 client.
    :raises PayloadError: it cannot be written; nothing was sent to SageMaker.
    """
    try:
        client.put_object(Bucket=location.bucket, Key=location.key, Body=body, ContentType=content_type)
    except Exception as error:
        code = fault_code(error)
        if code is None:
            raise
    else:
        return
    problem = Problem("upload_to", f"not writable ({code})", "a folder where s3:PutObject is allowed")
    retryable = code not in LASTING_CODES
    raise PayloadError("The body cannot be uploaded", problems=(problem,), code=code, retryable=retryable)
