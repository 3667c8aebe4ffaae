"""TCP ports for the servers of the tests, of which no two processes get the same."""

from __future__ import annotations

import contextlib
import functools
import itertools
import random
import socket
from typing import TYPE_CHECKING

from ali1688_spider.local_servers import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

# Below what systems give to outgoing connections: such a connection could take the port of a
# server that is away for a moment, or even connect to itself there.
PORTS = range(20_000, 32_000)
PORTS_OF_A_PROCESS = 100


def free_port() -> int:
    """Return a port that nobody listens on, and that no other process gets from here."""
    for port in itertools.islice(_ports_of_this_process(), PORTS_OF_A_PROCESS):
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.bind((HOST, port))
            return port
    raise RuntimeError("no TCP port is free: too many servers run on this machine")


@functools.cache
def _ports_of_this_process() -> Iterator[int]:
    """Return ports, one after the other and round again, that belong to this process.

    Between asking for a free port and listening on it, another process could get the same one. So
    each has a block of its own, whose first number it holds as a port of UDP.
    """
    blocks = list(PORTS[::PORTS_OF_A_PROCESS])
    for first in random.sample(blocks, len(blocks)):
        holder = socket.socket(type=socket.SOCK_DGRAM)
        try:
            holder.bind((HOST, first))
        except OSError:
            holder.close()
            continue
        holder.detach()  # stays open until the process ends
        return itertools.cycle(range(first, first + PORTS_OF_A_PROCESS))
    raise RuntimeError("no block of TCP ports is free: too many processes start servers")
