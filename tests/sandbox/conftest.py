from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from ali1688_spider.sandbox.options import Options
from ali1688_spider.sandbox.server import Sandbox
from tests.sandbox.caller import Caller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Awaitable[Caller]]]:
    """Starts a sandbox with the given options and returns a caller of it."""
    async with AsyncExitStack() as stack:

        async def start_one(**options: Any) -> Caller:
            sandbox = Sandbox(Options(**options))
            await sandbox.start()
            stack.push_async_callback(sandbox.stop)
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return Caller(sandbox, session)

        yield start_one


@pytest.fixture
async def gateway(start: Callable[..., Awaitable[Caller]]) -> Caller:
    """A caller of a sandbox with the usual options."""
    return await start(products=1000)
