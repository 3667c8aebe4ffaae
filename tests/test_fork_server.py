"""What a forked command finds is what one with an interpreter of its own finds."""

from __future__ import annotations

import json
import os
import pty
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.forked_process import ForkServer, refuse_what_needs_an_interpreter
from tests.harness import ROOT, Process, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.programs

LOOK = """
import gc, json, logging, os, resource, signal, sys, threading, time, warnings

import ali1688_spider

STREAM = ("name", "mode", "encoding", "errors", "newlines", "line_buffering", "write_through")
LIMITS = [getattr(resource, name) for name in sorted(dir(resource)) if name.startswith("RLIMIT_")]

def kind(stream):
    layers = [stream, stream.buffer, *filter(None, [getattr(stream.buffer, "raw", None)])]
    return {
        "layers": [(type(layer).__name__, layer.name) for layer in layers],
        "is standard": getattr(sys, f"__{stream.name.strip('<>')}__") is stream,
        "terminal": stream.isatty(),
        "number": stream.fileno(),
        "seekable": stream.seekable(),
        **{name: getattr(stream, name) for name in STREAM},
    }

def handler(number):
    found = signal.getsignal(number)
    return getattr(found, "__qualname__", str(found))

def is_refused(category):
    try:
        warnings.warn("a warning", category)
    except category:
        return True

with open("found.json", "w") as file:
    json.dump({
        "arguments": [sys.argv, sys.orig_argv],
        "path": sys.path,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "flags": str(sys.flags),
        "warnings": [sys.warnoptions, is_refused(DeprecationWarning), is_refused(ResourceWarning)],
        "time zone": [time.tzname, time.localtime(0)[:6]],
        "streams": [kind(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)],
        "signals": {number.name: handler(number) for number in signal.Signals},
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "wake-up": signal.set_wakeup_fd(-1),
        "group": [os.getpgid(0), os.getsid(0)],
        "limits": [resource.getrlimit(limit) for limit in LIMITS],
        "files": sorted(os.listdir("/dev/fd")),
        "threads": threading.active_count(),
        "log": [logging.root.level, [str(each) for each in logging.root.handlers]],
        "collector": [gc.isenabled(), gc.get_threshold()],
        "reactor": "twisted.internet.reactor" in sys.modules,
        "program": sys.modules["__main__"].__spec__.name,
    }, file)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Return what starts a command in a folder of its own."""
    processes: list[Process] = []

    def start(*command: str, module: str = LOOK, **options: Any) -> Process:
        folder = tmp_path / str(len(processes))
        folder.mkdir()
        (folder / "look.py").write_text(module)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": os.pathsep.join([str(ROOT), "."]),
            "SCRAPY_SETTINGS_MODULE": "look",
            "ALI1688_STATS_FILE": "",
            "TZ": "Asia/Tokyo",
        }
        processes.append(Process(command, environment, folder, folder, **options))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


@pytest.mark.parametrize("on_terminal", [False, True], ids=["file", "terminal"])
def test_it_finds_what_a_real_one_finds(
    start: Callable[..., Process], *, on_terminal: bool
) -> None:
    ours, theirs = pty.openpty()
    found = []
    for real in (True, False):
        process = start("version", "-v", real=real, terminal=theirs if on_terminal else None)
        assert process.finish().exit_code == 0
        assert "Scrapy " in process.stdout
        text = (process.folder / "found.json").read_text()
        found.append(json.loads(text.replace(str(process.folder), "FOLDER")))
    os.close(ours)
    os.close(theirs)
    assert found[0] == found[1]


def test_its_age_is_its_own(start: Callable[..., Process]) -> None:
    module = "import ali1688_spider; open('at', 'w').write(str(ali1688_spider.STARTED))"
    before = time.monotonic()
    for _ in range(2):
        process = start("version", module=module).finish()
        began_at = float((process.folder / "at").read_text())
        assert before < began_at < time.monotonic()
        before = began_at


def test_no_two_draw_the_same(start: Callable[..., Process]) -> None:
    module = "import random, tempfile; print(random.random(), tempfile.mktemp())"
    drawn = [start("version", module=module).finish().stdout.split()[:2] for _ in range(2)]
    assert len({*drawn[0], *drawn[1]}) == 4


WAIT = "open('started', 'w').close(); import sys; sys.stdin.read()"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(start: Callable[..., Process], number: signal.Signals) -> None:
    for real in (True, False):
        process = start("version", module=WAIT, real=real)
        eventually((process.folder / "started").exists)
        assert process.is_running
        os.kill(process.pid, number)
        assert process.wait() == -number


def test_it_can_be_frozen(start: Callable[..., Process]) -> None:
    process = start("version", module=WAIT)
    process.freeze()
    assert process.is_running
    process.thaw()
    assert process.finish("text").exit_code == 0


def test_its_exit_code_is_told(start: Callable[..., Process]) -> None:
    failing = start("version", module="raise SystemExit(7)").finish()
    broken = start("version", module="1 / 0").finish()
    assert (failing.exit_code, broken.exit_code) == (7, 1)
    assert broken.log.endswith("ZeroDivisionError: division by zero\n")


def test_a_warning_is_an_error(start: Callable[..., Process]) -> None:
    process = start("version", module="import warnings; warnings.warn('of something')").finish()
    assert process.exit_code == 1
    assert "UserWarning: of something" in process.log


def test_the_environment_of_an_interpreter_needs_one() -> None:
    for name in ("PYTHONUTF8", "LC_ALL", "LANG"):
        with pytest.raises(ValueError, match=f"{name} needs an interpreter of its own"):
            refuse_what_needs_an_interpreter({"PYTHONPATH": str(ROOT), name: "1"})
    with pytest.raises(ValueError, match="modules that others replace"):
        refuse_what_needs_an_interpreter({"PYTHONPATH": os.pathsep.join(["/other", str(ROOT)])})


def test_none_outlives_the_tests(tmp_path: Path) -> None:
    (tmp_path / "look.py").write_text(WAIT)
    server = ForkServer()
    environment = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "SCRAPY_SETTINGS_MODULE": "look"}
    with (tmp_path / "log").open("wb") as log:
        process = server.start(["version"], environment, tmp_path, log.fileno(), log.fileno())
    eventually((tmp_path / "started").exists)
    server.stop()
    eventually(lambda: has_ended(process.pid))
    process.stdin.close()


def has_ended(pid: int) -> bool:
    """Whether it is gone, or only waits for a parent that asks after it: not every machine has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"
