"""Amazon Bedrock: an invocation whose answer appears in S3 later.

Import the operator from :mod:`airflow_provider_aiml.operators.bedrock`.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_aiml.answer_task import given_members
from airflow_provider_aiml.aws_task import (
    deferrable_default,
    deferral_timeout,
    stop_if_orphaned,
    task_identity,
)
from airflow_provider_aiml.inference.arguments import read_flag, read_seconds
from airflow_provider_aiml.inference.identity import request_identity
from airflow_provider_aiml.invocation_task import InvocationTask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from airflow_provider_aiml.exceptions import InferenceError
    from airflow_provider_aiml.inference.invocations import InvocationWait

OPERATION = "StartAsyncInvoke"


class BedrockStartAsyncInvokeOperator(InvocationTask):
    """Start an asynchronous invocation, a video for example, and wait for it or go on.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_StartAsyncInvoke.html

    Gives ``{"invocation_arn", "status", "output_location", "submit_time", "end_time"}``; ``output_location``
    is the folder that holds the outputs. Without waiting it gives the first three, which
    :class:`~airflow_provider_aiml.sensors.bedrock.BedrockAsyncInvokeSensor` takes as they are.

    The request's token is made of the task instance and the request. AWS documents it "to ensure that
    requests are not duplicated": a retry sends it again and goes on with the invocation that Bedrock names,
    and starts another one only where the earlier one failed.

    :param model_id: the model, by id or ARN. (templated)
    :param model_input: the request in the model's own format. (templated)
    :param output_data_config: where the output goes: ``s3://bucket/folder/``, or the API's own
        ``{"s3OutputDataConfig": {"s3Uri", "kmsKeyId", "bucketOwner"}}``. (templated)
    :param client_request_token: a token of your own, over which paying once is your own affair. (templated)
    :param tags: a list of ``{"key", "value"}`` for the invocation. (templated)
    :param request_members: members that AWS added later, by their snake_case names. (templated)
    :param wait_for_completion: wait for the end. Default: True.
    :param deferrable: wait in the triggerer, without a worker slot. Default: ``[operators]
        default_deferrable``.
    :param waiter_delay: seconds between two questions. Default: 60.
    :param wait_timeout: seconds to wait at most. Default: no limit.
    :param reinvoke: start another one, on purpose; each try then does. Default: False. (templated)
    :raises RequestError: the input is wrong; nothing was sent.
    :raises ModelFailedError: the invocation failed; the service's words are quoted.
    :raises OutputExpiredError: ``wait_timeout`` passed; a retry goes on with the same invocation.
    :raises InferenceError: see :mod:`airflow_provider_aiml.exceptions`.
    """

    member_fields: ClassVar[Sequence[str]] = ("model_id", "model_input", "client_request_token", "tags")
    template_fields = (
        *InvocationTask.template_fields,
        *member_fields,
        "output_data_config",
        "request_members",
        "reinvoke",
    )
    template_ext = (".json.j2",)
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **InvocationTask.template_fields_renderers,
        "model_input": "json",
        "request_members": "json",
    }

    def __init__(
        self,
        *,
        model_id: str,
        model_input: dict[str, Any],
        output_data_config: dict[str, Any] | str,
        client_request_token: str | None = None,
        tags: list[dict[str, str]] | None = None,
        request_members: dict[str, Any] | None = None,
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        waiter_delay: float = 60,
        wait_timeout: float | None = None,
        reinvoke: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_id = model_id
        self.model_input = model_input
        self.output_data_config = output_data_config
        self.client_request_token = client_request_token
        self.tags = tags
        self.request_members = request_members
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable_default() if deferrable is None else deferrable
        self.waiter_delay = read_seconds(waiter_delay, "waiter_delay")
        self.wait_timeout = None if wait_timeout is None else read_seconds(wait_timeout, "wait_timeout")
        self.reinvoke = reinvoke

    def execute(self, context: Context) -> Any:
        """Start it, once, and then wait in the triggerer, wait here, or go."""
        from airflow_provider_aiml.inference.invocations import InvocationWait, output_folder

        with self.careful():
            deadline = None if self.wait_timeout is None else time.time() + self.wait_timeout
            request = self._request()
            self.check(OPERATION, request, {})
            arn = self._start(context, request)
            if not self.wait_for_completion:
                location = output_folder(arn, request["output_data_config"])
                return {"invocation_arn": arn, "status": "in_progress", "output_location": location}
            if self.deferrable:
                self.defer(
                    trigger=self.make_trigger([arn], poll_interval=self.waiter_delay, timeout_at=deadline),
                    method_name="execute_complete",
                    timeout=deferral_timeout(deadline),
                )
            return self._wait(InvocationWait(arn, deadline))

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Go on after the deferral.

        :param event: what the trigger said.
        """
        with self.careful():
            return self.conclude_event(event, several=False)

    def overdue(self, error: InferenceError) -> Exception:
        """Give the error as it is: it says that the wait was too short."""
        return error

    def _request(self) -> dict[str, Any]:
        config: Any = self.output_data_config
        if isinstance(config, str):
            config = {"s3OutputDataConfig": {"s3Uri": config}}
        return {**given_members(self), "output_data_config": config}

    def _start(self, context: Context, request: Mapping[str, Any]) -> str:
        """Give the invocation of an earlier try, unless it failed, or a new one."""
        from airflow_provider_aiml.inference.invocations import FAILED, described

        identity = request_identity(task_identity(context), OPERATION, request)
        stop_if_orphaned(context, identity)
        if "client_request_token" in request:
            return self._started(request)
        if read_flag(self.reinvoke, "reinvoke"):
            return self._started({**request, "client_request_token": uuid.uuid4().hex})
        tries = max(1, int(getattr(context["ti"], "try_number", 1) or 1))
        for ordinal in range(1, tries):
            arn = self._started({**request, "client_request_token": f"{identity}-{ordinal}"})
            answer = self.ask(arn)
            if answer["status"] != FAILED:
                self.log.info("%s goes on: %s", arn, described(answer)["status"])
                return arn
        return self._started({**request, "client_request_token": f"{identity}-{tries}"})

    def _started(self, request: Mapping[str, Any]) -> str:
        return str(self.hook.start_async_invoke(**request)["invocationArn"])

    def _wait(self, wait: InvocationWait) -> Any:
        self.log.info(
            "This wait for %s holds a worker slot. Set deferrable=True to wait in the triggerer.", wait.arn
        )
        while (verdict := self.look(wait)) is None:
            left = self.waiter_delay if wait.deadline is None else max(0.0, wait.deadline - time.time())
            time.sleep(min(self.waiter_delay, left))
        if verdict.error is not None:
            raise self.failure(verdict.error, wait.arn)
        return self.conclude([wait.arn], several=False)
