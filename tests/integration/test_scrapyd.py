"""Deployment to a real Scrapyd, by a real ``scrapyd-deploy``, of nothing but the package.

Scrapyd runs a project from inside a zip file; here the package is importable from nowhere else.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openpyxl
import pymongo
import pytest
import redis

from tests.integration.scrapyd_server import PROJECT, TARGET, Scrapyd, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.harness import Gateway

    Stored = Callable[[], set[int]]
    Settings = Callable[[str], dict[str, str]]

ROOT = Path(__file__).parents[2]
FIRST_ID = 610_000_000_001
SECRET, TOKEN = "test123", "scrapyd-access-token"
CHECKOUT = ("pyproject.toml", "setup.py", "scrapy.cfg", "README.md", "LICENSE")
DATA = (".lua", ".css", ".js", ".html", "py.typed")

# What each spider is scheduled with, and whether it ends by itself.
SCHEDULES: dict[str, tuple[dict[str, str], bool]] = {
    "product": ({"ids": f"{FIRST_ID},{FIRST_ID + 1}"}, True),
    "search": ({"keyword": "杯", "max_pages": "1", "details": "1"}, True),
    "watch": ({"ids": f"{FIRST_ID},{FIRST_ID + 1}", "min_interval": "3600"}, False),
}


@pytest.fixture(scope="module")
def scrapyd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scrapyd]:
    """Scrapyd with the project, as ``scrapyd-deploy`` puts it there from a checkout."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in CHECKOUT:
        shutil.copy(ROOT / name, checkout)
    ignored = shutil.ignore_patterns("__pycache__", ".*_cache")
    shutil.copytree(ROOT / PROJECT, checkout / PROJECT, ignore=ignored)
    scrapyd = Scrapyd.start(tmp_path_factory.mktemp("scrapyd"))
    try:
        deployment = subprocess.run(
            [Path(sys.executable).with_name("scrapyd-deploy"), TARGET, "--version", "one"],
            cwd=checkout,
            env=scrapyd.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert deployment.returncode == 0, deployment.stderr
        assert json.loads(deployment.stdout)["spiders"] == len(SCHEDULES)
        yield scrapyd
    finally:
        scrapyd.stop()


@pytest.fixture
def servers(redis_url: str, mongo_uri: str, mongo_database: str) -> dict[str, str]:
    """The settings that name the servers."""
    return {"REDIS_URL": redis_url, "MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}


@pytest.fixture
def project(
    scrapyd: Scrapyd, gateway: Gateway, settings_for: Settings, servers: dict[str, str]
) -> Scrapyd:
    """Scrapyd with the project and its settings: a file ``.env`` that only its owner can read."""
    gateway.set(access_token=TOKEN)
    settings = settings_for("router") | servers
    settings |= {
        "ALI1688_APP_KEY": "1000000",
        "ALI1688_APP_SECRET": SECRET,
        "ALI1688_ACCESS_TOKEN": TOKEN,
        "ALI1688_QPS": "0",
        "ALI1688_CACHE_TTL": "0",
        "LOG_LEVEL": "DEBUG",
    }
    file = scrapyd.folder / ".env"
    file.touch(0o600)
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return scrapyd


@pytest.fixture
def queue(redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    yield client
    client.close()


@pytest.fixture
def stored(mongo_uri: str, mongo_database: str) -> Iterator[Stored]:
    """Return the ids of the products that are in MongoDB now."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(mongo_uri)
    yield lambda: set(client[mongo_database].products.distinct("_id"))
    client.close()


def test_the_egg_holds_the_package_alone(scrapyd: Scrapyd) -> None:
    names = zipfile.ZipFile(scrapyd.egg).namelist()
    assert {name.partition("/")[0] for name in names} == {PROJECT, "EGG-INFO"}
    data = {
        str(path.relative_to(ROOT))
        for path in (ROOT / PROJECT).rglob("*.*")
        if path.name.endswith(DATA)
    }
    assert {name for name in names if name.endswith(DATA)} == data


def test_jobs_can_import_the_package_from_the_egg_only(scrapyd: Scrapyd) -> None:
    attempt = subprocess.run(
        [sys.executable, "-c", f"import {PROJECT}"],
        cwd=scrapyd.folder,
        env=scrapyd.environment,
        capture_output=True,
        check=False,
    )
    assert b"ModuleNotFoundError" in attempt.stderr


def test_every_spider_can_be_scheduled(scrapyd: Scrapyd) -> None:
    assert scrapyd.ask("listspiders", project=PROJECT)["spiders"] == sorted(SCHEDULES)


@pytest.mark.parametrize("spider", SCHEDULES)
def test_a_job_stores_products(
    spider: str, project: Scrapyd, gateway: Gateway, stored: Stored
) -> None:
    arguments, ends = SCHEDULES[spider]
    job = project.schedule(spider, **arguments)
    if not ends:
        eventually(lambda: len(stored()) == 2, lambda: job.log)
        job.cancel()
    reason = "finished" if ends else "shutdown"
    assert f"'finish_reason': '{reason}'" in job.finish()
    asked_for = {int(product_id) for product_id in gateway.status()["by_product"]}
    assert asked_for
    assert stored() == asked_for


def test_a_version_and_a_setting_may_be_named(project: Scrapyd, stored: Stored) -> None:
    job = project.schedule(
        "product", ids=str(FIRST_ID), _version="one", setting="LOG_LEVEL=INFO", jobid="mine"
    )
    assert " DEBUG: " not in job.finish()
    assert job.name == "mine"
    assert stored() == {FIRST_ID}


def test_a_log_of_json_names_the_job_and_its_spider(project: Scrapyd) -> None:
    job = project.schedule("product", ids=str(FIRST_ID), setting="ALI1688_LOG_FORMAT=json")
    records = [json.loads(line) for line in job.finish().splitlines()]
    assert {(record["job"], record["spider"]) for record in records} == {(job.name, "product")}
    assert [each["outcome"]["collected"] for each in records if "outcome" in each] == [1]


def test_a_job_writes_a_workbook_once(project: Scrapyd) -> None:
    feeds = 'FEEDS={"job.xlsx": {"format": "xlsx"}}'
    assert (
        "Stored xlsx feed (1 items)"
        in project.schedule("product", ids=str(FIRST_ID), setting=feeds).finish()
    )
    book = openpyxl.load_workbook(project.folder / "job.xlsx")
    assert book["products"]["A2"].value == FIRST_ID
    job = project.schedule("product", ids=str(FIRST_ID), setting=feeds)
    assert "ERROR: job.xlsx exists already, and a workbook cannot be appended to" in job.wait()


def test_a_wrong_argument_is_said_in_the_job_s_log(project: Scrapyd) -> None:
    job = project.schedule("product", id=str(FIRST_ID))
    assert job.wait().endswith(
        "ERROR: the spider product has no argument 'id': it has calls_file, description, idle, "
        "ids, ids_file, images\n"
    )


def test_secrets_are_on_no_command_line_and_in_no_log(
    project: Scrapyd, stored: Stored, queue: redis.Redis
) -> None:
    job = project.schedule("product")
    eventually(lambda: job.state == "running", lambda: job.log)
    command_line = job.command_line
    assert command_line[1:5] == ["-m", "scrapyd.runner", "crawl", "product"]
    queue.lpush("product:start_urls", FIRST_ID)
    eventually(stored, lambda: job.log)
    job.cancel()
    told = " ".join(command_line) + job.finish() + project.log
    assert SECRET not in told
    assert TOKEN not in told


def test_a_cancelled_job_gives_back_what_it_has_not_done(
    project: Scrapyd, stored: Stored, queue: redis.Redis
) -> None:
    pushed = set(range(FIRST_ID, FIRST_ID + 200))
    queue.lpush("product:start_urls", *pushed)
    job = project.schedule("product", setting="ALI1688_QPS=5")
    eventually(stored, lambda: job.log)
    assert queue.zcard("{product:start_urls}:leased") > 0
    job.cancel()
    assert "'finish_reason': 'shutdown'" in job.finish()
    assert queue.zcard("{product:start_urls}:leased") == 0
    queued = queue.zrange("{product:start_urls}:requests", 0, -1)
    assert sorted(queued) == sorted(map(str, pushed - stored()))


def test_commands_work_from_inside_the_egg(project: Scrapyd) -> None:
    environment = project.environment | {
        "PYTHONPATH": str(project.egg),
        "SCRAPY_SETTINGS_MODULE": f"{PROJECT}.settings",
    }
    for arguments in (["push", "product", str(FIRST_ID)], ["report", "week.html"]):
        command = [sys.executable, "-m", "scrapy", *arguments]
        subprocess.run(command, cwd=project.folder, env=environment, check=True)
    page = (project.folder / "week.html").read_text()
    assert "<style>" in page
    assert "<script>" in page
