"""The two calls by which the shared watcher asks S3, each with an end: one that hangs is a fault.

See https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html and
https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.inference.output_look import head_answer
from airflow_provider_aiml.inference.outputs import Look, Seen

if TYPE_CHECKING:
    from airflow_provider_aiml.inference.output_scan import ListPage, Walk

__all__ = ["LONGEST_CALL", "head_all", "list_page"]

LONGEST_CALL = 30.0
"""Seconds that a call may take, with all that the client tries by itself."""


async def list_page(client: Any, bucket: str, step: ListPage, walk: Walk) -> list[str]:
    """Ask for one page, and tell the walk; give the keys on it that were waited for.

    :param client: an aiobotocore S3 client.
    """
    try:
        async with asyncio.timeout(LONGEST_CALL):
            answer = await client.list_objects_v2(
                Bucket=bucket, Prefix=step.prefix, StartAfter=step.start_after, MaxKeys=step.max_keys
            )
    except Exception as error:
        walk.on_list_error(head_answer(error, Seen.NOTHING))
        return []
    page = [entry["Key"] for entry in answer.get("Contents", ())]
    return walk.on_page(page, bool(answer.get("IsTruncated")))


async def head_all(client: Any, bucket: str, keys: tuple[str, ...], found: Seen) -> list[Look]:
    """Ask for each key, side by side.

    :param client: an aiobotocore S3 client.
    :param found: what it means that a key is there.
    """
    async with asyncio.TaskGroup() as group:
        tasks = []
        for key in keys:
            tasks.append(group.create_task(_head(client, bucket, key, found)))
            await asyncio.sleep(0)  # building and signing fifty requests in one go would hold the loop
    return [task.result() for task in tasks]


async def _head(client: Any, bucket: str, key: str, found: Seen) -> Look:
    error: Exception | None = None
    try:
        async with asyncio.timeout(LONGEST_CALL):
            await client.head_object(Bucket=bucket, Key=key)
    except Exception as raised:
        error = raised
    return head_answer(error, found)
