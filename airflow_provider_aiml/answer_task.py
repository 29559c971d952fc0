"""What every operator shares that asks a model and waits for its answer on the spot.

One order, for all of them: build the request, look for an answer that was already paid for, ask, keep the raw
answer, and only then decode it, pick from it and hand it to XCom.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow_provider_aiml.aws_task import (
    AwsTask,
    check_place,
    has_jinja,
    read_place,
    stop_if_orphaned,
    task_identity,
)
from airflow_provider_aiml.exceptions import PayloadError, ResponseError
from airflow_provider_aiml.inference.arguments import read_flag, read_mapping
from airflow_provider_aiml.inference.identity import request_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_aiml.inference.stored_answer import Answer, AnswerStore

Kept = TypeVar("Kept")
_LEVELLED = bytes.maketrans(b"0123456789", b"0" * 10)
_SUSPECT = (b"NaN", b"Infinity", b"\\ud", b"0" * 19)
"""In JSON, all its digits made 0, with something that XCom cannot carry, and seldom in another."""
XCOM_COMFORT_BYTES = 1024 * 1024
"""A result over this many bytes of JSON warns, for XCom is a row in Airflow's database."""


class ResultTask(AwsTask):
    """A task whose result goes through an expression into XCom.

    :param result_expression: a JMESPath over the whole result, the mapping that this task gives; what it
        picks goes to XCom, None where it finds nothing. https://jmespath.org/specification.html (templated)
    :param output_uri: where to keep the answer's raw bytes, for example ``s3://bucket/scores/{{ ds }}.json``;
        with a trailing ``/`` it is a folder and the file's name is the request's identity. A retry finds the
        answer there and pays for nothing. XCom then has the result without the body, and in its place the
        key ``output_uri`` that says where it is. The instances of a mapped task need a folder, or
        ``{{ ti.map_index }}`` in the name. (templated)
    """

    template_fields: Sequence[str] = (*AwsTask.template_fields, "output_uri", "result_expression")
    body_keys: ClassVar[Sequence[str]] = ("body", "body_encoding")
    no_xcom: ClassVar[str] = "or result_expression to pick what XCom carries"
    """What else helps where XCom cannot carry the result."""

    def __init__(
        self, *, result_expression: str | None = None, output_uri: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.result_expression = result_expression
        self.output_uri = output_uri
        if isinstance(result_expression, str) and not has_jinja(result_expression):
            self._check_expression()
        check_place(output_uri, "output_uri", folder=True)

    def check_result(self) -> None:
        """Refuse, before anything is sent, what the result could not be given with.

        :raises RequestError: ``output_uri`` or ``result_expression``, as rendered, cannot be used.
        """
        if self.output_uri is not None:
            read_place(self.output_uri, "output_uri", folder=True)
        if self.result_expression:
            self._check_expression()

    def _check_expression(self) -> None:
        from airflow_provider_aiml.inference.result_expression import check_expression

        check_expression(self.result_expression or "")

    def give(self, result: dict[str, Any] | list[dict[str, Any]]) -> Any:
        """Pick what goes to XCom.

        :param result: the whole result, or a list of them. Where the answer is kept at ``output_uri`` and no
            expression asks for it, its :attr:`body_keys` do not go to XCom.
        :raises ResponseError: the expression does not fit it, or XCom cannot carry what it gives. The error's
            ``partial_body`` is the whole result as JSON, for it may be kept nowhere else.
        """
        try:
            given = self.picked(result)
            self.mind_xcom(given)
        except ResponseError as error:
            error.partial_body = _written(result)
            raise
        return given

    def picked(self, result: Any) -> Any:
        """Give the part of the result that goes to XCom.

        :param result: the whole result, or a list of them.
        """
        if self.result_expression:
            from airflow_provider_aiml.inference.result_expression import apply_expression

            return apply_expression(self.result_expression, result, log_payloads=self.log_payloads)
        if not self.output_uri:
            return self.default_result(result)
        if isinstance(result, list):
            return [self._without_body(one) for one in result]
        return self._without_body(result)

    def place(self, context: Context, uri: str, identity: str, *, own: bool = False) -> AnswerStore:
        """Give a place that keeps one answer.

        :param identity: who asks what.
        :param own: whether no other instance of a mapped task can be given the same place.
        """
        from airflow_provider_aiml.inference.stored_answer import AnswerStore

        task = task_identity(context)
        mapped = None if own or task.map_index < 0 else task
        return AnswerStore(self.object_path(uri), uri, identity, mapped)

    def _without_body(self, result: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in result.items() if key not in self.body_keys}

    def default_result(self, result: Any) -> Any:
        """Give what goes to XCom where neither ``result_expression`` nor ``output_uri`` is set."""
        return result

    def mind_xcom(self, given: Any) -> None:
        """Refuse what XCom cannot carry, and warn of what is large for a row in a database.

        :raises ResponseError: there is NaN, an infinity, an int of more than 64 bits or a lone surrogate.
        """
        if not self.do_xcom_push:
            return
        if (written := _written(given)) is None:
            return
        levelled = written.translate(_LEVELLED)
        if any(suspect in levelled for suspect in _SUSPECT):
            self._refuse_uncarried(given)
        if (size := len(written)) > XCOM_COMFORT_BYTES:
            self.log.warning(
                "The result is %d bytes of JSON and goes to XCom, a row in Airflow's database. Set "
                "output_uri to keep it in object storage, or result_expression to pick what is needed.",
                size,
            )

    def _refuse_uncarried(self, given: Any) -> None:
        """Say here what Airflow's own XCom says without a hint, and as an error that it retries."""
        from airflow.sdk.bases.xcom import BaseXCom
        from airflow.sdk.execution_time.xcom import XCom

        from airflow_provider_aiml.inference.json_text import uncarried

        if XCom.serialize_value is not BaseXCom.serialize_value:
            return
        problem = uncarried(given, "result")
        if problem is None:
            return
        hint = f"set output_uri to keep the answer in object storage, {self.no_xcom}"
        if self.output_uri:
            hint = "the answer is kept at output_uri: let result_expression pick what XCom carries"
        raise ResponseError(f"XCom cannot carry the result: {problem.field} is {problem.found}", hint=hint)


def _written(result: Any) -> bytes | None:
    """Write a result as Python's JSON, NaN included; None where even that has no form for it."""
    try:
        return json.dumps(result, default=str).encode()
    except (ValueError, TypeError, RecursionError):
        return None


class PaidTask(ResultTask):
    """A task that looks for an answer that was already paid for before it asks.

    :param reinvoke: True calls the model, and pays, though an answer is kept at ``output_uri``, and replaces
        it. So does every further try: set ``retries=0`` with it. Default: False. (templated)
    """

    operation: ClassVar[str]
    template_fields: Sequence[str] = (*ResultTask.template_fields, "reinvoke")

    def __init__(self, *, reinvoke: bool | str = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reinvoke = reinvoke

    @property
    def called_operation(self) -> str:
        """The operation that is really called: :attr:`operation`, or its stream."""
        return self.operation

    def argument_names(self, request: Mapping[str, Any]) -> dict[str, str]:
        """Name the members that the task's author knows by another name, for errors."""
        return {}

    def identity(self, context: Context, request: Mapping[str, Any]) -> str:
        """Say who asks what: the same in every try.

        :param request: the request's members by their snake_case names.
        """
        region = self.hook.conn_region_name
        return request_identity(task_identity(context), self.operation, {**request, "region": region})

    def store(self, context: Context, identity: str) -> AnswerStore | None:
        """Give the place at ``output_uri`` that keeps the answer; None without.

        :param identity: who asks what.
        """
        if not self.output_uri:
            return None
        if self.output_uri.endswith("/"):
            return self.place(context, self.output_uri + identity, identity, own=True)
        return self.place(context, self.output_uri, identity)

    def read_body(
        self, payload: Any, payload_uri: str | None, content_type: str, field: str = "payload"
    ) -> bytes:
        """Encode a request's body, or read it from object storage, where a retry needs it again."""
        try:
            return super().read_body(payload, payload_uri, content_type, field)
        except PayloadError as error:
            if payload_uri is not None and self.output_uri:
                told = "the answer of an earlier try may be at output_uri, but only the same payload finds it"
                error.hint = "; ".join(filter(None, (error.hint, told)))
            raise


class AnswerTask(PaidTask):
    """A task that asks a model and gets its answer in the same call.

    The request is built and checked, an answer that was already paid for is looked for, the model is asked,
    its raw answer is kept, and only then is it decoded, picked from and given to XCom.
    """

    @abstractmethod
    def build_request(self) -> dict[str, Any]:
        """Give the request's members by their snake_case names."""

    @abstractmethod
    def ask(self, request: Mapping[str, Any]) -> Answer:
        """Make the call; its raw answer, before anything is done with it."""

    @abstractmethod
    def read_answer(self, answer: Answer) -> dict[str, Any]:
        """Decode an answer into the whole result."""

    def execute(self, context: Context) -> Any:
        """Ask once, whatever the number of tries, and give the result."""
        with self.careful():
            self.check_result()
            request = self.build_request()
            self.check(self.called_operation, request, self.argument_names(request))
            identity = self.identity(context, request)
            store = self.store(context, identity)
            result = self.answered(context, identity, store, request)
            if store is not None:
                result["output_uri"] = store.uri
            return self.give(result)

    def answered(
        self, context: Context, identity: str, store: AnswerStore | None, request: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Find the answer or buy it, and give the whole result.

        :param identity: who asks what.
        :param store: the place that keeps the answer; None without.
        :param request: the request's members by their snake_case names.
        """
        answer = None if store is None else self.find(store, store.load)
        if answer is None:
            self.announce(context, identity, store)
            answer = self._buy(store, request)
        return self.read_answer(answer)

    def find(self, store: AnswerStore, look: Callable[[], Kept | None]) -> Kept | None:
        """Give what is kept of an answer that an earlier try paid for.

        :param look: how to look for it in the store.
        """
        kept = None if read_flag(self.reinvoke, "reinvoke") else look()
        if kept is not None:
            self.log.info(
                "This request was answered in an earlier try; the answer at %s is taken and nothing is sent",
                store.uri,
            )
        return kept

    def announce(self, context: Context, identity: str, store: AnswerStore | None) -> None:
        """Show, as the last thing before the call, that the answer can be kept and the task is no orphan."""
        if store is not None:
            store.announce()
        stop_if_orphaned(context, identity)

    def _buy(self, store: AnswerStore | None, request: Mapping[str, Any]) -> Answer:
        if store is None:
            return self.ask(request)
        try:
            answer = self.ask(request)
        except BaseException as error:
            if partial := getattr(error, "partial_body", None):
                store.save_partial(partial)
            raise
        store.save(answer)
        return answer


def given_members(task: Any) -> dict[str, Any]:
    """Give the request's members that a task was given, by their snake_case names, without its body.

    :param task: has ``member_fields`` and ``request_members``.
    """
    members = {name: getattr(task, name) for name in task.member_fields}
    present = {name: value for name, value in members.items() if value is not None}
    return {**present, **read_mapping(task.request_members, "request_members")}


def decoded_body(body: bytes, content_type: str | None, *, wanted: bool = True) -> dict[str, Any]:
    """Decode a body by its content type into the keys of a result.

    :param wanted: False leaves the bytes as they are, in base64.
    :raises ResponseError: the body is not what its content type says; it was paid for.
    """
    from airflow_provider_aiml.inference.payload import decode

    decoded = decode(body, content_type if wanted else None)
    if decoded.encoding == "base64":
        return {"body": decoded.value, "body_encoding": "base64"}
    return {"body": decoded.value}
