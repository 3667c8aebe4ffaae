"""With ``ALI1688_LOG_FORMAT=json`` whatever a process logs is one object a line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import FIRST_PRODUCT, ROOT, products
from tests.integration.noisy import TEXT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness import Gateway, Scrapy

TOKEN = 'access/"token+marked=é'
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
IDS = ("-a", f"ids={','.join(map(str, products(3)))}")
PIPELINES = {
    "ali1688_spider.pipelines.validation.ValidationPipeline": 100,
    "tests.integration.noisy.NoisyPipeline": 900,
}
NOISY = ("-s", f"ITEM_PIPELINES={json.dumps(PIPELINES)}", "-s", f"NOISE={TOKEN}")

Records = list[dict[str, Any]]


@pytest.fixture
def scrapy(scrapy: Scrapy) -> Scrapy:
    scrapy.settings |= {"ALI1688_LOG_FORMAT": "json"}
    return scrapy


def read(text: str) -> Records:
    """Return the objects of a log, each of which is a line and has the fields of all."""
    records: Records = [json.loads(line) for line in text.splitlines()]
    for record in records:
        assert TIME.fullmatch(record["time"]), record
        assert {"level", "logger", "message", "pid"} <= record.keys()
    return records


def find(records: Records, message: str) -> dict[str, Any]:
    """Return the only record whose message begins so."""
    (found,) = [record for record in records if record["message"].startswith(message)]
    return found


def test_each_line_of_a_crawl_is_an_object_whatever_goes_wrong(
    scrapy: Scrapy, gateway: Gateway
) -> None:
    gateway.set(access_token=TOKEN)
    (scrapy.folder / ".env").write_text(f"ALI1688_ACCESS_TOKEN='{TOKEN}'\nno \"variable\n")
    crawl = scrapy.run(
        *("crawl", "product", *IDS, *NOISY, "-L", "DEBUG"),
        MONGODB_URI="mongodb://elsewhere",
        real=True,
    )
    assert crawl.exit_code == 1  # nothing is collected
    records = read(crawl.log)
    assert {(record["spider"], record["pid"]) for record in records} == {("product", crawl.pid)}
    assert TOKEN not in crawl.log
    assert json.dumps(TOKEN)[1:-1] not in crawl.log
    assert TOKEN not in str(records)

    # What comes first, before the settings are checked and the log's secrets are known.
    assert records[0]["message"].startswith("Scrapy ")
    assert find(records, "python-dotenv could not parse statement")["level"] == "WARNING"
    assert find(records, f"Others can read the secrets in {scrapy.folder}/.env")
    assert find(records, "MONGODB_URI is set, but MONGO_URI is not")

    noise = find(records, TEXT)
    assert noise["message"] == f"{TEXT} ***"
    assert (noise["level"], noise["logger"]) == ("ERROR", "some.library")
    assert noise["stack"].startswith("Stack (most recent call last):\n")
    assert find(records, "%d is no number ('***',)")
    assert find(records, f"{ROOT}/tests/integration/noisy.py:")["logger"] == "py.warnings"
    assert find(records, "Twisted failed\nTraceback (most ")["message"].endswith(f"{TEXT} ***\n")
    assert find(records, "Twisted fails again")["logger"] == "twisted"
    for message in ("It failed", "A thread has ended, by an error that nobody expected"):
        exception = find(records, message)["exception"]
        assert exception.startswith("Traceback (most recent call last):\n")
        assert exception.endswith(f"\nValueError: {TEXT} ***")

    errors = [each for each in records if each["message"].startswith("Error processing ")]
    assert len(errors) == 3
    for error in errors:
        assert error["exception"].endswith("RuntimeError: Product failed with ***")
    assert find(records, "Dumping Scrapy stats:\n")["stats"]["finish_reason"] == "incomplete"
    closing = "3 wanted: 0 collected, 3 given up (scrapy failed list) → nowhere"
    assert records[-1]["message"].startswith(closing)
    assert records[-1]["outcome"] == {
        "wanted": 3,
        "collected": 0,
        "gone": 0,
        "rejected": 0,
        "given_up": 3,
        "unreadable": 0,
        "rest": 0,
        "reason": "incomplete",
    }


@pytest.mark.parametrize("append", ["1", "0"])
def test_a_log_in_a_file_is_objects_and_so_is_what_is_left_of_standard_error(
    scrapy: Scrapy, append: str
) -> None:
    file = scrapy.folder / "crawl.log"
    file.write_text('{"an": "older log"}\n')
    crawl = scrapy.crawl(
        *("product", *IDS, "-O", "产品.csv", "--logfile", "crawl.log"),
        *("-s", f"LOG_FILE_APPEND={append}"),
        real=True,
        SCRAPY_JOB="job-1",
        PYTHONIOENCODING="gbk",
    )
    lines = file.read_text("utf-8").splitlines()
    assert (json.loads(lines[0]) == {"an": "older log"}) is (append == "1")
    records = read("\n".join(lines[int(append) :]))
    assert {record["job"] for record in records} == {"job-1"}
    assert find(records, "Ready to collect")
    assert records[-1]["message"] == "3 wanted: 3 collected → 产品.csv"
    assert records[-1]["outcome"]["collected"] == 3
    (last,) = read(crawl.log)
    assert last == records[-1]


def test_without_a_log_the_closing_line_is_an_object(scrapy: Scrapy) -> None:
    (closing,) = read(scrapy.crawl("product", *IDS, "-O", "products.csv", "--nolog").log)
    assert closing["message"] == "3 wanted: 3 collected → products.csv"
    (closing,) = read(scrapy.crawl("product", *IDS, "-O", "products.csv", "-L", "ERROR").log)
    assert closing["level"] == "INFO"


@pytest.mark.parametrize("where", [(), ("--nolog",), ("--logfile", "crawl.log")])
def test_a_crawl_that_is_refused_says_so_in_an_object(
    scrapy: Scrapy, where: tuple[str, ...]
) -> None:
    crawl = scrapy.run("crawl", "product", "-a", "id=1", *where, "-s", "ALI1688_LOG_FORMAT=json")
    assert crawl.exit_code == 1
    (refused,) = read(crawl.log)
    assert refused["message"].startswith("the spider product has no argument 'id': it has ")
    assert (refused["level"], refused["spider"]) == ("ERROR", "product")
    if "--logfile" in where:
        assert read((scrapy.folder / "crawl.log").read_text()) == [refused]


def test_what_cannot_be_read_in_env_is_said_with_what_is_missing(scrapy: Scrapy) -> None:
    (scrapy.folder / ".env").write_text('ALI1688_ACCESS_TOKEN "x"\n')
    warning, refused = read(scrapy.run("crawl", "product").log)
    assert warning["message"] == "python-dotenv could not parse statement starting at line 1"
    assert refused["message"].startswith("there is nothing to collect: ")


def test_the_error_that_ends_the_program_is_an_object(scrapy: Scrapy) -> None:
    crawl = scrapy.run("crawl", "product", *IDS, "-L", "LOUD")
    (ended,) = read(crawl.log)
    assert crawl.exit_code == 1
    assert ended["level"] == "CRITICAL"
    assert ended["exception"].endswith("ValueError: Unknown level: 'LOUD'")


def test_what_a_command_logs_is_an_object_and_what_it_says_is_not(scrapy: Scrapy) -> None:
    (scrapy.folder / ".env").write_text('no "variable\n')
    command = scrapy.run("export", "products.csv")
    logged, said = command.log.splitlines()
    assert read(logged)[0]["message"].startswith("python-dotenv could not parse statement")
    assert said.startswith("Error: MONGO_URI is empty, ")


@pytest.mark.parametrize("asks_for_it", [True, False])
def test_a_program_that_runs_crawls_itself(
    scrapy: Scrapy, tmp_path: Path, *, asks_for_it: bool
) -> None:
    program = (
        "from ali1688_spider.logs import log_as_json\n"
        "from scrapy.crawler import AsyncCrawlerProcess\n"
        "from scrapy.utils.project import get_project_settings\n"
        "settings = get_project_settings()\n"
        f"{'' if asks_for_it else '# '}log_as_json(settings)\n"
        "process = AsyncCrawlerProcess(settings)\n"
        f"process.crawl('product', ids='{FIRST_PRODUCT}')\n"
        "process.start()\n"
    )
    own = {"SCRAPY_SETTINGS_MODULE": "ali1688_spider.settings", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **scrapy.settings, **own},
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    before, start, log = ended.stderr.partition('{"time": ')
    assert bool(before) is not asks_for_it
    records = read(start + log)
    assert find(records, "Ready to collect")
    assert records[-1]["outcome"]["collected"] == 1
