"""A process that is measured: how long it ran, and what it used itself."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROJECT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Usage:
    """What a process has used, of its own, when it has ended.

    Attributes:
        cpu_seconds: User and system time.
        peak_bytes: Memory at its peak; None when it was less than that of this process, which the
            system counts along.
    """

    cpu_seconds: float
    peak_bytes: int | None


class Worker:
    """A Python process whose resource usage the system tells when it ends (``wait4``).

    Args:
        arguments: What follows ``python``.
        environment: Variables in addition to this process's.
        folder: Where it runs, and where its log is kept.
    """

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "worker.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": str(PROJECT)} | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._usage: Usage | None = None

    def running(self) -> bool:
        return not self._wait(os.WNOHANG)

    @property
    def cpu_seconds(self) -> float:
        """User and system time until now, while it runs (Linux)."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        user, system = map(int, stat.rpartition(")")[2].split()[11:13])
        return (user + system) / os.sysconf("SC_CLK_TCK")

    @property
    def peak_bytes(self) -> int:
        """Memory at its peak until now, of its own alone, while it runs (Linux); 0 at its end."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)

    @property
    def resident_bytes(self) -> int:
        """Memory now, while it runs (Linux)."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def terminate(self) -> None:
        if self.running():
            self._process.send_signal(signal.SIGTERM)

    def finish(self) -> Usage:
        """Wait for the end and return what the process used.

        Raises:
            RuntimeError: It failed.
        """
        self._wait()
        assert self._usage is not None
        if self._process.returncode != 0:
            raise RuntimeError(f"a worker failed:\n{self.log.read_text(errors='replace')[-3000:]}")
        return self._usage

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.running():
            self._process.kill()
            self._wait()

    def _wait(self, options: int = 0) -> bool:
        if self._usage is None:
            pid, status, used = os.wait4(self._process.pid, options)
            if pid == 0:
                return False
            self._process.returncode = os.waitstatus_to_exitcode(status)
            own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            # Linux tells kibibytes, macOS bytes.
            unit = 1 if sys.platform == "darwin" else 1024
            peak = used.ru_maxrss * unit if used.ru_maxrss > own else None
            self._usage = Usage(used.ru_utime + used.ru_stime, peak)
        return True
