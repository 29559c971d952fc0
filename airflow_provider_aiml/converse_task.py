"""A task that holds a conversation: what it attaches and continues, and where each turn is kept.

What a turn means is decided in :mod:`airflow_provider_aiml.inference.tool_loop`; here it is given what it
needs of Airflow and AWS.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_aiml.aws_task import (
    check_place,
    own_s3_uri,
    read_place,
    stop_if_orphaned,
    task_identity,
)
from airflow_provider_aiml.exceptions import Problem, RequestError, ResponseError
from airflow_provider_aiml.inference.arguments import read_flag, read_mapping, read_number
from airflow_provider_aiml.inference.conversation import (
    check_known,
    json_bytes,
    mended,
    message_text,
    to_json,
    user_message,
)
from airflow_provider_aiml.inference.identity import request_identity
from airflow_provider_aiml.inference.plan import Plan
from airflow_provider_aiml.streamed_task import StreamedTask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_aiml.inference.history_store import Place
    from airflow_provider_aiml.inference.identity import TaskIdentity
    from airflow_provider_aiml.inference.output_schema import OutputSchema
    from airflow_provider_aiml.inference.stored_answer import AnswerStore
    from airflow_provider_aiml.inference.talk import Attach, Talk
    from airflow_provider_aiml.inference.tool_loop import Outcome, ToolLoop
    from airflow_provider_aiml.inference.tool_schemas import Tool
    from airflow_provider_aiml.inference.turns import Progress

_SERVICE = "bedrock-runtime"
_RESPONSE_KEYS = {
    "additionalModelResponseFields": "additional_model_response_fields",
    "trace": "trace",
    "performanceConfig": "performance_config",
    "serviceTier": "service_tier",
}


class ConverseTask(StreamedTask):
    """A task that holds a conversation with a model.

    :param documents: documents to attach: paths, URIs of any object storage, or mappings of ``uri`` with
        ``name``, ``format``, ``bucket_owner``, ``context``, ``citations``. At most 5 of 4.5 MB. (templated)
    :param images: images to attach: paths, URIs, or mappings of ``uri`` with ``format``, ``bucket_owner``. At
        most 20 of 3.75 MB and 8,000 pixels a side. (templated)
    :param send_as: ``bytes`` sends the files along; ``s3`` sends the locations of those on S3, for a model
        that reads them itself. Default: ``bytes``.
    :param document_names: ``neutral`` names documents ``document-1`` and so on; ``own`` takes the files' own
        names, made to fit, which the model then reads. Default: ``neutral``.
    :param history_uri: where the conversation lives, one JSON object to which each task appends its turn; in
        place of ``history``. What was attached once is not sent again. (templated)
    :param resend_documents: send the attachments of ``history_uri`` again with each turn. Default: False.
    :param output_schema: the shape of the answer: a JSON schema, or a Pydantic model class. XCom then holds
        the validated object. (templated)
    :param schema_mode: ``native`` asks for it by ``outputConfig``, ``tool`` by a tool, forced where the model
        takes that, ``auto`` natively and, where the model refuses that, by the tool. Default: ``auto``.
    :param schema_retries: corrections to ask for where the answer does not fit. Default: 2.
    :param tools: Python callables that the model may call, with annotated parameters; the docstring is what
        the model is told. What they raise is told to the model, but for ``AirflowFailException`` and
        ``AirflowSkipException``.
    :param max_turns: calls of the model at most, corrections not counted. Default: 10.
    :param max_total_tokens: tokens of all turns after which no other request is sent. Default: no limit.
    :param max_input_tokens: tokens of a request at most, counted by CountTokens before it is sent; a model
        without it is said to be unchecked. Default: no limit.
    :param fail_on: stop reasons that fail the task. Default: ``max_tokens``,
        ``model_context_window_exceeded``, ``malformed_model_output``, ``malformed_tool_use``,
        ``content_filtered``, ``guardrail_intervened``. (templated)
    :param stamp_metadata: add ``dag_id``, ``run_id`` and ``task_id`` to ``request_metadata``. Default: True.
    """

    operation = "Converse"
    streamed_operation = "ConverseStream"
    service = _SERVICE
    body_keys: ClassVar[Sequence[str]] = ("text", "message", "history")
    template_fields: Sequence[str] = (
        *StreamedTask.template_fields,
        "documents",
        "images",
        "history_uri",
        "output_schema",
        "fail_on",
    )
    model_id: str
    message: Any
    history: Any
    validate: Any

    def __init__(
        self,
        *,
        documents: Any = None,
        images: Any = None,
        send_as: Literal["bytes", "s3"] = "bytes",
        document_names: Literal["neutral", "own"] = "neutral",
        history_uri: str | None = None,
        resend_documents: bool = False,
        output_schema: Any = None,
        schema_mode: Literal["auto", "native", "tool"] = "auto",
        schema_retries: int = 2,
        tools: Sequence[Callable[..., Any]] | None = None,
        max_turns: int = 10,
        max_total_tokens: int | None = None,
        max_input_tokens: int | None = None,
        fail_on: Sequence[str] | None = None,
        stamp_metadata: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_place(history_uri, "history_uri")
        _check_choice(schema_mode, "schema_mode", ("auto", "native", "tool"))
        _check_choice(send_as, "send_as", ("bytes", "s3"))
        _check_choice(document_names, "document_names", ("neutral", "own"))
        self.documents = documents
        self.images = images
        self.send_as = send_as
        self.document_names = document_names
        self.history_uri = history_uri
        self.resend_documents = resend_documents
        self.output_schema = output_schema
        self.schema_mode = schema_mode
        self.schema_retries = schema_retries
        self.tools = tools
        self.max_turns = max_turns
        self.max_total_tokens = max_total_tokens
        self.max_input_tokens = max_input_tokens
        self.fail_on = fail_on
        self.stamp_metadata = stamp_metadata

    @abstractmethod
    def members(self) -> dict[str, Any]:
        """Give the request's members by their snake_case names, all but what is said."""

    def converse(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the model once.

        :param request: the request's members by their snake_case names.
        :return: Converse's response.
        """
        if not self.stream:
            return self._known(self.hook.converse(**request))
        from airflow_provider_aiml.inference.streaming import converse_answer

        progress = self.progress(self.model_id)
        with self.hook.converse_stream(**request)["stream"] as events:
            return self._known(converse_answer(events, progress))

    def _known(self, response: Mapping[str, Any]) -> Mapping[str, Any]:
        """Refuse an answer that no later request could carry whole; it is kept as a part of one."""
        try:
            check_known(response.get("output"), self.called_operation)
        except ResponseError as error:
            told = {name: value for name, value in response.items() if name != "ResponseMetadata"}
            error.partial_body = json_bytes(to_json(told))
            raise
        return response

    def argument_names(self, request: Mapping[str, Any]) -> dict[str, str]:
        """Tell the new message from the history, for errors."""
        said = request.get("messages")
        earlier = "history" if self.history_uri is None else "history_uri"
        return {f"messages[{len(said) - 1}].content": "message", "messages": earlier} if said else {}

    def execute(self, context: Context) -> Any:
        """Say it once, whatever the number of tries, and give the result."""
        with self.careful():
            self.check_result()
            plan = self._plan(task_identity(context))
            outcome = self._found(plan)
            if outcome is None:
                self.check(self.called_operation, plan.request, self.argument_names(plan.request))
            identity = self.identity(context, plan.identified)
            store = self.store(context, identity)
            if outcome is None:
                outcome = self._hold(context, identity, plan, store)
                plan.talk.append([*to_json(plan.said[-1:]), *outcome.said], outcome.to_record())
            result = mended(self._result(plan, outcome))
            if store is not None:
                result["output_uri"] = store.uri
            return self.give(result)

    def picked(self, result: Any) -> Any:
        """Give what goes to XCom: with a schema the validated object."""
        if self.output_schema is None or self.result_expression:
            return super().picked(result)
        return result["output"]

    def _plan(self, task: TaskIdentity) -> Plan:
        from airflow_provider_aiml.inference.documents import check_media, document_names
        from airflow_provider_aiml.inference.output_schema import OutputSchema
        from airflow_provider_aiml.inference.tool_calls import check_calls
        from airflow_provider_aiml.inference.tool_schemas import read_tools

        tools = read_tools(self.tools)
        schema = None if self.output_schema is None else OutputSchema.of(self.output_schema)
        request = self._members(task, tools, schema)
        attach = self._attacher()
        talk = self._talk(task, request, schema, attach)
        earlier, content = talk.earlier(), talk.content(self.message, attach)
        if content is None and not earlier and self._prompted:
            if self.history_uri is not None:
                raise _unfit(
                    "message", "missing, beside history_uri", "a message, for a history begins with one"
                )
            return Plan(talk, [], request, tools, schema)
        said = [*earlier, user_message(content)]
        if self._limited:
            check_media(said[-1]["content"], document_names(said[:-1]))
        check_calls(said, request, own_tools=not self._prompted)
        return Plan(talk, said, {**request, "messages": said}, tools, schema)

    def _members(
        self, task: TaskIdentity, tools: Mapping[str, Tool], schema: OutputSchema | None
    ) -> dict[str, Any]:
        from airflow_provider_aiml.inference.request_metadata import stamped
        from airflow_provider_aiml.inference.tool_calls import declared_tools, with_tools

        request = self.members()
        if read_flag(self.stamp_metadata, "stamp_metadata"):
            given = read_mapping(request.get("request_metadata"), "request_metadata")
            request["request_metadata"] = stamped(given, task)
        config = read_mapping(request.get("tool_config"), "tool_config")
        declared = declared_tools(config)
        if schema is not None and declared:
            allowed = "tools as callables, for nobody answers the others within this task"
            raise _unfit("tool_config.tools", "given beside output_schema", allowed)
        if tools:
            specs = [tool.spec for tool in tools.values()]
            request["tool_config"] = {**config, "tools": with_tools(config.get("tools") or [], specs)}
        return request

    def _talk(
        self,
        task: TaskIdentity,
        request: Mapping[str, Any],
        schema: OutputSchema | None,
        attach: Attach,
    ) -> Talk:
        from airflow_provider_aiml.inference.documents import attached
        from airflow_provider_aiml.inference.talk import Talk

        if self.history_uri is None:
            return Talk.of(self.history, appended=self._prompted)
        if self.history is not None:
            raise _unfit("history / history_uri", "both", "one of them")
        content = attached(self.message, attach(()))
        facts = {**request, "content": content, "output_schema": schema.asked if schema else None}
        return Talk.load(
            self._history_place(self.history_uri),
            request_identity(task, "Converse", facts),
            resend=read_flag(self.resend_documents, "resend_documents"),
            anew=read_flag(self.reinvoke, "reinvoke"),
        )

    def _history_place(self, given: str) -> Place:
        from airflow_provider_aiml.inference.history_places import PathPlace, S3Place
        from airflow_provider_aiml.inference.outputs import Location

        uri = read_place(given, "history_uri")
        if (own := own_s3_uri(uri)) is not None:
            return S3Place(self.s3, Location.parse(own, "history_uri"), uri)
        return PathPlace(self.object_path(uri), uri)

    def _attacher(self) -> Attach:
        """Give what attaches the documents and images, each of which it reads once."""
        from airflow_provider_aiml.inference.documents import Attachments

        made = Attachments(self.object_path, self.send_as, self.document_names, self._limited)
        return lambda taken: [*made.documents(self.documents, taken), *made.images(self.images)]

    @property
    def _prompted(self) -> bool:
        """Whether the model id is a managed prompt's, to whose messages the request's are appended."""
        return ":prompt/" in str(self.model_id)

    @property
    def _limited(self) -> bool:
        """Whether the limits of documents and images are checked, as ``validate`` says of all limits."""
        from airflow_provider_aiml.inference.requests import read_limits

        return "max" in (read_limits(self.validate) or ())

    def _found(self, plan: Plan) -> Outcome | None:
        """Give what an earlier try wrote into the history."""
        from airflow_provider_aiml.inference.tool_loop import Outcome

        turn = plan.talk.turn
        if turn is None:
            return None
        self.log.info("%s holds the answer of an earlier try; nothing is sent", self.history_uri)
        return Outcome.from_record(turn.record, list(turn.messages[len(plan.said[-1:]) :]))

    def _hold(self, context: Context, identity: str, plan: Plan, store: AnswerStore | None) -> Outcome:
        """Hold the conversation to its end, from where an earlier try stopped."""
        from airflow_provider_aiml.inference.turn_store import TurnStore
        from airflow_provider_aiml.inference.turns import Progress

        turns = TurnStore(store, plan.staged)
        progress = Progress() if read_flag(self.reinvoke, "reinvoke") else turns.load()
        if store is not None and progress.turns:
            self.log.info("%d turns of an earlier try are read from %s", len(progress.turns), store.uri)

        def converse(request: dict[str, Any]) -> Mapping[str, Any]:
            turns.announce(progress)
            if not progress.turns:
                plan.talk.announce()
            stop_if_orphaned(context, identity)
            return self.converse(request)

        try:
            outcome = self._loop(plan, converse, turns.save).run(progress)
        except BaseException as error:
            turns.keep_partial(getattr(error, "partial_body", None))
            if isinstance(error, ResponseError):
                turns.finish(progress)
            progress.join(error, identity)
            raise
        turns.finish(progress)
        return outcome

    def _loop(
        self,
        plan: Plan,
        converse: Callable[[dict[str, Any]], Mapping[str, Any]],
        save: Callable[[Progress], None],
    ) -> ToolLoop:
        from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

        from airflow_provider_aiml.inference.input_limit import InputLimit
        from airflow_provider_aiml.inference.requests import load_operation
        from airflow_provider_aiml.inference.stop_reasons import read_fail_on
        from airflow_provider_aiml.inference.structured_output import modes_of
        from airflow_provider_aiml.inference.tool_calls import ToolBox, declared_tools
        from airflow_provider_aiml.inference.tool_loop import Limits, ToolLoop

        operation: Any = load_operation(_SERVICE, self.operation)
        declared = declared_tools(plan.request.get("tool_config")) - set(plan.tools)
        limit = InputLimit(
            read_number(self.max_input_tokens, "max_input_tokens", int), self.hook.count_tokens
        )
        return ToolLoop(
            request=plan.request,
            converse=converse,
            save=save,
            tools=ToolBox(plan.tools, declared, (AirflowFailException, AirflowSkipException)),
            schema=plan.schema,
            modes=modes_of(self.schema_mode, "outputConfig" in operation.input_shape.members),
            fail_on=read_fail_on(self.fail_on, operation.output_shape.members["stopReason"].enum),
            limits=Limits.read(self.max_turns, self.max_total_tokens, self.schema_retries),
            before_request=limit.check,
        )

    def _result(self, plan: Plan, outcome: Outcome) -> dict[str, Any]:
        from airflow_provider_aiml.inference.stop_reasons import UNREMARKABLE

        reason = str(outcome.response.get("stopReason", ""))
        if reason not in UNREMARKABLE:
            self.log.warning("The model stopped with %s; its answer may be cut off or withheld", reason)
        result: dict[str, Any] = {
            "text": message_text(outcome.message),
            "message": outcome.message,
            "stop_reason": reason,
            "usage": outcome.usage,
            "metrics": outcome.metrics,
        }
        if self.history_uri is not None:
            result["history_uri"] = self.history_uri
        elif plan.said:
            result["history"] = [*to_json(plan.said), *outcome.said]
        if plan.staged:
            result |= {"turns": outcome.turns, "tool_calls": outcome.tool_calls}
        if plan.schema is not None:
            result["output"] = outcome.output
        response = outcome.response
        return result | {ours: response[key] for key, ours in _RESPONSE_KEYS.items() if key in response}


def _check_choice(value: Any, field: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise _unfit(field, f"a {type(value).__name__} that is none", " or ".join(map(repr, allowed)))


def _unfit(field: str, found: str, allowed: str) -> RequestError:
    return RequestError("The arguments do not fit each other", problems=(Problem(field, found, allowed),))
