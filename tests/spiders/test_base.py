from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import signals
from scrapy.utils.test import get_crawler

from ali1688_spider import settings as defaults
from ali1688_spider.config import Config
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.http import ApiRequest, ApiResponse
from ali1688_spider.scheduling.memory_scheduler import MemoryScheduler
from ali1688_spider.spiders.product import ProductSpider

if TYPE_CHECKING:
    from pathlib import Path

CREDENTIALS = {"ALI1688_APP_KEY": "1000000", "ALI1688_APP_SECRET": "test123"}


def spider_with(arguments: dict[str, str], **changes: Any) -> ProductSpider:
    settings = {
        "ADDONS": defaults.ADDONS,
        "SCHEDULER_PRIORITY_QUEUE": "scrapy.pqueues.ScrapyPriorityQueue",
        **CREDENTIALS,
        **changes,
    }
    return ProductSpider.from_crawler(get_crawler(ProductSpider, settings), **arguments)


async def test_no_call_is_read_while_the_scheduler_has_another() -> None:
    spider = spider_with({"ids": "1,2,3"})
    spider.crawler._engine = SimpleNamespace()  # type: ignore[assignment]
    scheduler = MemoryScheduler.from_crawler(spider.crawler)
    spider.crawler.engine.scheduler = scheduler  # type: ignore[misc]
    scheduler.open(spider)
    start = spider.start()
    scheduler.enqueue_request(await anext(start))
    second = asyncio.ensure_future(anext(start))
    for request_taken in (False, True):
        await asyncio.sleep(0)
        assert not second.done()
        if request_taken:
            assert super(MemoryScheduler, scheduler).next_request() is not None
        # Scrapy sends it as well while calls are held back.
        spider.crawler.signals.send_catch_log(signals.scheduler_empty)
    assert (await second).call == ApiCall.product(2)
    assert (await anext(start)).call == ApiCall.product(3)
    scheduler.close("finished")


async def test_with_redis_the_scheduler_reads_the_calls_itself() -> None:
    spider = spider_with({"ids": "1,2"}, REDIS_URL="redis://127.0.0.1")
    assert [request async for request in spider.start()] == []
    assert [call async for call, _ in spider.all_calls()] == [
        ApiCall.product(1),
        ApiCall.product(2),
    ]


async def test_the_calls_of_a_file_come_instead_of_the_spiders_own(tmp_path: Path) -> None:
    file = tmp_path / "calls"
    file.write_text("8\n9\n")
    spider = spider_with({"ids": "1", "calls_file": str(file)})
    assert [call async for call, _ in spider.all_calls()] == [
        ApiCall.product(8),
        ApiCall.product(9),
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"id": "1"},
            "the spider product has no argument 'id': it has calls_file, description, idle",
        ),
        ({"idle": "soon"}, "idle is 'soon': set it to a number of seconds, such as -a idle=60"),
        ({"idle": "-1"}, "idle is '-1': set it to a number of seconds"),
        ({"idle": "inf"}, "idle is 'inf': set it to a number of seconds"),
        ({"calls_file": "none"}, "calls_file 'none' cannot be read ([Errno 2] No such file or "),
        ({"ids_file": "none"}, "ids_file 'none' cannot be read (No such file or directory): name"),
        ({"ids": " "}, "there is nothing to collect: say which products with -a ids="),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, str], sentence: str) -> None:
    config = Config.read(CREDENTIALS)
    with pytest.raises(ConfigurationError) as error:
        ProductSpider.check_arguments(config, arguments)
    assert str(error.value).startswith(sentence)


def test_what_scrapyd_adds_is_no_argument() -> None:
    given = {"_job": "1", "_version": "2", "ids": "7", "idle": " 5 "}
    ProductSpider.check_arguments(Config.read(CREDENTIALS), given)
    assert ProductSpider(**given).idle_seconds == 5


@pytest.mark.parametrize(
    ("api", "data", "complete"),
    [
        ("alibaba.product.getByIdList-1", {"productList": [{"productID": 7}]}, True),
        ("alibaba.cross.productList-1", {"productList": [{"productID": 7}]}, False),
    ],
)
def test_an_api_that_tells_no_prices_erases_none(
    api: str,
    data: dict[str, Any],
    complete: bool,  # noqa: FBT001
) -> None:
    name = f"com.alibaba.product:{api}"
    spider = spider_with({"ids": "7"}, ALI1688_PROTOCOL="param2", ALI1688_PRODUCT_API=name)
    request = ApiRequest("https://gw.example/", call=ApiCall.product(7))
    [parsed] = spider.parse_products(ApiResponse(request.url, request=request, payload=data))
    assert (parsed.fields["product_id"], parsed.complete) == (7, complete)
