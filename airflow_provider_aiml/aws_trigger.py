"""What every trigger shares: the connection and settings of its task, by which it is made anew anywhere."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from airflow.triggers.base import BaseTrigger

_SHARED = ("timeout_at", "aws_conn_id", "region_name", "verify", "botocore_config")


class AwsTrigger(BaseTrigger):
    """A trigger that talks to AWS as its task does.

    :param timeout_at: seconds since the epoch at which the wait ends; None sets no end. It is absolute, so
        that a restart does not extend it.
    :param aws_conn_id: the connection, as in the task.
    :param region_name: the region, as in the task.
    :param verify: TLS verification, as in the task.
    :param botocore_config: botocore's settings, as in the task.
    """

    own_arguments: ClassVar[tuple[str, ...]] = ()
    """The names of the arguments that a subclass adds, each an attribute of the same name."""

    def __init__(
        self,
        *,
        timeout_at: float | None = None,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.timeout_at = timeout_at
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give the class path and the kwargs from which this trigger is made anew."""
        own = type(self)
        names = (*own.own_arguments, *_SHARED)
        return f"{own.__module__}.{own.__qualname__}", {name: getattr(self, name) for name in names}

    @property
    def share_key(self) -> tuple[Any, ...]:
        """What two triggers have in common whose waits may share a client."""
        return (self.aws_conn_id, self.region_name, self.verify, repr(self.botocore_config))

    def make_hook(self, hook_class: Any) -> Any:
        """Make a hook with the connection and settings of the task."""
        return hook_class(
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            config=self.botocore_config,
        )

    def pause(self, delay: float) -> float:
        """Shorten a pause that would go beyond the end of the wait.

        :param delay: seconds.
        """
        return delay if self.timeout_at is None else max(0.0, min(delay, self.timeout_at - time.time()))
