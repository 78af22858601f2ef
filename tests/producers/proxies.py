"""A path to Redis that loses answers, holds requests and resets connections."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final, Self
from urllib.parse import urlsplit

_PUBLISH: Final = b"EVALSHA"


class Proxy:
    """Forwards to ``url``. Faults are armed for the next publish that passes.

    Attributes:
        links: how many connections were taken.
        lost: set when an answer was lost, ``held`` when a request is held.

    """

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url).port
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: list[asyncio.StreamWriter] = []
        self._lose_answers = 0
        self._hold = self._lose_request = False
        self._release = asyncio.Event()
        self.links = 0
        self.lost, self.held = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def lose_answers(self, count: int = 1) -> None:
        """Let Redis answer the next publishes, and reset the connection instead of passing that on."""
        self._lose_answers = count
        self.lost.clear()

    def lose_request(self) -> None:
        """Reset the connection instead of passing the next publish on."""
        self._lose_request = True
        self.lost.clear()

    def hold(self) -> None:
        """Keep the next publish, and all behind it on its connection, until ``release``."""
        self._hold = True

    def release(self) -> None:
        """Pass on what was held, whether its sender is still there or not."""
        self._release.set()

    def reset(self) -> None:
        """Reset every connection to a client, as a firewall that forgot it does."""
        for client in self._clients:
            _reset(client)
        self._clients.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.links += 1
        self._clients.append(writer)
        redis_reader, redis_writer = await asyncio.open_connection("127.0.0.1", self._target)
        losing = asyncio.Event()
        down = asyncio.create_task(self._down(redis_reader, writer, losing))
        up = asyncio.create_task(self._up(reader, writer, redis_writer, losing))
        for task in (up, down):
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await asyncio.wait([up, down])
        writer.close()
        redis_writer.close()

    async def _up(
        self,
        reader: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        redis: asyncio.StreamWriter,
        losing: asyncio.Event,
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if _PUBLISH in data and self._lose_request:
                    self._lose_request = False
                    self.lost.set()
                    _reset(client)
                    break
                if _PUBLISH in data and self._lose_answers:
                    self._lose_answers -= 1
                    losing.set()
                if _PUBLISH in data and self._hold:
                    self._hold = False
                    self.held.set()
                    await self._release.wait()
                redis.write(data)
        redis.close()

    async def _down(self, redis: asyncio.StreamReader, client: asyncio.StreamWriter, losing: asyncio.Event) -> None:
        with suppress(OSError):
            while data := await redis.read(65536):
                if losing.is_set():
                    self.lost.set()
                    _reset(client)
                    return
                client.write(data)
        client.close()


def _reset(client: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    sock = client.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.transport.abort()
