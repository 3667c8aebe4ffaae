"""What a crawl did not do, it says in one sentence and in its exit code."""

from __future__ import annotations

import os
import pty
import re
from typing import TYPE_CHECKING

import pytest

from tests.harness import Cluster, eventually, products

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness import Gateway, Process, Scrapy

    Settings = Callable[[str], dict[str, str]]

FIRST = 610_000_000_001


def listed(count: int) -> str:
    return f"ids={','.join(map(str, products(count)))}"


def last_line(crawl: Process) -> str:
    return crawl.log.splitlines()[-1]


def test_the_last_line_tells_what_became_of_everything(scrapy: Scrapy, gateway: Gateway) -> None:
    gateway.product(FIRST + 1, removed=True)
    gateway.product(FIRST + 2, answer={"error_response": {"code": 41, "msg": "wrong"}})
    gateway.product(FIRST + 3, answer={"result": {"product": {"productName": ""}}})
    arguments = ("crawl", "product", "-a", f"{listed(8)},cup", "--nolog", "-O", "products.csv")
    crawl = scrapy.run(*arguments)
    assert crawl.exit_code == 1
    assert crawl.log == (
        "9 wanted: 5 collected, 1 gone, 1 rejected, 1 given up (scrapy failed list), 1 unreadable "
        "→ products.csv\n"
    )
    assert crawl.stats["finish_reason"] == "incomplete"


def test_a_crawl_that_is_whole_ends_with_0(scrapy: Scrapy) -> None:
    crawl = scrapy.crawl("product", "-a", listed(3), "-O", "products.csv")
    assert last_line(crawl) == "3 wanted: 3 collected → products.csv"


def test_products_that_are_kept_nowhere_are_said_to_be(scrapy: Scrapy) -> None:
    crawl = scrapy.crawl("product", "-a", listed(1), "--nolog")
    assert crawl.log == ("1 wanted: 1 collected → nowhere: add -O products.csv, or set MONGO_URI\n")


def test_a_log_in_a_file_has_the_last_line_too(scrapy: Scrapy) -> None:
    scrapy.crawl("product", "-a", listed(2), "-O", "products.csv", "--logfile", "log.txt")
    assert "2 wanted: 2 collected → products.csv" in (scrapy.folder / "log.txt").read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ("product", "-a", "ids=cup,pot"),
        ("search", "-a", "keyword=杯子0"),
        ("product", "-a", f"ids={FIRST}", "-s", "ALI1688_PROTOCOL=top"),
    ],
    ids=["unreadable ids", "a search without a row", "a wrong protocol"],
)
def test_a_crawl_that_brings_nothing_fails_and_leaves_the_old_file(
    scrapy: Scrapy, arguments: tuple[str, ...]
) -> None:
    (scrapy.folder / "products.csv").write_text("the old one")
    crawl = scrapy.run("crawl", *arguments, "-O", "products.csv")
    assert crawl.exit_code == 1
    assert crawl.stats["finish_reason"] != "finished"
    assert last_line(crawl).endswith("→ nowhere; not written: products.csv")
    assert (scrapy.folder / "products.csv").read_text() == "the old one"
    assert not (scrapy.folder / "products.csv.part").exists()


def test_a_crawl_that_is_killed_leaves_the_old_file(scrapy: Scrapy, gateway: Gateway) -> None:
    (scrapy.folder / "products.jsonl").write_text("the old one")
    gateway.set(latency=20)
    crawl = scrapy.start("crawl", "product", "-a", listed(2000), "-O", "products.jsonl")
    part = scrapy.folder / "products.jsonl.part"
    eventually(lambda: part.exists() and part.stat().st_size > 0)
    crawl.kill()
    assert (scrapy.folder / "products.jsonl").read_text() == "the old one"


def test_a_crawl_that_is_stopped_says_what_it_has_not_done(
    scrapy: Scrapy, gateway: Gateway
) -> None:
    gateway.set(latency=100)
    crawl = scrapy.start("crawl", "product", "-a", listed(2000), "-O", "p.csv", "--nolog")
    gateway.wait_for(50)
    assert crawl.stop() == 1
    assert "2,000 wanted: " in last_line(crawl)
    assert " not done → p.csv" in last_line(crawl)


def test_a_crawl_that_is_stopped_while_it_opens_closes_as_any_other(
    scrapy: Scrapy, gateway: Gateway
) -> None:
    gateway.set(latency=100)
    crawl = scrapy.start("crawl", "product", "-a", listed(2000), "-O", "p.csv")
    while "Spider opened" not in crawl.log:
        assert crawl.is_running
    assert crawl.stop() == 1
    assert crawl.stats["finish_reason"] == "shutdown"
    assert "2,000 wanted: " in last_line(crawl)


def test_a_file_that_cannot_be_written_ends_the_crawl(scrapy: Scrapy, gateway: Gateway) -> None:
    crawl = scrapy.run("crawl", "product", "-a", listed(300), "-O", "/dev/full:jsonl")
    assert crawl.exit_code == 1
    assert crawl.stats["finish_reason"] == "incomplete"
    sentence = "/dev/full cannot be written (No space left on device): make room or choose another"
    assert crawl.log.count(sentence) == 1
    assert last_line(crawl).endswith("not written: /dev/full")
    assert gateway.calls < 300
    assert "Traceback" not in crawl.log


def test_a_feed_that_cannot_be_stored_fails_the_crawl(scrapy: Scrapy) -> None:
    (scrapy.folder / "products.csv").mkdir()
    (scrapy.folder / "products.csv" / "other").touch()
    feeds = ("-O", "products.csv", "-O", "products.jsonl")
    crawl = scrapy.run("crawl", "product", "-a", listed(3), *feeds)
    assert crawl.exit_code == 1
    assert crawl.stats["finish_reason"] == "incomplete"
    assert last_line(crawl) == "3 wanted: 3 collected → products.jsonl; not written: products.csv"


def test_a_feed_on_standard_output_is_the_rows_alone(scrapy: Scrapy) -> None:
    crawl = scrapy.crawl("product", "-a", listed(3), "-O", "-:jsonl")
    assert len(crawl.stdout.splitlines()) == 3
    assert last_line(crawl) == "3 wanted: 3 collected → stdout:"


def test_a_worker_s_feed_holds_what_others_have_collected(
    tmp_path: Path, mongo_uri: str, mongo_database: str
) -> None:
    ids = products(200)
    with Cluster(tmp_path) as cluster:
        cluster.settings = {
            "MONGO_URI": mongo_uri,
            "MONGO_DATABASE": mongo_database,
            "ALI1688_CACHE_TTL": "0",
        }
        cluster.gateway.set(latency=20)
        cluster.gateway.product(ids[7], removed=True)
        other = cluster.start()
        eventually(lambda: other.has_opened)
        command = ("crawl", "product", "-a", listed(200), "-O", "products.jsonl")
        worker = cluster.run(*command, "-s", "CONCURRENT_REQUESTS=1").finish().ended_well()
        rows = (worker.folder / "products.jsonl").read_text().splitlines()
        assert len(rows) == 200
        assert set(worker.read("products.jsonl")) == {*ids}
        assert worker.stats["item_scraped_count"] < 200
        assert set(cluster.gateway.by_product.values()) == {1}
        assert other.stop() == 0


def test_a_worker_s_feed_that_lacks_what_others_have_collected_says_so(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.gateway.set(latency=20)
        other = cluster.start()
        eventually(lambda: other.has_opened)
        command = ("crawl", "product", "-a", listed(200), "-O", "products.jsonl")
        worker = cluster.run(*command, "-s", "CONCURRENT_REQUESTS=1").finish()
        assert worker.exit_code == 1
        lacking = 200 - len((worker.folder / "products.jsonl").read_text().splitlines())
        assert lacking
        assert f"products.jsonl lacks {lacking} products that other workers" in worker.log
        assert "set MONGO_URI" in worker.log
        assert worker.stats["finish_reason"] == "incomplete"
        assert other.stop() == 0


def test_jobdir_is_refused_with_the_way_out(scrapy: Scrapy, gateway: Gateway) -> None:
    crawl = scrapy.run("crawl", "product", "-a", listed(1), "-s", "JOBDIR=job")
    assert crawl.exit_code == 1
    assert "leave it out, and set REDIS_URL" in crawl.log
    assert gateway.calls == 0


def test_the_log_begins_with_the_crawl_itself(scrapy: Scrapy) -> None:
    crawl = scrapy.crawl("product", "-a", listed(1), "-O", "products.csv")
    for banner in ("started (bot", "Versions", "Enabled ", "Overridden settings", "pages/min"):
        assert banner not in crawl.log
    assert "WARNING" not in crawl.log
    assert "INFO: MONGO_URI is empty: products go to feeds only" in crawl.log
    crawl = scrapy.crawl("product", "-a", listed(1), "-O", "products.csv", "-L", "DEBUG")
    assert "Overridden settings" in crawl.log


def test_gone_products_and_takeovers_are_logged(tmp_path: Path) -> None:
    with Cluster(tmp_path, {"ALI1688_LEASE_SECONDS": "1"}) as cluster:
        cluster.gateway.product(FIRST, removed=True)
        cluster.gateway.set(latency=60_000)
        cluster.produce([FIRST])
        killed = cluster.start()
        cluster.gateway.wait_for(1)
        killed.kill()
        cluster.gateway.set(latency=0)
        worker = cluster.start("idle=3").finish().ended_well()
        assert "Took over 1 calls of workers that are silent" in worker.log
        assert f"Product {FIRST} is gone" in worker.log


def test_the_line_says_how_far_it_is_and_what_it_waits_for(tmp_path: Path) -> None:
    with Cluster(tmp_path, {"REDIS_URL": "", "ALI1688_PROGRESS": "on"}) as cluster:
        cluster.gateway.set(latency=200)
        crawl = cluster.start(listed(1500))
        eventually(lambda: re.search(r" of 1,500 products, 1,\d+ waiting, \d+\.\d/s, ", crawl.log))
        eventually(lambda: "done at about " in crawl.log)
        cluster.kill_gateway()
        eventually(lambda: "waits for the gateway, which is away since " in crawl.log)
        cluster.restart_gateway()
        assert crawl.wait() == 0
        assert "1,500 of 1,500 products, " in crawl.log


def test_the_line_of_a_worker_says_how_many_wait_in_the_queue(tmp_path: Path) -> None:
    with Cluster(tmp_path, {"ALI1688_PROGRESS": "on"}) as cluster:
        cluster.gateway.set(latency=60_000)
        cluster.produce(products(500))
        worker = cluster.start()
        eventually(lambda: "0 products, 500 waiting, 0.0/s, " in worker.log)


def test_a_ban_says_until_when_and_what_to_do(tmp_path: Path) -> None:
    settings = {"REDIS_URL": "", "ALI1688_PROGRESS": "on"}
    with Cluster(tmp_path, settings, sandbox=["--qps", "5", "--ban", "3"]) as cluster:
        crawl = cluster.start(listed(30))
        eventually(lambda: "waits for the platform's pause until " in crawl.log)
        assert ": lower ALI1688_QPS | " in crawl.log
        crawl.kill()


def test_it_says_that_it_waits_for_redis(tmp_path: Path) -> None:
    with Cluster(tmp_path, {"ALI1688_PROGRESS": "on"}) as cluster:
        worker = cluster.start("idle=1")
        eventually(lambda: worker.has_opened)
        cluster.kill_redis()
        eventually(lambda: "waits for Redis, which is away since " in worker.log)
        cluster.restart_redis()
        assert worker.wait() == 0


def test_it_says_that_it_waits_for_the_next_day(tmp_path: Path) -> None:
    settings = {"REDIS_URL": "", "ALI1688_PROGRESS": "on", "ALI1688_DAILY_QUOTA": "2"}
    with Cluster(tmp_path, settings) as cluster:
        crawl = cluster.start(listed(5), spider="watch")
        eventually(lambda: "waits for the next day's calls, from " in crawl.log)
        crawl.kill()


def test_a_terminal_shows_the_line_below_the_log(scrapy: Scrapy, gateway: Gateway) -> None:
    gateway.set(latency=100)
    ours, theirs = pty.openpty()
    crawl = scrapy.start("crawl", "product", "-a", listed(300), "-O", "p.csv", terminal=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert crawl.wait() == 0
    text = shown.decode()
    assert "\r\x1b[K" in text
    assert " of 300 products, " in text
    for line in text.splitlines():
        # No line of the log begins behind what is left of the progress.
        assert "INFO: " not in line.rpartition("\x1b[K")[0].rpartition("\x1b[K")[2]
    assert "300 wanted: 300 collected → p.csv" in text
