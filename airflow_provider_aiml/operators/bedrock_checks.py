"""Amazon Bedrock: content held against a guardrail, and tokens counted before they are paid for.

Import the operators from :mod:`airflow_provider_aiml.operators.bedrock`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_aiml.answer_task import AnswerTask, given_members
from airflow_provider_aiml.exceptions import AnswerStoppedError, Problem, RequestError
from airflow_provider_aiml.inference.arguments import check_one_source, read_flag
from airflow_provider_aiml.inference.conversation import (
    extend_history,
    from_json,
    json_bytes,
    system_blocks,
    to_json,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_aiml.inference.stored_answer import Answer

INTERVENED = "GUARDRAIL_INTERVENED"
_HOOK = "airflow_provider_aiml.hooks.bedrock_runtime"


class _JsonAnswerTask(AnswerTask):
    """A task whose answer is the members of a response, kept as JSON."""

    hook_module = _HOOK
    hook_name = "BedrockRuntimeHook"

    def answer_of(self, response: Mapping[str, Any]) -> Answer:
        """Keep a response as JSON."""
        from airflow_provider_aiml.inference.stored_answer import Answer

        members = {name: value for name, value in response.items() if name != "ResponseMetadata"}
        body = json_bytes(to_json(members))
        return Answer(body, {"content_type": "application/json"})


class BedrockApplyGuardrailOperator(_JsonAnswerTask):
    """Hold content against a guardrail, without a model.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ApplyGuardrail.html

    Gives ``{"action", "action_reason", "intervened", "text", "outputs", "assessments", "usage",
    "guardrail_coverage"}``; ``text`` is what to go on with: the guardrail's words where it intervened, the
    content's own text otherwise. With ``output_uri`` texts and assessments stay out of XCom.

    :param guardrail_identifier: the guardrail's id or ARN. (templated)
    :param guardrail_version: its version, or ``DRAFT``. (templated)
    :param source: ``INPUT`` for what a user says, ``OUTPUT`` for what a model answered. (templated)
    :param content: text, a list of texts, or content blocks. (templated)
    :param output_scope: ``INTERVENTIONS`` or ``FULL``: what the assessments tell. (templated)
    :param request_members: members that AWS added later, by their snake_case names. (templated)
    :param fail_on_intervention: fail the task where the guardrail intervenes. Default: False.
    :raises RequestError: the input is wrong; nothing was sent.
    :raises AnswerStoppedError: the guardrail intervened, with ``fail_on_intervention``.
    :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.
    """

    operation = "ApplyGuardrail"
    body_keys: ClassVar[Sequence[str]] = ("text", "outputs", "assessments")
    member_fields: ClassVar[Sequence[str]] = (
        "guardrail_identifier",
        "guardrail_version",
        "source",
        "output_scope",
    )
    template_fields = (*AnswerTask.template_fields, *member_fields, "content", "request_members")
    template_ext = (".txt.j2", ".json.j2")

    def __init__(
        self,
        *,
        guardrail_identifier: str,
        guardrail_version: str,
        source: str,
        content: Any,
        output_scope: str | None = None,
        request_members: dict[str, Any] | None = None,
        fail_on_intervention: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.guardrail_identifier = guardrail_identifier
        self.guardrail_version = guardrail_version
        self.source = source
        self.content = content
        self.output_scope = output_scope
        self.request_members = request_members
        self.fail_on_intervention = fail_on_intervention

    def build_request(self) -> dict[str, Any]:
        """Give the request's members by their snake_case names."""
        return {**given_members(self), "content": self._blocks()}

    def ask(self, request: Mapping[str, Any]) -> Answer:
        """Apply the guardrail."""
        return self.answer_of(self.hook.apply_guardrail(**request))

    def read_answer(self, answer: Answer) -> dict[str, Any]:
        """Say what the guardrail did, and what to go on with."""
        response = answer.response(self.operation)
        outputs = response.get("outputs") or []
        intervened = response.get("action") == INTERVENED
        texts = [str(output.get("text", "")) for output in outputs] if intervened else self._texts()
        keys = {"actionReason": "action_reason", "guardrailCoverage": "guardrail_coverage"}
        keys |= {name: name for name in ("action", "outputs", "assessments", "usage")}
        result = {ours: response[theirs] for theirs, ours in keys.items() if theirs in response}
        result |= {"intervened": intervened, "text": "\n".join(texts)}
        if intervened and read_flag(self.fail_on_intervention, "fail_on_intervention"):
            raise AnswerStoppedError(
                "The guardrail intervened",
                stop_reason="guardrail_intervened",
                result=result,
                hint="the assessments in the error's result tell which rule it was",
            )
        return result

    def _blocks(self) -> list[dict[str, Any]]:
        given = self.content if isinstance(self.content, list | tuple) else [self.content]
        blocks = [{"text": {"text": one}} if isinstance(one, str) else from_json(one) for one in given]
        if not all(isinstance(block, dict) for block in blocks):
            problem = Problem("content", "a list with something else", "text, texts or content blocks")
            raise RequestError("The request cannot be sent", problems=(problem,))
        return blocks

    def _texts(self) -> list[str]:
        return [block["text"]["text"] for block in self._blocks() if "text" in block]


class BedrockCountTokensOperator(_JsonAnswerTask):
    """Count the tokens of a request, without running it.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html

    Gives ``{"input_tokens"}``. What is counted is a message with what belongs to it, or a body in the model's
    own format, or an ``input`` as the API has it.

    :param model_id: the model, by id or ARN. (templated)
    :param message: the user's message: text, or a list of content blocks. (templated)
    :param history: the ``history`` that an earlier turn gave, with ``message``. (templated)
    :param system: the system prompt, with ``message``. (templated)
    :param tool_config: the tools, with ``message``. (templated)
    :param additional_model_request_fields: further parameters, with ``message``. (templated)
    :param input_data: or a body for InvokeModel. (templated)
    :param input: or ``{"converse": …}`` or ``{"invokeModel": …}``. (templated)
    :param request_members: members that AWS added later, by their snake_case names. (templated)
    :raises RequestError: the input is wrong; nothing was sent.
    :raises ServiceRefusedError: the model cannot count tokens.
    :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.
    """

    operation = "CountTokens"
    member_fields: ClassVar[Sequence[str]] = ("model_id",)
    template_fields = (
        *AnswerTask.template_fields,
        *member_fields,
        "message",
        "history",
        "system",
        "tool_config",
        "additional_model_request_fields",
        "input_data",
        "input",
        "request_members",
    )
    template_ext = (".txt.j2", ".json.j2")

    def __init__(
        self,
        *,
        model_id: str,
        message: Any = None,
        history: Any = None,
        system: Any = None,
        tool_config: dict[str, Any] | None = None,
        additional_model_request_fields: dict[str, Any] | None = None,
        input_data: Any = None,
        input: dict[str, Any] | None = None,
        request_members: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_one_source({"message": message, "input_data": input_data, "input": input})
        self.model_id = model_id
        self.message = message
        self.history = history
        self.system = system
        self.tool_config = tool_config
        self.additional_model_request_fields = additional_model_request_fields
        self.input_data = input_data
        self.input = input
        self.request_members = request_members

    def build_request(self) -> dict[str, Any]:
        """Give the request's members by their snake_case names."""
        return {**given_members(self), "input": self._input()}

    def ask(self, request: Mapping[str, Any]) -> Answer:
        """Count."""
        return self.answer_of(self.hook.count_tokens(**request))

    def read_answer(self, answer: Answer) -> dict[str, Any]:
        """Give the number."""
        return {"input_tokens": answer.response(self.operation)["inputTokens"]}

    def _input(self) -> Any:
        if self.input is not None:
            return from_json(self.input)
        if self.input_data is not None:
            body = self.read_body(self.input_data, None, "application/json", "input_data")
            return {"invokeModel": {"body": body}}
        said: dict[str, Any] = {"messages": extend_history(self.history, self.message)}
        if self.system is not None:
            said["system"] = system_blocks(self.system)
        if self.tool_config is not None:
            said["toolConfig"] = from_json(self.tool_config)
        if self.additional_model_request_fields is not None:
            said["additionalModelRequestFields"] = self.additional_model_request_fields
        return {"converse": said}
