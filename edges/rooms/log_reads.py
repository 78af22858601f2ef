"""Every read of a log that an edge needs; what several callers want in one moment is read once."""

import asyncio
from contextlib import suppress
from typing import Any, Final

from bus.channel import Channel
from bus.errors import BusError, BusUnavailable
from bus.log.history import History
from bus.log.log import Head, Log
from bus.log.reading import Reading
from bus.log.replay import REPLAY_EVENTS, Last, Replay, Since, Start, Tail
from bus.position import BEGINNING, Reason, no_log, went_back
from edges.rooms.histories import Histories
from edges.rooms.single_flight import SingleFlight

__all__ = ["LogReads", "end_of", "given"]

_FRESH_S: Final = 1.0
_KEPT: Final = 16
_KEPT_S: Final = 10.0
"""For the members of rooms that were mended, while rooms are being compared: over a narrow path that takes long."""
_HEADS_AT_ONCE: Final = 500
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
        self._heads = SingleFlight[_Batch, dict[Channel, Head]]()
        self._batch, self._head_turn = _Batch(), asyncio.Lock()
        self._tails = SingleFlight[tuple[str, int], Tail]()
        self._pasts = SingleFlight[str, History]()
        self._done: dict[str, tuple[float, Tail]] = {}
        self._kept: dict[str, tuple[float, Tail]] = {}
        self._turns = asyncio.Semaphore(_READS_AT_ONCE)
        self.count = 0

    @property
    def tasks(self) -> "list[asyncio.Task[Any]]":
        """The reads under way, for the owner to end."""
        return [*self._heads.tasks, *self._tails.tasks, *self._pasts.tasks]

    # Heads, for rooms that open.

    async def head(self, channel: Channel) -> Head:
        """Return where a log ends, by a read that begins after this call, and keep the log from expiring.

        Calls made while another read is under way share the next one.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        batch = self._batch
        if len(batch.channels) >= _HEADS_AT_ONCE:
            batch = self._batch = _Batch()
        batch.channels[channel] = None
        try:
            heads = await self._heads.share(batch, lambda: self._read_heads(batch), "heads of logs")
        except BusUnavailable:
            raise
        except BusError:
            if len(batch.channels) == 1:
                raise
            return (await self._log.heads([channel], keeps=True))[0]  # a refusal of one log is no refusal of the others
        return heads[channel]

    async def keep_alive(self, channel: Channel) -> None:
        """Begin the life of a log anew; where that fails the edge's housekeeping does so in time."""
        # Not in the transaction that reads a tail: a user without PEXPIRE (docs/acl.md) could read none then.
        with suppress(BusError):
            await self._log.keep([channel])

    async def _read_heads(self, batch: "_Batch") -> dict[Channel, Head]:
        async with self._head_turn:
            if self._batch is batch:  # a later caller may have subscribed after this read, and shares the next one
                self._batch = _Batch()
            heads = await self._log.heads(list(batch.channels), keeps=True)
            return dict(zip(batch.channels, heads, strict=True))

    # Tails, for readers that come back.

    async def tail(self, channel: Channel, start: Start) -> Tail:
        """Read the end of a log now, as far as a reader that begins at ``start`` needs; others may share the tail.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        until = (start.position,) if isinstance(start, Since) else ()
        # At least one line: where a log ends is told by its newest line.
        count = max(1, _count(_wanted(channel, start)))
        key, reading = (channel.redis, count), Reading(limit_events=count, until=until, whole_pages=True)
        name, before = f"tail of {channel.redis}", self._tails.under_way(key)
        return await self._tails.share(key, lambda: self._at_hand_from_now(channel, reading), name, after=before)

    async def _at_hand_from_now(self, channel: Channel, reading: Reading | None) -> Tail:
        tail = await self.read(channel, reading)
        self._done[channel.redis] = (asyncio.get_running_loop().time(), tail)
        return tail

    async def replay(self, channel: Channel, start: Start) -> Replay:
        """Return what a reader that begins at ``start`` is given.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        wanted = _wanted(channel, start)
        replay = await self._replay(channel, wanted)
        return replay if wanted is start else _newest_only(replay, start)

    async def _replay(self, channel: Channel, start: Start) -> Replay:
        for tail in self._at_hand(channel) if isinstance(start, Since) else ():
            replay = tail.replay(start)
            if replay.reason is None:
                return replay
        count = _count(start)
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
        return await self._at_hand_from_now(channel, None)

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


class _Batch:
    """Channels whose heads are read together."""

    __slots__ = ("channels",)

    def __init__(self) -> None:
        self.channels: dict[Channel, None] = {}


def end_of(tail: Tail) -> Head | None:
    """Return where a tail says that its log ends; None where entries were typed or deleted by hand, and Redis knows."""
    if tail.last == BEGINNING:
        return Head(no_log(tail.now_ms), None, tail.forks)
    newest = tail.lines[-1] if tail.lines else None
    return Head(tail.last, newest.line, tail.forks) if newest is not None and newest.position == tail.last else None


def given(channel: Channel, tail: Tail, start: Start) -> Replay:
    """Return what a reader of a channel that begins at ``start`` is given of a tail read after the reader came."""
    wanted = _wanted(channel, start)
    replay = tail.replay(wanted)
    return replay if wanted is start else _newest_only(replay, start)


def _wanted(channel: Channel, start: Start) -> Start:
    """Return what is read for a start: of a ``latest`` channel the one event, wherever the reader stood."""
    return Last(1) if channel.retention.kind == "latest" else start


def _count(start: Start) -> int:
    return min(start.count, REPLAY_EVENTS) if isinstance(start, Last) else REPLAY_EVENTS


def _newest_only(replay: Replay, start: Start) -> Replay:
    """Return what a latest channel gives: the one event, unless the reader has the event already.

    Nothing is ever missing there; but a reader of a later event than there is now is told that the later event is gone
    (decisions/0055).
    """
    if not isinstance(start, Since):
        return Replay(replay.lines, None, replay.position)
    has_it = replay.position == start.position
    is_gone = bool(replay.lines) and went_back(start.position, replay.position)
    return Replay(() if has_it else replay.lines, Reason.DIVERGED if is_gone else None, replay.position)
