"""A Redis in memory with a hub on it, numbered events, and members that keep what they are given."""

import asyncio
import re
import socket
from collections.abc import Coroutine, Sequence
from typing import Any, cast

import orjson
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from bus.channel import HISTORY, Channel, Retention
from bus.envelope import end_of, splice
from bus.errors import BusError, BusUnavailable
from bus.log.forks import Fork
from bus.position import BEGINNING
from bus.redis.subscriber import Subscriber
from edges.protocol.envelope import ENVELOPE, Dialect
from edges.rooms.hub import Hub
from edges.rooms.room import Room
from tests.edges.fake_connections import FakeLink, FakeLog
from tests.edges.fake_redis import FakeRedis, Stream

X = Channel("workflow:x", "workflow:x", HISTORY)


def spawned(work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
    return asyncio.create_task(work, name=name)


def of(number: int) -> Channel:
    """Return one of many channels."""
    return Channel(f"workflow:{number}", f"workflow:{number}")


def line(number: int, channel: Channel = X) -> bytes:
    """Return event ``number`` as a producer sends it; in the log it stands at n-n, behind the one before.

    Every third looks as if another program had written it, so that a room parses some lines and lets others flow.
    """
    end = b"}" if number % 3 == 0 else b"," + end_of(channel.name)
    return b'{"event":"e","data":{"n":%d}%b' % (number, end)


class Redis:
    """One server, the log and the link of one edge on it, and the hub.

    An event is in the log at once, and reaches the hub in the order of the link; ``arrive`` lets the link catch up.
    """

    def __init__(self, *, linger_s: float = 1.0, server: FakeRedis | None = None) -> None:
        self.server = FakeRedis() if server is None else server
        self.server.fails, self.server.on_read, self.server.after_read = self._fault, self._before, self._after
        self.log = FakeLog(self.server)
        self.link = FakeLink(self.server)
        self.hub = Hub(self.log, cast(Subscriber, self.link), spawned, linger_s=linger_s)
        self.link.deliver = self.hub.deliver
        self.before_reading: list[int] = []
        self.after_reading: list[int] = []
        self.fails_to_read = False
        self.fails_to_mark: BusError | None = None

    def _before(self) -> None:
        numbers, self.before_reading = self.before_reading, []
        self.publish(*numbers)

    def _after(self) -> None:
        numbers, self.after_reading = self.after_reading, []
        self.publish(*numbers)

    def _fault(self, names: Sequence[tuple[str, str]]) -> Exception | None:
        if self.fails_to_read and any(name in ("xrevrange", "xinfo_stream") for name, _ in names):
            return RedisConnectionError("away")
        if self.fails_to_mark is not None and any(name == "zadd" for name, _ in names):
            is_away = isinstance(self.fails_to_mark, BusUnavailable)
            return RedisConnectionError("away") if is_away else ResponseError(str(self.fails_to_mark))
        return None

    def publish(self, *numbers: int, channel: Channel = X, retention: Retention = HISTORY) -> None:
        """Store events and send them."""
        to = Channel(channel.name, channel.redis, retention)
        for number in numbers:
            self.server.append(to, line(number, channel), {b"id": b"%d" % number}, position=f"{number}-{number}")

    def store(self, channel: Channel, last: int) -> None:
        """Let a log end with event ``last``, without a line that tells of it."""
        stream = self.server.data.get(channel.log_key, Stream())
        on_the_way = list(self.on_the_way)
        self.publish(*range(int(stream.last.partition(b"-")[0]) + 1, last + 1), channel=channel)
        self.on_the_way = on_the_way

    def send(self, channel: Channel, *numbers: int) -> None:
        """Let lines arrive now, whatever the log has."""
        before = [f"{number - 1}-{number - 1}" for number in numbers]
        lines = [splice(line(n, channel), f"{n}-{n}", previous) for n, previous in zip(numbers, before, strict=True)]
        self.hub.deliver([(channel.redis.encode(), it) for it in lines])

    def lose(self, *, keep: int, channel: Channel = X) -> None:
        """Take out what came behind the first ``keep`` events of a log, as a takeover by a replica does."""
        entries = self.server.data.get(channel.log_key, Stream()).entries[:keep]
        self.server.data[channel.log_key] = Stream(entries, entries[-1][0] if entries else BEGINNING.encode())
        if not entries:
            del self.server.data[channel.log_key]

    def arrive(self) -> None:
        """Let all lines arrive that are on their way."""
        self.link.arrive()

    @property
    def marks(self) -> list[Fork]:
        """The forks that edges marked in the log of X."""
        found: dict[bytes, float] = self.server.data.get(X.forks_key, {})
        return [Fork(position.decode(), int(ms)) for position, ms in found.items()]

    @marks.setter
    def marks(self, forks: Sequence[Fork]) -> None:
        self.server.data[X.forks_key] = {fork.position.encode(): float(fork.found_ms) for fork in forks}

    @property
    def born(self) -> str:
        """The epoch."""
        return str(self.server.data["bus:epoch"].decode())

    @born.setter
    def born(self, epoch: str) -> None:
        self.server.data["bus:epoch"] = epoch.encode()

    # The link.

    @property
    def is_up(self) -> bool:
        return self.link.is_up

    @is_up.setter
    def is_up(self, is_up: bool) -> None:
        self.link.is_up = is_up

    @property
    def generation(self) -> int:
        return self.link.generation

    @generation.setter
    def generation(self, generation: int) -> None:
        self.link.generation = generation

    @property
    def on_the_way(self) -> list[tuple[bytes, bytes]]:
        return self.link.on_the_way

    @on_the_way.setter
    def on_the_way(self, lines: list[tuple[bytes, bytes]]) -> None:
        self.link.on_the_way = lines

    @property
    def subscribed(self) -> set[str]:
        return self.link.subscribed

    @property
    def asked(self) -> list[str]:
        return self.link.asked

    @property
    def may_confirm(self) -> asyncio.Event:
        return self.link.may_confirm

    @property
    def fails_to_subscribe(self) -> bool:
        return self.link.fails

    @fails_to_subscribe.setter
    def fails_to_subscribe(self, fails: bool) -> None:
        self.link.fails = fails

    # What was read.

    @property
    def reads(self) -> list[str]:
        """The logs whose newest part was read, by their keys."""
        found = [dict(names).get("xinfo_stream") for names in self.server.asked]
        return [key for key in found if key is not None]

    @property
    def heads(self) -> list[list[str]]:
        """The logs that were asked for their ends, by their keys, in each round trip."""
        found = [names for names in self.server.asked if "xinfo_stream" not in dict(names)]
        return [keys for names in found if (keys := [key for name, key in names if name == "xrevrange"])]


class Member:
    direct: socket.socket | None = None
    direct_joined: socket.socket | None = None
    dialect: Dialect = ENVELOPE

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.shown: list[int] = []
        self.position: str | None = None

    def deliver(self, frames: bytes) -> bool:
        self.frames.append(frames)
        return False

    def uncork(self) -> int:
        return 0

    def takes(self, size: int) -> bool:
        return size >= 0

    def recover(self, channel: Channel, position: str) -> None:
        raise AssertionError("it takes all")

    def fail(self) -> None: ...

    @property
    def events(self) -> list[int]:
        """Numbers of the events that were delivered, with notices among them."""
        found = re.findall(rb'"data":\{"n":(\d+)\}', b"".join(self.frames))
        return [int(number) for number in found]

    @property
    def got(self) -> list[int]:
        """Numbers of the events that were delivered or shown."""
        lines, rest = list[bytes](), b"".join(self.frames)
        while rest:
            size, start = (rest[1], 2) if rest[1] < 126 else (int.from_bytes(rest[2:4]), 4)
            lines.append(rest[start : start + size])
            rest = rest[start + size :]
        return self.shown + [orjson.loads(line)["data"]["n"] for line in lines]

    def joined(self, room: Room | None) -> None:
        """Take note of where it stands, and of what it is shown, as a session does."""
        assert room is not None
        self.position = room.position
        if room.latest is not None:
            self.shown.append(orjson.loads(room.latest)["data"]["n"])


class Wired(Member):
    """A member with a socket, as a client without TLS has one."""

    def __init__(self) -> None:
        super().__init__()
        self._plain, self._client = socket.socketpair()
        self._plain.setblocking(False)
        self.direct = self.direct_joined = self._plain

    def end(self) -> None:
        """Take note of what came by the socket, and close it; a second time nothing is done."""
        self._plain.close()
        with self._client:
            while self._client.fileno() >= 0 and (data := self._client.recv(1 << 20)):
                self.frames.append(data)


async def join(redis: Redis, channel: Channel = X, member: Member | None = None) -> Member:
    """Let a member into the room, a new one if none is given."""
    member = Member() if member is None else member
    await redis.hub.open(channel)
    member.joined(redis.hub.join_now(channel, member))
    return member
