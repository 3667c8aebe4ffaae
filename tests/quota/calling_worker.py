"""A worker that calls a gateway as fast as the shared quota lets it.

Arguments: address of Redis, calls per second, port of the gateway, seconds.
"""

from __future__ import annotations

import asyncio
import sys
import time

import redis

from ali1688_spider.quota.redis_quota import RedisQuota
from ali1688_spider.quota.slot_pacer import SlotPacer

CALLERS = 16


async def call(pacer: SlotPacer, port: int, end: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.monotonic() < end:
        await pacer.slot()
        writer.write(b"call\n")
        await reader.readline()
    writer.close()
    await writer.wait_closed()


async def main(url: str, qps: float, port: int, seconds: float) -> None:
    client = redis.Redis.from_url(url)
    pacer = SlotPacer(RedisQuota(client, "1000000", qps, 0))
    end = time.monotonic() + seconds
    await asyncio.gather(*(call(pacer, port, end) for _ in range(CALLERS)))
    await pacer.close()
    client.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
