"""Asynchronous invocations: kept in memory, their output written to S3 when their time has come.

Nothing runs in the background. An invocation that is due is finished at the next question about any of them,
or when :meth:`AsyncInvokes.finish_due` is called.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_aiml.local_aws.bedrock.conversation import digest
from airflow_provider_aiml.local_aws.bedrock.faults import METADATA_KEY, find_fault
from airflow_provider_aiml.local_aws.bedrock.invoke import body_answer
from airflow_provider_aiml.local_aws.bedrock.model_ids import Model, find_model
from airflow_provider_aiml.local_aws.bedrock.refusals import invalid, refusal
from airflow_provider_aiml.local_aws.errors import ApiError

__all__ = ["AsyncInvokes", "PutObject"]

PutObject = Callable[[str, bytes], None]
"""Writes an object of S3 by its ``s3://`` URI."""

_ARN: Final = "arn:aws:bedrock:us-east-1:123456789012:async-invoke/"


@dataclass(slots=True)
class _Invocation:
    arn: str
    model: Model
    request: dict[str, Any]
    fault: str
    submitted: dt.datetime
    due: dt.datetime
    status: str = "InProgress"
    failure: str | None = None
    ended: dt.datetime | None = None

    def described(self) -> dict[str, Any]:
        """Return the invocation as GetAsyncInvoke and the list show it."""
        told: dict[str, Any] = {
            "invocationArn": self.arn,
            "modelArn": self.model.arn,
            "status": self.status,
            "submitTime": self.submitted,
            "lastModifiedTime": self.ended or self.submitted,
            "outputDataConfig": self.request["outputDataConfig"],
        }
        if "clientRequestToken" in self.request:
            told["clientRequestToken"] = self.request["clientRequestToken"]
        if self.failure is not None:
            told["failureMessage"] = self.failure
        if self.ended is not None:
            told["endTime"] = self.ended
        return told


class AsyncInvokes:
    """The asynchronous invocations of one local AWS.

    :param put_object: writes an output to S3; None makes each invocation fail.
    :param clock: tells the time.
    :param delay: seconds that an invocation takes.
    """

    def __init__(self, put_object: PutObject | None, clock: Callable[[], dt.datetime], delay: float) -> None:
        self._put_object = put_object
        self._clock = clock
        self._delay = delay
        self._invocations: dict[str, _Invocation] = {}
        self._lock = threading.RLock()
        self._held = False

    def start(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer StartAsyncInvoke; the same token with the same request is the same invocation.

        :raises ApiError: ``ValidationException``, ``ConflictException`` for a token used for another request.

        https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_StartAsyncInvoke.html
        """
        model = find_model(request["modelId"])
        model_input = request["modelInput"]
        metadata = model_input.get(METADATA_KEY) if isinstance(model_input, Mapping) else None
        fault = find_fault(model, {METADATA_KEY: str(metadata)} if metadata else None)
        if not isinstance(model_input, Mapping):
            raise invalid("The modelInput field must be a JSON object.")
        if "s3OutputDataConfig" not in request["outputDataConfig"]:
            raise invalid("The outputDataConfig field must have an s3OutputDataConfig.")
        with self._lock:
            if (known := self._with_token(request)) is not None:
                return {"invocationArn": known.arn}
            now = self._clock()
            arn = _ARN + digest(len(self._invocations), request)[:12]
            due = now + dt.timedelta(seconds=self._delay)
            self._invocations[arn] = _Invocation(arn, model, dict(request), fault.name, now, due)
        return {"invocationArn": arn}

    def _with_token(self, request: Mapping[str, Any]) -> _Invocation | None:
        token = request.get("clientRequestToken")
        for known in self._invocations.values():
            if token is not None and known.request.get("clientRequestToken") == token:
                if known.request != dict(request):
                    raise refusal(
                        "ConflictException",
                        "The client request token was used for a request with other parameters.",
                    )
                return known
        return None

    def get(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer GetAsyncInvoke.

        :raises ApiError: ``ValidationException`` for an ARN that there is not.

        https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_GetAsyncInvoke.html
        """
        self.finish_due()
        with self._lock:
            invocation = self._invocations.get(request["invocationArn"])
        if invocation is None:
            raise invalid("The provided invocation ARN is invalid: there is no such invocation.")
        return invocation.described()

    def list(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer ListAsyncInvokes, newest first unless asked otherwise.

        :raises ApiError: ``ValidationException`` for a token of another list.

        https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ListAsyncInvokes.html
        """
        self.finish_due()
        after, before = request.get("submitTimeAfter"), request.get("submitTimeBefore")
        status = request.get("statusEquals")
        with self._lock:
            found = [
                one.described()
                for one in self._invocations.values()
                if (after is None or one.submitted >= after)
                and (before is None or one.submitted <= before)
                and status in (None, one.status)
            ]
        if request.get("sortOrder") != "Ascending":
            found.reverse()
        start, size = _offset(request.get("nextToken")), request.get("maxResults", 100)
        page: dict[str, Any] = {"asyncInvokeSummaries": found[start : start + size]}
        if start + size < len(found):
            page["nextToken"] = base64.urlsafe_b64encode(f"from {start + size}".encode()).decode()
        return page

    def finish_due(self) -> None:
        """Finish every invocation whose time has come, unless they are held."""
        with self._lock:
            if self._held:
                return
            now = self._clock()
            for one in self._invocations.values():
                if one.status == "InProgress" and one.due <= now and one.fault != "async-stuck":
                    self._finish(one, now)

    def hold(self) -> None:
        """Let none end until the release."""
        with self._lock:
            self._held = True

    def release(self) -> None:
        """Let them end again, those at once whose time has come."""
        with self._lock:
            self._held = False
            self.finish_due()

    def _finish(self, one: _Invocation, now: dt.datetime) -> None:
        one.failure = self._write(one)
        one.status = "Failed" if one.failure is not None else "Completed"
        one.ended = now

    def _write(self, one: _Invocation) -> str | None:
        """Write the output of an invocation; return why that failed."""
        if one.fault == "async-failed":
            return "The model failed, as this test asked."
        if self._put_object is None:
            return "This stand-in was given no S3 to write to."
        folder = one.request["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"].rstrip("/")
        folder += "/" + one.arn.rpartition("/")[2]
        model_input = {k: v for k, v in one.request["modelInput"].items() if k != METADATA_KEY}
        try:
            output = json.dumps(body_answer(one.model, model_input)).encode()
            self._put_object(f"{folder}/output.json", output)
            manifest = {"invocationArn": one.arn, "outputs": [f"{folder}/output.json"]}
            self._put_object(f"{folder}/manifest.json", json.dumps(manifest).encode())
        except ApiError as error:
            return str(error.message)
        except Exception as error:
            return f"The output could not be written to {folder}: {type(error).__name__}"
        return None


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    try:
        word, _, number = base64.urlsafe_b64decode(token).decode().partition(" ")
        if word == "from":
            return int(number)
    except ValueError:
        pass
    raise invalid("The provided nextToken is invalid.")
