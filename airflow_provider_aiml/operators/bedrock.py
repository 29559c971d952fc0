"""Amazon Bedrock: a model asked in its own format, and a conversation in Bedrock's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_aiml.answer_task import given_members
from airflow_provider_aiml.aws_task import check_place, task_identity
from airflow_provider_aiml.converse_task import ConverseTask
from airflow_provider_aiml.exceptions import RequestError
from airflow_provider_aiml.inference.arguments import (
    check_one_source,
    read_flag,
    read_mapping,
    read_number,
)
from airflow_provider_aiml.inference.conversation import from_json, system_blocks
from airflow_provider_aiml.operators.bedrock_async import BedrockStartAsyncInvokeOperator
from airflow_provider_aiml.operators.bedrock_checks import (
    BedrockApplyGuardrailOperator,
    BedrockCountTokensOperator,
)
from airflow_provider_aiml.streamed_task import BodyTask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_aiml.inference.identity import TaskIdentity
    from airflow_provider_aiml.inference.stored_answer import Answer

__all__ = [
    "BedrockApplyGuardrailOperator",
    "BedrockConverseOperator",
    "BedrockCountTokensOperator",
    "BedrockInvokeModelOperator",
    "BedrockStartAsyncInvokeOperator",
]

INPUT_TEMPLATES = (".json.j2", ".txt.j2")
_HOOK = "airflow_provider_aiml.hooks.bedrock_runtime"
_RESPONSE_KEYS = {
    "contentType": "content_type",
    "performanceConfigLatency": "performance_config_latency",
    "serviceTier": "service_tier",
}


class BedrockInvokeModelOperator(BodyTask):
    """Ask a Bedrock model in the model's own format.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html

    Takes the parameters of the amazon provider's operator of the same name, and gives its result, the decoded
    body (base64 text where its content type is not known). The whole result, on which ``result_expression``
    works, is ``{"body", "content_type", "performance_config_latency", "service_tier"}``.

    With ``stream`` the chunks are put together to the body that the model's family answers without one; for a
    family that is not known here the body is the list of the chunks, and ``"body_form"`` is ``"chunks"``.

    :param model_id: model, inference profile, provisioned throughput or prompt, by id or ARN. (templated)
    :param input_data: the body in the model's own format. A text that ends in ``.json.j2`` or ``.txt.j2``
        names a Jinja template in the DAG's template search path. At most 25,000,000 bytes. (templated)
    :param input_data_uri: or where to read the body's bytes from, in any object storage. (templated)
    :param content_type: the body's MIME type. Default: ``application/json``. (templated)
    :param accept_type: the MIME type wanted for the answer. (templated)
    :param trace: ``ENABLED``, ``DISABLED`` or ``ENABLED_FULL``, with a guardrail. (templated)
    :param guardrail_identifier: a guardrail's id or ARN, together with its version. (templated)
    :param guardrail_version: the guardrail's version, or ``DRAFT``. (templated)
    :param performance_config_latency: ``standard`` or ``optimized``. (templated)
    :param service_tier: ``priority``, ``default``, ``flex`` or ``reserved``. (templated)
    :param request_metadata: a JSON object, as text, for filtering invocation logs. (templated)
    :param request_members: members that AWS added later, by their snake_case names. (templated)
    :param max_input_tokens: tokens of the body at most, counted by CountTokens before it is sent; a model
        without it is said to be unchecked. Default: no limit.
    :param stamp_metadata: add ``dag_id``, ``run_id`` and ``task_id`` to ``request_metadata``, where the
        installed botocore has it. Default: True.
    :param decode: decode the body; False gives base64. Default: True.
    :raises RequestError: the input is wrong; nothing was sent.
    :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.
    """

    operation = "InvokeModel"
    streamed_operation = "InvokeModelWithResponseStream"
    service = "bedrock-runtime"
    hook_module = _HOOK
    hook_name = "BedrockRuntimeHook"
    member_fields: ClassVar[Sequence[str]] = (
        "model_id",
        "content_type",
        "trace",
        "guardrail_identifier",
        "guardrail_version",
        "performance_config_latency",
        "service_tier",
        "request_metadata",
    )
    template_fields = (
        *BodyTask.template_fields,
        *member_fields,
        "accept_type",
        "input_data",
        "input_data_uri",
        "request_members",
    )
    template_ext = INPUT_TEMPLATES
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **BodyTask.template_fields_renderers,
        "input_data": "json",
        "request_members": "json",
    }

    def __init__(
        self,
        *,
        model_id: str,
        input_data: Any = None,
        input_data_uri: str | None = None,
        content_type: str | None = None,
        accept_type: str | None = None,
        trace: str | None = None,
        guardrail_identifier: str | None = None,
        guardrail_version: str | None = None,
        performance_config_latency: str | None = None,
        service_tier: str | None = None,
        request_metadata: str | None = None,
        request_members: dict[str, Any] | None = None,
        max_input_tokens: int | None = None,
        stamp_metadata: bool = True,
        decode: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_one_source({"input_data": input_data, "input_data_uri": input_data_uri})
        check_place(input_data_uri, "input_data_uri")
        self.model_id = model_id
        self.input_data = input_data
        self.input_data_uri = input_data_uri
        self.content_type = content_type
        self.accept_type = accept_type
        self.trace = trace
        self.guardrail_identifier = guardrail_identifier
        self.guardrail_version = guardrail_version
        self.performance_config_latency = performance_config_latency
        self.service_tier = service_tier
        self.request_metadata = request_metadata
        self.request_members = request_members
        self.max_input_tokens = max_input_tokens
        self.stamp_metadata = stamp_metadata
        self.decode = decode
        self._asking: TaskIdentity | None = None

    def execute(self, context: Context) -> Any:
        """Ask once, whatever the number of tries, and give the result."""
        self._asking = task_identity(context)
        return super().execute(context)

    def build_request(self) -> dict[str, Any]:
        """Give the request's members by their snake_case names."""
        from airflow_provider_aiml.inference.request_metadata import stamped_json

        request = given_members(self)
        if self.accept_type:
            request["accept"] = self.accept_type
        if self._asking is not None and self._stamps():
            request["request_metadata"] = stamped_json(request.get("request_metadata"), self._asking)
        content_type = self.content_type or "application/json"
        body = self.read_body(self.input_data, self.input_data_uri, content_type, "input_data")
        return {**request, "body": body}

    def _stamps(self) -> bool:
        """Say whether to stamp the request: an older botocore has no metadata for these operations."""
        from airflow_provider_aiml.inference.requests import api_members, load_operation

        if not read_flag(self.stamp_metadata, "stamp_metadata"):
            return False
        return "request_metadata" in api_members(load_operation(self.service, self.called_operation))

    def argument_names(self, request: Mapping[str, Any]) -> dict[str, str]:
        """Name the members that the task's author knows by another name, for errors."""
        body = "input_data" if self.input_data_uri is None else "input_data_uri"
        return {"body": body, "accept": "accept_type"}

    def ask(self, request: Mapping[str, Any]) -> Answer:
        """Invoke the model."""
        from airflow_provider_aiml.inference.input_limit import InputLimit
        from airflow_provider_aiml.inference.stored_answer import Answer

        most = read_number(self.max_input_tokens, "max_input_tokens", int)
        InputLimit(most, self.hook.count_tokens).check(request)
        if self.stream:
            return self._ask_for_stream(request)
        response = self.hook.invoke_model(**request)
        return Answer(response["body"], _members(response))

    def _ask_for_stream(self, request: Mapping[str, Any]) -> Answer:
        from airflow_provider_aiml.inference.stored_answer import Answer
        from airflow_provider_aiml.inference.streaming import model_answer

        progress = self.progress(self.model_id)
        response = self.hook.invoke_model_with_response_stream(**request)
        with response["body"] as events:
            answer = model_answer(events, progress)
        members = _members(response)
        if answer.family is None:
            self.log.warning(
                "How this model streams is not known here, so the body is the list of its chunks instead of "
                "what it answers without a stream"
            )
            members["body_form"] = "chunks"
        return Answer(answer.body, members)

    def default_result(self, result: Any) -> Any:
        """Give the body alone, as the amazon provider's operator does."""
        return result["body"]


def _members(response: Mapping[str, Any]) -> dict[str, Any]:
    return {ours: response[key] for key, ours in _RESPONSE_KEYS.items() if key in response}


_ALONE = {
    "max_tokens": "maxTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "stop_sequences": "stopSequences",
}
"""Parameters of the model that can be given alone, by what ``inference_config`` calls them."""
_NUMBERS: dict[str, type[int] | type[float]] = {"max_tokens": int, "temperature": float, "top_p": float}


class BedrockConverseOperator(ConverseTask):
    """Say something to a model, and get its answer and the history that goes on with it.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html

    Gives ``{"text", "message", "history", "stop_reason", "usage", "metrics"}``, with tools or a schema also
    ``turns`` and ``tool_calls``, and, where the model gave them, ``additional_model_response_fields``,
    ``trace``, ``performance_config`` and ``service_tier``. With ``output_uri`` the first three stay out of
    XCom; with ``history_uri`` the history does. With ``output_schema`` XCom holds the validated object alone,
    which is ``output`` for ``result_expression``.

    What it can attach, continue, run and refuse are the parameters of
    :class:`~airflow_provider_aiml.converse_task.ConverseTask`.

    :param model_id: model, inference profile, provisioned throughput or prompt, by id or ARN. (templated)
    :param message: the user's message: text, or a list of content blocks. A text that ends in ``.json.j2`` or
        ``.txt.j2`` names a Jinja template in the DAG's template search path. Only what is attached, and a
        managed prompt, can do without. (templated)
    :param history: the ``history`` that an earlier turn gave. (templated)
    :param system: the system prompt: text, or a list of blocks. (templated)
    :param inference_config: ``maxTokens``, ``temperature``, ``topP``, ``stopSequences``. (templated)
    :param max_tokens: or this alone, at least 1; over ``inference_config``. (templated)
    :param temperature: or this alone, 0 to 1; over ``inference_config``. (templated)
    :param top_p: or this alone, 0 to 1; over ``inference_config``. (templated)
    :param stop_sequences: or this alone; over ``inference_config``. (templated)
    :param tool_config: the tools that the model may ask for. (templated)
    :param guardrail_config: the guardrail to apply. (templated)
    :param additional_model_request_fields: parameters beyond ``inference_config``. (templated)
    :param additional_model_response_field_paths: JSON pointers of what else to give back. (templated)
    :param prompt_variables: values for the variables of a managed prompt. (templated)
    :param request_metadata: up to 16 names and values for filtering invocation logs. (templated)
    :param performance_config: ``{"latency": "standard" | "optimized"}``. (templated)
    :param service_tier: ``{"type": "priority" | "default" | "flex" | "reserved"}``. (templated)
    :param output_config: the format of the answer. (templated)
    :param request_members: members that AWS added later, by their snake_case names. (templated)
    :raises RequestError: the input is wrong; nothing was sent.
    :raises AnswerStoppedError: the model stopped for a reason in ``fail_on``.
    :raises AnswerMismatchError: the answer does not fit ``output_schema``.
    :raises TurnLimitError: ``max_turns``, ``max_total_tokens`` or ``max_input_tokens`` was reached first.
    :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.
    """

    hook_module = _HOOK
    hook_name = "BedrockRuntimeHook"
    member_fields: ClassVar[Sequence[str]] = (
        "model_id",
        "tool_config",
        "guardrail_config",
        "additional_model_request_fields",
        "additional_model_response_field_paths",
        "prompt_variables",
        "request_metadata",
        "performance_config",
        "service_tier",
        "output_config",
    )
    template_fields = (
        *ConverseTask.template_fields,
        *member_fields,
        "message",
        "history",
        "system",
        "inference_config",
        "max_tokens",
        "temperature",
        "top_p",
        "stop_sequences",
        "request_members",
    )
    template_ext = INPUT_TEMPLATES
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **ConverseTask.template_fields_renderers,
        "history": "json",
        "tool_config": "json",
        "request_members": "json",
        "output_schema": "json",
    }

    def __init__(
        self,
        *,
        model_id: str,
        message: Any = None,
        history: Any = None,
        system: Any = None,
        inference_config: dict[str, Any] | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        stop_sequences: list[str] | None = None,
        tool_config: dict[str, Any] | None = None,
        guardrail_config: dict[str, Any] | None = None,
        additional_model_request_fields: dict[str, Any] | None = None,
        additional_model_response_field_paths: list[str] | None = None,
        prompt_variables: dict[str, Any] | None = None,
        request_metadata: dict[str, str] | None = None,
        performance_config: dict[str, Any] | None = None,
        service_tier: dict[str, Any] | None = None,
        output_config: dict[str, Any] | None = None,
        request_members: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_id = model_id
        self.message = message
        self.history = history
        self.system = system
        self.inference_config = inference_config
        self.max_tokens = max_tokens
        self.temperature = temperature
        self.top_p = top_p
        self.stop_sequences = stop_sequences
        self.tool_config = tool_config
        self.guardrail_config = guardrail_config
        self.additional_model_request_fields = additional_model_request_fields
        self.additional_model_response_field_paths = additional_model_response_field_paths
        self.prompt_variables = prompt_variables
        self.request_metadata = request_metadata
        self.performance_config = performance_config
        self.service_tier = service_tier
        self.output_config = output_config
        self.request_members = request_members

    def members(self) -> dict[str, Any]:
        """Give the request's members by their snake_case names, all but what is said."""
        request: dict[str, Any] = from_json(given_members(self))
        if self.system is not None:
            request["system"] = system_blocks(self.system)
        if config := self._inference_config():
            request["inference_config"] = config
        return request

    def check(self, operation: str, members: Mapping[str, Any], names: Mapping[str, str]) -> None:
        """Refuse a request before anything is sent; what is no number also where ``validate`` is off."""
        super().check(operation, members, names)
        for field, kind in _NUMBERS.items():
            read_number(getattr(self, field), field, kind)

    def argument_names(self, request: Mapping[str, Any]) -> dict[str, str]:
        """Call a parameter of the model as it was given, alone or in ``inference_config``, for errors."""
        alone = {
            f"inference_config.{name}": ours
            for ours, name in _ALONE.items()
            if getattr(self, ours) is not None
        }
        return {**super().argument_names(request), **alone}

    def _inference_config(self) -> dict[str, Any]:
        flat = {_ALONE[name]: _as_number(getattr(self, name), name, kind) for name, kind in _NUMBERS.items()}
        flat["stopSequences"] = self.stop_sequences
        given = {name: value for name, value in flat.items() if value is not None}
        return {**read_mapping(self.inference_config, "inference_config"), **given}


def _as_number(value: Any, field: str, kind: type[int] | type[float]) -> Any:
    """Read a number; what is none is left to the check of the request, which names all that is wrong."""
    try:
        return read_number(value, field, kind)
    except RequestError:
        return value
