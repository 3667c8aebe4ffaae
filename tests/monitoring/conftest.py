"""A reader of the state, with settings of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from scrapy.settings import Settings

from ali1688_spider.config import Config
from ali1688_spider.monitoring.reading import StateReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

APP_KEY = "1000000"


@pytest_asyncio.fixture
async def open_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., StateReader]]:
    """Returns a reader with these settings, and neither Redis nor MongoDB unless they say so."""
    monkeypatch.chdir(tmp_path)
    opened: list[StateReader] = []

    def open_reader(**settings: object) -> StateReader:
        project = Settings()
        project.setmodule("ali1688_spider.settings", priority="project")
        own = {
            "ALI1688_APP_KEY": APP_KEY,
            "ALI1688_APP_SECRET": "the-app-secret",
            "ALI1688_ACCESS_TOKEN": "",
            "ALI1688_REFRESH_TOKEN": "",
            "REDIS_URL": "",
            "MONGO_URI": "",
        }
        project.setdict({**own, **settings}, priority="cmdline")
        opened.append(StateReader(project, Config.from_settings(project)))
        return opened[-1]

    yield open_reader
    for reader in opened:
        await reader.close()
