"""An endpoint that streams a body of any length, and an S3 that takes objects in parts and forgets them.

Stand-ins for benchmarks only, in a process of their own: with the local AWS in their place, its work would be
most of what is measured. The endpoint's frames are made once and sent again and again.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from airflow_provider_aiml.local_aws.event_stream import event_message

PART_BYTES = 32 * 1024
FRAME = event_message("PayloadPart", bytes(range(256)) * (PART_BYTES // 256), "application/octet-stream")
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n"
    b"x-amzn-SageMaker-Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n"
    b"x-amzn-RequestId: 11111111-2222-3333-4444-555555555555\r\n\r\n"
)
XML = b'<?xml version="1.0" encoding="UTF-8"?>'
STARTED = XML + (
    b"<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>u1</UploadId>"
    b"</InitiateMultipartUploadResult>"
)
COMPLETED = XML + (
    b"<CompleteMultipartUploadResult><Location>l</Location><Bucket>b</Bucket><Key>k</Key>"
    b'<ETag>"d41d8cd98f00b204e9800998ecf8427e-1"</ETag></CompleteMultipartUploadResult>'
)
MISSING = XML + b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"


async def stream(writer: asyncio.StreamWriter, length: int) -> None:
    """Send a stream of ``length`` bytes of payload."""
    writer.write(STREAM_HEAD)
    chunk = b"%x\r\n" % len(FRAME) + FRAME + b"\r\n"
    for _ in range(length // PART_BYTES):
        writer.write(chunk)
        await writer.drain()
    writer.write(b"0\r\n\r\n")


def s3_answer(method: str, target: str) -> tuple[int, bytes]:
    """Answer as an S3 that has nothing and takes everything."""
    if method == "POST":
        return 200, STARTED if re.search(r"[?&]uploads", target) else COMPLETED
    if method in ("GET", "HEAD"):
        return 404, MISSING if method == "GET" else b""
    return (204 if method == "DELETE" else 200), b""


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
            headers = dict(re.findall(r"(?m)^([\w-]+):\s*(.*?)\r$", head.decode("latin-1").lower()))
            if headers.get("expect"):
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await drain_body(reader, headers)
            if target.endswith("/invocations-response-stream"):
                await stream(writer, int(headers["x-amzn-sagemaker-custom-attributes"]))
            else:
                status, body = s3_answer(method, target)
                writer.write(
                    b'HTTP/1.1 %d OK\r\nETag: "d41d8cd98f00b204e9800998ecf8427e"\r\n'
                    b"Content-Type: application/xml\r\nContent-Length: %d\r\n\r\n"
                    % (status, len(body))
                    + body
                )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def drain_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> None:
    """Read a request's body and forget it."""
    if headers.get("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readline()
        return
    left = int(headers.get("content-length", 0))
    while left:
        left -= len(await reader.read(min(left, 1 << 20)))


async def serve() -> None:
    """Serve on a free port of loopback, which is printed, until the process is ended."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
