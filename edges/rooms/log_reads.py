"""Every read of a log that an edge needs; what several callers want in one moment is read once."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from bus.channel import Channel
from bus.errors import BusError, BusUnavailable
from bus.log.forks import Fork
from bus.log.history import History
from bus.log.log import Head, Log
from bus.log.reading import Reading
from bus.log.replay import REPLAY_EVENTS, FromState, Last, Replay, Since, Start, Tail
from bus.position import BEGINNING, Reason, no_log, went_back
from edges.rooms.histories import Histories
from edges.rooms.single_flight import SingleFlight

__all__ = ["LogReads", "end_of", "given"]

_FRESH_S: Final = 1.0
_KEPT: Final = 16
_KEPT_S: Final = 10.0
"""For subscribers of recovered rooms, while rooms are being compared: over a narrow path a comparison takes long."""
_HEADS_AT_ONCE: Final = 500
_READS_AT_ONCE: Final = 16
"""A read holds its lines until it ends: thousands at once, after a lost link, would hold thousands of logs."""


class LogReads:
    """Reads logs, once per channel and moment, however many callers come.

    A tail read before a reader came may lack an event that the reader has already seen elsewhere. Such a tail may say
    that nothing is missing; before a loss is told, the log is read anew. Readers of the newest events share only a read
    of as many events that is under way, and never an older one.

    Args:
        log: the connection.
        histories: keeps the histories that were read.

    Attributes:
        count: reads of a log's newest part, since the start.

    """

    def __init__(self, log: Log, *, histories: Histories | None = None) -> None:
        self._log = log
        self._histories = Histories() if histories is None else histories
        self._states = Histories()
        self._heads = SingleFlight[_Batch, dict[Channel, Head]]()
        self._batch, self._head_turn = _Batch(), asyncio.Lock()
        self._tails = SingleFlight[tuple[str, int], Tail]()
        self._newest_states = SingleFlight[str, Tail]()
        self._pasts = SingleFlight[str, History]()
        self._done: dict[str, tuple[float, Tail]] = {}
        self._kept: dict[str, tuple[float, Tail]] = {}
        self._answers: dict[str, tuple[Tail, Start, Replay]] = {}
        self._turns = asyncio.Semaphore(_READS_AT_ONCE)
        self.count = 0

    @property
    def tasks(self) -> "list[asyncio.Task[Any]]":
        """The reads under way, for the owner to end."""
        return [*self._heads.tasks, *self._tails.tasks, *self._newest_states.tasks, *self._pasts.tasks]

    # Heads, for rooms.

    async def heads(self, channels: Sequence[Channel]) -> list[Head]:
        """Return where each log ends, in one round trip, or two where some have no entries.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused.

        """
        return await self._log.heads(channels)

    async def forks(self, channels: Sequence[Channel]) -> list[tuple[Fork, ...]]:
        """Return the marks of each log's forks, in one round trip.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused.

        """
        return await self._log.forks(channels)

    async def head(self, channel: Channel) -> Head:
        """Return where a log ends, by a read that begins after this call, and keep the log from expiring.

        Calls made while another read is under way share the next read.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused.

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
        """Begin the life of a log anew; after a failure the edge's housekeeping tries again in time."""
        # Not in the transaction that reads a tail: a user without PEXPIRE (docs/acl.md) could read none then.
        with suppress(BusError):
            await self._log.keep([channel])

    async def _read_heads(self, batch: "_Batch") -> dict[Channel, Head]:
        async with self._head_turn:
            if self._batch is batch:  # a later caller may be subscribed after this read, and shares the next read
                self._batch = _Batch()
            heads = await self._log.heads(list(batch.channels), keeps=True)
            return dict(zip(batch.channels, heads, strict=True))

    # Tails, for readers that come back.

    async def tail(self, channel: Channel, start: Start) -> Tail:
        """Read the end of a log now, as far as a reader from ``start`` needs; later readers may be given the tail.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused.

        """
        if isinstance(start, FromState):
            return await self._state(channel, anew=True)
        until = (start.position,) if isinstance(start, Since) else ()
        # At least one line: where a log ends is told by its newest line.
        count = max(1, _count(_wanted(channel, start)))
        key, reading = (channel.redis, count), Reading(limit_events=count, until=until, whole_pages=True)
        name, before = f"tail of {channel.redis}", self._tails.under_way(key)
        return await self._tails.share(key, lambda: self._at_hand_from_now(channel, reading), name, after=before)

    async def _state(self, channel: Channel, *, anew: bool) -> Tail:
        """Read a channel's state with the log's end; ``anew``: by a read that begins after this call."""
        before = self._newest_states.under_way(channel.redis) if anew else None
        reading, name = Reading(limit_events=1), f"state of {channel.redis}"
        return await self._newest_states.share(
            channel.redis, lambda: self.read(channel, reading, with_state=True), name, after=before
        )

    async def _at_hand_from_now(self, channel: Channel, reading: Reading | None) -> Tail:
        tail = await self.read(channel, reading)
        self._done[channel.redis] = (asyncio.get_running_loop().time(), tail)
        return tail

    async def replay(self, channel: Channel, start: Start, *, stands: str | None = None) -> Replay:
        """Return the replay for a reader that begins at ``start``.

        ``stands``: where the room stands. A tail that ends elsewhere cannot say that nothing follows; None: not known.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused.

        """
        if isinstance(start, FromState):
            return (await self._state(channel, anew=start.anew)).replay(start)
        wanted = _wanted(channel, start)
        replay = await self._replay(channel, wanted, stands)
        return replay if wanted is start else _newest_only(replay, start)

    async def _replay(self, channel: Channel, start: Start, stands: str | None) -> Replay:
        # decisions/0017: one read answers every reader; where a reader begins only decides which lines are its own.
        found = self.at_hand(channel, start, stands) if isinstance(start, Since) else None
        if found is not None:
            return found
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

    def at_hand(self, channel: Channel, start: Since, stands: str | None) -> Replay | None:
        """Return the whole replay from a tail read a moment ago, see ``replay``; None where Redis has to be asked."""
        for tail in self._at_hand(channel):
            replay = self._answer(channel, tail, start)
            if replay.reason is None and (replay.lines or stands in (None, replay.position)):
                return replay
        return None

    def _answer(self, channel: Channel, tail: Tail, start: Start) -> Replay:
        """Return a tail's answer to a reader; readers that come back together ask the same."""
        found = self._answers.get(channel.redis)
        if found is None or found[0] is not tail or found[1] != start:
            found = self._answers[channel.redis] = tail, start, tail.replay(start)
        return found[2]

    def _at_hand(self, channel: Channel) -> list[Tail]:
        now, name = asyncio.get_running_loop().time(), channel.redis
        found = ((self._done.get(name), _FRESH_S), (self._kept.get(name), _KEPT_S))
        return [read[1] for read, fresh_s in found if read is not None and now - read[0] < fresh_s]

    async def _newest(self, channel: Channel, count: int) -> Tail:
        if count < REPLAY_EVENTS:
            return await self.read(channel, Reading(limit_events=count))
        return await self._at_hand_from_now(channel, None)

    async def read(self, channel: Channel, reading: Reading | None = None, *, with_state: bool = False) -> Tail:
        """Read the end of a log for the caller alone; ``reading`` has the lines of an attempt before.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused.

        """
        self.count += 1
        async with self._turns:
            if with_state:
                return await self._log.tail(channel, reading=reading, with_state=True)
            return await self._log.tail(channel) if reading is None else await self._log.tail(channel, reading=reading)

    def keep(self, channel: Channel, tail: Tail) -> None:
        """Keep the tail that a room was recovered with, for subscribers that catch up alone; of a few rooms only."""
        if len(self._kept) < _KEPT or channel.redis in self._kept:
            self._kept[channel.redis] = (asyncio.get_running_loop().time(), tail)

    def forget(self) -> None:
        """Let go of every tail: Redis may be another one now."""
        self._done.clear()
        self._kept.clear()
        self._answers.clear()

    def forget_stale(self) -> None:
        """Let go of tails that are no longer fresh. Called now and then by the edge."""
        now = asyncio.get_running_loop().time()
        self._done = {name: (at, tail) for name, (at, tail) in self._done.items() if now - at < _FRESH_S}
        self._kept = {name: (at, tail) for name, (at, tail) in self._kept.items() if now - at < _KEPT_S}
        self._answers.clear()

    # Histories, for requests.

    async def history(self, channel: Channel, *, of_state: bool = False) -> History:
        """Return the past events of a channel, or of its state; the same object as before where no event came since.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused.

        """
        if of_state:
            key, work = f"state of {channel.redis}", self._read_past_of_state
        else:
            key, work = f"history of {channel.redis}", self._read_history
        return await self._pasts.share(key, lambda: work(channel), key)

    async def _read_past_of_state(self, channel: Channel) -> History:
        history = await self._log.past_of_state(channel, self._states.of(channel))
        self._states.keep(channel, history)
        return history

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
    """Return where a tail's log ends; None where entries typed or deleted by hand hide the end from the tail."""
    if tail.last == BEGINNING:
        return Head(no_log(tail.now_ms), None, tail.forks)
    newest = tail.lines[-1] if tail.lines else None
    return Head(tail.last, newest.line, tail.forks) if newest is not None and newest.position == tail.last else None


def given(channel: Channel, tail: Tail, start: Start) -> Replay:
    """Return the replay for a reader that begins at ``start``, from a tail read after the reader came."""
    wanted = _wanted(channel, start)
    replay = tail.replay(wanted)
    return replay if wanted is start else _newest_only(replay, start)


def _wanted(channel: Channel, start: Start) -> Start:
    """Return the start to read for: of a ``latest`` channel the newest event, wherever the reader stood."""
    return Last(1) if channel.retention.kind == "latest" else start


def _count(start: Start) -> int:
    return min(start.count, REPLAY_EVENTS) if isinstance(start, Last) else REPLAY_EVENTS


def _newest_only(replay: Replay, start: Start) -> Replay:
    """Return the replay of a ``latest`` channel: the newest event, unless the reader has that event already."""
    # decisions/0055: nothing is ever missing there, but after a failover the reader's event may be gone, and an older
    # one the newest: the reader is told.
    if not isinstance(start, Since):
        return Replay(replay.lines, None, replay.position)
    has_it = replay.position == start.position
    is_gone = bool(replay.lines) and went_back(start.position, replay.position)
    return Replay(() if has_it else replay.lines, Reason.DIVERGED if is_gone else None, replay.position)
