"""An object that goes to S3 in parts while it is still growing, and appears there whole or not at all.

The parts are read from where the growing bytes are kept, by a few threads: whoever writes those bytes never
waits for S3, and no more than a few parts are in memory. The client is passed in.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_aiml.inference.outputs import Location

__all__ = ["PART_BYTES", "GrowingUpload"]

log = logging.getLogger(__name__)

PART_BYTES = 8 * 1024 * 1024
"""Size of a part; S3 takes 10,000 of them, of at least 5 MiB each but for the last one."""
_THREADS = 4


class GrowingUpload:
    """One multipart upload; nothing is sent before there is a whole part.

    :param client: a boto3 S3 client.
    :param location: where the object is to be.
    :param read: fills a buffer with the bytes from a start on; called from threads.
    """

    def __init__(self, client: Any, location: Location, read: Callable[[int, bytearray], object]) -> None:
        self._client = client
        self._place = {"Bucket": location.bucket, "Key": location.key}
        self._location = location
        self._read = read
        self._pool: ThreadPoolExecutor | None = None
        self._upload_id: Future[str] | None = None
        self._parts: list[Future[dict[str, Any]]] = []
        self._sent = 0
        self._done = False
        self._own = threading.local()

    def wants(self, size: int) -> bool:
        """Tell whether there is a part to send.

        :param size: how many bytes there are by now.
        """
        return size - self._sent >= PART_BYTES

    def grown(self, size: int) -> None:
        """Send the parts that are whole by now, in the background.

        :param size: how many bytes there are by now; all of them can be read.
        """
        while self.wants(size):
            self._send(PART_BYTES)

    def complete(self, size: int) -> bool:
        """Send the rest, and let the object appear.

        :param size: how many bytes there are at all.
        :return: False where nothing was sent, as there was less than a part.
        :raises Exception: what boto3 raised; the object does not appear.
        """
        if self._upload_id is None:
            return False
        self.grown(size)
        if size > self._sent:
            self._send(size - self._sent)
        parts = [part.result() for part in self._parts]
        self._client.complete_multipart_upload(
            **self._place, UploadId=self._upload_id.result(), MultipartUpload={"Parts": parts}
        )
        self._done = True
        return True

    def close(self) -> None:
        """Wait for the threads, and discard the parts unless the object is complete."""
        if self._pool is None or self._upload_id is None:
            return
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._done or self._upload_id.cancelled() or self._upload_id.exception():
            return
        try:
            self._client.abort_multipart_upload(**self._place, UploadId=self._upload_id.result())
        except Exception as error:
            log.warning(
                "The parts of the upload to %s cannot be discarded (%s); a lifecycle rule of the bucket for "
                "incomplete uploads does it, or the permission s3:AbortMultipartUpload",
                self._location,
                type(error).__name__,
            )

    def _send(self, size: int) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(
                _THREADS, thread_name_prefix="growing-upload", initializer=self._give_buffer
            )
            self._upload_id = self._pool.submit(copy_context().run, self._create)
        number, start = len(self._parts) + 1, self._sent
        self._parts.append(self._pool.submit(copy_context().run, self._upload, number, start, size))
        self._sent += size

    def _create(self) -> str:
        return str(self._client.create_multipart_upload(**self._place)["UploadId"])

    def _upload(self, number: int, start: int, size: int) -> dict[str, Any]:
        assert self._upload_id is not None
        upload_id = self._upload_id.result()
        body = self._own.buffer if size == PART_BYTES else bytearray(size)
        self._read(start, body)
        told = self._client.upload_part(**self._place, UploadId=upload_id, PartNumber=number, Body=body)
        sums = {name: value for name, value in told.items() if name.startswith("Checksum")}
        return {"PartNumber": number, "ETag": told["ETag"], **sums}

    def _give_buffer(self) -> None:
        """Give a thread its own buffer: fresh memory for each part would cost more than to fill it."""
        self._own.buffer = bytearray(PART_BYTES)
