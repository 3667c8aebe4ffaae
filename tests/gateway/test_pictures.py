"""Pictures to search by."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from ali1688_spider.gateway import pictures
from ali1688_spider.gateway.pictures import read_picture

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = random.Random(1).randbytes(3_000_000)


async def serve(_: web.BaseRequest) -> web.Response:
    return web.Response(body=CONTENT)


async def test_a_picture_at_an_address_arrives_whole() -> None:
    async with RawTestServer(serve) as server:
        assert await read_picture(str(server.make_url("/cup.jpg"))) == CONTENT


async def test_a_picture_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_BYTES", 1024**2)
    async with RawTestServer(serve) as server:
        with pytest.raises(ValueError, match="larger than 1 MiB"):
            await read_picture(str(server.make_url("/cup.jpg")))


async def test_a_picture_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "cup.jpg").write_bytes(CONTENT)
    assert await read_picture(str(tmp_path / "cup.jpg")) == CONTENT
