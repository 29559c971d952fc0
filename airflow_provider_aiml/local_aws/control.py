"""The remote control of a local AWS: what a test may ask of it, over HTTP, from any process.

Each method is one POST of its arguments as JSON to ``/_local_aws/{method}``.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_aiml.local_aws.witness import Invocation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_aiml.local_aws.faults import FaultKind

__all__ = ["ControlError", "LocalAwsControl"]


class ControlError(Exception):
    """The local AWS could not do what it was told."""


class LocalAwsControl:
    """Steer a local AWS that runs at ``endpoint_url``.

    :param endpoint_url: for example ``http://127.0.0.1:4566``.
    """

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url

    def add_endpoint(
        self,
        name: str,
        model: str = "echo",
        *,
        asynchronous: bool = False,
        s3_output_path: str | None = None,
        s3_failure_path: str | None = None,
        success_topic: str | None = None,
        error_topic: str | None = None,
        include_response_in: tuple[str, ...] = (),
        max_concurrent: int = 4,
        delay: float = 0.0,
        variant: str = "AllTraffic",
        region: str = "us-east-1",
        model_timeout: float = 60.0,
    ) -> None:
        """Add or replace an endpoint. Its container starts when it is first invoked.

        :param name: its name.
        :param model: ``module:callable`` (see :mod:`airflow_provider_aiml.local_aws.model_server`), or one of
            ours: ``echo``, ``failing``, ``tabular``, ``text_stream``.
        :param asynchronous: whether it takes InvokeEndpointAsync; so does any ``s3_output_path``.
        :param s3_output_path: default ``s3://{name}/output``; the bucket is created.
        :param s3_failure_path: default: none, failures leave no object.
        :param success_topic: ARN of an SNS topic.
        :param error_topic: ARN of an SNS topic.
        :param include_response_in: ``SUCCESS_NOTIFICATION_TOPIC``, ``ERROR_NOTIFICATION_TOPIC``.
        :param max_concurrent: how many asynchronous inferences run at once.
        :param delay: seconds that an asynchronous inference waits before it runs.
        :param variant: the name of its production variant.
        :param region: its region.
        :param model_timeout: seconds that the container may take for a real-time call.
        """
        arguments = {key: value for key, value in locals().items() if key != "self"}
        self._tell("add_endpoint", **arguments)

    def remove_endpoint(self, name: str, *, region: str = "us-east-1") -> None:
        """Delete an endpoint."""
        self._tell("remove_endpoint", name=name, region=region)

    def add_fault(
        self,
        operation: str,
        kind: FaultKind = "error",
        *,
        code: str = "InternalFailure",
        status: int | None = None,
        message: str | None = None,
        seconds: float = 0.0,
        keep_bytes: int | None = None,
        count: int | None = None,
        for_seconds: float | None = None,
        resource: str = "*",
        key_prefix: str = "",
        fields: dict[str, Any] | None = None,
    ) -> str:
        """Let something go wrong; see :class:`~airflow_provider_aiml.local_aws.faults.Fault`.

        :returns: the fault's id, for :meth:`remove_fault`.
        """
        arguments = {key: value for key, value in locals().items() if key != "self"}
        return str(self._tell("add_fault", **arguments)["id"])

    def remove_fault(self, fault_id: str) -> bool:
        """Let a fault happen no more, and end its delays; tell whether it was to happen, or did just then."""
        return bool(self._tell("remove_fault", fault_id=fault_id)["was_due"])

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        self._tell("clear_faults")

    def invocations(self, endpoint: str) -> list[Invocation]:
        """Give what the model behind an endpoint, or under a Bedrock model id, really received, in order."""
        return [
            Invocation.from_dict(facts)
            for facts in self._tell("invocations", endpoint=endpoint)["invocations"]
        ]

    def request_counts(self) -> dict[str, int]:
        """Give how many requests came in, by ``service:Operation``: ``{"s3:HEAD": 3, "s3:LIST": 1}``."""
        counts: dict[str, int] = self._tell("request_counts")["counts"]
        return counts

    def pending(self) -> int:
        """Give how many asynchronous inferences are queued or running."""
        return int(self._tell("pending")["pending"])

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let no asynchronous inference, and no asynchronous invocation of Bedrock, end within the context.

        What is submitted meanwhile stays pending, however long the test takes; the times of those that
        are due count on.
        """
        self._tell("hold")
        try:
            yield
        finally:
            self._tell("release")

    def model_pids(self) -> dict[str, int]:
        """Give the process id of each running container, by model."""
        pids: dict[str, int] = self._tell("model_pids")["pids"]
        return pids

    def reset(self) -> None:
        """Go back to the state at the start: no fault, no record, nothing queued, S3 and all else empty.

        Containers go on running.
        """
        self._tell("reset")

    def health(self) -> dict[str, Any]:
        """Give ``{"status": "ok", "containers": […]}`` once it answers."""
        return self._tell("health")

    def _tell(self, method: str, **arguments: Any) -> dict[str, Any]:
        parts = urlsplit(self.endpoint_url)
        connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=90)
        try:
            connection.request("POST", f"/_local_aws/{method}", json.dumps(arguments).encode())
            response = connection.getresponse()
            result: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ControlError(result["error"])
        return result
