"""An S3 that speaks just LIST (version 2) and HEAD, for benchmarks that moto itself would hold up.

Objects are named by number: ``GET /_appear?start=0&end=10`` makes the first ten outputs appear, and
``GET /_calls`` says how many calls there were. Every page is as long as S3's would be.
"""

from __future__ import annotations

import argparse
import asyncio
import uuid
from bisect import bisect_right, insort
from urllib.parse import quote

from aiohttp import web

BUCKET = "benchmark"
NAMES = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


def name(number: int) -> str:
    """Give the name of an inference: as random as SageMaker's own, and the same in every process."""
    return str(uuid.uuid5(NAMES, str(number)))


def output_key(number: int) -> str:
    """Give the key of an inference's output."""
    return f"async-inference/output/{name(number)}.out"


def failure_key(number: int) -> str:
    """Give the key of an inference's failure object."""
    return f"async-inference/failure/{name(number)}-error.out"


class StandIn:
    """The objects, and how often they were asked for."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.calls = {"LIST": 0, "HEAD": 0}

    async def appear(self, request: web.Request) -> web.Response:
        """Let outputs appear."""
        new = [output_key(number) for number in range(int(request.query["start"]), int(request.query["end"]))]
        if len(new) > 100:
            self.keys = sorted([*self.keys, *new])
        else:
            for key in new:
                insort(self.keys, key)
        return web.Response()

    async def count(self, request: web.Request) -> web.Response:
        """Say how many calls there were."""
        return web.json_response(self.calls)

    async def head(self, request: web.Request) -> web.Response:
        """Answer HeadObject."""
        self.calls["HEAD"] += 1
        key = request.match_info["key"]
        at = bisect_right(self.keys, key) - 1
        there = at >= 0 and self.keys[at] == key
        return web.Response(
            status=200 if there else 404, headers={"ETag": '"d41d8cd98f00b204e9800998ecf8427e"'}
        )

    async def listing(self, request: web.Request) -> web.Response:
        """Answer ListObjectsV2."""
        self.calls["LIST"] += 1
        prefix, start = request.query.get("prefix", ""), request.query.get("start-after", "")
        most = min(1000, int(request.query.get("max-keys", 1000)))
        first = bisect_right(self.keys, max(start, prefix[:-1] + chr(ord(prefix[-1]) - 1) if prefix else ""))
        page = [key for key in self.keys[first : first + most + 1] if key.startswith(prefix)]
        truncated = len(page) > most
        entries = "".join(map(_entry, page[:most]))
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{BUCKET}</Name><Prefix>{quote(prefix)}</Prefix><StartAfter>{quote(start)}</StartAfter>"
            f"<KeyCount>{len(page[:most])}</KeyCount><MaxKeys>{most}</MaxKeys><EncodingType>url</EncodingType>"
            f"<IsTruncated>{'true' if truncated else 'false'}</IsTruncated>{entries}</ListBucketResult>"
        )
        return web.Response(text=body, content_type="application/xml")


def _entry(key: str) -> str:
    return (
        f"<Contents><Key>{quote(key)}</Key><LastModified>2026-11-20T12:00:00.000Z</LastModified>"
        "<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>2048</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


async def serve(port: int) -> None:
    """Serve until the process is ended; print one line when ready."""
    stand_in = StandIn()
    app = web.Application()
    app.router.add_get("/_appear", stand_in.appear)
    app.router.add_get("/_calls", stand_in.count)
    app.router.add_route("HEAD", f"/{BUCKET}/{{key:.+}}", stand_in.head)
    app.router.add_get(f"/{BUCKET}", stand_in.listing)
    app.router.add_get(f"/{BUCKET}/", stand_in.listing)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(f"ready {runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=0)
    asyncio.run(serve(arguments.parse_args().port))
