"""Counts the round trips of clients that reach a server through it."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class CountingProxy:
    """Forwards connections to a port of this machine.

    Attributes:
        port: Where it listens.
        round_trips: How often a client waited for an answer.
    """

    def __init__(self, target: int) -> None:
        self.round_trips = 0
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join()

    def _run(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                asks = threading.Event()
                self._run(self._forward, client, server, asks, "client")
                self._run(self._forward, server, client, asks, "server")

    def _forward(
        self, source: socket.socket, target: socket.socket, asks: threading.Event, side: str
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if side == "client":
                    asks.set()
                elif asks.is_set():
                    asks.clear()
                    self.round_trips += 1
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
