"""Commands as forks of :mod:`tests.fork_server`, with the methods of ``Popen``.

The tests of one process share a server: it starts with their first command, and ends with them.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fork_server import LENGTH, NUMBER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[1]
AT_START = ("LANG", "LC_", "PYTHON")
"""What the interpreter reads when it starts, which a fork does not do."""


class ForkServer:
    """Starts commands."""

    def __init__(self) -> None:
        self._control, control = socket.socketpair()
        self._lock = threading.Lock()
        with control:
            self._server = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "tests.fork_server", str(control.fileno())],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "HOME": os.devnull},
                stdin=subprocess.DEVNULL,
                pass_fds=[control.fileno()],
            )

    def start(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        stdout: int,
        stderr: int,
        *,
        stdin: int | None = None,
        module: str = "scrapy",
        new_session: bool = False,
    ) -> ForkedProcess:
        """Start a command in *folder*; its standard input is a pipe unless *stdin* says another."""
        refuse_what_needs_an_interpreter(environment)
        request = {
            "module": module,
            "arguments": arguments,
            "environment": environment,
            "folder": str(folder),
            "new_session": new_session,
        }
        read_end, write_end = (stdin, None) if stdin is not None else os.pipe()
        reports, pipe = os.pipe()
        body = json.dumps(request).encode()
        with self._lock:
            files = [read_end, stdout, stderr, pipe]
            socket.send_fds(self._control, [LENGTH.pack(len(body))], files)
            self._control.sendall(body)
        if write_end is not None:
            os.close(read_end)
        os.close(pipe)
        return ForkedProcess(reports, write_end)

    def stop(self) -> None:
        """Let it end, and kill what still runs."""
        self._control.close()
        self._server.wait()


@functools.cache
def fork_server() -> ForkServer:
    """Return the server of this process."""
    server = ForkServer()
    atexit.register(server.stop)
    return server


def refuse_what_needs_an_interpreter(environment: Mapping[str, str]) -> None:
    """Raise ValueError if a fork would not be what a process of that environment is."""
    others = [name for name in environment if name.startswith(AT_START) and name != "PYTHONPATH"]
    if others:
        raise ValueError(f"{', '.join(others)} needs an interpreter of its own: say real=True")
    if environment["PYTHONPATH"].split(os.pathsep)[0] != str(ROOT):
        raise ValueError("modules that others replace need an own interpreter: say real=True")


class ForkedProcess:
    """A command, as :class:`subprocess.Popen` would have it.

    Args:
        reports: The pipe that brings its id, and its exit code.
        stdin: The end of its standard input to write to, where that is a pipe.
    """

    def __init__(self, reports: int, stdin: int | None) -> None:
        self.stdin = None if stdin is None else os.fdopen(stdin, "wb", buffering=0)
        self.returncode: int | None = None
        self._reports = reports
        self.pid = self._next_report()

    def poll(self) -> int | None:
        """Return its exit code once it has ended, -N after signal N."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code when it has ended.

        Raises:
            subprocess.TimeoutExpired: It has not within *timeout* seconds.
        """
        if self.returncode is None:
            if not select.select([self._reports], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("scrapy", timeout or 0.0)
            self.returncode = self._next_report()
            os.close(self._reports)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens when it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _next_report(self) -> int:
        report = os.read(self._reports, NUMBER.size)
        if not report:
            raise RuntimeError("the fork server has ended")
        number: int = NUMBER.unpack(report)[0]
        return number
