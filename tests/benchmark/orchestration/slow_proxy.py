"""A proxy that delays every answer.

``python -m tests.benchmark.orchestration.slow_proxy PORT SECONDS`` stands before the server at PORT and prints its own.
"""

import asyncio
import contextlib
import sys

LOOPBACK = "127.0.0.1"
CHUNK = 1 << 16


async def serve(upstream: int, delay: float) -> None:
    """Stand before the server at the port ``upstream`` of this machine until the process is ended."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(LOOPBACK, upstream)
        asked = asyncio.Event()

        async def ask() -> None:
            while data := await reader.read(CHUNK):
                asked.set()
                to_server.write(data)
                await to_server.drain()
            to_server.close()

        async def answer() -> None:
            while data := await from_server.read(CHUNK):
                if asked.is_set():
                    asked.clear()
                    await asyncio.sleep(delay)
                writer.write(data)
                await writer.drain()
            writer.close()

        with contextlib.suppress(ConnectionError):
            await asyncio.gather(ask(), answer())

    server = await asyncio.start_server(connected, LOOPBACK, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
