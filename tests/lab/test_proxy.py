"""The proxy's paths are TCP: bytes come late, or not at all, and never in another order."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from edgebus.lab.stage import proxy as stage
from edgebus.lab.stage.proxy import Proxy

PIECES = 40


@asynccontextmanager
async def path(server: list[asyncio.StreamWriter]) -> AsyncIterator[tuple[Proxy, asyncio.StreamReader]]:
    """Yield a proxy and a client's end of a connection through it; the server's end is put into ``server``."""
    met = asyncio.Event()

    def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.append(writer)
        met.set()

    async with (
        await asyncio.start_server(meet, "127.0.0.1", 0) as listener,
        Proxy(listener.sockets[0].getsockname()[1]) as proxy,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        await met.wait()
        yield proxy, reader
        writer.close()
        server[0].close()


@pytest.mark.parametrize("fault", ["delayed", "narrow"])
async def test_path_that_heals_keeps_the_order(fault: str) -> None:
    """What was held up comes before what is not, once the path is harmless again."""
    server = list[asyncio.StreamWriter]()
    async with path(server) as (proxy, reader):
        if fault == "delayed":
            proxy.delay(0.2)
        else:
            proxy.narrow(100.0)
        server[0].write(b"first ")
        async with asyncio.timeout(10):
            while proxy.under_way == 0:
                await asyncio.sleep(0)
        proxy.delay(0)
        proxy.narrow(None)
        server[0].write(b"second ")
        async with asyncio.timeout(10):
            assert await reader.readexactly(13) == b"first second "


async def test_connection_from_a_hole_stays_dead_whatever_comes_next() -> None:
    """Two holes at once, one of which ends first: bytes from the middle of a stream are what no path ever brings."""
    server = list[asyncio.StreamWriter]()
    async with path(server) as (proxy, reader):
        proxy.swallow(up=False)
        server[0].write(b"lost")
        proxy.swallow(down=False)
        proxy.heal()
        proxy.heal()
        proxy.delay(0)
        server[0].write(b"from the middle")
        other, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        async with asyncio.timeout(10):
            while len(server) < 2:
                await asyncio.sleep(0)
            server[1].write(b"new")
            assert await other.readexactly(3) == b"new"  # so much later
        proxy.cut()
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        server[1].close()


async def test_pieces_that_are_due_together_keep_their_order() -> None:
    """A timer's time alone does not order two of them."""
    server = list[asyncio.StreamWriter]()
    async with path(server) as (proxy, reader):
        proxy.delay(0.05)
        for number in range(PIECES):
            server[0].write(b"%03d" % number)
            await server[0].drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            assert await reader.readexactly(3 * PIECES) == b"".join(b"%03d" % number for number in range(PIECES))


async def test_connection_cut_on_its_way_leaves_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is gone before the proxy has met the server: the server's end is closed, as nobody else would."""
    connect, may_connect = stage._Pair._socket, asyncio.Event()  # noqa: SLF001 (the moment between the two sockets)
    met: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    met = asyncio.get_running_loop().create_future()

    async def late(pair: stage._Pair, port: int) -> socket.socket:
        await may_connect.wait()
        return await connect(pair, port)

    def meet(*ends: *tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        met.set_result(ends)

    monkeypatch.setattr(stage._Pair, "_socket", late)  # noqa: SLF001
    async with (
        asyncio.timeout(10),
        await asyncio.start_server(meet, "127.0.0.1", 0) as listener,
        Proxy(listener.sockets[0].getsockname()[1]) as proxy,
    ):
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        while not proxy.connections:
            await asyncio.sleep(0)
        proxy.cut()
        may_connect.set()
        reader, answering = await met
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        answering.close()
