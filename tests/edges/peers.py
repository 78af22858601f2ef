"""What the tests of the edge talk with: a raw WebSocket client that can send anything, and a wait for a fact."""

import asyncio
import base64
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import orjson

DEADLINE_S: Final = 5.0
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
NINE_KEYS: Final = frozenset(
    ("id", "correlation_id", "type", "event", "data", "timestamp", "room", "error_code", "error_message")
)
EVENT_KEYS: Final = NINE_KEYS | {"position", "previous"}


async def eventually(predicate: Callable[[], Any | Awaitable[Any]], deadline_s: float = DEADLINE_S) -> Any:
    """Return the first true value of ``predicate``, which may be a coroutine function; fail at the deadline."""
    async with asyncio.timeout(deadline_s):
        while True:
            value = predicate()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.005)


class Closed(Exception):
    """The edge sent a close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code}: {reason}")
        self.code, self.reason = code, reason


def frame(opcode: int, payload: bytes, *, fin: bool = True, mask: bool = True) -> bytes:
    """Return one frame as a client sends it, or with a fault."""
    head = bytes([opcode | (0x80 if fin else 0)])
    bit = 0x80 if mask else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65536:
        head += bytes([bit | 126]) + len(payload).to_bytes(2)
    else:
        head += bytes([bit | 127]) + len(payload).to_bytes(8)
    return head + (bytes(4) if mask else b"") + payload  # a mask of zeros leaves the payload as it is


def upgrade(path: str = "/", *headers: str, host: str = "127.0.0.1") -> bytes:
    """Return the opening handshake of a client that asked for ``host``."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}"]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "Sec-WebSocket-Version: 13", *headers, "", ""]).encode()


class Client:
    """A client that does what it is told and nothing else; it answers pings and closes as a client should."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.pings = self.pongs = 0
        self.answers_pings = self.answers_close = True

    @classmethod
    async def connect(cls, port: int, *, receive_buffer: int | None = None) -> Self:
        """Open the socket, and say nothing."""
        plain = socket.socket()
        if receive_buffer is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
        return cls(*await asyncio.open_connection(sock=plain, limit=2**16))

    @classmethod
    async def open(cls, port: int, path: str = "/", *, receive_buffer: int | None = None) -> Self:
        """Open the socket and shake hands."""
        client = await cls.connect(port, receive_buffer=receive_buffer)
        client.write(upgrade(path))
        status, _, _ = await client.head()
        assert status == 101
        return client

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)

    def send(self, message: Any) -> None:
        """Send one message in one text frame; a value becomes JSON, bytes stay as they are."""
        self.write(frame(TEXT, message if isinstance(message, bytes) else json.dumps(message).encode()))

    def request(self, verb: str, request_id: str | None = "r1", **data: Any) -> None:
        """Send a request in the documented form."""
        self.send({"type": "request", "event": verb, "data": data, "id": request_id})

    async def head(self) -> tuple[int, dict[str, str], str]:
        """Return the status, the headers with small names, and the status line of an HTTP answer."""
        async with asyncio.timeout(DEADLINE_S):
            text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *headers = text.strip().split("\r\n")
        pairs = (header.partition(":") for header in headers)
        return int(line.split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs}, line

    async def rest(self) -> bytes:
        """Return all bytes until the edge closes its half; a reset is an error."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.read()

    async def frame(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame."""
        first, second = await self.reader.readexactly(2)
        assert first & 0x80, "the edge sends no fragments"
        assert not second & 0x80, "a server does not mask"
        size = second
        if second >= 126:
            size = int.from_bytes(await self.reader.readexactly(2 if second == 126 else 8))
        return first & 0x0F, await self.reader.readexactly(size)

    async def text(self, deadline_s: float = DEADLINE_S) -> bytes:
        """Return the next message as it came.

        Raises:
            Closed: a close frame came instead; it was answered.

        """
        async with asyncio.timeout(deadline_s):
            while True:
                opcode, payload = await self.frame()
                match opcode:
                    case 1:
                        return payload
                    case 9:
                        self.pings += 1
                        if self.answers_pings:
                            self.write(frame(PONG, payload))
                    case 10:
                        self.pongs += 1
                    case 8:
                        if self.answers_close:
                            self.write(frame(CLOSE, payload[:2]))
                        raise Closed(int.from_bytes(payload[:2]), payload[2:].decode())
                    case _:
                        raise AssertionError(f"the edge sent opcode {opcode}")

    async def message(self, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """Return the next message."""
        value = orjson.loads(await self.text(deadline_s))
        assert isinstance(value, dict)
        return value

    async def close_code(self, deadline_s: float = DEADLINE_S) -> int:
        """Read until the close frame, and then until the edge has closed its half; close the other, return the code."""
        try:
            async with asyncio.timeout(deadline_s):
                while True:
                    await self.text(deadline_s)
        except Closed as closed:
            async with asyncio.timeout(deadline_s):
                assert await self.reader.read() == b"", "bytes after the close frame"
            self.writer.close()
            return closed.code

    async def welcomed(self) -> dict[str, Any]:
        """Ask for a pong, and return the welcome that follows it; on a busy machine the welcome may come before."""
        self.request("ping")
        first = await self.message()
        if first["event"] == "session.created":
            assert (await self.message())["type"] == "pong"
            return first
        assert first["type"] == "pong"
        return await self.message()

    async def subscribe(self, channel: str) -> dict[str, Any]:
        """Subscribe; return the reply. On a busy machine the welcome of a client that was silent may come before."""
        self.request("subscribe", channel=channel)
        reply = await self.message()
        if reply["event"] == "session.created":
            reply = await self.message()
        assert reply["type"] == "response", reply
        return reply

    async def marked(self) -> list[dict[str, Any]]:
        """Send a ping and return what came before its pong: the proof that nothing else did."""
        self.request("ping", "marker")
        before = []
        while (message := await self.message())["correlation_id"] != "marker":
            before.append(message)
        return before

    async def close(self) -> None:
        """Drop the socket."""
        self.writer.close()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self.writer.wait_closed()
        except ConnectionError:
            pass


@asynccontextmanager
async def clients(port: int, count: int = 1, path: str = "/") -> AsyncIterator[list[Client]]:
    """Lend ``count`` clients that have shaken hands."""
    lent = [await Client.open(port, path) for _ in range(count)]
    try:
        yield lent
    finally:
        for one in lent:
            await one.close()


async def http(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send ``request`` and return status, headers and body of the answer, read until the edge closes."""
    client = await Client.connect(port)
    client.write(request)
    try:
        status, headers, _ = await client.head()
        return status, headers, await client.rest()
    finally:
        await client.close()


def get(path: str, *headers: str, version: str = "1.1", method: str = "GET", host: str = "127.0.0.1") -> bytes:
    """Return a plain request of a client that asked for ``host``."""
    return "\r\n".join([f"{method} {path} HTTP/{version}", f"Host: {host}", *headers, "", ""]).encode()
