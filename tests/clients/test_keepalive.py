"""A client's own look at whether the edge is there, with an edge that a test writes byte by byte."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.server import ServerProtocol

from clients.connection import Connection
from clients.keepalive import HearingConnection
from clients.settings import ClientSettings

pytestmark = pytest.mark.virtual_time

EVENT: Final = b"x" * 20_000
HEAD: Final = b"\x81\x7e" + len(EVENT).to_bytes(2)


class Trickle:
    """The other end: it shakes hands, answers no ping, and sends what it is told to."""

    def __init__(self) -> None:
        self.protocol = ServerProtocol()
        self.pinged = asyncio.Event()
        self.writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
        request = self.protocol.events_received()[0]
        self.protocol.send_response(self.protocol.accept(request))  # type: ignore[arg-type]
        for data in self.protocol.data_to_send():
            writer.write(data)
        with suppress(ConnectionResetError):  # a client that gives up has left bytes unread
            while await reader.read(1_000):
                self.pinged.set()

    def say(self, data: bytes) -> None:
        assert self.writer is not None
        self.writer.write(data)


@asynccontextmanager
async def connected(kind: type[ClientConnection], timeout_s: float) -> AsyncIterator[tuple[Trickle, ClientConnection]]:
    trickle = Trickle()
    server = await asyncio.start_server(trickle.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    websocket = await connect(
        f"ws://127.0.0.1:{port}",
        create_connection=kind,
        ping_interval=0.01,
        ping_timeout=timeout_s,
        close_timeout=0.1,
        compression=None,
    )
    try:
        yield trickle, websocket
    finally:
        await websocket.close()
        websocket.transport.abort()
        server.close()
        if trickle.writer is not None:
            trickle.writer.transport.abort()
        await server.wait_closed()


@pytest.mark.parametrize("kind", [HearingConnection, ClientConnection])
async def test_keepalive_bytes_that_arrive_are_life(kind: type[ClientConnection]) -> None:
    """An event that takes several timeouts comes, since all that time some of it does; the library's own gives up."""
    async with connected(kind, 2.0) as (trickle, websocket):
        await trickle.pinged.wait()
        trickle.say(HEAD)

        async def drop_by_drop() -> None:
            for start in range(0, len(EVENT), 500):
                await asyncio.sleep(0.1)
                trickle.say(EVENT[start : start + 500])

        dripping = asyncio.create_task(drop_by_drop())
        try:
            if kind is HearingConnection:
                assert await websocket.recv(decode=False) == EVENT
            else:
                with pytest.raises(ConnectionClosed):
                    await websocket.recv()
        finally:
            dripping.cancel()
            await asyncio.wait([dripping])


async def test_keepalive_silence_ends_it() -> None:
    """With a ping out and not a byte coming, the connection is failed as before."""
    async with connected(HearingConnection, 0.05) as (trickle, websocket):
        await trickle.pinged.wait()
        with pytest.raises(ConnectionClosed) as caught:
            await websocket.recv()
        assert caught.value.sent is not None
        assert caught.value.sent.reason == "keepalive ping timeout"


async def test_links_hear() -> None:
    """The client's connections are of that kind."""
    trickle = Trickle()
    server = await asyncio.start_server(trickle.serve, "127.0.0.1", 0)
    connection = await Connection.open(
        f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", ClientSettings(close_timeout_s=0.1)
    )
    try:
        assert isinstance(connection._websocket, HearingConnection)  # noqa: SLF001
    finally:
        await connection.close()
        server.close()
        if trickle.writer is not None:
            trickle.writer.transport.abort()
        await server.wait_closed()
