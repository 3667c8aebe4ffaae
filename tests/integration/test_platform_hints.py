"""What the platform says has changed is fetched at once, and no message is lost or taken twice."""

from __future__ import annotations

import json
import shlex
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import redis

from tests.harness import FIRST_PRODUCT, ROOT, Cluster, eventually, products

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.harness import Gateway, Process, Scrapy

QUERY = "cn.alibaba.open:push.query.messageList-1"
CONFIRM = "cn.alibaba.open:push.message.confirm-1"
LIST = "com.alibaba.product.push:alibaba.cross.syncProductListPushed-1"
FOLLOW = "com.alibaba.product:alibaba.product.follow.crossborder-1"
DETAIL = "com.alibaba.fenxiao.crossborder:product.search.queryProductDetail-1"
EXPIRE = "PRODUCT_RELATION_VIEW_PRODUCT_EXPIRE"

SELDOM = ("-a", "min_interval=86400", "-a", "max_interval=86400")
"""So that only a hint has a product fetched again."""

POLL = {"ALI1688_MESSAGES": "poll", "ALI1688_LEASE_SECONDS": "2", "ALI1688_DAILY_QUOTA": "0"}
FIRST, SECOND = FIRST_PRODUCT, FIRST_PRODUCT + 1


@pytest.fixture
def watch(scrapy: Scrapy, settings_for: Callable[[str], dict[str, str]]) -> Callable[..., Process]:
    """Start a watch that asks for messages."""
    scrapy.settings |= POLL | settings_for("param2")
    return lambda *arguments: scrapy.start("crawl", "watch", *SELDOM, *arguments)


@pytest.fixture(params=[False, True], ids=["alone", "over redis"])
def alone_or_over_redis(request: pytest.FixtureRequest, scrapy: Scrapy) -> None:
    if request.param:
        scrapy.settings["REDIS_URL"] = request.getfixturevalue("redis_url")


def ids_of(ids: Sequence[int]) -> tuple[str, str]:
    return "-a", f"ids={','.join(map(str, ids))}"


def change(gateway: Gateway, product_id: int) -> None:
    """Change the price of a product that is followed, which makes messages."""
    before = Decimal(gateway.product(product_id)["price"])
    gateway.product(product_id, price=str(before + 1))


def fetched(gateway: Gateway, counts: dict[int, int]) -> Callable[[], bool]:
    """Return whether the products were fetched so often, and no others."""
    return lambda: gateway.by_product == counts


def stopped(worker: Process) -> dict[str, Any]:
    """Ask a worker to end, which it does well; return its statistics of hints."""
    worker.stop()
    stats = worker.ended_well().stats
    prefix = "ali1688/hints/"
    return {name.removeprefix(prefix): n for name, n in stats.items() if name.startswith(prefix)}


@pytest.mark.usefixtures("alone_or_over_redis")
def test_what_a_message_names_is_fetched_at_once(
    watch: Callable[..., Process], gateway: Gateway
) -> None:
    ids = products(4)
    for product_id in (*ids[:3], FIRST + 50):
        gateway.product(product_id, followed=True)
    worker = watch(*ids_of(ids))
    eventually(fetched(gateway, dict.fromkeys(ids, 1)))
    change(gateway, FIRST)
    gateway.product(SECOND, stock=3)
    change(gateway, FIRST + 50)  # is not watched
    gateway.product(ids[3], name="is not followed")
    made = gateway.status()["messages"]["made"]
    eventually(lambda: not gateway.undelivered)
    eventually(fetched(gateway, {**dict.fromkeys(ids, 1), FIRST: 2, SECOND: 2}))
    stats = stopped(worker)
    assert stats.pop("polls") >= 1
    assert stats == {
        "received": made,
        "confirmed": made,
        "duplicates": 0,
        "watched": 2,
        "unwatched": 1,
    }


def test_malformed_messages_go_away_and_those_of_others_stay(
    watch: Callable[..., Process], gateway: Gateway
) -> None:
    order = gateway.message("ORDER_BUYER_VIEW_ORDER_PAY", {"orderId": 1})
    for data in ({"productIds": "x"}, {}, "{"):
        gateway.message(EXPIRE, data)
    gateway.message(EXPIRE, {"productIds": f"{FIRST},x"})
    worker = watch(*ids_of([FIRST]))
    eventually(lambda: [each["msgId"] for each in gateway.undelivered] == [order])
    log = worker.log
    stats = stopped(worker)
    assert stats["malformed"] == stats["received"] == 4
    assert stats["other_topics"] >= 1
    assert log.count(f"A message of the platform cannot be used ({EXPIRE})") == 1


def test_messages_behind_pages_of_others_are_found(
    watch: Callable[..., Process], gateway: Gateway
) -> None:
    for _ in range(450):
        gateway.message("ORDER_BUYER_VIEW_ORDER_PAY", {"orderId": 1})
    worker = watch(*ids_of([FIRST]))
    eventually(fetched(gateway, {FIRST: 1}))
    gateway.message(EXPIRE, {"productIds": str(FIRST)})
    eventually(fetched(gateway, {FIRST: 2}))
    eventually(lambda: len(gateway.undelivered) == 450)
    assert stopped(worker)["confirmed"] == 1


def test_a_full_page_goes_on_at_once(watch: Callable[..., Process], gateway: Gateway) -> None:
    for _ in range(450):
        gateway.message(EXPIRE, {"productIds": str(SECOND)})
    worker = watch(*ids_of([FIRST]))
    eventually(lambda: not gateway.undelivered)
    stats = stopped(worker)
    assert (stats["polls"], stats["confirmed"], stats["unwatched"]) == (3, 450, 3)


def test_without_permission_the_watch_goes_on_and_says_so_once(
    watch: Callable[..., Process], gateway: Gateway
) -> None:
    gateway.set(deny=[QUERY])
    worker = watch(*ids_of([FIRST]))
    sentence = "ALI1688_MESSAGES=poll is off now, products are watched without it"
    eventually(lambda: sentence in worker.log)
    eventually(fetched(gateway, {FIRST: 1}))
    assert worker.log.count("WARNING") == 1
    assert "Order cn.alibaba.open:push.query.messageList-1" in worker.log
    assert stopped(worker) == {}
    assert gateway.calls_of(QUERY) == 1


def test_what_fails_is_tried_again(watch: Callable[..., Process], gateway: Gateway) -> None:
    gateway.fail(api=QUERY, faults=["unavailable", "html", "reset"])
    gateway.fail(api=CONFIRM, faults=["503", "is-success"])
    gateway.message(EXPIRE, {"productIds": str(FIRST)})
    worker = watch(*ids_of([FIRST]))
    eventually(lambda: gateway.calls_of(CONFIRM) >= 1)
    eventually(lambda: not gateway.undelivered)
    stats = stopped(worker)
    assert stats["received"] == 1
    assert stats["poller_failures"] >= 4


@pytest.mark.chaotic
def test_a_worker_that_is_killed_before_it_confirms_loses_none(
    watch: Callable[..., Process], scrapy: Scrapy, gateway: Gateway, redis_url: str
) -> None:
    scrapy.settings["REDIS_URL"] = redis_url
    gateway.product(FIRST, followed=True)
    gateway.fail(api=CONFIRM, faults=["unavailable"] * 100)
    worker = watch(*ids_of([FIRST]))
    eventually(fetched(gateway, {FIRST: 1}))
    change(gateway, FIRST)
    waiting = gateway.undelivered
    eventually(fetched(gateway, {FIRST: 2}))  # it was kept
    with redis.Redis.from_url(redis_url) as client:
        eventually(lambda: not client.zcard("{watch:start_urls}:leased"))
    eventually(lambda: gateway.calls_of(CONFIRM) >= 1)
    worker.kill()
    assert gateway.undelivered == waiting
    gateway.fail(api=CONFIRM, faults=[])
    other = watch()
    eventually(lambda: not gateway.undelivered)
    stats = stopped(other)
    assert (stats["duplicates"], stats["confirmed"]) == (len(waiting), len(waiting))
    assert stats["received"] == stats["watched"] == 0
    assert gateway.by_product == {FIRST: 2}  # not once more for the same message


def cluster_of(folder: Path) -> Cluster:
    arguments = ["--appendonly", "yes", "--appendfsync", "always"]
    cluster = Cluster(folder, POLL, redis_arguments=arguments)
    address = {"ALI1688_GATEWAY": f"{cluster.gateway.url}/openapi", "ALI1688_PROTOCOL": "param2"}
    cluster.settings |= address
    return cluster


@pytest.mark.chaotic
def test_a_worker_that_is_killed_before_it_keeps_loses_none(tmp_path: Path) -> None:
    seldom = [each for each in SELDOM if each != "-a"]
    with cluster_of(tmp_path) as cluster:
        gateway = cluster.gateway
        gateway.product(FIRST, followed=True)
        gateway.fail(api=QUERY, faults=["slow:5"])
        worker = cluster.start(f"ids={FIRST}", *seldom, spider="watch")
        eventually(fetched(gateway, {FIRST: 1}))
        change(gateway, FIRST)
        waiting = gateway.undelivered
        eventually(lambda: gateway.status()["faults"] == {"slow": 1})
        cluster.kill_redis()  # what is on its way cannot be kept
        eventually(lambda: "Redis is unavailable" in worker.log)
        worker.kill()
        assert gateway.undelivered == waiting
        assert gateway.calls_of(CONFIRM) == 0
        cluster.restart_redis()
        other = cluster.start(*seldom, spider="watch")
        eventually(fetched(gateway, {FIRST: 2}))
        eventually(lambda: not gateway.undelivered)
        assert stopped(other)["received"] == len(waiting)


@pytest.mark.chaotic
def test_one_worker_asks_and_another_goes_on_when_it_is_killed(
    watch: Callable[..., Process], scrapy: Scrapy, gateway: Gateway, redis_url: str
) -> None:
    scrapy.settings["REDIS_URL"] = redis_url
    gateway.product(FIRST, followed=True)
    worker = watch(*ids_of([FIRST]))
    eventually(lambda: gateway.calls_of(QUERY) >= 1)
    other = watch()
    eventually(lambda: other.has_opened)
    gateway.fail(api=QUERY, faults=["slow:60"])
    eventually(lambda: gateway.status()["faults"] == {"slow": 1})
    change(gateway, FIRST)
    worker.kill()
    eventually(fetched(gateway, {FIRST: 2}))
    eventually(lambda: not gateway.undelivered)
    assert stopped(other)["received"] > 0


@pytest.mark.usefixtures("alone_or_over_redis")
def test_products_are_followed_once(
    watch: Callable[..., Process], scrapy: Scrapy, gateway: Gateway
) -> None:
    scrapy.settings["ALI1688_MESSAGES"] = "off"
    ids = products(25)
    worker = watch(*ids_of(ids), "-a", "follow=1")
    eventually(fetched(gateway, dict.fromkeys(ids, 3)))  # and listed, and followed
    assert all(gateway.product(each)["followed"] for each in ids)
    stats = stopped(worker)
    assert stats == {"listed": 25, "followed": 25}
    listing_calls = gateway.calls_of(LIST)
    assert 2 <= listing_calls <= 25  # 20 with a call, of those that were fetched by then
    gateway.reset_counts()
    added = FIRST + 30
    worker = watch(*ids_of([added]), "-a", "follow=1")
    eventually(fetched(gateway, {added: 3}))
    assert stopped(worker) == {"listed": 1, "followed": 1}
    assert (gateway.calls_of(LIST), gateway.calls_of(FOLLOW)) == (1, 1)


def test_products_that_cannot_be_followed_are_counted_and_said_once(
    watch: Callable[..., Process], scrapy: Scrapy, gateway: Gateway
) -> None:
    scrapy.settings["ALI1688_MESSAGES"] = "off"
    ids = products(22)
    worker = watch(*ids_of(ids))
    eventually(lambda: len(gateway.by_product) == 22)
    stopped(worker)
    for gone in ids[3:6]:
        gateway.product(gone, removed=True)
    gateway.reset_counts()
    worker = watch("-a", "follow=1")
    eventually(lambda: gateway.calls_of(FOLLOW) == 22)
    log = worker.log
    stats = stopped(worker)
    assert stats == {"listed": 19, "followed": 19, "follow_refused": 6}
    assert log.count("The platform does not follow product") == 1
    gateway.reset_counts()
    worker = watch("-a", "follow=1")
    eventually(lambda: worker.has_opened)
    stopped(worker)
    assert gateway.calls_of(LIST) == gateway.calls_of(FOLLOW) == 0


def test_without_permission_to_list_products_are_followed(
    watch: Callable[..., Process], scrapy: Scrapy, gateway: Gateway
) -> None:
    scrapy.settings["ALI1688_MESSAGES"] = "off"
    gateway.set(deny=[LIST])
    worker = watch(*ids_of(products(3)), "-a", "follow=1")
    eventually(lambda: gateway.calls_of(FOLLOW) == 3)
    eventually(lambda: "Products are not listed any more" in worker.log)
    assert stopped(worker) == {"followed": 3}
    assert worker.log.count("Products are not listed any more") == 1


def test_the_example_of_the_how_to(
    watch: Callable[..., Process], gateway: Gateway, scrapy: Scrapy
) -> None:
    assert watch  # whose settings it has, but this one
    del scrapy.settings["ALI1688_MESSAGES"]
    text = (ROOT / "docs" / "how-to" / "watch.md").read_text()
    (block,) = [each for each in text.split("```bash") if "\ncurl -d" in each]
    lines = block.partition("```")[0].strip().splitlines()
    command, curl = (shlex.split(line, comments=True) for line in lines)
    assert (command.pop(0), command.pop()) == ("scrapy", "&")
    *program, body, url = curl
    assert program == ["curl", "-d"]
    assert url == f"http://127.0.0.1:8080/_sandbox/products/{FIRST}"
    worker = scrapy.start(*command)
    eventually(lambda: gateway.product(FIRST)["followed"])
    gateway.product(FIRST, **json.loads(body))
    eventually(lambda: gateway.calls_of(DETAIL) == 3)
    assert stopped(worker)["watched"] == 1


@pytest.mark.parametrize(
    ("settings", "arguments", "sentence"),
    [
        (
            {"ALI1688_MESSAGES": "poll"},
            (),
            (
                "ALI1688_MESSAGES is 'poll', and only param2 has messages: set "
                "ALI1688_PROTOCOL=param2, or ALI1688_MESSAGES=off"
            ),
        ),
        (
            {"ALI1688_MESSAGES": "push"},
            (),
            "ALI1688_MESSAGES is 'push': set it to one of off, poll",
        ),
        (
            {},
            ("-a", "follow=1"),
            "follow=1 needs ALI1688_PROTOCOL=param2: the other protocols have no messages",
        ),
    ],
)
def test_wrong_settings(
    scrapy: Scrapy, settings: dict[str, str], arguments: tuple[str, ...], sentence: str
) -> None:
    command = scrapy.run("crawl", "watch", *ids_of([FIRST]), *arguments, **settings)
    assert command.exit_code == 1
    assert command.log.splitlines()[-1] == f"Error: {sentence}."
