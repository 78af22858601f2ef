"""One edge of the recovery model: a real hub and log, on a Redis in memory that answers and fails as the model says."""

import asyncio
from contextlib import suppress
from typing import cast

from redis.exceptions import ConnectionError as RedisConnectionError

from bus.channel import Channel
from bus.envelope import read_front
from bus.errors import BusError, BusUnavailable
from bus.log.reading import Reading
from bus.log.replay import Replay, Start, Tail
from bus.redis.subscriber import Subscriber
from bus.tasks import Spawn
from edges import EdgeSettings
from edges.auth.authenticator import Authenticator
from edges.auth.permissions import Permissions
from edges.limits.counters import Counters
from edges.limits.registry import Registry
from edges.rooms.hub import Hub
from edges.rooms.room import Room
from edges.session.context import Context
from edges.session.requests import Answers
from edges.session.verbs.table import verbs_of
from producers.services.mahavishnu import SERVICE
from tests.edges.fake_connections import FakeLog
from tests.edges.rooms.model_log import Redis

READ_LIMIT = 6
"""Events that one read gives; so few that the limit is met."""


class ShortLog(FakeLog):
    """A log of which one read gives a few events."""

    async def tail(self, channel: Channel, *, reading: Reading | None = None, **_: int) -> Tail:
        reading = Reading() if reading is None else reading
        reading._limit_events = READ_LIMIT  # noqa: SLF001 (whoever reads says less, or nothing)
        return await super().tail(channel, reading=reading)


class ModelEdge:
    """The hub, its log and its link. An answer of the log is what was there when it was asked; it comes when it may."""

    def __init__(self, redis: Redis, spawn: Spawn, loop: asyncio.AbstractEventLoop) -> None:
        self.spawn, self.published = spawn, redis.published
        self.link = redis.link()
        self.hub = Hub(ShortLog(redis.primary, comes=self._answered), cast(Subscriber, self.link), spawn, linger_s=0)
        self.link.deliver = self.hub.deliver
        self.replay, self.hub.replay = self.hub.replay, self.replayed  # type: ignore[method-assign]
        self.is_slow, self.overtaken = False, False
        self.waiting: list[asyncio.Future[None]] = []
        self.context = Context(
            SERVICE,
            EdgeSettings(message_rate_limit=1_000_000),
            self.hub,
            cast(Answers, None),
            cast(Registry, None),
            Counters(),
            spawn,
            Authenticator(EdgeSettings()),
            Permissions(SERVICE),
            verbs_of(SERVICE),
            loop=loop,
        )

    async def replayed(self, channel: Channel, start: Start) -> Replay:
        """Replay, as the hub does; take note where lines up to its end were on their way, and have not arrived."""
        coming, generation = list(self.link.on_the_way), self.generation
        replay = await self.replay(channel, start)
        is_late = any(
            line is one and not self._is_behind(line[1], replay.position)
            for line in self.link.on_the_way
            for one in coming
        )
        if is_late and generation == self.generation and all(room.position != replay.position for room in self.rooms):
            self.overtaken = True
        return replay

    def _is_behind(self, line: bytes, position: str) -> bool:
        """Tell whether a line was published after the event at ``position``; of typed lines nothing is known."""
        arrived = read_front(line)
        number = None if arrived is None else self.published.get(arrived.position or "")
        end = self.published.get(position)
        return number is not None and end is not None and number > end

    @property
    def rooms(self) -> list[Room]:
        """The open rooms; nothing else tells them."""
        return [room for room in self.hub._rooms.values() if room.is_open]  # noqa: SLF001 (see above)

    # The link.

    @property
    def is_up(self) -> bool:
        return self.link.is_up

    @property
    def generation(self) -> int:
        return self.link.generation

    def arrive(self, count: int = 100) -> None:
        self.link.arrive(count)

    def reconnect(self) -> None:
        """Have a link again, and do what an edge does then."""
        self.link.is_up = True
        self.link.generation += 1
        self.spawn(self.compare(), "compare")

    async def compare(self) -> None:
        generation = self.generation
        while self.is_up and self.generation == generation:
            try:
                await self.hub.compare()
            except BusError:
                await asyncio.sleep(0)
            else:
                return

    async def close_empty(self) -> None:
        with suppress(BusError):
            await self.hub.close_empty()

    async def look(self) -> None:
        """Look for marks of other edges; the edge does so a few times after it compared."""
        with suppress(BusUnavailable):
            await self.hub.look()

    # The log.

    async def _answered(self) -> None:
        generation = self.generation
        if self.is_slow:
            self.waiting.append(asyncio.get_running_loop().create_future())
            await self.waiting[-1]
        await asyncio.sleep(0)
        if not self.is_up or self.generation != generation:
            raise RedisConnectionError("down")

    def answer(self, at: int, count: int, *, is_slow: bool) -> None:
        """Let some of what was asked be answered; answers to later questions wait, or do not."""
        at %= max(1, len(self.waiting))
        answered, self.is_slow = self.waiting[at : at + count], is_slow
        del self.waiting[at : at + count]
        for future in answered:
            future.set_result(None)
