"""A worker that calls a gateway as fast as the shared quota lets it.

Arguments: address of Redis, calls per second, port of the gateway, seconds.
"""

from __future__ import annotations

import asyncio
import sys
import time

import redis

from ali1688_spider.quota.limits import RedisQuota
from ali1688_spider.quota.rate_limiter import RateLimiter
from ali1688_spider.retrying import ServerRetry

CALLERS = 16


async def call(limiter: RateLimiter, port: int, end: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.monotonic() < end:
        await limiter.acquire()
        writer.write(b"call\n")
        await reader.readline()
    writer.close()
    await writer.wait_closed()


async def main(url: str, qps: float, port: int, seconds: float) -> None:
    client = redis.Redis.from_url(url)
    retry = ServerRetry("Redis", lambda _: None)
    limiter = RateLimiter(RedisQuota(client, "1000000", qps, 0), retry)
    end = time.monotonic() + seconds
    await asyncio.gather(*(call(limiter, port, end) for _ in range(CALLERS)))
    await limiter.close()
    client.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
