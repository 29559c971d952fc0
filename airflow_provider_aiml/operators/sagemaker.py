"""SageMaker Runtime: real-time and asynchronous inference on an endpoint."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_aiml.answer_task import AnswerTask, decoded_body, given_members
from airflow_provider_aiml.async_output_task import (
    AsyncOutputTask,
    awaited_of,
    check_s3_uri,
    deferral_timeout,
)
from airflow_provider_aiml.aws_task import deferrable_default, failing_for_good, task_identity
from airflow_provider_aiml.exceptions import PayloadError, Problem
from airflow_provider_aiml.inference.arguments import check_one_source, read_number
from airflow_provider_aiml.inference.identity import request_identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_aiml.inference.stored_answer import Answer
    from airflow_provider_aiml.inference.submissions import Submission

PAYLOAD_TEMPLATES = (".json.j2", ".jsonl.j2", ".csv.j2", ".txt.j2")
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
    template_fields_renderers: ClassVar[dict[str, str]] = {"payload": "json", "request_members": "json"}

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
    :param request_ttl_seconds: how long the request may stay in the queue, 60 to 21,600. Default: 21,600.
    :param invocation_timeout_seconds: how long the model may take, 1 to 3,600. Default: the endpoint's.
    :param request_members: members that AWS added later, by their snake_case names. (templated)
    :param wait_for_completion: wait for the output. Default: True.
    :param deferrable: wait in the triggerer, without a worker slot. Default: ``[operators]
        default_deferrable``.
    :param waiter_delay: seconds between two looks. Default: 30.
    :param wait_timeout: seconds to wait at most; default: as long as an output can still come.
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
    template_fields_renderers: ClassVar[dict[str, str]] = {"payload": "json", "request_members": "json"}

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
        for field in ("input_location", "upload_to"):
            check_s3_uri(getattr(self, field), field)

    def execute(self, context: Context) -> Any:
        """Submit, and then wait in the triggerer, wait here, or go."""
        with failing_for_good():
            submission = self._submit(context)
            if not self.wait_for_completion:
                return submission.to_dict()
            self._wait(submission)
            return self.conclude([submission], several=False)

    def execute_complete(
        self, context: Context, event: Mapping[str, Any] | None = None, submission: Any = None
    ) -> Any:
        """Go on after the deferral."""
        with failing_for_good():
            submissions = [submission] if submission else awaited_of(event)
            return self.conclude_event(event, submissions, [0], several=False)

    def _submit(self, context: Context) -> Submission:
        from airflow_provider_aiml.inference.outputs import AsyncInference
        from airflow_provider_aiml.inference.submissions import Submission, longest_deadline

        request = {**given_members(self), **self._body_members(context)}
        for name in ("request_ttl_seconds", "invocation_timeout_seconds"):
            request[name] = read_number(request.get(name), name, int)
        sent_at = time.time()
        response = self.hook.invoke_endpoint_async(**request)
        deadline = longest_deadline(
            sent_at, request.get("request_ttl_seconds"), request.get("invocation_timeout_seconds")
        )
        if self.wait_for_completion and self.wait_timeout is not None:
            deadline = min(deadline, sent_at + self.wait_timeout)
        facts = {
            "inference_id": response.get("InferenceId"),
            "output_location": response["OutputLocation"],
            "failure_location": response.get("FailureLocation"),
        }
        submission = Submission(AsyncInference.from_dict(facts), deadline)
        self._tell(submission)
        return submission

    def _body_members(self, context: Context) -> dict[str, Any]:
        """Give the body where it fits into the request, else upload it and give its location."""
        if self.input_location is not None:
            return {}
        from airflow_provider_aiml.inference.requests import api_members, load_operation

        body = self.read_body(self.payload, self.payload_uri, self.content_type)
        inline = api_members(load_operation("sagemaker-runtime", self.operation)).get("body")
        if inline and len(body) <= (inline.maximum or 0):
            return {"body": body}
        if not self.upload_to:
            limit = inline.maximum if inline and inline.maximum else 0
            allowed = f"at most {limit:.0f} bytes without upload_to, a folder on S3"
            problem = Problem("payload", f"{len(body)} bytes", allowed)
            raise PayloadError("The body does not fit into the request", problems=(problem,))
        return {"input_location": self._upload(context, body)}

    def _upload(self, context: Context, body: bytes) -> str:
        """Put the body where SageMaker reads it, under a name that a retry gives again."""
        from airflow_provider_aiml.inference.outputs import Location

        request = {**given_members(self), "body": body}
        name = request_identity(task_identity(context), self.operation, request)
        folder = Location.parse(f"{str(self.upload_to).rstrip('/')}/{name}", "upload_to")
        self.hook.s3_client().put_object(
            Bucket=folder.bucket, Key=folder.key, Body=body, ContentType=self.content_type
        )
        self.log.info("Uploaded a body of %d bytes to %s", len(body), folder)
        return str(folder)

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

    def _wait(self, submission: Submission) -> None:
        if self.deferrable:
            now = time.time()
            self.defer(
                trigger=self.make_trigger([submission], poll_interval=self.waiter_delay),
                method_name="execute_complete",
                kwargs={"submission": submission.to_dict()},
                timeout=deferral_timeout([submission], now, None),
            )
        self.wait_here([submission], self.waiter_delay)
