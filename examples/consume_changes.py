# ruff: noqa: INP001, T201  # a script that prints
"""Prints the changes of prices, stock, status and name as they are found.

A consumer group of the Redis Stream ``ali1688:changes``: start this several times with the same
``--group`` and each change goes to one of them; start it with another group and that group gets
all of them, too. A change is acknowledged after it was handled, so one that a crashed consumer had
in hand comes again: handle it by its ``id`` if that matters.

    pip install redis
    python consume_changes.py redis://localhost:6379/0 --group repricing
"""

from __future__ import annotations

import argparse
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import redis

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAM = "ali1688:changes"
ABANDONED_MS = 60_000


def handle(change: dict[str, Any]) -> None:
    """Do what your system does about a change; amounts come as exact decimal text."""
    sku = f" SKU {change['sku_id']}" if change["sku_id"] else ""
    percent = "" if change["percent"] is None else f" ({change['percent']:+.1f} %)"
    print(
        f"{change['at']} product {change['product_id']}{sku}: "
        f"{change['field']} {change['old']} -> {change['new']}{percent}",
        flush=True,
    )


def entries(client: Any, group: str, consumer: str, idle: float) -> Iterator[tuple[str, Any]]:
    """Iterate over the entries for this consumer; end when none comes for *idle* seconds."""
    last = time.monotonic()
    while not idle or time.monotonic() - last < idle:
        # What another consumer of the group took and did not acknowledge, then what is new.
        # Redis 7 also says which of them are gone from the stream; 6.2 has nothing in their places.
        claimed = client.xautoclaim(STREAM, group, consumer, ABANDONED_MS, "0", count=100)
        new = client.xreadgroup(group, consumer, {STREAM: ">"}, count=100, block=1000)
        for entry_id, fields in [*claimed[1], *(new[0][1] if new else [])]:
            if fields:  # otherwise the stream has been trimmed meanwhile
                yield entry_id, fields
                last = time.monotonic()


def main() -> None:
    """Read the arguments and handle changes until the end."""
    parser = argparse.ArgumentParser(description="Print changes from the Redis Stream.")
    parser.add_argument("url", help="redis://[[user]:password@]host:port/number")
    parser.add_argument("--group", default="example")
    parser.add_argument("--consumer", default=socket.gethostname())
    parser.add_argument("--idle", type=float, default=0, help="seconds; 0 waits for ever")
    arguments = parser.parse_args()
    client = redis.Redis.from_url(arguments.url, decode_responses=True)
    try:
        client.xgroup_create(STREAM, arguments.group, id="0", mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):  # the group is there already
            raise
    for entry_id, fields in entries(client, arguments.group, arguments.consumer, arguments.idle):
        handle(json.loads(fields["change"]))
        client.xack(STREAM, arguments.group, entry_id)
    client.close()


if __name__ == "__main__":
    main()
