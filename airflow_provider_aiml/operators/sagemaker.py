"""SageMaker Runtime: real-time and asynchronous inference on an endpoint."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_aiml.answer_task import AnswerTask, decoded_body, given_members
from airflow_provider_aiml.async_output_task import AsyncOutputTask, deferral_timeout
from airflow_provider_aiml.aws_task import check_place, deferrable_default, task_identity
from airflow_provider_aiml.exceptions import (
    InferenceError,
    OutputExpiredError,
    PayloadError,
    Problem,
    RequestError,
)
from airflow_provider_aiml.inference.arguments import check_one_source, read_number
from airflow_provider_aiml.inference.identity import request_identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_aiml.inference.outputs import AsyncInference, Location, Verdict
    from airflow_provider_aiml.inference.stored_answer import Answer
    from airflow_provider_aiml.inference.submissions import Submission

PAYLOAD_TEMPLATES = (".json.j2", ".jsonl.j2", ".csv.j2", ".txt.j2")
_RENDERERS = {**AnswerTask.template_fields_renderers, "payload": "json", "request_members": "json"}
_HOOK = "airflow_provider_aiml.hooks.sagemaker_runtime"
_RESPONSE_KEYS = {
    "ContentType": "content_type",
    "InvokedProductionVariant": "invoked_production_variant",
    "CustomAttributes": "custom_attributes",
    "NewSessionId": "new_session_id",
    "ClosedSessionId": "closed_session_id",
}


class SageMakerInvokeEndpointOperator(AnswerTask):
    """Ask a SageMaker endpoint in real time.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html

    Gives ``{"body", "content_type", "invoked_production_variant", "custom_attributes", "inference_id",
    "new_session_id", "closed_session_id"}``; absent members are left out. ``body`` is decoded by its content
    type; a type that is not known comes as base64, with ``"body_encoding": "base64"``.

    :param endpoint_name: the endpoint. (templated)
    :param payload: the body: JSON-like values, rows for CSV, text or bytes, as ``content_type`` says; or the
        name of a file among :data:`PAYLOAD_TEMPLATES`. At most 6,291,456 bytes. (templated)
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
    hook_module = _HOOK
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
        *AnswerTask.template_fields,
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

        response = self.hook.invoke_endpoint(**request)
        members = {ours: response[theirs] for theirs, ours in _RESPONSE_KEYS.items() if theirs in response}
        if request.get("inference_id"):
            members["inference_id"] = request["inference_id"]
        return Answer(response["Body"], members)

    def read_answer(self, answer: Answer) -> dict[str, Any]:
        """Decode the body by the response's content type."""
        body = decoded_body(answer.body, answer.members.get("content_type"), wanted=self.decode)
        return {**body, **answer.members}


class SageMakerInvokeEndpointAsyncOperator(AsyncOutputTask):
    """Submit an asynchronous inference to a SageMaker endpoint, and wait for its output or not.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointAsync.html

    With ``wait_for_completion`` it gives ``{"inference_id", "output_location", "status"}``, and with
    ``result="body"`` the decoded ``body`` too. Without, ``{"inference_id", "output_location",
    "failure_location", "deadline"}``, which
    :class:`~airflow_provider_aiml.sensors.sagemaker.SageMakerAsyncInferenceSensor` takes as it is.

    :param endpoint_name: an endpoint with an asynchronous inference configuration. (templated)
    :param payload: the body, as for the real-time operator. Up to 128,000 bytes go with the request, where
        the installed botocore knows how; larger ones are uploaded to ``upload_to``. (templated)
    :param payload_uri: or where to read the body's bytes from. (templated)
    :param input_location: or the S3 object that SageMaker itself shall read. (templated)
    :param upload_to: an S3 folder, ``s3://bucket/folder/``, for bodies that have to be uploaded. (templated)
    :param content_type: the body's MIME type. Default: ``application/json``. (templated)
    :param accept: the MIME type wanted for the output. (templated)
    :param custom_attributes: up to 1,024 visible ASCII characters that reach the container. (templated)
    :param inference_id: your own id; default: SageMaker makes one. (templated)
    :param s3_output_path_extension: appended to the endpoint's output path. (templated)
    :param filename: the output object's file name. (templated)
    :param request_ttl_seconds: how long the request may stay in the queue, 60 to 21,600 s. Default: 21,600.
        (templated)
    :param invocation_timeout_seconds: how long the model may take, 1 to 3,600 s. Default: the endpoint's.
        (templated)
    :param request_members: members that AWS added later, by their snake_case names. (templated)
    :param wait_for_completion: wait for the output. Default: True.
    :param deferrable: wait in the triggerer, without a worker slot. Default: ``[operators]
        default_deferrable``.
    :param waiter_delay: seconds between two looks. Default: 30.
    :param wait_timeout: seconds to wait at most; default: as long as an output can still come.
    :param result: ``location`` or ``body``. Default: ``location``.
    :param output_uri: where to copy the output to. (templated)
    :raises RequestError: the input is wrong; nothing was sent.
    :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.
    """

    operation: ClassVar[str] = "InvokeEndpointAsync"
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
        *AsyncOutputTask.template_fields,
        *member_fields,
        "payload",
        "payload_uri",
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
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        waiter_delay: float = 30,
        wait_timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_one_source({"payload": payload, "payload_uri": payload_uri, "input_location": input_location})
        check_place(payload_uri, "payload_uri")
        check_place(input_location, "input_location")
        check_place(upload_to, "upload_to", folder=True)
        if not wait_for_completion and (self.output_uri is not None or self.result == "body"):
            found = "given with wait_for_completion=False"
            problem = Problem("output_uri / result", found, "given to the sensor that waits")
            raise RequestError("The arguments do not fit each other", problems=(problem,))
        self.endpoint_name = endpoint_name
        self.payload = payload
        self.payload_uri = payload_uri
        self.input_location = input_location
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
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable_default() if deferrable is None else deferrable
        self.waiter_delay = waiter_delay
        self.wait_timeout = wait_timeout

    def execute(self, context: Context) -> Any:
        """Submit, and then wait in the triggerer, wait here, or go."""
        with self.careful():
            self.check_places(several=False)
            sent_at = time.time()
            submission = self._submit(context, sent_at)
            if not self.wait_for_completion:
                return self.give(submission.to_dict())
            until = None if self.wait_timeout is None else sent_at + self.wait_timeout
            self._wait(submission, until)
            return self.conclude([submission], several=False)

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Go on after the deferral."""
        with self.careful():
            return self.conclude_event(event, several=False)

    def overdue(self, error: InferenceError) -> InferenceError:
        """Say that ``wait_timeout`` passed: the inference goes on, and a retry would buy another."""
        hint = "raise wait_timeout, or submit without waiting and let the sensor wait"
        return OutputExpiredError(
            f"wait_timeout of {self.wait_timeout} s is over, the inference is not: {error.message}",
            inference_id=error.inference_id,
            hint="; ".join(filter(None, (hint, error.hint))),
        )

    def _submit(self, context: Context, sent_at: float) -> Submission:
        from airflow_provider_aiml.inference.outputs import AsyncInference
        from airflow_provider_aiml.inference.submissions import Submission, longest_deadline

        request = given_members(self)
        for name in ("request_ttl_seconds", "invocation_timeout_seconds"):
            request[name] = read_number(request.get(name), name, int)
        request |= self._input_members(context, request)
        response = self.hook.invoke_endpoint_async(**request)
        facts = {
            "inference_id": response.get("InferenceId"),
            "output_location": response["OutputLocation"],
            "failure_location": response.get("FailureLocation"),
        }
        ttl, invocation = request["request_ttl_seconds"], request["invocation_timeout_seconds"]
        submission = Submission(AsyncInference.from_dict(facts), longest_deadline(sent_at, ttl, invocation))
        self._tell(submission)
        return submission

    def _input_members(self, context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
        """Give the body where it fits into the request, else upload it and give its location."""
        from airflow_provider_aiml.inference.async_input import inline_limit, upload

        field = "payload" if self.payload_uri is None else "payload_uri"
        if self.input_location is not None:
            self.check(self.operation, request, {})
            return {}
        body = self.read_body(self.payload, self.payload_uri, self.content_type)
        limit = inline_limit()
        if len(body) <= limit:
            self.check(self.operation, {**request, "body": body}, {"body": field})
            return {"body": body}
        if not self.upload_to:
            allowed = f"at most {limit} bytes without upload_to, a folder on S3"
            problem = Problem(field, f"{len(body)} bytes", allowed)
            raise PayloadError("The body does not fit into the request", problems=(problem,))
        location = self._upload_location(context, {**request, "body": body})
        self.check(self.operation, {**request, "input_location": str(location)}, {})
        upload(self.s3, body, location, self.content_type)
        self.log.info("Uploaded a body of %d bytes to %s", len(body), location)
        return {"input_location": str(location)}

    def _upload_location(self, context: Context, request: Mapping[str, Any]) -> Location:
        """Name the object for a body, so that a retry names it again."""
        from airflow_provider_aiml.inference.outputs import Location

        name = request_identity(task_identity(context), self.operation, request)
        return Location.parse(f"{str(self.upload_to).rstrip('/')}/{name}", "upload_to")

    def _tell(self, submission: Submission) -> None:
        inference = submission.inference
        self.log.info(
            "Submitted inference %s to %s; its output will be %s",
            inference.inference_id,
            self.endpoint_name,
            inference.output_location,
        )
        if inference.failure_location is None:
            self.log.warning(
                "Endpoint %s has no S3FailurePath: a failure of this inference cannot be seen and looks like "
                "waiting until its deadline. Set AsyncInferenceConfig.OutputConfig.S3FailurePath.",
                self.endpoint_name,
            )

    def _wait(self, submission: Submission, until: float | None) -> None:
        if self.deferrable:
            self.defer(
                trigger=self.make_trigger([submission], poll_interval=self.waiter_delay, timeout_at=until),
                method_name="execute_complete",
                timeout=deferral_timeout([submission], time.time(), until),
            )
        end = submission.deadline if until is None else min(submission.deadline, until)
        self.tell_of_slot(end)
        verdict = self._look_until(submission.inference, end)
        if verdict.error is None:
            return
        if verdict.status == "expired" and end < submission.deadline:
            raise self.overdue(verdict.error)
        raise self.failure(verdict.error, submission)

    def _look_until(self, inference: AsyncInference, end: float) -> Verdict:
        from airflow_provider_aiml.inference.output_look import look
        from airflow_provider_aiml.inference.outputs import Wait

        wait = Wait(inference, deadline=end)
        while (verdict := wait.on_look(look(self.s3, inference), time.time())) is None:
            if wait.needs_permission_notice:
                self.tell_of_permission(inference.output_location)
            time.sleep(max(0.0, min(self.waiter_delay, end - time.time())))
        return verdict
