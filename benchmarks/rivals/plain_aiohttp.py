"""No Scrapy at all: so many signed calls by aiohttp, 32 at a time. Arguments: first id, count."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import aiohttp

from benchmarks.rivals.signed_url import signed_url

if TYPE_CHECKING:
    from collections.abc import Iterator

CONCURRENCY = 32


async def collect(product_ids: Iterator[int]) -> None:
    async with aiohttp.ClientSession() as session:

        async def work() -> None:
            for product_id in product_ids:
                async with session.get(signed_url(product_id)) as response:
                    answer = await response.json()
                    answer["result"]["product"]["productName"]

        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))


if __name__ == "__main__":
    first, count = map(int, sys.argv[1:])
    asyncio.run(collect(iter(range(first, first + count))))
