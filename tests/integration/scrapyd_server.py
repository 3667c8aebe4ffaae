"""A real Scrapyd, and the jobs that it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ali1688_spider.local_servers import HOST
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

SECONDS = 120
PROJECT = "ali1688_spider"
TARGET = "trial"


def eventually(condition: Callable[[], T], explain: Callable[[], str]) -> T:
    """Return what *condition* returns as soon as it is true."""
    deadline = time.monotonic() + SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, explain()
        time.sleep(0.05)
    return value


@dataclass(frozen=True)
class Scrapyd:
    """A Scrapyd.

    Attributes:
        process: Its process.
        url: Its address, with a slash at the end.
        folder: Holds its configuration, the project's ``.env``, eggs and logs; also its home.
        environment: The variables that it was started with; none says where the package is.
    """

    process: subprocess.Popen[bytes]
    url: str
    folder: Path
    environment: dict[str, str]

    @classmethod
    def start(cls, folder: Path) -> Scrapyd:
        """Start one on a free port."""
        port = free_port()
        url = f"http://{HOST}:{port}/"
        (folder / "scrapyd.conf").write_text(
            f"[scrapyd]\nhttp_port = {port}\npoll_interval = 0.05\nmax_proc = 4\n"
        )
        # scrapyd-deploy reads a user's own targets beside those of the project's scrapy.cfg.
        (folder / ".scrapy.cfg").write_text(
            f"[deploy:{TARGET}]\nurl = {url}\nproject = {PROJECT}\n"
        )
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        with (folder / "scrapyd.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "scrapyd"],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        scrapyd = cls(process, url, folder, environment)
        eventually(scrapyd._answers, lambda: scrapyd.log)
        return scrapyd

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(SECONDS)

    @property
    def log(self) -> str:
        return (self.folder / "scrapyd.log").read_text()

    @property
    def egg(self) -> Path:
        """The only version of the project."""
        (egg,) = (self.folder / "eggs" / PROJECT).glob("*.egg")
        return egg

    def ask(self, service: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        return self._open(f"{service}.json?{query}")

    def tell(self, service: str, **parameters: str) -> Any:
        body = urllib.parse.urlencode({"project": PROJECT, **parameters}).encode()
        answer = self._open(f"{service}.json", body)
        assert answer["status"] == "ok", answer
        return answer

    def schedule(self, spider: str, **arguments: str) -> Job:
        return Job(self, spider, self.tell("schedule", spider=spider, **arguments)["jobid"])

    def _answers(self) -> bool:
        try:
            return bool(self.ask("daemonstatus")["status"] == "ok")
        except urllib.error.URLError:
            return False

    def _open(self, path: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(self.url + path, body, timeout=SECONDS) as response:
            return json.load(response)


@dataclass(frozen=True)
class Job:
    """A crawl that was scheduled."""

    scrapyd: Scrapyd
    spider: str
    name: str

    @property
    def log(self) -> str:
        file = self.scrapyd.folder / "logs" / PROJECT / self.spider / f"{self.name}.log"
        return file.read_text() if file.exists() else self.scrapyd.log

    @property
    def state(self) -> str:
        state: str = self.scrapyd.ask("status", job=self.name)["currstate"]
        return state

    @property
    def command_line(self) -> list[str]:
        """What everybody on the machine can see of its process."""
        running = self.scrapyd.ask("listjobs", project=PROJECT)["running"]
        pid = next(job["pid"] for job in running if job["id"] == self.name)
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")

    def cancel(self) -> None:
        assert self.scrapyd.tell("cancel", job=self.name)["prevstate"] == "running"

    def wait(self) -> str:
        """Return the log once the job has ended."""
        eventually(lambda: self.state == "finished", lambda: self.log)
        return self.log

    def finish(self) -> str:
        """Return the log once the job has ended, without error."""
        log = self.wait()
        assert "Traceback" not in log, log
        assert " ERROR: " not in log, log
        return log
