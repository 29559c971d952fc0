"""An endpoint of SageMaker Runtime and a Bedrock model that answer after a fixed time, and do nothing else.

A stand-in for benchmarks only: with the local AWS in its place, its own work would be most of what is
measured.
"""

from __future__ import annotations

import asyncio
import sys

ENDPOINT = b'{"predictions": [{"label": 1, "probability": 0.98}]}'
CONVERSE = (
    b'{"output": {"message": {"role": "assistant", "content": [{"text": "%s"}]}}, "stopReason": "end_turn", '
    b'"usage": {"inputTokens": 40, "outputTokens": 400, "totalTokens": 440}, "metrics": {"latencyMs": 20}}'
) % (b"All work and no play. " * 80)
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b"x-amzn-RequestId: 11111111-2222-3333-4444-555555555555\r\n"
    b"x-Amzn-Invoked-Production-Variant: AllTraffic\r\nContent-Length: %d\r\n\r\n"
)


async def serve(delay: float) -> None:
    """Serve on a free port of loopback, which is printed, until the process is ended."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length")
                )
                await reader.readexactly(length)
                await asyncio.sleep(delay)
                body = CONVERSE if b"/converse " in head else ENDPOINT
                writer.write(HEAD % len(body) + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
