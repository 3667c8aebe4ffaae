"""Takes TLS off connections and passes them on: ``tls_proxy.py TARGET_PORT CERTIFICATE KEY``.

Not every Redis is built with TLS. Prints the port where it listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys

HOST = "127.0.0.1"


async def serve(target: int, certificate: str, key: str) -> None:
    """Listen until the process is killed."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # the other side is gone
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection(HOST, target)
        await asyncio.gather(copy(reader, questions), copy(answers, writer))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(forward, HOST, 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201  # to who started this
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), *sys.argv[2:]))
