"""A client of ``GET /events`` for tests: one socket, a request's bytes as they are, and the events of the answer."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

from edges import Edge
from tests.edges.peers import DEADLINE_S, Client, get, http

__all__ = ["Listener", "Said", "events_path", "parsed", "refusal"]


@dataclass(frozen=True, slots=True)
class Said:
    """An event of a stream, as a browser would hand it over: by the rules of HTML, section 9.2.6."""

    name: str
    last_id: str
    data: str

    @property
    def value(self) -> dict[str, Any]:
        value = json.loads(self.data)
        assert isinstance(value, dict)
        return value


def events_path(*channels: str, **more: str) -> str:
    """Return the path with channels, and more keys of the query."""
    return "/events?" + urlencode([*(("channel", it) for it in channels), *more.items()])


def parsed(block: str, last_id: str = "") -> tuple[Said | None, str, int | None]:
    """Return the event of a block, None for a block without data; the last id, and ``retry``."""
    name, data, retry = "message", [], None
    for line in block.split("\n"):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                name = value
            case "data":
                data.append(value)
            case "id":
                last_id = value
            case "retry":
                retry = int(value)
    return (Said(name, last_id, "\n".join(data)) if data else None), last_id, retry


class Listener:
    """A client that hears a stream.

    Attributes:
        last_id: of the last event, as a browser would send it on coming back.
        retry_ms: the edge's advice.
        comments: how many blocks without an event and without advice came.

    """

    def __init__(self, client: Client, status: int, headers: dict[str, str]) -> None:
        self.client, self.status, self.headers = client, status, headers
        self.last_id, self.retry_ms, self.comments = "", 0, 0
        self._buffer = b""

    @classmethod
    async def open(
        cls,
        edge: Edge | int,
        *channels: str,
        headers: tuple[str, ...] = (),
        receive_buffer: int | None = None,
        **query: str,
    ) -> Self:
        """Ask for a stream, and read the head of the answer."""
        port = edge if isinstance(edge, int) else edge.port
        client = await Client.connect(port, receive_buffer=receive_buffer)
        client.write(get(events_path(*channels, **query), *headers))
        status, found, _ = await client.head()
        return cls(client, status, found)

    async def _block(self) -> str:
        while b"\n\n" not in self._buffer:
            data = await self._more()
            if not data:
                raise EOFError(self._buffer.decode())
            self._buffer += data
        block, _, self._buffer = self._buffer.partition(b"\n\n")
        return block.decode()

    async def _more(self) -> bytes:
        """Return more bytes of the answer; a proxy may send them in chunks (RFC 9112, section 7.1)."""
        reader = self.client.reader
        if "transfer-encoding" not in self.headers:
            return await reader.read(65_536)
        line = await reader.readline()
        size = int(line or b"0", 16)
        return (await reader.readexactly(size + 2))[:-2] if size else b""

    async def next(self, deadline_s: float = DEADLINE_S) -> Said:
        """Return the next event, whatever its name; at the end of the stream raise ``EOFError``."""
        async with asyncio.timeout(deadline_s):
            while True:
                block = await self._block()
                said, self.last_id, retry = parsed(block, self.last_id)
                self.retry_ms = retry or self.retry_ms
                if said is not None:
                    return said
                self.comments += retry is None

    async def named(self, name: str) -> Said:
        """Return the next event of a name; others before it are passed over."""
        while (said := await self.next()).name != name:
            pass
        return said

    async def heard(self, count: int) -> list[dict[str, Any]]:
        """Return so many events of channels; named ones between them are passed over."""
        return [(await self.named("message")).value for _ in range(count)]

    async def close(self) -> None:
        await self.client.close()


async def refusal(edge: Edge, path: str, *headers: str, method: str = "GET") -> tuple[int, dict[str, str], Any]:
    """Return status, headers and the JSON body of an answer that is no stream; None for no body."""
    status, found, body = await http(edge.port, get(path, *headers, method=method))
    return status, found, json.loads(body) if body else None
