"""The package as pip installs it: its commands work in any folder, without ``scrapy.cfg``."""

from __future__ import annotations

import ast
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pymongo
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.harness import Gateway

    Settings = Callable[[str], dict[str, str]]

ROOT = Path(__file__).parents[2]
PROJECT = "ali1688_spider"
CHECKOUT = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
DATA = (".lua", ".css", ".js", ".html", "py.typed", "env.example")
CITED_COMMAND = re.compile(r"\bscrapy ([a-z]+)")
CITED_FILE = re.compile(
    r"(?:[\w-]+/)*\.?[\w-]+\.(?:example|md|cfg|toml|in|ya?ml)\b"
    r"|\bREADME\b|\b(?:docs|examples|deploy|requirements)/|\bmake (?:demo|test|lint|check|bench)\b"
)
SECONDS = 120
FIRST_ID = 610_000_000_001

OTHER_SPIDER = """
import scrapy

class Quiet(scrapy.Spider):
    name = "quiet"
    async def start(self):
        self.logger.info("%s takes %s", self.settings["BOT_NAME"], self.topic)
        yield {"topic": self.topic}
"""


class Ended(NamedTuple):
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Installation:
    """A Python with the package installed, and a folder to work in."""

    python: Path
    folder: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command of Scrapy."""
        environment = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": str(self.folder),
            "COLUMNS": "200",
        }
        return subprocess.Popen(
            [self.python, "-m", "scrapy", *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def scrapy(self, *arguments: str) -> Ended:
        """Run a command of Scrapy."""
        process = self.start(*arguments)
        stdout, stderr = process.communicate(timeout=SECONDS)
        return Ended(process.returncode, stdout, stderr)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is published."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in CHECKOUT:
        shutil.copy(ROOT / name, checkout)
    ignored = shutil.ignore_patterns("__pycache__", ".*_cache")
    shutil.copytree(ROOT / PROJECT, checkout / PROJECT, ignore=ignored)
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-build-isolation", "--wheel-dir", str(folder), str(checkout))
    (file,) = folder.iterdir()
    return file


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the package, and with what the tests run with."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    _pip("install", str(wheel), python=python)
    return python


@pytest.fixture
def installation(python: Path, tmp_path: Path) -> Installation:
    """The installed package and an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    return Installation(python, folder)


@pytest.fixture(scope="module")
def listing(python: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What ``scrapy`` prints in an empty folder: its commands."""
    return Installation(python, tmp_path_factory.mktemp("empty")).scrapy().stdout


@pytest.fixture(scope="module")
def other_project(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The installed package and the folder of somebody else's Scrapy project."""
    folder = tmp_path_factory.mktemp("elsewhere")
    Installation(python, folder).scrapy("startproject", "other")
    (folder / "other" / "other" / "spiders" / "quiet.py").write_text(OTHER_SPIDER)
    return Installation(python, folder / "other")


def test_the_wheel_holds_the_package_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {PROJECT}
    data = {
        str(path.relative_to(ROOT))
        for path in (ROOT / PROJECT).rglob("*.*")
        if path.name.endswith(DATA)
    }
    assert {name for name in names if name.endswith(DATA)} == data


def test_the_wheel_carries_the_licence(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    assert "\nLicense: MIT\n" in archive.read(metadata).decode()
    (licence,) = (name for name in archive.namelist() if name.endswith("/LICENSE"))
    assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()


def test_scrapy_lists_every_command(listing: str) -> None:
    assert "no active project" in listing
    listed = {line.split()[0] for line in listing.splitlines() if line.startswith("  ")}
    commands = {file.stem for file in (ROOT / PROJECT / "commands").glob("[a-z]*.py")}
    assert "crawl" in commands
    assert commands <= listed


def test_what_the_messages_name_is_installed(listing: str, wheel: Path) -> None:
    texts = list(_texts())
    installed = set(re.findall(r"^  (\w+) ", listing, re.MULTILINE))
    commands = set(CITED_COMMAND.findall("\n".join(texts)))
    assert {"init", "doctor"} < commands
    assert commands <= installed
    files = {file for text in texts for file in CITED_FILE.findall(text)}
    shipped = {Path(name).name for name in zipfile.ZipFile(wheel).namelist()}
    assert {file for file in files if Path(file).name not in shipped} == set()


def test_a_history_in_an_empty_folder(installation: Installation) -> None:
    init = installation.scrapy("init")
    assert init.exit_code == 0, init.stderr
    written = (installation.folder / ".env").read_text()
    assert written == (ROOT / ".env.example").read_text()
    sandbox = installation.start("sandbox")
    assert sandbox.stdout
    port = sandbox.stdout.readline().rpartition(":")[2].strip()
    env = installation.scrapy("sandbox", "--env", "--port", port)
    (installation.folder / ".env").write_text(env.stdout)
    up = installation.scrapy("up", "--write")
    try:
        assert up.exit_code == 0, up.stderr
        ids = ",".join(map(str, _ids(5)))
        crawl = installation.scrapy("crawl", "product", "-a", f"ids={ids}")
        assert crawl.exit_code == 0, crawl.stderr
        assert installation.scrapy("export", "--private", "all.csv").exit_code == 0
        assert collected(installation, "all.csv") == _ids(5)
    finally:
        down = installation.scrapy("down")
        sandbox.terminate()
        sandbox.communicate(timeout=SECONDS)
    assert down.stdout.startswith("Redis and MongoDB stopped"), down.stderr


def test_the_demo_works_in_an_empty_folder(installation: Installation) -> None:
    demo = installation.scrapy("demo", "--products", "20")
    assert demo.exit_code == 0, demo.stdout + demo.stderr
    assert "The first 12 of 20 products" in demo.stdout
    assert collected(installation, "ali1688-demo/products.csv") == _ids(20)
    assert [path.name for path in installation.folder.iterdir()] == ["ali1688-demo"]


def test_the_sandbox_starts_in_an_empty_folder(installation: Installation) -> None:
    sandbox = installation.start("sandbox")
    assert sandbox.stdout
    address = sandbox.stdout.readline().split()[-1]
    with urllib.request.urlopen(f"{address}/_sandbox/status", timeout=SECONDS) as answer:
        assert json.load(answer)["calls"] == 0
    sandbox.terminate()
    sandbox.communicate(timeout=SECONDS)
    assert sandbox.returncode == 0


def test_a_crawl_stores_and_export_reads_what_an_env_file_says(
    installation: Installation,
    gateway: Gateway,  # noqa: ARG001  # settings_for is about this one
    settings_for: Settings,
    mongo_uri: str,
    mongo_database: str,
) -> None:
    settings = settings_for("param2") | {
        "ALI1688_APP_KEY": "1000000",
        "ALI1688_APP_SECRET": "test123",
        "ALI1688_QPS": "0",
        "MONGO_URI": mongo_uri,
        "MONGO_DATABASE": mongo_database,
    }
    lines = [f"{name}={value}\n" for name, value in settings.items()]
    (installation.folder / ".env").write_text("".join(lines))
    ids = ",".join(map(str, _ids(5)))
    crawl = installation.scrapy("crawl", "product", "-a", f"ids={ids}", "-O", "feed.csv")
    assert crawl.exit_code == 0, crawl.stderr
    assert collected(installation, "feed.csv") == _ids(5)
    export = installation.scrapy("export", "--private", "all.csv")
    assert export.stdout == "5 products written to all.csv\n", export.stderr
    assert collected(installation, "all.csv") == _ids(5)
    client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(mongo_uri)
    assert client[mongo_database].products.count_documents({}) == 5
    client.close()


def test_a_missing_setting_is_said_in_one_sentence(installation: Installation) -> None:
    crawl = installation.scrapy("crawl", "product", "-a", "ids=1")
    assert crawl.exit_code == 1
    assert crawl.stderr.splitlines()[-1].startswith("Error: ALI1688_APP_KEY is missing: ")
    assert "Traceback" not in crawl.stderr


def test_crawl_is_scrapys_own_in_another_project(other_project: Installation) -> None:
    crawl = other_project.scrapy("crawl", "quiet", "-a", "topic=tea", "-O", "items.jsonl")
    assert crawl.exit_code == 0, crawl.stderr
    assert "other takes tea" in crawl.stderr
    assert (other_project.folder / "items.jsonl").read_text() == '{"topic": "tea"}\n'
    assert PROJECT not in crawl.stderr


@pytest.mark.parametrize("arguments", [["crawl", "nobody"], ["crawl", "a", "b"]])
def test_crawl_fails_as_scrapys_own_in_another_project(
    arguments: list[str], other_project: Installation
) -> None:
    stock = Installation(Path(sys.executable), other_project.folder)
    ours, theirs = (place.scrapy(*arguments, "--nolog") for place in (other_project, stock))
    assert ours.exit_code == theirs.exit_code != 0
    assert ours.stdout == theirs.stdout
    assert ours.stderr.splitlines()[-1:] == theirs.stderr.splitlines()[-1:]


def collected(installation: Installation, file: str) -> Sequence[int]:
    """Return the ids of a CSV file, sorted."""
    with (installation.folder / file).open(encoding="utf-8-sig", newline="") as lines:
        return sorted(int(row["product_id"]) for row in csv.DictReader(lines))


def _texts() -> Iterator[str]:
    """Yield what the package may say: its texts, without docstrings, and what it writes."""
    for file in (ROOT / PROJECT).rglob("*"):
        if file.suffix in (".html", ".example"):
            yield file.read_text()
        elif file.suffix == ".py":
            nodes = list(ast.walk(ast.parse(file.read_text())))
            docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
            for node in nodes:
                is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
                if is_text and id(node) not in docstrings:
                    yield node.value


def _ids(count: int) -> Sequence[int]:
    return list(range(FIRST_ID, FIRST_ID + count))


def _pip(command: str, *arguments: str, python: Path = Path(sys.executable)) -> None:
    """Run pip for *python*, offline and without dependencies."""
    pip = [sys.executable, "-m", "pip", "--python", str(python), command, "--quiet"]
    run = subprocess.run(
        [*pip, "--no-deps", "--no-index", *arguments], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
