"""A disk that is full, for the files of this process: without root, and on any machine.

Run with a command of ``scrapy``, it lets no file of that grow beyond :data:`ROOM`.
"""

from __future__ import annotations

import resource
import runpy
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOM = 5_000
"""Bytes."""


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may grow beyond *size* bytes; writing more raises OSError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


if __name__ == "__main__":
    sys.dont_write_bytecode = True  # truncated, it would outlast the test
    with largest_file(ROOM):
        runpy.run_module("scrapy", run_name="__main__", alter_sys=True)
