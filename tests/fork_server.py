"""A process that has imported what ``scrapy`` and the sandbox need, and forks itself for each.

Nearly all of the second that ``python -m scrapy`` takes until it works are imports; a fork has them
already. A command sees no other difference: ``tests/test_fork_server.py`` compares both. But all
forks of one server share a seed of hashes, and what a command forgets to import may be there: hence
the tests with the mark ``real_start``.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import json
import logging
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from scrapy.settings import default_settings

import ali1688_spider

LENGTH = struct.Struct("!I")
"""Before a request: how many bytes it has."""
NUMBER = struct.Struct("!i")
"""What the pipe of a request brings: the id of the process, later its exit code."""

PACKAGES = ("ali1688_spider", "scrapy.commands")
"""Whose modules are imported, all of them."""
COMPONENTS = ("DOWNLOADER_MIDDLEWARES_BASE", "EXTENSIONS_BASE", "SPIDER_MIDDLEWARES_BASE")
"""Scrapy's settings of what every crawl imports."""
MODULES = ("lxml.etree", "scrapy.cmdline", "scrapy.logformatter", "scrapy.pqueues", "uvloop")
EXCEPT = {
    "ali1688_spider.sandbox.__main__",  # a program
    "ali1688_spider.settings",  # reads the environment and the current folder
    "scrapy.downloadermiddlewares.cookies",  # tldextract looks for the home folder
}


@dataclass(frozen=True)
class Request:
    """A command to fork.

    Attributes:
        module: What runs, as by ``python -m``.
        new_session: Whether its process leads a session of its own.
        files: Its standard input, output and error.
        pipe: Brings the id of its process, and its exit code as ``Popen.returncode`` has it.
    """

    module: str
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    new_session: bool
    files: list[int]
    pipe: int

    @classmethod
    def receive(cls, control: socket.socket) -> Request | None:
        """Return the next one; None when there will be no more."""
        header, files, _, _ = socket.recv_fds(control, LENGTH.size, 4, socket.MSG_WAITALL)
        if not header:
            return None
        (length,) = LENGTH.unpack(header)
        body = control.recv(length, socket.MSG_WAITALL)
        return cls(**json.loads(body), files=files[:3], pipe=files[3])


class Server:
    """Forks a process for each request, and reports its id and its exit code.

    Args:
        control: Brings the requests. When its other end is closed, no fork lives on.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._pipes: dict[int, int] = {}
        self._awake, self._waker = os.pipe()
        os.set_blocking(self._awake, False)
        os.set_blocking(self._waker, False)

    def run(self) -> Request | None:
        """Return the request in its fork; None in the server, at its end."""
        signal.set_wakeup_fd(self._waker)
        # A signal without a handler wakes nobody; Ctrl-C is for the tests and the commands.
        handlers = {
            signal.SIGCHLD: signal.signal(signal.SIGCHLD, lambda *_: None),
            signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
        }
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ, self._fork)
            selector.register(self._awake, selectors.EVENT_READ, self._reap)
            request = None
            while request is None and self._control.fileno() >= 0:
                for key, _ in selector.select():
                    request = request or key.data()
        signal.set_wakeup_fd(-1)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        return request

    def _fork(self) -> Request | None:
        """Return the request in its fork."""
        request = Request.receive(self._control)
        if request is None:
            for pid in self._pipes:
                os.kill(pid, signal.SIGKILL)
            self._control.close()
            return None
        if not (pid := os.fork()):
            self._control.close()
            for each in (self._awake, self._waker, request.pipe, *self._pipes.values()):
                os.close(each)
            return request
        for file in request.files:
            os.close(file)
        self._pipes[pid] = request.pipe
        _report(request.pipe, pid)
        return None

    def _reap(self) -> None:
        """Report the exit codes of those that have ended."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._awake, 4096)
        while self._pipes:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            pipe = self._pipes.pop(pid)
            _report(pipe, os.waitstatus_to_exitcode(status))
            os.close(pipe)


def _report(pipe: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it
        os.write(pipe, NUMBER.pack(number))


def preload() -> None:
    """Import what commands use; nothing of it may run yet, or depend on the environment."""
    names = [name for name in MODULES if importlib.util.find_spec(name)]  # uvloop is an extra
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        names += [module.name for module in pkgutil.walk_packages(path, f"{package}.")]
    for setting in COMPONENTS:
        names += [path.rpartition(".")[0] for path in getattr(default_settings, setting)]
    for name in names:
        if name not in EXCEPT:
            importlib.import_module(name)
    threads = Path("/proc/self/task")
    assert threading.active_count() == 1 >= len(list(threads.glob("*")))
    assert not {"twisted.internet.reactor", *EXCEPT} & sys.modules.keys()
    assert not logging.root.handlers
    gc.collect()
    gc.freeze()  # else the first collection of a fork would copy the memory that all share


def become(request: Request) -> None:
    """Make this process, a fork, what ``python -m MODULE`` is at its start."""
    if request.new_session:
        os.setsid()
    for number, file in enumerate(request.files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request.folder)
    # What the interpreter has made of the locale is in its own environment.
    locale = {name: os.environ[name] for name in {"LC_CTYPE"} & os.environ.keys()}
    os.environ.clear()
    os.environ.update(locale | request.environment)
    time.tzset()
    paths = map(os.path.abspath, request.environment["PYTHONPATH"].split(os.pathsep))
    sys.path[:] = [str(Path.cwd()), *dict.fromkeys([*paths, *sys.path[1:]])]
    sys.orig_argv[-2:] = [request.module, *request.arguments]
    sys.argv = ["-m", *request.arguments]
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        _reopen(stream)
    ali1688_spider.STARTED = time.monotonic()


def _reopen(stream: Any) -> None:
    """Open a standard stream anew: it depends on the kind of file that it has."""
    file: Any = os.fdopen(stream.fileno(), f"{stream.mode}b", closefd=False)
    file.raw.name = stream.name
    is_lines = stream is sys.stderr or file.isatty()
    arguments = (file, stream.encoding, stream.errors, "\n")
    # The object stays the same: other modules may hold it.
    TextIOWrapper.__init__(stream, *arguments, line_buffering=is_lines)


if __name__ == "__main__":
    preload()
    if request := Server(socket.socket(fileno=int(sys.argv[1]))).run():
        become(request)
        runpy.run_module(request.module, run_name="__main__", alter_sys=True)
