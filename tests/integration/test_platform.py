"""Every no of the platform gets the one reaction that fits, and nothing is lost."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.harness import Gateway, Scrapy

    Settings = Callable[[str], dict[str, str]]
    Ids = Callable[[int], Sequence[int]]

ROUTER_API = "alibaba.product.get"
PARAM2_API = "com.alibaba.fenxiao.crossborder:product.search.queryProductDetail-1"


def listed(ids: Sequence[int]) -> str:
    return ",".join(map(str, ids))


def test_all_arrive_though_most_fail_twice_in_eight_ways(
    scrapy: Scrapy, gateway: Gateway, settings_for: Settings, ids: Ids, redis_url: str
) -> None:
    faults = ["500", "503:0", "html", "truncated", "empty", "reset", "rate-limit", "isp"]
    gateway.fail(faults=faults, rate=0.6, times=2)
    crawls = []
    for number, (protocol, server) in enumerate(
        [("router", ""), ("param2", ""), ("router", redis_url), ("param2", f"{redis_url[:-1]}1")]
    ):
        wanted = ids(600)[150 * number : 150 * (number + 1)]
        arguments = ("product", "-a", f"ids={listed(wanted)}", "-O", f"{number}.jsonl")
        settings = settings_for(protocol) | {"REDIS_URL": server}
        crawls.append((wanted, scrapy.start("crawl", *arguments, **settings)))
    for number, (wanted, running) in enumerate(crawls):
        crawl = running.finish().ended_well()
        assert set(crawl.read(f"{number}.jsonl")) == set(wanted)
        stats = crawl.stats
        assert stats["item_scraped_count"] == 150
        assert stats["ali1688/retries"] == 180
        assert stats["ali1688/calls"] == 330
        assert stats["ali1688/errors/unreadable_answer"] > 0
        assert stats["ali1688/errors/connection"] > 0
        assert stats["ali1688/errors/service"] > 0
        assert stats["ali1688/errors/flow_control"] > 0
        assert "ali1688/failed_calls" not in stats
    status = gateway.status()
    assert set(status["faults"]) == {fault.partition(":")[0] for fault in faults}
    assert status["calls"] == 4 * 330
    assert set(status["by_product"].values()) == {1, 3}


def test_whatever_lies_in_between_is_tried_again(
    scrapy: Scrapy, gateway: Gateway, settings_for: Settings, ids: Ids
) -> None:
    faults = {
        "redirect": "unreadable_answer",  # not followed: nobody listens where it points to
        "huge:17": "unreadable_answer",  # over the limit of an answer's size
        "cut-connection": "unreadable_answer",
        "null": "unreadable_answer",
        "list": "unreadable_answer",
        "bare-string": "unreadable_answer",
        "502": "unreadable_answer",
        "slow:9": "timeout",
        "business-false": "service",
        "business-error": "service",
        "string-false": "business_refusal",
        "unavailable": "service",
        "user-limit": "flow_control",
        "isv-limit": "flow_control",
    }
    wanted = ids(2 * len(faults))
    # Every other call is answered: the gateway is not away.
    failing = wanted[1::2]
    for product_id, fault in zip(failing, faults, strict=True):
        gateway.fail(product_id=product_id, faults=[fault])
    crawl = scrapy.crawl(
        *("product", "-a", f"ids={listed(wanted)}", "-O", "all.jsonl"),
        *("-s", "DOWNLOAD_TIMEOUT=2"),
        **settings_for("param2"),
    )
    assert set(crawl.read("all.jsonl")) == set(wanted)
    assert gateway.status()["by_product"] == {
        str(product_id): 2 if product_id in failing else 1 for product_id in wanted
    }
    prefix = "ali1688/errors/"
    errors = {name: count for name, count in crawl.stats.items() if name.startswith(prefix)}
    assert errors == {f"{prefix}{name}": n for name, n in Counter(faults.values()).items()}
    assert crawl.stats["ali1688/retries"] == len(faults)


def test_a_product_that_is_gone_costs_one_call(
    *,
    scrapy: Scrapy,
    gateway: Gateway,
    settings_for: Settings,
    ids: Ids,
    mongo_uri: str,
    mongo_database: str,
) -> None:
    wanted = ids(8)
    settings = settings_for("param2") | {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}
    scrapy.crawl("product", "-a", f"ids={wanted[0]}", **settings)
    for product_id in wanted[:5]:
        gateway.product(product_id, removed=True)
    gateway.reset_counts()
    crawl = scrapy.crawl("product", "-a", f"ids={listed(wanted)}", **settings)
    assert gateway.status()["by_product"] == dict.fromkeys(map(str, wanted), 1)
    assert crawl.stats["ali1688/errors/product_gone"] == 5
    assert crawl.stats["ali1688/items/stored"] == 8
    assert "ali1688/failed_calls" not in crawl.stats
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(mongo_uri)
    with client:
        stored = {each["_id"]: each for each in client[mongo_database]["products"].find()}
    assert [stored[product_id]["status"] for product_id in wanted[:5]] == ["removed"] * 5
    assert stored[wanted[0]]["name"] == gateway.product(wanted[0], removed=False)["name"]
    assert stored[wanted[5]]["status"] != "removed"


@pytest.mark.parametrize(
    ("protocol", "redis"), [("router", False), ("top", False), ("param2", True)]
)
def test_a_wrong_secret_ends_the_crawl_after_a_handful_of_calls(
    *,
    protocol: str,
    redis: bool,
    scrapy: Scrapy,
    gateway: Gateway,
    settings_for: Settings,
    ids: Ids,
    redis_url: str,
) -> None:
    settings = settings_for(protocol) | {"REDIS_URL": redis_url if redis else ""}
    arguments = ("product", "-a", f"ids={listed(ids(200))}")
    crawl = scrapy.run("crawl", *arguments, **settings, ALI1688_APP_SECRET="another")
    assert crawl.exit_code == 1
    assert crawl.stats["finish_reason"] == "bad_credentials"
    assert "Traceback" not in crawl.log
    assert crawl.log.count(" ERROR: ") == 1
    assert "Check that ALI1688_APP_SECRET belongs to ALI1688_APP_KEY" in crawl.log
    assert gateway.status()["calls"] <= 4
    if redis:
        # What is queued waits for the right one, and no try was used up.
        crawl = scrapy.crawl(*arguments, **settings, ALI1688_MAX_ATTEMPTS="1")
        assert crawl.stats["item_scraped_count"] == 200


@pytest.mark.parametrize(
    ("protocol", "api", "refusal", "reason", "advice"),
    [
        ("router", ROUTER_API, "permission", "permission_denied", "Order the API for the app of"),
        ("param2", PARAM2_API, "permission", "permission_denied", "Order the API for the app of"),
        ("param2", PARAM2_API, "daily-limit", "permission_denied", "Buy another package of calls"),
    ],
)
def test_an_api_that_is_closed_to_the_app_ends_the_crawl_with_advice(
    *,
    protocol: str,
    api: str,
    refusal: str,
    reason: str,
    advice: str,
    scrapy: Scrapy,
    gateway: Gateway,
    settings_for: Settings,
    ids: Ids,
) -> None:
    gateway.fail(api=api, faults=[refusal] * 500)
    crawl = scrapy.run(
        "crawl", "product", "-a", f"ids={listed(ids(500))}", **settings_for(protocol)
    )
    assert crawl.exit_code == 1
    assert crawl.stats["finish_reason"] == reason
    assert "Traceback" not in crawl.log
    assert crawl.log.count(" ERROR: ") == 1
    assert advice in crawl.log
    assert gateway.status()["calls"] <= 4


def test_the_day_s_quota_ends_the_crawl(scrapy: Scrapy, gateway: Gateway, ids: Ids) -> None:
    crawl = scrapy.run("crawl", "product", "-a", f"ids={listed(ids(20))}", ALI1688_DAILY_QUOTA="7")
    assert crawl.exit_code == 1
    assert crawl.stats["finish_reason"] == "quota_exhausted"
    assert "ALI1688_DAILY_QUOTA (7 calls) is used up; the next day begins in " in crawl.log
    assert "Traceback" not in crawl.log
    assert gateway.status()["calls"] == 7
    assert crawl.stats["item_scraped_count"] == 7


@pytest.mark.parametrize(("protocol", "hours"), [("router", 2), ("top", -2), ("param2", 2)])
def test_a_clock_two_hours_off_recovers(
    *,
    protocol: str,
    hours: int,
    scrapy: Scrapy,
    gateway: Gateway,
    settings_for: Settings,
    ids: Ids,
) -> None:
    gateway.set(clock_skew=hours * 3600)
    crawl = scrapy.crawl(
        "product", "-a", f"ids={listed(ids(100))}", "-O", "all.jsonl", **settings_for(protocol)
    )
    assert set(crawl.read("all.jsonl")) == set(ids(100))
    status = gateway.status()
    assert status["errors"] == {"invalid-timestamp": crawl.stats["ali1688/errors/clock"]}
    assert status["calls"] == 100 + crawl.stats["ali1688/errors/clock"]
    assert crawl.stats["ali1688/errors/clock"] <= 4
    assert crawl.stats["ali1688/clock/skew_seconds"] == pytest.approx(hours * 3600, abs=3)
    assert re.search(r"The gateway's clock is [+-]7\d{3} s off this machine's", crawl.log)


def test_statistics_tell_what_became_of_the_calls(
    *,
    scrapy: Scrapy,
    gateway: Gateway,
    ids: Ids,
    redis_url: str,
    mongo_uri: str,
    mongo_database: str,
) -> None:
    wanted = ids(6)
    settings = {
        "REDIS_URL": redis_url,
        "MONGO_URI": mongo_uri,
        "MONGO_DATABASE": mongo_database,
        "ALI1688_MAX_ATTEMPTS": "2",
    }
    first = scrapy.crawl("product", "-a", f"ids={listed(wanted[:2])}", **settings)
    assert first.stats["ali1688/items/stored"] == 2
    gateway.product(wanted[0], price="7.77")
    gateway.product(wanted[2], answer={"result": {"product": {}}})
    gateway.fail(product_id=wanted[3], faults=["isp", "isp"])
    gateway.fail(product_id=wanted[4], faults=["isp"])
    settings["ALI1688_CACHE_TTL"] = "60"
    crawl = scrapy.crawl_incompletely("product", "-a", f"ids={listed(wanted)}", **settings)
    stats = {name: value for name, value in crawl.stats.items() if name.startswith("ali1688/")}
    expected = {
        "ali1688/calls": 8,
        "ali1688/errors/service": 3,
        "ali1688/retries": 2,
        "ali1688/failed_calls": 1,
        "ali1688/cache/miss": 8,
        "ali1688/items/stored": 4,
        "ali1688/items/changed": 1,
        "ali1688/items/unchanged": 1,
        "ali1688/items/rejected": 1,
        "ali1688/leases/taken": 8,
        "ali1688/leases/acked": 6,
        "ali1688/leases/expired": 0,
        "ali1688/leases/released": 0,
    }
    assert {name: stats.get(name) for name in expected} == expected
    assert stats["ali1688/quota/wait_seconds"] >= 0
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(mongo_uri, tz_aware=True)
    with client:
        (failed,) = client[mongo_database]["failed_calls"].find()
    assert failed["api"] == ROUTER_API
    assert failed["params"] == {"product_id": wanted[3]}
    assert failed["error"].startswith("15: isp.remote-service-error: ")
    assert failed["attempts"] == 2
    assert failed["at"] <= datetime.now(UTC)
