"""A connection without a socket, on an edge without Redis: bytes go in where they are cut, and frames come out."""

import asyncio
import logging
from collections.abc import Coroutine, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, Self, cast

import orjson

from bus.redis.subscriber import Subscriber
from bus.service import Service
from bus.tasks import end
from edges import EdgeSettings
from edges.auth.authenticator import Authenticator
from edges.auth.permissions import Permissions
from edges.limits.counters import Counters
from edges.limits.registry import Registry
from edges.rooms.hub import Hub
from edges.session.context import Context
from edges.session.requests import Answers
from edges.session.verbs.table import verbs_of
from edges.transport.connection import Connection
from edges.transport.routes import routes_of
from tests.edges.fake_connections import FakeLink, FakeLog
from tests.edges.fake_redis import FakeRedis, away

__all__ = ["ROUTES", "Stage", "client_frame"]

_TURNS: Final = 2_000
"""Turns of the loop after which nothing more is to be expected: no answer here waits for a clock."""
_HOUR_MS: Final = 3_600_000


class Healthy:
    """An edge with which all is well."""

    def body(self) -> dict[str, object]:
        return {"status": "healthy"}

    def not_ready(self) -> None:
        return None

    def warning(self) -> None:
        return None


ROUTES: Final = routes_of(Healthy(), lambda _: None)


class Socket:
    """What a transport says of its socket."""

    family = 2

    def setsockopt(self, *_: int) -> None: ...

    def fileno(self) -> int:
        return -1


class Transport(asyncio.Transport):
    """Keeps what is written; ends as a real one does."""

    def __init__(self) -> None:
        super().__init__({"socket": Socket(), "peername": ("192.0.2.1", 50_000), "sockname": ("192.0.2.2", 80)})
        self.written = bytearray()
        self.reads, self.has_ended, self.is_gone = True, False, False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.has_ended, "written after the end"
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_ended = True

    def is_closing(self) -> bool:
        return self.is_gone

    def close(self) -> None:
        self.has_ended = self.is_gone = True

    def abort(self) -> None:
        self.has_ended = self.is_gone = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


class Stage(logging.Handler):
    """One connection and all around it. Leaving it sees that nothing went wrong unseen, and that nothing is left."""

    def __init__(self, service: Service, *, is_up: bool = True, **settings: Any) -> None:
        super().__init__(logging.ERROR)
        self.faults: list[logging.LogRecord] = []
        self.settings = EdgeSettings(
            **{"port": 0, "redis_url": "redis://127.0.0.1:1", "welcome_delay_ms": _HOUR_MS, **settings}
        )
        redis = FakeRedis() if is_up else FakeRedis(fails=away)
        link = FakeLink(redis)
        link.is_up = is_up
        self.hub = Hub(FakeLog(redis), cast(Subscriber, link), self._spawn)
        link.deliver = self.hub.deliver
        self._answers = Answers(self.hub.log_reads)
        self._registry = Registry(10)
        self._tasks: set[asyncio.Task[None]] = set()
        around = Context(
            service,
            self.settings,
            self.hub,
            self._answers,
            self._registry,
            Counters(),
            self._spawn,
            Authenticator(self.settings),
            Permissions(service),
            verbs_of(service),
        )
        self.transport = Transport()
        self.connection = Connection(around, ROUTES)
        self.connection.connection_made(self.transport)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def emit(self, record: logging.LogRecord) -> None:
        self.faults.append(record)

    async def __aenter__(self) -> Self:
        logging.getLogger("edgebus").addHandler(self)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self.close_code() is None or self.transport.reads or self.transport.is_gone, "deaf to the client's close"
        self.connection.connection_lost(None)
        await end([*self._tasks, *self._answers.tasks, *self.hub.log_reads.tasks])
        logging.getLogger("edgebus").removeHandler(self)
        assert [record.getMessage() for record in self.faults] == []
        assert (len(self._registry), self.hub.statistics().rooms) == (0, 0)

    @property
    def is_open(self) -> bool:
        """Whether the edge has neither closed nor cut the connection."""
        return not self.transport.has_ended and not any(opcode == 8 for opcode, _ in self.frames())

    async def take(self, data: bytes, cuts: Sequence[int] = ()) -> None:
        """Give the connection ``data``, cut at ``cuts``, for as long as it reads."""
        places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
        for start, stop in pairwise(places):
            await self._turn_while(lambda: not self.transport.reads)
            if self.transport.is_gone:
                return
            self.connection.data_received(data[start:stop])
            await asyncio.sleep(0)

    async def settle(self, count: int) -> None:
        """Wait until ``count`` answers are there, and nothing is under way any more."""
        await self._turn_while(lambda: self.is_open and len(self.answers()) < count)
        await self._turn_while(lambda: any("command" in task.get_name() for task in self._tasks))

    async def _turn_while(self, is_so: Any) -> None:
        for _ in range(_TURNS):
            if not is_so():
                return
            await asyncio.sleep(0)

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Return opcode and payload of every frame that was written."""
        rest = bytes(self.transport.written).partition(b"\r\n\r\n")[2]
        while rest:
            size, start = rest[1], 2
            if size >= 126:
                start = 4 if size == 126 else 10
                size = int.from_bytes(rest[2:start])
            yield rest[0] & 0x0F, rest[start : start + size]
            rest = rest[start + size :]

    def messages(self) -> list[dict[str, Any]]:
        """Return every message that was written."""
        return [orjson.loads(payload) for opcode, payload in self.frames() if opcode == 1]

    def answers(self) -> list[dict[str, Any]]:
        """Return the messages that answer one of the client's."""
        kinds = ("response", "error", "pong", "subscription_confirmed", "anonymous")
        return [message for message in self.messages() if message["type"] in kinds]

    def close_code(self) -> int | None:
        """Return the code of the close frame; 1005 for one without, None where there is none."""
        payloads = [payload for opcode, payload in self.frames() if opcode == 8]
        assert len(payloads) <= 1, "closed twice"
        return None if not payloads else int.from_bytes(payloads[0][:2]) if payloads[0] else 1005


def client_frame(opcode: int, payload: bytes, mask: bytes = b"\1\2\3\4", *, fin: bool = True) -> bytes:
    """Return one frame as a client sends it (RFC 6455, section 5.2), truly masked."""
    head, size = bytes([opcode | (0x80 if fin else 0)]), len(payload)
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0xFE]) + size.to_bytes(2)
    else:
        head += bytes([0xFF]) + size.to_bytes(8)
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
