"""The hook for Amazon Bedrock Runtime: models, conversations, guardrails and token counts.

Every method has a coroutine twin whose name starts with ``a``. What they share (clients, retries, errors, log
lines) is in :mod:`airflow_provider_aiml.hooks.inference_calls`.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.amazon.aws.hooks.bedrock import BedrockRuntimeHook as AmazonBedrockRuntimeHook

from airflow_provider_aiml.hooks.inference_calls import InferenceCallsMixin

__all__ = ["BedrockRuntimeHook"]

READ_TIMEOUT = 3600.0
"""Seconds to wait for an answer. Models that think may take an hour, and a time-out loses paid answers."""


class BedrockRuntimeHook(InferenceCallsMixin, AmazonBedrockRuntimeHook):
    """Invoke models on Amazon Bedrock.

    The parameters are those of :class:`~airflow_provider_aiml.hooks.inference_calls.InferenceCallsMixin`.
    Methods take the API's members in snake_case (``model_id``, ``inference_config``, …; a member that is
    None is left out; what is inside a member keeps the API's camelCase) and give botocore's response members.

    .. seealso::
    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
    """

    client_type = "bedrock-runtime"
    default_read_timeout = READ_TIMEOUT

    def invoke_model(self, **members: Any) -> dict[str, Any]:
        """Send a body in the model's own format and wait for its answer.

        :param members: the members of InvokeModel, in snake_case; ``model_id`` and ``body`` are required.
        :return: the response's members; ``body`` is bytes.
        :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.

        .. seealso:: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html
        """
        return self._call("InvokeModel", members)

    async def ainvoke_model(self, **members: Any) -> dict[str, Any]:
        """Do as :meth:`invoke_model`, without blocking the event loop."""
        return await self._acall("InvokeModel", members)

    def invoke_model_with_response_stream(self, **members: Any) -> dict[str, Any]:
        """Send a body in the model's own format; the answer comes in parts.

        :param members: the members of InvokeModelWithResponseStream, in snake_case; ``model_id`` is required.
        :return: the response's members; ``body`` is an
            :class:`~airflow_provider_aiml.hooks.event_streams.EventStream`: iterate over it, and close it.
        :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.

        .. seealso::
        https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html
        """
        return self._call("InvokeModelWithResponseStream", members)

    async def ainvoke_model_with_response_stream(self, **members: Any) -> dict[str, Any]:
        """Do as :meth:`invoke_model_with_response_stream`, without blocking the event loop."""
        return await self._acall("InvokeModelWithResponseStream", members)

    def converse(self, **members: Any) -> dict[str, Any]:
        """Send a conversation in Bedrock's common format and wait for the model's message.

        :param members: the members of Converse, in snake_case; ``model_id`` is required.
        :return: the response's members: ``output``, ``stopReason``, ``usage``, ``metrics``, ….
        :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.

        .. seealso:: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
        """
        return self._call("Converse", members)

    async def aconverse(self, **members: Any) -> dict[str, Any]:
        """Do as :meth:`converse`, without blocking the event loop."""
        return await self._acall("Converse", members)

    def converse_stream(self, **members: Any) -> dict[str, Any]:
        """Send a conversation in Bedrock's common format; the message comes in parts.

        :param members: the members of ConverseStream, in snake_case; ``model_id`` is required.
        :return: the response's members; ``stream`` is an
            :class:`~airflow_provider_aiml.hooks.event_streams.EventStream`: iterate over it, and close it.
        :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.

        .. seealso:: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
        """
        return self._call("ConverseStream", members)

    async def aconverse_stream(self, **members: Any) -> dict[str, Any]:
        """Do as :meth:`converse_stream`, without blocking the event loop."""
        return await self._acall("ConverseStream", members)

    def count_tokens(self, **members: Any) -> dict[str, Any]:
        """Count the tokens of a request without running it.

        :param members: the members of CountTokens, in snake_case; ``model_id`` and ``input`` are required.
        :return: the response's members: ``inputTokens``.
        :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.

        .. seealso:: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html
        """
        return self._call("CountTokens", members)

    async def acount_tokens(self, **members: Any) -> dict[str, Any]:
        """Do as :meth:`count_tokens`, without blocking the event loop."""
        return await self._acall("CountTokens", members)

    def apply_guardrail(self, **members: Any) -> dict[str, Any]:
        """Check content against a guardrail, without a model.

        :param members: the members of ApplyGuardrail, in snake_case; ``guardrail_identifier``,
            ``guardrail_version``, ``source`` and ``content`` are required.
        :return: the response's members: ``action``, ``outputs``, ``assessments``, ``usage``, ….
        :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.

        .. seealso:: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ApplyGuardrail.html
        """
        return self._call("ApplyGuardrail", members)

    async def aapply_guardrail(self, **members: Any) -> dict[str, Any]:
        """Do as :meth:`apply_guardrail`, without blocking the event loop."""
        return await self._acall("ApplyGuardrail", members)

    def start_async_invoke(self, **members: Any) -> dict[str, Any]:
        """Start an invocation whose answer appears in S3 later.

        :param members: the members of StartAsyncInvoke, in snake_case; ``model_id``, ``model_input`` and
            ``output_data_config`` are required.
        :return: the response's members: ``invocationArn``.
        :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.

        .. seealso:: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_StartAsyncInvoke.html
        """
        return self._call("StartAsyncInvoke", members)

    async def astart_async_invoke(self, **members: Any) -> dict[str, Any]:
        """Do as :meth:`start_async_invoke`, without blocking the event loop."""
        return await self._acall("StartAsyncInvoke", members)

    def get_async_invoke(self, **members: Any) -> dict[str, Any]:
        """Ask how an asynchronous invocation is doing.

        :param members: the members of GetAsyncInvoke, in snake_case; ``invocation_arn`` is required.
        :return: the response's members: ``status`` is ``InProgress``, ``Completed`` or ``Failed``.
        :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.

        .. seealso:: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_GetAsyncInvoke.html
        """
        return self._call("GetAsyncInvoke", members)

    async def aget_async_invoke(self, **members: Any) -> dict[str, Any]:
        """Do as :meth:`get_async_invoke`, without blocking the event loop."""
        return await self._acall("GetAsyncInvoke", members)
