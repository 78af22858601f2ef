"""What may wait for one client, against a transport that holds as many bytes as it is told."""

import asyncio
from typing import Any, cast

import pytest

from bus.channel import SKIP, Channel
from edges import EdgeSettings
from edges.auth.authenticator import Authenticator
from edges.auth.permissions import Permissions
from edges.limits.counters import Counters
from edges.limits.registry import Registry
from edges.protocol.messages import Notice
from edges.rooms.hub import Hub
from edges.session.context import Context
from edges.session.requests import Answers
from edges.session.verbs.table import VERBS
from edges.transport.connection import Connection
from edges.transport.routes import Routes
from producers.services.mahavishnu import SERVICE
from tests.edges.hub_redis import Redis, X
from tests.edges.peers import PING, TEXT, frame, upgrade

pytestmark = pytest.mark.virtual_time

BOUND = 1024 * 1024
RESERVE = 64 * 1024


class Socket:
    family = -1

    def fileno(self) -> int:
        return -1

    def setsockopt(self, *option: int) -> None: ...


class Transport(asyncio.Transport):
    """Takes everything and sends nothing, unless it is told what has left."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting, self.is_cut, self.written = 0, False, list[bytes]()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return Socket() if name == "socket" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))
        self.waiting += len(data)

    def resume_reading(self) -> None: ...

    def abort(self) -> None:
        self.is_cut = True


class Client:
    """A connection, in one room of a hub."""

    def __init__(self, redis: Redis, channel: Channel = X) -> None:
        self.counters, self.transport, self.channel = Counters(), Transport(), channel
        settings, tell = EdgeSettings(), cast(Any, lambda: None)
        authenticator, permissions = Authenticator(settings), Permissions(SERVICE)
        around = Context(
            SERVICE,
            settings,
            redis.hub,
            cast(Answers, None),
            Registry(1, counters=self.counters),
            self.counters,
            tell,
            authenticator,
            permissions,
            VERBS,
        )
        self.connection = Connection(around, Routes((), lambda _: None))
        self.connection.connection_made(self.transport)
        self.connection.data_received(upgrade())
        self.connection.data_received(frame(TEXT, b'{"type":"ping"}'))
        rooms = self.connection._session._client.rooms  # type: ignore[union-attr]  # noqa: SLF001
        assert rooms.join(channel) is not None
        self.transport.waiting = 0

    def holds(self, size: int) -> None:
        """Let so many bytes wait already."""
        self.transport.waiting = size
        self.connection.pause_writing()

    def asks(self) -> None:
        self.connection.data_received(frame(TEXT, b'{"type":"ping"}'))


@pytest.fixture
async def redis() -> Redis:
    redis = Redis()
    await redis.hub.open(X)
    return redis


async def test_event_up_to_the_bound_is_written(redis: Redis) -> None:
    """The last byte of the bound may be used, and the one after it makes the client slow: it is told 3008 at once."""
    client = Client(redis)
    client.holds(BOUND - 100)
    client.connection.deliver(b"x" * 100)
    assert client.transport.waiting == BOUND
    client.connection.deliver(b"x")
    assert client.transport.written[-1][2:4] == (3008).to_bytes(2)
    assert (client.counters.slow, client.transport.is_cut) == (1, False)


async def test_answers_have_a_reserve(redis: Redis) -> None:
    """A client that is full of events still gets answers, notices and pongs, up to the reserve."""
    client = Client(redis)
    client.holds(BOUND)
    client.asks()
    assert b'"pong"' in client.transport.written[-1]
    client.connection.notify(Notice("bus.degraded"))
    assert b"bus.degraded" in client.transport.written[-1]
    client.connection.data_received(frame(PING, b"p"))
    assert client.transport.written[-1] == b"\x8a\x01p"
    assert client.counters.slow == 0


async def test_beyond_the_reserve_is_cut_off(redis: Redis) -> None:
    """Where not even a close frame may wait, the client is cut off."""
    client = Client(redis)
    client.holds(BOUND + RESERVE)
    client.asks()
    counters = client.counters
    assert (counters.slow, counters.cut, client.transport.is_cut) == (1, 1, True)


async def test_frames_of_several_rooms_count_together(redis: Redis) -> None:
    """What was kept back for one write is bounded like any other events."""
    client = Client(redis)
    client.connection.attend(2)
    client.holds(BOUND)
    client.connection.deliver(b"x")
    client.connection.uncork()
    assert client.counters.slow == 1


async def test_half_of_the_bound_suspends_what_may_be_left_out(redis: Redis) -> None:
    """From half of the bound on a room with `skip` leaves the client out, and takes it in again when little waits."""
    client = Client(redis)
    hub, channel = redis.hub, Channel(X.name, X.redis, when_slow=SKIP)
    room = hub.join_now(X, client.connection)
    assert room is not None
    room.channel = channel
    client.connection._session._client.rooms.rooms[X.name] = channel  # type: ignore[union-attr]  # noqa: SLF001
    client.holds(BOUND // 2)
    assert hub_members(hub) == 1
    client.connection.deliver(b"x")
    assert hub_members(hub) == 0
    redis.publish(1, 2)
    redis.arrive()
    client.transport.waiting = 0
    client.connection.resume_writing()
    assert hub_members(hub) == 1
    assert b'"room.gap"' in client.transport.written[-1]
    assert b'{"n":2}' in client.transport.written[-1]
    assert b'{"n":1}' not in client.transport.written[-1]
    assert hub.statistics().skipped == 1


def hub_members(hub: Hub) -> int:
    """Return how many members events are handed to."""
    room = hub._room(X)  # noqa: SLF001
    assert room is not None
    return sum(map(len, room.subscribers.values()))
