from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from scrapy import Request

from ali1688_spider.addon import account_of
from ali1688_spider.middlewares.trial import TrialMiddleware
from ali1688_spider.trial import FIRST_CALLS, Trial

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler

    from ali1688_spider.requests import ApiRequest

    CrawlerFor = Callable[..., Crawler]
    RequestFor = Callable[[Crawler, int], ApiRequest]


async def test_all_but_the_first_wait_for_the_end() -> None:
    trial = Trial()
    assert [trial.take_part() for _ in range(FIRST_CALLS)] == [True] * FIRST_CALLS
    assert not trial.take_part()
    waiting = [asyncio.create_task(trial.over()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    trial.end()
    await asyncio.gather(*waiting)
    assert trial.take_part()


async def test_a_mended_call_and_other_requests_do_not_wait(
    crawler_for: CrawlerFor, request_for: RequestFor
) -> None:
    crawler = crawler_for()
    middleware = TrialMiddleware.from_crawler(crawler)
    for product_id in range(1, FIRST_CALLS + 1):
        await middleware.process_request(request_for(crawler, product_id))
    assert not account_of(crawler).trial.take_part()
    await middleware.process_request(request_for(crawler, 9).mended("token"))
    await middleware.process_request(Request("https://gateway.example/"))
