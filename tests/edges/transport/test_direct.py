"""Frames of rooms on the socket itself: in order with the transport's bytes, and only while the connection is open."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final

import pytest
import uvloop

from bus.broker.embedded import EmbeddedBroker
from edges import Edge, EdgeSettings
from edges.protocol.envelope import text_frame
from edges.protocol.messages import GOING_AWAY
from edges.rooms.pages import Lent, Pages
from edges.transport.connection import Connection
from producers.services.mahavishnu import SERVICE
from tests.edges.peers import Client, eventually

RUN: Final[dict[str, Callable[[Coroutine[Any, Any, None]], None]]] = {"asyncio": asyncio.run, "uvloop": uvloop.run}
COUNT: Final = 12
TEXT: Final = "y" * 60_000


def number(n: int) -> bytes:
    """Return a frame of some size with a number."""
    return text_frame(b'{"n": %d, "text": "%s"}' % (n, TEXT.encode()))


def play(loop: str, broker: EmbeddedBroker, scene: Callable[[Client, Connection], Coroutine[Any, Any, None]]) -> None:
    """Play with a client in a room of an edge, and the edge's end of the client."""

    async def played() -> None:
        async with Edge(SERVICE, EdgeSettings(port=0, redis_url=broker.url)) as edge:
            await eventually(lambda: edge.not_ready() is None)
            client = await Client.open(edge.port, receive_buffer=4096)
            await client.welcomed()
            await client.subscribe("workflow:x")
            (connection,) = (it for it in edge._parts.registry if isinstance(it, Connection))  # noqa: SLF001
            await scene(client, connection)
            await client.close()

    RUN[loop](played())


@pytest.mark.parametrize("loop", RUN)
def test_frames_behind_waiting_bytes_come_in_order(loop: str, broker: EmbeddedBroker) -> None:
    """Once the kernel is full, frames go behind the transport's bytes; with none left, to the socket again."""

    async def scene(client: Client, connection: Connection) -> None:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        assert connection.direct is not None
        for n in range(COUNT):
            (connection.deliver if n % 3 else connection.write)(number(n))
        assert connection.direct is None
        assert connection.waiting_bytes > 0
        client.writer.transport.resume_reading()
        assert [(await client.message())["n"] for _ in range(COUNT)] == list(range(COUNT))
        await eventually(lambda: not connection.waiting_bytes)
        connection.deliver(number(COUNT))
        assert (await client.message())["n"] == COUNT
        await eventually(lambda: not connection.waiting_bytes)

    play(loop, broker, scene)


@pytest.mark.parametrize("loop", RUN)
def test_frames_that_are_lent_come_in_order(loop: str, broker: EmbeddedBroker) -> None:
    """Behind an answer, and in part or whole behind the transport's bytes once the kernel is full."""
    pages = Pages()
    lent = [pages.lend(number(n)) for n in range(1, COUNT, 2)]
    assert all(isinstance(it, Lent) for it in lent)

    async def scene(client: Client, connection: Connection) -> None:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        for n, frames in enumerate(lent):
            connection.write(text_frame(b'{"n": %d}' % (2 * n)), frames)
        assert connection.direct_joined is None
        assert connection.waiting_bytes > 0
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert [(await client.message())["n"] for _ in range(COUNT)] == list(range(COUNT))
        await eventually(lambda: not connection.waiting_bytes)

    play(loop, broker, scene)


@pytest.mark.parametrize("loop", RUN)
def test_nothing_is_sent_behind_a_close_frame(loop: str, broker: EmbeddedBroker) -> None:
    """A connection that closes has no socket for rooms any more, and takes no frame of theirs."""

    async def scene(client: Client, connection: Connection) -> None:
        connection.close(GOING_AWAY)
        assert connection.direct is None
        connection.deliver(number(0))
        assert await client.close_code() == GOING_AWAY.code

    play(loop, broker, scene)


@pytest.mark.parametrize("loop", RUN)
def test_client_that_vanished_ends_as_a_lost_connection(loop: str, broker: EmbeddedBroker) -> None:
    """A reset that only a write finds out ends the connection, as the transport would have."""

    async def scene(client: Client, connection: Connection) -> None:
        plain = client.writer.transport.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.writer.transport.abort()
        await asyncio.sleep(0)
        connection.deliver(number(0))
        await eventually(lambda: connection.session is None)
        connection.deliver(number(1))
        assert connection.direct is connection.direct_joined is None

    play(loop, broker, scene)


@pytest.mark.parametrize("loop", RUN)
def test_client_in_several_rooms_has_frames_joined(loop: str, broker: EmbeddedBroker) -> None:
    """In one room frames are sent at once; in two rooms only in a tick without frames of the other."""

    async def scene(client: Client, connection: Connection) -> None:
        assert connection.direct is connection.direct_joined is not None
        await client.subscribe("workflow:y")
        assert connection.direct is None
        assert connection.direct_joined is not None
        assert [connection.deliver(number(n)) for n in range(3)] == [True, False, False]
        assert connection.uncork() == 3
        assert [(await client.message())["n"] for _ in range(3)] == [0, 1, 2]
        client.request("unsubscribe", channel="workflow:y")
        await client.message()
        assert connection.direct is not None

    play(loop, broker, scene)
