from __future__ import annotations

from scrapy import Request, Spider

from ali1688_spider.scheduling.dupefilter import QueueDupeFilter


def test_no_request_is_a_duplicate() -> None:
    dupefilter = QueueDupeFilter.from_spider(Spider("product"))
    request = Request("https://gw.api.1688.com/router/json")

    assert not dupefilter.request_seen(request)
    assert not dupefilter.request_seen(request)
    dupefilter.clear()
    dupefilter.close("finished")
