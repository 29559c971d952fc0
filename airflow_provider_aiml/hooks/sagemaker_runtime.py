"""The hook for Amazon SageMaker Runtime: real-time, asynchronous and streaming invocations.

Every method has a coroutine twin whose name starts with ``a``. What they share (clients, retries, errors, log
lines) is in :mod:`airflow_provider_aiml.hooks.inference_calls`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from botocore.config import Config

from airflow_provider_aiml.hooks.aws_client import SageMakerControlHook, SqsHook
from airflow_provider_aiml.hooks.inference_calls import InferenceCallsMixin

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

__all__ = ["SageMakerRuntimeHook"]

READ_TIMEOUT = 70.0
"""Seconds to wait for an answer. A real-time model may take 60, so a shorter time-out loses paid answers."""
BRIEF_TIMEOUT = 2.0
"""Seconds for what can be done without, such as where SageMaker's control plane has no way in from a VPC."""


class SageMakerRuntimeHook(InferenceCallsMixin, AwsBaseHook):
    """Invoke Amazon SageMaker endpoints.

    The parameters are those of :class:`~airflow_provider_aiml.hooks.inference_calls.InferenceCallsMixin`.
    Methods take the API's members in snake_case (``endpoint_name``, ``content_type``, …; a member that is
    None is left out) and give botocore's response members, with a ``Body`` that is already read.

    .. seealso::
        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Operations_Amazon_SageMaker_Runtime.html
    """

    client_type = "sagemaker-runtime"
    default_read_timeout = READ_TIMEOUT

    def control_client(self, *, brief: bool = False) -> Any:
        """Make a boto3 client of SageMaker's control plane with this hook's connection and region.

        :param brief: make each call once, and give it up after :data:`BRIEF_TIMEOUT`. Default: False, as
            often and as long as botocore makes a free one.
        """
        hook = SageMakerControlHook.beside(self)
        if not brief:
            return hook.conn
        once = Config(
            connect_timeout=BRIEF_TIMEOUT, read_timeout=BRIEF_TIMEOUT, retries={"total_max_attempts": 1}
        )
        return hook.get_client_type(config=hook.client_config.config.merge(once))

    def aopen_sqs_client(self) -> AbstractAsyncContextManager[Any]:
        """Open an aiobotocore SQS client with this hook's connection, region and settings."""
        return SqsHook.beside(self).aclient()

    def invoke_endpoint(self, **members: Any) -> dict[str, Any]:
        """Invoke a real-time endpoint and wait for its answer.

        :param members: the members of InvokeEndpoint, in snake_case; ``endpoint_name`` and ``body`` are
            required.
        :return: the response's members; ``Body`` is bytes.
        :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.

        .. seealso:: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
        """
        return self._call("InvokeEndpoint", members)

    async def ainvoke_endpoint(self, **members: Any) -> dict[str, Any]:
        """Do as :meth:`invoke_endpoint`, without blocking the event loop."""
        return await self._acall("InvokeEndpoint", members)

    def invoke_endpoint_async(self, **members: Any) -> dict[str, Any]:
        """Hand one input to an asynchronous endpoint; the answer appears in S3 later.

        :param members: the members of InvokeEndpointAsync, in snake_case; ``endpoint_name`` and one of
            ``input_location`` and ``body`` are required.
        :return: the response's members: ``InferenceId``, ``OutputLocation``, perhaps ``FailureLocation``.
        :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.

        .. seealso::
        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointAsync.html
        """
        return self._call("InvokeEndpointAsync", members)

    async def ainvoke_endpoint_async(self, **members: Any) -> dict[str, Any]:
        """Do as :meth:`invoke_endpoint_async`, without blocking the event loop."""
        return await self._acall("InvokeEndpointAsync", members)

    def invoke_endpoint_with_response_stream(self, **members: Any) -> dict[str, Any]:
        """Invoke a real-time endpoint that answers in parts.

        :param members: the members of InvokeEndpointWithResponseStream, in snake_case; ``endpoint_name`` and
            ``body`` are required.
        :return: the response's members; ``Body`` is an
            :class:`~airflow_provider_aiml.hooks.event_streams.EventStream`: iterate over it, and close it.
        :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.

        .. seealso::
            https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointWithResponseStream.html
        """
        return self._call("InvokeEndpointWithResponseStream", members)

    async def ainvoke_endpoint_with_response_stream(self, **members: Any) -> dict[str, Any]:
        """Do as :meth:`invoke_endpoint_with_response_stream`, without blocking the event loop.

        ``Body`` is an :class:`~airflow_provider_aiml.hooks.event_streams.AsyncEventStream`: it holds the
        client until it is read to its end or closed.
        """
        return await self._acall("InvokeEndpointWithResponseStream", members)
