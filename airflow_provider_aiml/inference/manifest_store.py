"""Lists of inferences that stand on S3, read and written by a trigger.

A passing fault of S3 must not end a wait for thousands that are paid for, so it is ridden through, as the
watcher does. The client is opened anew for each try: expired credentials are read again from the connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_aiml.exceptions import InferenceError, OutputUnreadableError
from airflow_provider_aiml.inference.output_look import ABSENT_CODES, LASTING_CODES, fault_code
from airflow_provider_aiml.inference.quiet_logs import quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from airflow_provider_aiml.inference.outputs import Location

    OpenClient: TypeAlias = Callable[[], AbstractAsyncContextManager[Any]]

__all__ = ["fetch_manifest", "keep_failures"]

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between two tries, doubled from the one to the other."""
SHORTEST_TRY, LONGEST_TRY = 10.0, 60.0
"""Seconds that a try may take: as long as there is time, and at the end this much, for it may succeed."""
_log = logging.getLogger(__name__)


async def fetch_manifest(
    open_client: OpenClient, location: Location, *, max_faults: int | None, ends_at: float
) -> bytes:
    """Read a manifest. A try that hangs is a fault.

    :param open_client: opens an aiobotocore S3 client.
    :param location: where it is.
    :param max_faults: how many faults in a row end the reading; None: none does.
    :param ends_at: seconds since the epoch at which it ends anyhow.
    :raises OutputUnreadableError: it is gone or may not be read, or S3 could not be asked so often, or until
        the end.
    :raises InferenceError: no client can be had.
    """
    faults = 0
    while True:
        try:
            with quiet_libraries():
                async with asyncio.timeout(max(SHORTEST_TRY, min(LONGEST_TRY, ends_at - time.time()))):
                    return await _read(open_client, location)
        except InferenceError as error:
            failure = error
        except Exception as error:
            code = fault_code(error)
            if code is None:
                raise
            failure = _unreadable(location, code)
        faults += 1
        left = ends_at - time.time()
        if not failure.retryable or left <= 0 or (max_faults is not None and faults >= max_faults):
            raise failure
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(faults - 1, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
        _log.info("%s cannot be read now (%s); next try in %.0f s", location, failure.code, pause)
        await asyncio.sleep(min(pause, left))


async def keep_failures(open_client: OpenClient, location: Location, listed: list[Any]) -> str | None:
    """Write a long list of failures beside its manifest, and give its URI; None where that cannot be done.

    :param open_client: opens an aiobotocore S3 client.
    :param location: the manifest's.
    :param listed: what to write, JSON-safe.
    """
    key = f"{location.key}.failures.json"
    body = await asyncio.to_thread(_json_list, listed)
    try:
        with quiet_libraries():
            async with asyncio.timeout(LONGEST_TRY), open_client() as s3:
                await s3.put_object(Bucket=location.bucket, Key=key, Body=body)
    except Exception as error:
        code = error.code if isinstance(error, InferenceError) else fault_code(error)
        if code is None and not isinstance(error, InferenceError):
            raise
        _log.warning("The %d failures cannot be written beside %s (%s)", len(listed), location, code)
        return None
    return f"s3://{location.bucket}/{key}"


def _json_list(listed: list[Any]) -> bytes:
    """Write a list piece by piece: in one go the encoder would hold the interpreter, in a thread as well."""
    return f"[{','.join(json.dumps(one) for one in listed)}]".encode()


async def _read(open_client: OpenClient, location: Location) -> bytes:
    async with open_client() as s3:
        found = await s3.get_object(Bucket=location.bucket, Key=location.key)
        async with found["Body"] as stream:
            body: bytes = await stream.read()
            return body


def _unreadable(location: Location, code: str) -> OutputUnreadableError:
    lasting = code in LASTING_CODES | ABSENT_CODES
    kept = "it must stay until the wait is over; clear the task that submitted, nothing is bought twice"
    return OutputUnreadableError(
        f"The manifest {location} of a wait cannot be read",
        code=code,
        retryable=not lasting,
        hint=kept if lasting else None,
    )
