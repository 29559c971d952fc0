"""SageMaker Runtime: real-time and asynchronous inference on an endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_aiml.answer_task import given_members
from airflow_provider_aiml.aws_task import check_place, check_s3_uri
from airflow_provider_aiml.exceptions import PayloadError, Problem
from airflow_provider_aiml.inference.arguments import check_one_source, read_list, read_number
from airflow_provider_aiml.streamed_task import BodyTask
from airflow_provider_aiml.submission_task import PlannedRequest, SubmissionTask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_aiml.inference.outputs import Location
    from airflow_provider_aiml.inference.stored_answer import Answer, AnswerStore
    from airflow_provider_aiml.inference.streaming import StreamProgress

PAYLOAD_TEMPLATES = (".json.j2", ".jsonl.j2", ".csv.j2", ".txt.j2")
_RENDERERS = {**BodyTask.template_fields_renderers, "payload": "json", "request_members": "json"}
_SINGLES = ("payload", "payload_uri", "input_location")
_LISTS = ("payloads", "payload_uris", "input_locations")
_RESPONSE_KEYS = {
    "ContentType": "content_type",
    "InvokedProductionVariant": "invoked_production_variant",
    "CustomAttributes": "custom_attributes",
    "NewSessionId": "new_session_id",
    "ClosedSessionId": "closed_session_id",
}


class SageMakerInvokeEndpointOperator(BodyTask):
    """Ask a SageMaker endpoint in real time.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html

    Gives ``{"body", "content_type", "invoked_production_variant", "custom_attributes", "inference_id",
    "new_session_id", "closed_session_id"}``; absent members are left out. ``body`` is decoded by its content
    type; a type that is not known comes as base64, with ``"body_encoding": "base64"``.

    With ``stream`` the container's answer comes as it is made, without the limits of size and time of an
    answer in one piece. With ``output_uri`` beside it an answer of any length goes there while it arrives, in
    constant memory, and is read back only for ``result_expression``.

    :param endpoint_name: the endpoint. (templated)
    :param payload: the body, encoded as ``content_type`` says: JSON-like values, rows for CSV, text or bytes.
        A text that ends in ``.json.j2``, ``.jsonl.j2``, ``.csv.j2`` or ``.txt.j2`` names a Jinja template in
        the DAG's template search path, which is rendered and sent. At most 6,291,456 bytes. (templated)
    :param payload_uri: or where to read the body's bytes from, in any object storage. (templated)
    :param content_type: the body's MIME type. Default: ``application/json``. (templated)
    :param accept: the MIME type wanted for the answer. (templated)
    :param custom_attributes: up to 1,024 visible ASCII characters that reach the container. (templated)
    :param target_model: the model of a multi-model endpoint. (templated)
    :param target_variant: the production variant that shall answer. (templated)
    :param target_container_hostname: the container of a multi-container endpoint. (templated)
    :param inference_id: your own id, found again in captured data. (templated)
    :param enable_explanations: a JMESPath for SageMaker Clarify, such as ```true```. (templated)
    :param inference_component_name: the inference component that shall answer. (templated)
    :param session_id: a stateful session, or ``NEW_SESSION``. (templated)
    :param prefix_aware_id: the id by which prefix-aware routing finds cached prefixes. (templated)
    :param request_members: members that AWS added later, by their snake_case names. (templated)
    :param decode: decode the body; False gives base64. Default: True.
    :raises RequestError: the input is wrong; nothing was sent.
    :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.
    """

    operation = "InvokeEndpoint"
    streamed_operation = "InvokeEndpointWithResponseStream"
    service = "sagemaker-runtime"
    hook_module = "airflow_provider_aiml.hooks.sagemaker_runtime"
    hook_name = "SageMakerRuntimeHook"
    member_fields: ClassVar[Sequence[str]] = (
        "endpoint_name",
        "content_type",
        "accept",
        "custom_attributes",
        "target_model",
        "target_variant",
        "target_container_hostname",
        "inference_id",
        "enable_explanations",
        "inference_component_name",
        "session_id",
        "prefix_aware_id",
    )
    template_fields = (
        *BodyTask.template_fields,
        *member_fields,
        "payload",
        "payload_uri",
        "request_members",
    )
    template_ext = PAYLOAD_TEMPLATES
    template_fields_renderers = _RENDERERS

    def __init__(
        self,
        *,
        endpoint_name: str,
        payload: Any = None,
        payload_uri: str | None = None,
        content_type: str = "application/json",
        accept: str | None = None,
        custom_attributes: str | None = None,
        target_model: str | None = None,
        target_variant: str | None = None,
        target_container_hostname: str | None = None,
        inference_id: str | None = None,
        enable_explanations: str | None = None,
        inference_component_name: str | None = None,
        session_id: str | None = None,
        prefix_aware_id: str | None = None,
        request_members: dict[str, Any] | None = None,
        decode: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_one_source({"payload": payload, "payload_uri": payload_uri})
        check_place(payload_uri, "payload_uri")
        self.endpoint_name = endpoint_name
        self.payload = payload
        self.payload_uri = payload_uri
        self.content_type = content_type
        self.accept = accept
        self.custom_attributes = custom_attributes
        self.target_model = target_model
        self.target_variant = target_variant
        self.target_container_hostname = target_container_hostname
        self.inference_id = inference_id
        self.enable_explanations = enable_explanations
        self.inference_component_name = inference_component_name
        self.session_id = session_id
        self.prefix_aware_id = prefix_aware_id
        self.request_members = request_members
        self.decode = decode
        self.check_streamable(name for name in self.member_fields if getattr(self, name) is not None)

    def build_request(self) -> dict[str, Any]:
        """Give the request's members by their snake_case names."""
        return {
            **given_members(self),
            "body": self.read_body(self.payload, self.payload_uri, self.content_type),
        }

    def argument_names(self, request: Mapping[str, Any]) -> dict[str, str]:
        """Name the members that the task's author knows by another name, for errors."""
        return {"body": "payload" if self.payload_uri is None else "payload_uri"}

    def ask(self, request: Mapping[str, Any]) -> Answer:
        """Invoke the endpoint."""
        from airflow_provider_aiml.inference.stored_answer import Answer

        if not self.stream:
            response = self.hook.invoke_endpoint(**request)
            return Answer(response["Body"], _members(response, request))
        from airflow_provider_aiml.inference.streaming import keeping_partial

        members, pieces = self._open_stream(request)
        body: list[bytes] = []
        with keeping_partial(lambda: b"".join(body)):
            body.extend(pieces)
        return Answer(b"".join(body), members)

    def answered(
        self, context: Context, identity: str, store: AnswerStore | None, request: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Find the answer or buy it, and give the whole result; a stream that is kept without its body."""
        if store is None or not self.stream:
            return super().answered(context, identity, store, request)
        from airflow_provider_aiml.inference.stream_store import StreamStore

        streams = StreamStore(store.path, store.uri, store.identity, store.mapped)
        kept = self.find(streams, streams.kept)
        if kept is None:
            self.announce(context, identity, streams)
            members, pieces = self._open_stream(request)
            kept = streams.save_stream(pieces, members, self.growing_upload(store.uri))
        answer = store.load() if self.needs_body() else None
        return self.read_answer(answer) if answer else dict(kept.members)

    def _open_stream(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], Iterator[bytes]]:
        progress = self.progress(request["endpoint_name"])
        response = self.hook.invoke_endpoint_with_response_stream(**request)
        return _members(response, request), self._pieces(response["Body"], progress)

    def _pieces(self, events: Any, progress: StreamProgress) -> Iterator[bytes]:
        from airflow_provider_aiml.inference.streaming import payload_parts

        with events:
            yield from payload_parts(events, progress)
        progress.end()
        if progress.chunks == 1:
            self.log.info(
                "The answer came in one part. If it should come bit by bit: a container streams only if it "
                "sends its answer in chunks as it is made."
            )


def _members(response: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    members = {ours: response[theirs] for theirs, ours in _RESPONSE_KEYS.items() if theirs in response}
    if request.get("inference_id"):
        members["inference_id"] = request["inference_id"]
    return members


class SageMakerInvokeEndpointAsyncOperator(SubmissionTask):
    """Submit an asynchronous inference to a SageMaker endpoint, and wait for its output or not.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointAsync.html

    With ``wait_for_completion`` it gives ``{"inference_id", "output_location", "status"}``, and with
    ``result="body"`` the decoded ``body`` too. Without, ``{"inference_id", "output_location",
    "failure_location", "deadline"}``, which
    :class:`~airflow_provider_aiml.sensors.sagemaker.SageMakerAsyncInferenceSensor` takes as it is.

    :param endpoint_name: an endpoint with an asynchronous inference configuration; without an
        ``S3FailurePath`` in it, a failed inference is not seen until its deadline. (templated)
    :param payload: the body, as for the real-time operator. Up to 128,000 bytes go with the request, where
        the installed botocore knows how; larger ones are uploaded to ``upload_to``. (templated)
    :param payload_uri: or where to read the body's bytes from. (templated)
    :param input_location: or the S3 object that SageMaker itself shall read. (templated)
    :param payloads: or a list of bodies, of which each becomes an inference; the result is a list in the same
        order. Equal bodies are bought once. (templated)
    :param payload_uris: or a list of where to read them from. (templated)
    :param input_locations: or a list of S3 objects that SageMaker itself shall read. (templated)
    :param upload_to: an S3 folder, ``s3://bucket/folder/``, for bodies that have to be uploaded; before
        Airflow 3.3 also for the record of what was submitted, and without ``manifest_to`` for the list of
        what is awaited, where it is long (over 500). (templated)
    :param content_type: the body's MIME type. Default: ``application/json``. (templated)
    :param accept: the MIME type wanted for the output. (templated)
    :param custom_attributes: up to 1,024 visible ASCII characters that reach the container. (templated)
    :param inference_id: your own id; default: derived from who asks what. (templated)
    :param s3_output_path_extension: appended to the endpoint's output path; default: one for each DAG run.
        (templated)
    :param filename: the output object's file name, for one inference; the path before it then gets a folder
        derived from who asks what, so no two share an object. For an exact place use ``output_uri``. Default:
        derived, too. (templated)
    :param request_ttl_seconds: how long the request may stay in the queue, 60 to 21,600 s. Default: 21,600.
        (templated)
    :param invocation_timeout_seconds: how long the model may take, 1 to 3,600 s. Default: the endpoint's.
        (templated)
    :param request_members: members that AWS added later, by their snake_case names. (templated)
    :raises RequestError: the input is wrong; nothing was sent.
    :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.
    """

    member_fields: ClassVar[Sequence[str]] = (
        "endpoint_name",
        "content_type",
        "accept",
        "custom_attributes",
        "inference_id",
        "input_location",
        "s3_output_path_extension",
        "filename",
        "request_ttl_seconds",
        "invocation_timeout_seconds",
    )
    template_fields = (
        *SubmissionTask.template_fields,
        *member_fields,
        "payload",
        "payload_uri",
        *_LISTS,
        "upload_to",
        "request_members",
    )
    template_ext = PAYLOAD_TEMPLATES
    template_fields_renderers = _RENDERERS

    def __init__(
        self,
        *,
        endpoint_name: str,
        payload: Any = None,
        payload_uri: str | None = None,
        input_location: str | None = None,
        payloads: Sequence[Any] | None = None,
        payload_uris: Sequence[str] | None = None,
        input_locations: Sequence[str] | None = None,
        upload_to: str | None = None,
        content_type: str = "application/json",
        accept: str | None = None,
        custom_attributes: str | None = None,
        inference_id: str | None = None,
        s3_output_path_extension: str | None = None,
        filename: str | None = None,
        request_ttl_seconds: int | None = None,
        invocation_timeout_seconds: int | None = None,
        request_members: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.endpoint_name = endpoint_name
        self.payload = payload
        self.payload_uri = payload_uri
        self.input_location = input_location
        self.payloads = payloads
        self.payload_uris = payload_uris
        self.input_locations = input_locations
        self.upload_to = upload_to
        self.content_type = content_type
        self.accept = accept
        self.custom_attributes = custom_attributes
        self.inference_id = inference_id
        self.s3_output_path_extension = s3_output_path_extension
        self.filename = filename
        self.request_ttl_seconds = request_ttl_seconds
        self.invocation_timeout_seconds = invocation_timeout_seconds
        self.request_members = request_members
        self._check_sources()
        if filename is not None:
            self._check_filename({"filename": filename})

    def _check_filename(self, members: Mapping[str, Any]) -> None:
        from airflow_provider_aiml.inference.paid_submission import check_filename

        check_filename(members, several=self.several)

    @property
    def several(self) -> bool:
        """Whether a list of inferences is submitted, and a list given."""
        return any(getattr(self, source) is not None for source in _LISTS)

    @property
    def copied_name(self) -> str:
        """The name that the copy gets in a folder: a ``filename`` of one's own."""
        return self.filename or ""

    @property
    def ledger_folder(self) -> str | None:
        """A folder on S3 for what is submitted, for an Airflow that has no task state store."""
        return self.upload_to

    def plan(self) -> list[PlannedRequest]:
        """Give the requests, checked; nothing is sent or uploaded yet."""
        self._check_sources()
        members = given_members(self)
        self._check_filename(members)
        for name in ("request_ttl_seconds", "invocation_timeout_seconds"):
            members[name] = read_number(members.get(name), name, int)
        field = next(source for source in (*_SINGLES, *_LISTS) if getattr(self, source) is not None)
        given = getattr(self, field)
        values = read_list(given, field) if field in _LISTS else [given]
        return [self._plan_one(members, field, value) for value in values]

    def upload(self, body: bytes, name: str) -> str:
        """Put a body under ``upload_to``, with a name that a retry gives again."""
        from airflow_provider_aiml.inference.async_input import upload

        location = self._upload_location(name)
        upload(self.s3, body, location, self.content_type)
        self.log.info("Uploaded a body of %d bytes to %s", len(body), location)
        return str(location)

    def _check_sources(self) -> None:
        check_one_source({source: getattr(self, source) for source in (*_SINGLES, *_LISTS)})
        for field in ("payload_uri", "payload_uris"):
            check_place(getattr(self, field), field)
        for field in ("input_location", "input_locations"):
            check_s3_uri(getattr(self, field), field, or_https=True)
        check_s3_uri(self.upload_to, "upload_to", folder=True)

    def _plan_one(self, members: dict[str, Any], field: str, value: Any) -> PlannedRequest:
        """Put a body into the request where it fits, else plan its upload."""
        from airflow_provider_aiml.inference.async_input import inline_limit

        if field.startswith("input_location"):
            return self._checked({**members, "input_location": value}, {"input_location": field})
        if field.startswith("payload_uri"):
            body = self.read_body(None, value, self.content_type)
        else:
            body = self.read_body(value, None, self.content_type, field)
        limit = inline_limit()
        if len(body) <= limit:
            return self._checked({**members, "body": body}, {"body": field})
        if not self.upload_to:
            problem = Problem(field, f"{len(body)} bytes", f"at most {limit} bytes without upload_to, on S3")
            raise PayloadError("The body does not fit into the request", problems=(problem,))
        self.check(self.operation, {**members, "input_location": str(self._upload_location("0" * 40))}, {})
        return PlannedRequest(members, body)

    def _checked(self, members: dict[str, Any], names: Mapping[str, str]) -> PlannedRequest:
        self.check(self.operation, members, names)
        return PlannedRequest(members)

    def _upload_location(self, name: str) -> Location:
        from airflow_provider_aiml.inference.outputs import Location

        return Location.parse(f"{str(self.upload_to).rstrip('/')}/{name}", "upload_to")
