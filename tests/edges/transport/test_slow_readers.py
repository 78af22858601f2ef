"""Clients that read slowly and without a pause, over real sockets: their progress is seen where it happens.

Time is the tests': deadlines are looked at with a clock that is set on, once the kernel is seen to have moved.
"""

import asyncio
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
from edges.protocol.envelope import text_frame
from edges.transport.acknowledged import peer, unacknowledged_bytes
from edges.transport.connection import Connection
from producers import Producer
from producers.services.mahavishnu import SERVICE, WorkflowStarted
from tests.edges.peers import Client, eventually, upgrade

DEADLINE_S: Final = 1_000.0
"""Longer than any test runs: nobody but the test comes near it."""
TEXT: Final = "y" * 16_000
SMALL_BOUND_BYTES: Final = 64 * 1024
EVENTS: Final = 60
"""Events of that size: more than the kernel takes."""

RUN: Final[dict[str, Callable[[Coroutine[Any, Any, None]], None]]] = {"asyncio": asyncio.run, "uvloop": uvloop.run}


class Slow:
    """A client in the middle of a replay, and the edge's end of its socket."""

    def __init__(self, edge: Edge, client: Client) -> None:
        self.edge, self.client = edge, client
        connections = [it for it in edge._parts.registry if isinstance(it, Connection)]  # noqa: SLF001
        self.connection = connections[0]
        self.transport = self.connection._transport  # noqa: SLF001
        self.plain = self.transport.get_extra_info("socket")
        self.now = asyncio.get_running_loop().time()

    @property
    def buffered(self) -> int:
        """What waits in the edge's own buffer."""
        return self.transport.get_write_buffer_size()

    @property
    def acknowledged(self) -> int:
        """What was acknowledged so far."""
        known = peer(self.plain)
        return 0 if known is None else known.acknowledged_bytes

    @property
    def unread(self) -> int:
        """What was not acknowledged yet."""
        return self.buffered + unacknowledged_bytes(self.plain)

    async def begin(self) -> None:
        """Ask for a replay, and read nothing of it."""
        self.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        self.client.request("subscribe", channel="workflow:x", last=EVENTS)
        await eventually(lambda: self.buffered > 64 * 1024)
        await eventually(lambda: (known := peer(self.plain)) is not None and known.window_bytes < 1024)

    async def read_until_seen(self) -> None:
        """Read a little at a time, until the edge's kernel has heard of it."""
        before, transport = self.acknowledged, self.client.writer.transport
        while self.acknowledged == before:
            transport.resume_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            transport.pause_reading()  # type: ignore[attr-defined]

    def look(self, after_s: float) -> None:
        """Have the edge look at its deadlines so much later."""
        self.now += after_s
        self.connection.check_deadlines(self.now)

    @property
    def is_open(self) -> bool:
        """Whether the edge holds on to it."""
        return self.edge.statistics()[0].slow == 0 and self.edge.health()["connections"] == 1


@pytest.fixture(autouse=True)
def deadlines_are_looked_at_by_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody else look, with another clock."""
    monkeypatch.setattr("edges.lifecycle.housekeeping._DEADLINES_S", DEADLINE_S)


@pytest.fixture(params=["tcp", "tls"])
def play(request: pytest.FixtureRequest, tmp_path: Path, broker: EmbeddedBroker) -> Callable[..., None]:
    """Return a function that plays with a slow client of an edge with these settings, on one of the loops."""
    tls: dict[str, Any] = {}
    context: ssl.SSLContext | None = None
    if request.param == "tls":
        authority = make_authority(60)
        pair = issue(authority, ["localhost", "127.0.0.1"], 60, ExtendedKeyUsageOID.SERVER_AUTH)
        for name, content in (("ca", authority.pem), ("certificate", pair.pem), ("key", pair.key_pem)):
            (tmp_path / name).write_bytes(content)
        tls = {"tls_certificate": tmp_path / "certificate", "tls_key": tmp_path / "key"}
        context = ssl.create_default_context(cafile=tmp_path / "ca")

    def play_(loop: str, scene: Callable[[Slow], Coroutine[Any, Any, None]], **settings: Any) -> None:
        async def played() -> None:
            given = {"port": 0, "redis_url": broker.url, "slow_deadline_s": DEADLINE_S, **tls, **settings}
            async with staged(EdgeSettings(**given), context) as slow:
                await scene(slow)

        RUN[loop](played())

    return play_


@asynccontextmanager
async def staged(settings: EdgeSettings, context: ssl.SSLContext | None) -> AsyncIterator[Slow]:
    async with Edge(SERVICE, settings) as edge, Producer(settings.redis_url) as producer:
        await eventually(lambda: edge.not_ready() is None)
        for number in range(EVENTS):
            await producer.publish(WorkflowStarted(workflow_id="x", number=number, text=TEXT))
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", edge.port))
        name = "localhost" if context else None
        opened = await asyncio.open_connection(sock=plain, ssl=context, server_hostname=name, limit=2**24)
        client = Client(*opened)
        client.write(upgrade())
        assert (await client.head())[0] == 101
        await client.welcomed()
        try:
            yield Slow(edge, client)
        finally:
            client.writer.transport.abort()


@pytest.mark.parametrize("loop", RUN)
def test_replay_read_slowly_is_not_stuck(play: Callable[..., None], loop: str) -> None:
    """A client that reads a little within every deadline stays, though the edge's own buffer does not get less."""

    async def scene(slow: Slow) -> None:
        await slow.begin()
        slow.look(0)
        buffered = slow.buffered
        for _ in range(5):
            await slow.read_until_seen()
            slow.look(0.9 * DEADLINE_S)
        assert slow.buffered == buffered, "the test has to read less than what asyncio notices"
        assert slow.is_open

    play(loop, scene)


@pytest.mark.parametrize("loop", RUN)
def test_replay_not_read_is_stuck(play: Callable[..., None], loop: str) -> None:
    """The control: who reads nothing in that time is closed, as ever."""

    async def scene(slow: Slow) -> None:
        await slow.begin()
        slow.look(0)
        await slow.read_until_seen()
        slow.look(0.9 * DEADLINE_S)
        assert slow.is_open
        slow.look(3 * DEADLINE_S)
        assert slow.edge.statistics()[0].limited["slow_deadline_s"] == 1

    play(loop, scene)


@pytest.mark.parametrize("loop", RUN)
def test_ping_that_was_not_read_yet_is_waited_for(play: Callable[..., None], loop: str) -> None:
    """While a client acknowledges what was written before a ping, nobody takes it for dead; without that, soon."""

    async def scene(slow: Slow) -> None:
        slow.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        size = 400_000 if slow.connection.visitor.is_secure else 100_000  # a client's TLS reads 256 KiB by itself
        slow.connection.write(text_frame(bytes(size)))
        await eventually(lambda: slow.unread > 50_000 and not slow.buffered)
        await eventually(lambda: (known := peer(slow.plain)) is not None and known.window_bytes < 1024)
        slow.now = asyncio.get_running_loop().time()
        slow.look(DEADLINE_S)
        for _ in range(5):
            await slow.read_until_seen()
            slow.look(0.9 * DEADLINE_S)
            assert slow.is_open
        slow.look(DEADLINE_S)
        slow.look(3 * DEADLINE_S)  # it is closed, and then cut off, since it does not read that either
        slow.look(DEADLINE_S)
        await eventually(lambda: not slow.edge.health()["connections"])

    play(loop, scene, ping_interval_s=DEADLINE_S, ping_timeout_s=0.9 * DEADLINE_S, close_timeout_s=0.1)


@pytest.mark.parametrize("loop", RUN)
def test_large_write_of_our_own_is_no_slowness(play: Callable[..., None], loop: str) -> None:
    """Three megabytes that answer a client may wait for it, though events may not; the bound holds behind them."""

    async def scene(slow: Slow) -> None:
        slow.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        slow.connection.write(text_frame(b"a" * 3_000_000))
        assert not slow.connection.takes_more
        slow.connection.deliver(text_frame(b"b" * 500_000))
        slow.connection.uncork()
        await slow.read_until_seen()
        assert slow.is_open
        for _ in range(3):
            slow.connection.deliver(text_frame(b"b" * 500_000))
            slow.connection.uncork()
        await eventually(lambda: slow.edge.statistics()[0].limited["max_waiting_bytes"] == 1)

    play(loop, scene)


@pytest.mark.parametrize("loop", RUN)
def test_replay_leaves_half_of_a_small_bound_to_events(play: Callable[..., None], loop: str) -> None:
    """What is still to be read of a replay is no slowness, be the bound as small as one step of the replay or two."""

    async def scene(slow: Slow) -> None:
        slow.client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        slow.client.request("subscribe", channel="workflow:x", last=EVENTS)
        await eventually(lambda: slow.buffered > SMALL_BOUND_BYTES // 2)
        slow.connection.deliver(text_frame(bytes(SMALL_BOUND_BYTES // 2 - 100)))
        slow.connection.uncork()
        assert slow.is_open
        slow.connection.deliver(text_frame(bytes(SMALL_BOUND_BYTES)))
        slow.connection.uncork()
        await eventually(lambda: slow.edge.statistics()[0].limited["max_waiting_bytes"] == 1)

    play(loop, scene, max_waiting_bytes=SMALL_BOUND_BYTES)


@pytest.mark.parametrize("loop", RUN)
@pytest.mark.parametrize("bound", [4 * 1024, SMALL_BOUND_BYTES, 1024 * 1024])
def test_repair_written_at_once_leaves_room_for_events(play: Callable[..., None], loop: str, bound: int) -> None:
    """What a room lacked is written at once where a quarter of the bound holds it, beside what may wait already."""

    async def scene(slow: Slow) -> None:
        most = min(64 * 1024, bound // 4)
        assert slow.connection.takes(most)
        assert not slow.connection.takes(most + 1)

    play(loop, scene, max_waiting_bytes=bound)
