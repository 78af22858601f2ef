"""Reading the ends of logs for readers that come back; those of one moment share a read."""

import asyncio
from typing import Final

from bus.channel import Channel
from bus.log.log import Log
from bus.log.reading import Reading
from bus.log.replay import REPLAY_EVENTS, Last, Replay, Since, Start, Tail

__all__ = ["Tails"]

_FRESH_S: Final = 1.0
_KEPT: Final = 16
_KEPT_S: Final = 10.0
"""For the members of rooms that were mended, while rooms are being compared: over a narrow path that takes long."""
_READS_AT_ONCE: Final = 16
"""So that others, such as the probe, have their turn on the connection while many rooms are read."""


class Tails:
    """One read per channel and moment, however many readers come.

    A tail that was read before a reader came may lack what that reader has already seen elsewhere. So it may say that
    nothing is missing, and otherwise is read anew before anything is told. Who asks for the newest events gets none
    that is older than a read under way; no more is read than those, and only readers of as many share that.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._reads: dict[tuple[str, int], asyncio.Task[Tail]] = {}
        self._done: dict[str, tuple[float, Tail]] = {}
        self._kept: dict[str, tuple[float, Tail]] = {}
        self._turns = asyncio.Semaphore(_READS_AT_ONCE)
        self.count = 0

    @property
    def reads(self) -> "list[asyncio.Task[Tail]]":
        """The reads under way, for whoever ends them."""
        return list(self._reads.values())

    async def replay(self, channel: Channel, start: Start) -> Replay:
        """Return what a reader that begins at ``start`` is given.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        for tail in self._at_hand(channel) if isinstance(start, Since) else ():
            replay = tail.replay(start)
            if replay.reason is None:
                return replay
        count = min(start.count, REPLAY_EVENTS) if isinstance(start, Last) else REPLAY_EVENTS
        under_way = self._reads.get((channel.redis, count))
        if under_way is not None:
            replay = (await asyncio.shield(under_way)).replay(start)
            if replay.reason is None:
                return replay
        return (await self._read(channel, count, after=under_way)).replay(start)

    def _at_hand(self, channel: Channel) -> list[Tail]:
        now, name = asyncio.get_running_loop().time(), channel.redis
        found = ((self._done.get(name), _FRESH_S), (self._kept.get(name), _KEPT_S))
        return [read[1] for read, fresh_s in found if read is not None and now - read[0] < fresh_s]

    def keep(self, channel: Channel, tail: Tail) -> None:
        """Keep what a room was mended with for those of its members that catch up by themselves; a few rooms' only."""
        if len(self._kept) < _KEPT or channel.redis in self._kept:
            self._kept[channel.redis] = (asyncio.get_running_loop().time(), tail)

    async def read(self, channel: Channel, reading: Reading | None = None) -> Tail:
        """Read the end of a log, and share it with nobody; ``reading`` has what an attempt before had read.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        self.count += 1
        async with self._turns:
            return await self._log.tail(channel) if reading is None else await self._log.tail(channel, reading=reading)

    async def _read(self, channel: Channel, count: int, *, after: "asyncio.Task[Tail] | None") -> Tail:
        """Read a tail, or share a read that began later than ``after``."""
        task = self._reads.get((channel.redis, count))
        if task is None or task is after:
            reading = None if count == REPLAY_EVENTS else Reading(limit_events=count)
            task = asyncio.create_task(self.read(channel, reading), name=f"tail of {channel.redis}")
            self._reads[channel.redis, count] = task
            task.add_done_callback(lambda done: self._ended(channel.redis, count, done))
        return await asyncio.shield(task)

    def _ended(self, name: str, count: int, task: "asyncio.Task[Tail]") -> None:
        if self._reads.get((name, count)) is task:
            del self._reads[name, count]
        if count == REPLAY_EVENTS and not task.cancelled() and task.exception() is None:
            self._done[name] = (asyncio.get_running_loop().time(), task.result())

    def forget(self) -> None:
        """Let go of every tail: Redis may be another one now."""
        self._done.clear()
        self._kept.clear()

    def forget_stale(self) -> None:
        """Let go of tails that are no longer fresh. Called now and then by the edge."""
        now = asyncio.get_running_loop().time()
        self._done = {name: (at, tail) for name, (at, tail) in self._done.items() if now - at < _FRESH_S}
        self._kept = {name: (at, tail) for name, (at, tail) in self._kept.items() if now - at < _KEPT_S}
