"""Every read of a log that an edge needs; what several callers want in one moment is read once."""

import asyncio
from typing import Any, Final

from bus.channel import Channel
from bus.log.history import History
from bus.log.log import Log
from bus.log.reading import Reading
from bus.log.replay import REPLAY_EVENTS, Last, Replay, Since, Start, Tail
from edges.rooms.histories import Histories
from edges.rooms.single_flight import SingleFlight

__all__ = ["LogReads"]

_FRESH_S: Final = 1.0
_KEPT: Final = 16
_KEPT_S: Final = 10.0
"""For the members of rooms that were mended, while rooms are being compared: over a narrow path that takes long."""
_READS_AT_ONCE: Final = 16
"""So that others, such as the probe, have their turn on the connection while many rooms are read."""


class LogReads:
    """Reads logs, once per channel and moment, however many callers come.

    A tail that was read before a reader came may lack an event that the reader has already seen elsewhere. Such a tail
    may say that nothing is missing, and otherwise is read anew before a loss is told. A reader of the newest events
    gets none older than a read under way; no more is read than those, and only readers of as many share the read.

    Args:
        log: the connection.
        histories: keeps the histories that were read.

    """

    def __init__(self, log: Log, *, histories: Histories | None = None) -> None:
        self._log = log
        self._histories = Histories() if histories is None else histories
        self._tails = SingleFlight[tuple[str, int], Tail]()
        self._pasts = SingleFlight[str, History]()
        self._done: dict[str, tuple[float, Tail]] = {}
        self._kept: dict[str, tuple[float, Tail]] = {}
        self._turns = asyncio.Semaphore(_READS_AT_ONCE)
        self.count = 0

    @property
    def tasks(self) -> "list[asyncio.Task[Any]]":
        """The reads under way, for the owner to end."""
        return [*self._tails.tasks, *self._pasts.tasks]

    # Tails, for readers that come back.

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
        under_way = self._tails.under_way((channel.redis, count))
        if under_way is not None:
            replay = (await asyncio.shield(under_way)).replay(start)
            if replay.reason is None:
                return replay
        name = f"tail of {channel.redis}"
        tail = await self._tails.share(
            (channel.redis, count), lambda: self._newest(channel, count), name, after=under_way
        )
        return tail.replay(start)

    def _at_hand(self, channel: Channel) -> list[Tail]:
        now, name = asyncio.get_running_loop().time(), channel.redis
        found = ((self._done.get(name), _FRESH_S), (self._kept.get(name), _KEPT_S))
        return [read[1] for read, fresh_s in found if read is not None and now - read[0] < fresh_s]

    async def _newest(self, channel: Channel, count: int) -> Tail:
        if count < REPLAY_EVENTS:
            return await self.read(channel, Reading(limit_events=count))
        tail = await self.read(channel)
        self._done[channel.redis] = (asyncio.get_running_loop().time(), tail)
        return tail

    async def read(self, channel: Channel, reading: Reading | None = None) -> Tail:
        """Read the end of a log for one caller alone; ``reading`` has what an attempt before had read.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        self.count += 1
        async with self._turns:
            return await self._log.tail(channel) if reading is None else await self._log.tail(channel, reading=reading)

    def keep(self, channel: Channel, tail: Tail) -> None:
        """Keep what a room was mended with for those of its members that catch up by themselves; a few rooms' only."""
        if len(self._kept) < _KEPT or channel.redis in self._kept:
            self._kept[channel.redis] = (asyncio.get_running_loop().time(), tail)

    def forget(self) -> None:
        """Let go of every tail: Redis may be another one now."""
        self._done.clear()
        self._kept.clear()

    def forget_stale(self) -> None:
        """Let go of tails that are no longer fresh. Called now and then by the edge."""
        now = asyncio.get_running_loop().time()
        self._done = {name: (at, tail) for name, (at, tail) in self._done.items() if now - at < _FRESH_S}
        self._kept = {name: (at, tail) for name, (at, tail) in self._kept.items() if now - at < _KEPT_S}

    # Histories, for requests.

    async def history(self, channel: Channel) -> History:
        """Return the past events of a channel; the same object as before where no event came since.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        name = f"history of {channel.redis}"
        return await self._pasts.share(channel.redis, lambda: self._read_history(channel), name)

    async def _read_history(self, channel: Channel) -> History:
        known = self._histories.of(channel)
        history = await (self._log.history(channel) if known is None else self._log.history(channel, known))
        self._histories.keep(channel, history)
        return history
