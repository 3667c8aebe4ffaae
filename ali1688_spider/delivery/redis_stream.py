"""Changes as entries of a Redis Stream.

An entry has one field, ``change``: the change as JSON (see :meth:`Change.message`). Consumers read
it with XREAD, or share the work in a consumer group with XREADGROUP and XACK.

Keys, on one node of a cluster:

``ali1688:changes`` STREAM
    The newest changes, about 100,000.
``{ali1688:changes}:ids`` ZSET id of a change → when it was appended, µs since 1970
    Of the changes that are in the stream: one that comes again is not appended again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError, RedisError, TimeoutError  # noqa: A004  # Redis's own

from ali1688_spider.storage.database_errors import StoreUnavailableError

if TYPE_CHECKING:
    from ali1688_spider.storage.changes import Change

STREAM = "ali1688:changes"
REMEMBERED = f"{{{STREAM}}}:ids"
LENGTH = 100_000

_CHANGES_PER_CALL = 200

# A change that comes again, after a crash in mid-delivery, is found among the remembered ids. They
# reach back as far as the stream does, so that no change is in the stream twice. It is remembered
# last: if the stream refuses it, it comes again.
_ADD_NEW = """
local now = redis.call('TIME')
local moment = now[1] * 1000000 + now[2]
local length = tonumber(ARGV[1])
for i = 2, #ARGV, 2 do
    if not redis.call('ZSCORE', KEYS[2], ARGV[i]) then
        redis.call('XADD', KEYS[1], 'MAXLEN', '~', length, '*', 'change', ARGV[i + 1])
        redis.call('ZADD', KEYS[2], moment + i, ARGV[i])
    end
end
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -length - 1)
"""


class RedisStream:
    """Appends changes to the stream ``ali1688:changes``, each one once.

    Args:
        redis: A blocking client, as scrapy-redis makes it; it stays open.
        length: About how many entries the stream keeps; the oldest go first.
    """

    name = "The Redis Stream"

    def __init__(self, redis: Any, *, length: int = LENGTH) -> None:
        self._add_new = redis.register_script(_ADD_NEW)
        self._length = length

    async def publish(self, changes: Sequence[Change]) -> None:
        """Append those of *changes* that are not in the stream yet.

        Raises:
            StoreUnavailableError: Redis does not take them.
        """
        for start in range(0, len(changes), _CHANGES_PER_CALL):
            arguments: list[str | int] = [self._length]
            for change in changes[start : start + _CHANGES_PER_CALL]:
                text = json.dumps(change.message(), ensure_ascii=False, separators=(",", ":"))
                arguments += [change.id, text]
            try:
                await asyncio.to_thread(self._add_new, keys=[STREAM, REMEMBERED], args=arguments)
            except (ConnectionError, TimeoutError) as error:
                raise StoreUnavailableError(
                    f"Redis does not answer ({error}): start it, or correct REDIS_URL"
                ) from error
            except RedisError as error:
                raise StoreUnavailableError(
                    f"Redis refuses the key {STREAM} or {REMEMBERED} ({error}): see to them",
                    refused=True,
                ) from error
