"""Slow clients over TLS, on both event loops: the bound and the deadline hold there too, and nobody else notices."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import uvloop
from cryptography.x509.oid import ExtendedKeyUsageOID

from bus.broker.embedded import EmbeddedBroker
from edgebus.commands.certificates import issue, make_authority
from edges import Edge, EdgeSettings
from producers import Producer
from producers.services.mahavishnu import SERVICE, WorkflowStarted
from tests.edges.peers import Client, Closed, eventually, upgrade

BOUND_BYTES: Final = 256 * 1024
TEXT: Final = "y" * 16_000
ENOUGH: Final = 100
"""Events of that size: several times the bound."""
FEW: Final = 40
"""Less than the default bound, more than the kernel and what TLS has under way take together."""

RUN: Final[dict[str, Callable[[Coroutine[Any, Any, None]], None]]] = {"asyncio": asyncio.run, "uvloop": uvloop.run}


class Stage:
    """An edge with TLS, a client that will be slow, and a neighbour, both in one room."""

    def __init__(self, edge: Edge, slow: Client, neighbour: Client, producer: Producer) -> None:
        self.edge, self.slow, self.neighbour, self.producer = edge, slow, neighbour, producer

    async def publish(self, count: int) -> None:
        """Publish events at the pace of the neighbour, which gets each of them."""
        for number in range(count):
            await self.producer.publish(WorkflowStarted(workflow_id="x", number=number, text=TEXT))
            assert (await self.neighbour.message())["data"]["number"] == number

    def counted(self) -> tuple[int, int, int, int]:
        """Return how many were slow and how many cut off, and by the bound and by the deadline."""
        found = self.edge.statistics()[0]
        return found.slow, found.cut, found.limited["max_waiting_bytes"], found.limited["slow_deadline_s"]


@pytest.fixture(autouse=True)
def deadlines_looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an edge look at deadlines more often than once a second."""
    monkeypatch.setattr("edges.lifecycle.housekeeping._DEADLINES_S", 0.02)


@pytest.fixture
def run(tmp_path: Path, broker: EmbeddedBroker) -> Callable[..., None]:
    """Return a function that plays on a stage with these settings, on one of the loops."""
    authority = make_authority(60)
    pair = issue(authority, ["localhost", "127.0.0.1"], 60, ExtendedKeyUsageOID.SERVER_AUTH)
    for name, content in (("ca", authority.pem), ("certificate", pair.pem), ("key", pair.key_pem)):
        (tmp_path / name).write_bytes(content)
    tls: dict[str, Any] = {"tls_certificate": tmp_path / "certificate", "tls_key": tmp_path / "key"}

    def run_(loop: str, play: Callable[[Stage], Coroutine[Any, Any, None]], **settings: Any) -> None:
        async def played() -> None:
            bounds: dict[str, Any] = {"send_buffer_bytes": 16 * 1024, "welcome_delay_ms": 60_000, **tls, **settings}
            given = EdgeSettings(port=0, redis_url=broker.url, **bounds)
            async with staged(given, ssl.create_default_context(cafile=tmp_path / "ca")) as stage:
                await play(stage)

        RUN[loop](played())

    return run_


@asynccontextmanager
async def staged(settings: EdgeSettings, context: ssl.SSLContext) -> AsyncIterator[Stage]:
    async with Edge(SERVICE, settings) as edge, Producer(settings.redis_url) as producer:
        await eventually(lambda: edge.not_ready() is None)
        slow, neighbour = [await joined(edge, context) for _ in range(2)]
        try:
            yield Stage(edge, slow, neighbour, producer)
        finally:
            for client in (slow, neighbour):
                client.writer.transport.abort()


async def joined(edge: Edge, context: ssl.SSLContext) -> Client:
    """Return a client over TLS that is in the room, and for which the kernel takes little."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", edge.port))
    opened = await asyncio.open_connection(sock=plain, ssl=context, server_hostname="localhost", limit=2**16)
    client = Client(*opened)
    client.write(upgrade())
    assert (await client.head())[0] == 101
    await client.welcomed()
    await client.subscribe("workflow:x")
    return client


def stop_reading(client: Client) -> None:
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]


def read_on(client: Client) -> None:
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]


async def closing(client: Client, numbers: list[int]) -> Closed:
    """Return how the edge closes a client, which takes note of the events before that."""
    try:
        while True:
            numbers.append((await client.message())["data"]["number"])
    except Closed as closed:
        return closed


@pytest.mark.parametrize("loop", RUN)
def test_bound_closes_a_client_that_reads_on(run: Callable[..., None], loop: str) -> None:
    """Whoever is over the bound and then reads gets what was written before, in order, and 3008 by its name."""

    async def play(stage: Stage) -> None:
        stop_reading(stage.slow)
        await stage.publish(ENOUGH)
        assert stage.counted() == (1, 0, 1, 0)
        read_on(stage.slow)
        numbers = list[int]()
        closed = await closing(stage.slow, numbers)
        assert (closed.code, closed.reason) == (3008, "slow consumer: over max_waiting_bytes")
        assert numbers == list(range(len(numbers)))
        assert len(numbers) < ENOUGH

    run(loop, play, max_waiting_bytes=BOUND_BYTES)


@pytest.mark.parametrize("loop", RUN)
def test_bound_cuts_off_a_client_that_reads_nothing(run: Callable[..., None], loop: str) -> None:
    """Whoever does not even read the close frame is cut off, and its place is free."""

    async def play(stage: Stage) -> None:
        stop_reading(stage.slow)
        await stage.publish(ENOUGH)
        await eventually(lambda: stage.edge.health()["connections"] == 1)
        assert stage.counted() == (1, 1, 1, 0)
        await stage.publish(1)

    run(loop, play, max_waiting_bytes=BOUND_BYTES, close_timeout_s=0.2)


@pytest.mark.parametrize("loop", RUN)
@pytest.mark.parametrize("asks", [False, True])
def test_deadline_ends_a_client_that_reads_nothing(run: Callable[..., None], loop: str, asks: bool) -> None:
    """With less than the bound waiting it is closed all the same, though it goes on asking; its neighbour is not."""

    async def play(stage: Stage) -> None:
        stop_reading(stage.slow)
        await stage.publish(FEW)
        assert stage.counted() == (0, 0, 0, 0)

        async def is_gone() -> bool:
            if asks:
                with contextlib.suppress(ConnectionError):
                    stage.slow.request("ping")
            return stage.edge.health()["connections"] == 1

        await eventually(is_gone)
        assert stage.counted() == (1, 1, 0, 1)
        await stage.publish(1)

    run(loop, play, slow_deadline_s=0.5, close_timeout_s=0.2)


@pytest.mark.parametrize("loop", RUN)
def test_deadline_spares_a_client_that_reads(run: Callable[..., None], loop: str) -> None:
    """The control: who was behind as much and reads on before the deadline stays, and gets everything."""

    async def play(stage: Stage) -> None:
        stop_reading(stage.slow)
        await stage.publish(FEW)
        read_on(stage.slow)
        assert [(await stage.slow.message())["data"]["number"] for _ in range(FEW)] == list(range(FEW))
        await eventually(lambda: stage.edge.health()["connections"] == 2)
        assert stage.counted() == (0, 0, 0, 0)
        assert await stage.slow.marked() == []

    run(loop, play, slow_deadline_s=2.0)
