"""Runs Lua scripts in Redis."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeAlias

from redis.client import NEVER_DECODE
from redis.exceptions import NoScriptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis
    from redis.cluster import RedisCluster

    RedisClient: TypeAlias = "Redis | RedisCluster"

Argument: TypeAlias = str | bytes | int


class LuaScripts:
    """The scripts of a package's folder ``lua``, on one set of keys.

    Args:
        server: A client of Redis, of a Redis Cluster, or of the master that Sentinel names.
        keys: What the scripts get as KEYS.
        package: Name of the package whose folder it is.
        prelude: Name of the script that stands before each of the others.
    """

    def __init__(
        self, server: RedisClient, keys: Sequence[str], package: str, prelude: str = ""
    ) -> None:
        self._server: Any = server  # redis-py leaves execute_command without types
        self._keys = tuple(keys)
        self._package = package
        self._prelude = prelude

    def run(self, name: str, *arguments: Argument) -> Any:
        """Run a script and return its answer; texts are bytes, however the client is set up.

        Raises:
            redis.exceptions.RedisError: Redis cannot be reached or refuses.
        """
        source, digest = _read(self._package, self._prelude, name)
        rest = (len(self._keys), *self._keys, *arguments)
        # What others wrote into Redis may be no text at all: it must not fail while it is read.
        raw = {NEVER_DECODE: True}
        try:
            return self._server.execute_command("EVALSHA", digest, *rest, **raw)
        except NoScriptError:
            return self._server.execute_command("EVAL", source, *rest, **raw)


@cache
def _read(package: str, prelude: str, name: str) -> tuple[bytes, str]:
    folder = resources.files(package) / "lua"
    parts = [f"{part}.lua" for part in (prelude, name) if part]
    source = b"\n".join((folder / part).read_bytes() for part in parts)
    return source, hashlib.sha1(source, usedforsecurity=False).hexdigest()
