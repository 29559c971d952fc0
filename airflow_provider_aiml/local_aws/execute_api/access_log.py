"""A stage's access log: one line for each request, into CloudWatch Logs.

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_aiml.local_aws.moto_clients import MotoClients

__all__ = ["log_line", "write_log"]

_VARIABLE = re.compile(r"\$context((?:\.\w+)+)")


def log_line(log_format: str, context: Mapping[str, Any]) -> str:
    """Put a request's facts into a format; what is not known is ``-``."""

    def value(match: re.Match[str]) -> str:
        found: Any = context
        for name in match[1].lstrip(".").split("."):
            found = found.get(name) if isinstance(found, dict) else None
        return "-" if found is None else str(found)

    return _VARIABLE.sub(value, log_format)


def write_log(clients: MotoClients, region: str, group_arn: str, stream: str, line: str) -> None:
    """Write one line; for worker threads. A group that is gone is no reason to fail a request."""
    from botocore.exceptions import ClientError

    logs, group = clients.get("logs", region), group_arn.removesuffix(":*").partition(":log-group:")[2]
    event = {"timestamp": int(time.time() * 1000), "message": line}
    try:
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=stream)["logStreams"]
        if not any(one["logStreamName"] == stream for one in streams):
            logs.create_log_stream(logGroupName=group, logStreamName=stream)
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])
    except ClientError:
        return
