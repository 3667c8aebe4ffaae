"""``scrapy`` runs commands in an empty folder; ``gateway`` is the sandbox that they reach."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.forked_sandbox import start_sandbox
from tests.harness import FIRST_PRODUCT, ROOT, Administration, Gateway, Scrapy
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ali1688_spider.local_servers import Server


@pytest.fixture(scope="session")
def gateway_server(server_folder: Path) -> Iterator[Server]:
    server = start_sandbox(server_folder / "gateway", port=free_port())
    yield server
    server.stop()


@pytest.fixture
def gateway(gateway_server: Server) -> Gateway:
    """A local gateway as it is when it has just started, with every protocol."""
    gateway = Gateway(gateway_server.url)
    gateway.reset()
    return gateway


@pytest.fixture
def settings_for(gateway: Gateway) -> Callable[[str], dict[str, str]]:
    """Return the settings that reach the gateway by a protocol."""
    paths = {"router": "/router/json", "top": "/router/rest", "param2": "/openapi"}

    def settings(protocol: str) -> dict[str, str]:
        return {"ALI1688_PROTOCOL": protocol, "ALI1688_GATEWAY": gateway.url + paths[protocol]}

    return settings


@pytest.fixture
def scrapy(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    settings_for: Callable[[str], dict[str, str]],
    request: pytest.FixtureRequest,
) -> Iterator[Scrapy]:
    """Commands that reach the gateway: no limit, no cache; by ``router`` unless they say else."""
    real = request.node.get_closest_marker("real_start") is not None
    settings = {
        "ALI1688_APP_KEY": "1000000",
        "ALI1688_APP_SECRET": "test123",
        "ALI1688_QPS": "0",
        "ALI1688_CACHE_TTL": "0",
        **settings_for("router"),
    }
    commands = Scrapy(tmp_path, tmp_path_factory.mktemp("output"), settings, real=real)
    yield commands
    commands.kill()


@pytest.fixture
def administration(
    scrapy: Scrapy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Administration:
    for name in set(os.environ) & {"REDIS_URL", "MONGO_URI"}:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SCRAPY_SETTINGS_MODULE", "ali1688_spider.settings")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(scrapy.folder)
    return Administration(scrapy, capsys)


@pytest.fixture
def ids() -> Callable[[int], Sequence[int]]:
    """Return the first product ids of the gateway, as many as are asked for."""
    return lambda count: range(FIRST_PRODUCT, FIRST_PRODUCT + count)
