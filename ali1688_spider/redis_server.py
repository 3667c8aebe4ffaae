"""Redis as all rooms use it: Lua scripts, and the settings of a server that lose queued calls."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeAlias

from redis import Redis
from redis.client import NEVER_DECODE
from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError, RedisError, ResponseError

if TYPE_CHECKING:
    RedisClient: TypeAlias = "Redis | RedisCluster"

Argument: TypeAlias = str | bytes | int

logger = logging.getLogger(__name__)

MOST_SHOWN = 200
"""Characters of a text that somebody else wrote into Redis."""

SET_ASIDE = "SETASIDE "
"""How the reply of a script begins that found keys of wrong types; see ``lua/keys.lua``."""


def durability_risks(client: Any) -> Iterator[str]:
    """Yield which settings of the Redis server can lose queued calls, and what to do about it."""
    try:
        memory, persistence = client.info("memory"), client.info("persistence")
    except (RedisError, ValueError):
        return  # a user without INFO; managed servers hide it
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield (
            f"its maxmemory-policy is {policy}, so that a full server drops queued calls: "
            "set it to noeviction"
        )
    if not persistence.get("aof_enabled"):
        yield (
            "it keeps no append-only file, so that a restart loses queued calls: "
            "set appendonly to yes"
        )


def printable(text: object) -> str:
    """Return a text that somebody else wrote into Redis: short, on one line, without controls."""
    line = " ".join(str(text).split())
    return "".join(each for each in line if each.isprintable())[:MOST_SHOWN]


class LuaScripts:
    """The scripts of a package's folder ``lua``, on one set of keys.

    Args:
        server: A client of Redis, of a Redis Cluster, or of the master that Sentinel names.
        keys: What the scripts get as KEYS.
        package: Name of the package whose folder it is.
        prelude: Name of the script that stands before each of the others.
        types: The type of each key, or several with spaces between. A key of another type is
            renamed to ``<key>:broken:<microseconds since 1970>``, so that the rest goes on. Without
            *types* the keys are taken as they are.

    Attributes:
        set_aside: How many keys were renamed.
    """

    def __init__(
        self,
        server: RedisClient,
        keys: Sequence[str],
        package: str,
        prelude: str = "",
        types: Sequence[str] = (),
    ) -> None:
        self._server: Any = server  # redis-py leaves execute_command without types
        self._keys = tuple(keys)
        self._package = package
        self._prelude = prelude
        self._types = tuple(types)
        self.set_aside = 0

    def run(self, name: str, *arguments: Argument) -> Any:
        """Run a script and return its reply; texts are bytes, however the client is set up.

        Raises:
            redis.exceptions.RedisError: Redis cannot be reached or refuses.
        """
        while True:
            try:
                return self._run(name, *arguments)
            except ResponseError as error:
                if not str(error).startswith(SET_ASIDE):
                    raise
                self._note_set_aside(str(error).removeprefix(SET_ASIDE).split("\t"))

    def _run(self, name: str, *arguments: Argument) -> Any:
        source, digest = _read(self._package, self._prelude, name, self._types)
        rest = (len(self._keys), *self._keys, *arguments)
        # What others wrote into Redis may be no text at all: it must not fail while it is read.
        raw = {NEVER_DECODE: True}
        try:
            return self._server.execute_command("EVALSHA", digest, *rest, **raw)
        except NoScriptError:
            return self._server.execute_command("EVAL", source, *rest, **raw)

    def _note_set_aside(self, words: Sequence[str]) -> None:
        for key, kind, name in zip(words[::3], words[1::3], words[2::3], strict=True):
            self.set_aside += 1
            logger.error(
                "The Redis key %s was a %s, of which nothing can be read; it is set aside as %s, "
                "and the work goes on without it. Look at it, and delete it.",
                key,
                kind,
                name,
            )


@cache
def _read(package: str, prelude: str, name: str, types: tuple[str, ...]) -> tuple[bytes, str]:
    folder = resources.files(package) / "lua"
    parts = [(folder / f"{part}.lua").read_bytes() for part in (prelude, name) if part]
    if types:
        check = (resources.files(__package__) / "lua" / "keys.lua").read_bytes()
        table = ", ".join(f"'{kind}'" for kind in types)
        parts = [f"local TYPES = {{ {table} }}".encode(), check, *parts]
    source = b"\n".join(parts)
    return source, hashlib.sha1(source, usedforsecurity=False).hexdigest()
