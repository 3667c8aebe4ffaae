from __future__ import annotations

import gc
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from scrapy.utils.test import get_crawler

from ali1688_spider import settings
from ali1688_spider.addon import context_of
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.http import ApiRequest
from ali1688_spider.spiders.product import ProductSpider
from tests.certificates import make_certificate
from tests.middlewares.wire import HOST, UNFIT, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from scrapy.crawler import Crawler

    from tests.middlewares.wire import Server


@pytest.fixture
def crawler_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Crawler]:
    """Return what makes a crawler with the project's settings, whose crawl has not begun."""
    monkeypatch.chdir(tmp_path)

    def make(spider_class: type[Any] = ProductSpider, **changes: Any) -> Crawler:
        values = {name: value for name, value in vars(settings).items() if name.isupper()}
        values |= {
            "TWISTED_REACTOR_ENABLED": False,
            "ALI1688_APP_KEY": "1000000",
            "ALI1688_APP_SECRET": "test123",
            "ALI1688_PROTOCOL": "router",
            "ALI1688_GATEWAY": "https://gateway.example/router/json",
            "REDIS_URL": "",
            "MONGO_URI": "",
        }
        crawler = get_crawler(spider_class, values | changes)
        crawler.spider = spider_class.from_crawler(crawler)
        return crawler

    return make


@pytest.fixture
def request_for() -> Callable[[Crawler, int], ApiRequest]:
    """Return what makes the request for a product, as spiders do."""

    def make(crawler: Crawler, product_id: int) -> ApiRequest:
        call = ApiCall.product(product_id)
        return ApiRequest(context_of(crawler).client.address(call), call=call, method="POST")

    return make


@pytest.fixture
async def wire_to(
    crawler_for: Callable[..., Crawler], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Wire]]:
    """What makes the wire to a server; when it is closed, nothing of it is left open."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    wires: list[Wire] = []
    gc.freeze()  # what is there already need not be looked at again

    def make(server: Server | int, scheme: str = "http", **settings: Any) -> Wire:
        port = server if isinstance(server, int) else server.port
        values = {
            "ALI1688_GATEWAY": f"{scheme}://{HOST}:{port}/router/json",
            "ALI1688_QPS": "0",
            "ALI1688_DAILY_QUOTA": "0",
            "ALI1688_CACHE_TTL": "0",
        }
        wires.append(Wire(crawler_for(**values | settings)))
        return wires[-1]

    yield make
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        while wires:
            await wires.pop().close()
        gc.collect()
    gc.unfreeze()
    assert [str(each.message) for each in caught] == []


@pytest.fixture
def certificate_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Path, Path]]:
    """What makes a certificate; the system trusts all but the self-signed one."""

    def make(kind: str) -> tuple[Path, Path]:
        certificate, key = make_certificate(tmp_path, **UNFIT.get(kind, {}))  # type: ignore[arg-type]
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)
        if kind != "self-signed":
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        return certificate, key

    return make
