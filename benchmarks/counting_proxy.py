"""Stands between a client and Redis, and counts round trips and bytes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 65536


class CountingProxy:
    """A TCP proxy in a thread of its own; a context manager.

    A round trip begins when a client speaks after the server did: a pipeline is one.

    Attributes:
        url: The address to use instead of the server's.
        round_trips: How many there were.
        bytes: How many bytes went through, both ways.
    """

    def __init__(self, server_url: str) -> None:
        parts = urlsplit(server_url)
        self._server = (parts.hostname, parts.port)
        self._path = parts.path
        self.url = ""
        self.round_trips = 0
        self.bytes = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._listener.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}{self._path}"

    async def _stop(self) -> None:
        self._listener.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._server)
        answered = True

        def from_client() -> None:
            nonlocal answered
            self.round_trips += answered
            answered = False

        def from_server() -> None:
            nonlocal answered
            answered = True

        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await asyncio.gather(
                self._pass_on(reader, server_writer, from_client),
                self._pass_on(server_reader, writer, from_server),
            )

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        note: Callable[[], None],
    ) -> None:
        try:
            while data := await reader.read(CHUNK):
                note()
                self.bytes += len(data)
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
