"""Recovery of rooms from logs: of a single room after a gap, and of all rooms after the link was away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from bus.channel import Channel
from bus.errors import BusError, BusUnavailable
from bus.log.forks import Fork
from bus.log.log import Head, Log
from bus.log.reading import Reading
from bus.log.replay import Since
from bus.redis.subscriber import Subscriber
from bus.tasks import Spawn
from edges.rooms.log_reads import LogReads
from edges.rooms.room import Room

__all__ = ["Recovery"]

_COMPARE_ROOMS: Final = 500
_RETRY_S: Final = 0.2
_RETRY_FAILED_S: Final = 1.0
_COMPARED_S: Final = 5.0

_logger = logging.getLogger("edgebus.edges")


class Recovery:
    """Reads logs for rooms; a single task at a time recovers a room.

    Args:
        log: tells where logs end.
        link: tells whether lines come, and since when.
        spawn: runs a task, and owns it.
        reads: reads logs.
        write: writes lines that wait in a room to the subscribers; tells whether some catch up by themselves.
        barrier: waits until every line that Redis published on a channel so far has arrived.
        repaired: is told of events that were read for a room: between two positions, and how many.

    """

    def __init__(
        self,
        log: Log,
        link: Subscriber,
        spawn: Spawn,
        reads: LogReads,
        write: Callable[[Room], bool],
        barrier: Callable[[Channel], Awaitable[None]],
        repaired: Callable[[Channel, str | None, str | None, int], None],
    ) -> None:
        self._log, self._link, self._spawn = log, link, spawn
        self._reads, self._write, self._barrier, self._repaired = reads, write, barrier, repaired
        self._epoch: str | None = None
        self._tasks: dict[Room, asyncio.Task[None]] = {}
        self._comparison: asyncio.Future[None] | None = None
        """The comparison owed since the link went; None while none is."""
        self._was_compared = False
        self._compared: set[Room] = set()
        """Rooms of a comparison under way that need no second look, should the comparison begin anew."""
        self._compared_with: str | None = None
        self._failed: set[Room] = set()
        self._refused: str | None = None

    def begin(self, room: Room) -> "asyncio.Task[None]":
        """Have the lines that a room misses read from the log."""
        task = self._tasks.get(room)
        if task is None or task.done():  # one that is done may not have been forgotten yet
            task = self._tasks[room] = self._spawn(self._recovered(room), f"recovery of {room.channel.redis}")
            task.add_done_callback(lambda done: self._forget(room, done))
        return task

    def _forget(self, room: Room, task: "asyncio.Task[None]") -> None:
        if self._tasks.get(room) is task:
            del self._tasks[room]

    async def _recovered(self, room: Room) -> None:
        """Recover a room; after an unforeseen error once more later, while no caller waits."""
        try:
            await self._read_and_recover(room)
            await self._mark(room)
            # A room that lost sync while Redis took the mark found this task under way, and began no other.
            if self._is_wanted(room):
                await self._recovered(room)
        except BusUnavailable:  # a comparison owes the mark only where the link went, too
            asyncio.get_running_loop().call_later(_RETRY_FAILED_S, self._begin_again, room)
        except Exception as error:  # noqa: BLE001 (logged: else the room would hold its lines for ever)
            self._tell_failed(room, error)
            asyncio.get_running_loop().call_later(_RETRY_FAILED_S, self._begin_again, room)
        else:
            self._failed.discard(room)

    def _tell_failed(self, room: Room, error: Exception) -> None:
        """Log a bug of ours once per room."""
        if room not in self._failed:
            self._failed.add(room)
            fields = {"channel": room.channel.name}
            _logger.error("a room could not be mended; it is tried again", exc_info=error, extra=fields)

    def _begin_again(self, room: Room) -> None:
        if room.is_open and (room.sequencer.forks.unmarked or not room.sequencer.is_in_sync) and self._link.is_up:
            self.begin(room)
        else:
            self._failed.discard(room)

    def _is_wanted(self, room: Room) -> bool:
        stands = room.sequencer.newest is not None  # else there is no place to read from
        return stands and room.is_open and not room.sequencer.is_in_sync and self._link.is_up

    async def _read_and_recover(self, room: Room) -> None:
        """Read and go on until lines flow again. Where Redis is away, the link's return begins recovery anew."""
        sequencer = room.sequencer
        reading = Reading(until=sequencer.known)
        while self._is_wanted(room) and (newest := sequencer.begin_recovery()) is not None:
            try:
                tail = await self._reads.read(room.channel, reading)
                # Lines of a log that is gone by now may be on their way, and were first (decisions/0086).
                await self._barrier(room.channel)
            except BusError:
                await asyncio.sleep(_RETRY_S)
                continue
            replay = tail.without_forks().replay(Since(newest))  # of those the subscribers are told by `learn`
            before = sequencer.repaired
            sequencer.recover(replay, now_ms=tail.now_ms, epoch_ms=tail.epoch_ms)
            self._repaired(room.channel, newest, sequencer.newest, sequencer.repaired - before)
            if self._write(room):
                self._reads.keep(room.channel, tail)

    async def _mark(self, room: Room) -> None:
        """Mark the forks that a room found, for other edges.

        Raises:
            BusUnavailable: Redis is away.

        """
        forks = room.sequencer.forks.unmarked
        try:
            if forks:
                await self._log.mark(room.channel, forks)
                self._refused = None
        except BusUnavailable:
            raise
        except BusError as error:  # this edge tells by what it knows; others cannot
            self._tell_refused(room, str(error))
            return
        room.sequencer.forks.marked(forks)

    def _tell_refused(self, room: Room, reason: str) -> None:
        """Log once per reason that Redis refuses marks; a Redis that is full refuses the marks of every room."""
        level = logging.DEBUG if reason == self._refused else logging.WARNING
        self._refused = reason
        fields = {"channel": room.channel.name, "reason": reason}
        _logger.log(level, "Redis refused the mark of a fork", extra=fields)

    # All rooms.

    def link_went(self) -> None:
        """Take note that the link is down: lines may be missing until rooms were compared on the next link."""
        self._let_go(BusUnavailable("the link to Redis is down"))
        self._comparison = asyncio.get_running_loop().create_future()
        self._compared.clear()

    def _let_go(self, error: BusError | None) -> None:
        """End the waiting for the comparison."""
        comparison, self._comparison = self._comparison, None
        if comparison is None or comparison.done():
            return
        if error is None:
            comparison.set_result(None)
        else:
            comparison.set_exception(error)
            comparison.exception()  # nobody may be waiting

    @property
    def owes_comparison(self) -> bool:
        """Whether the link was lost since rooms were compared last."""
        return self._comparison is not None

    @property
    def is_compared(self) -> bool:
        """Whether rooms were compared with logs on the link that is up; false before the first link."""
        return self._was_compared and self._comparison is None

    @property
    def is_steady(self) -> bool:
        """Whether ``compared`` would return at once."""
        return self._comparison is None and self._link.is_up

    async def compared(self) -> None:
        """Wait until rooms were compared with logs on the link that is up.

        Raises:
            BusUnavailable: the link is down, went down meanwhile, or the comparison takes its time.

        """
        if not self._link.is_up:
            raise BusUnavailable("the link to Redis is down")
        if self._comparison is None:
            return
        try:
            async with asyncio.timeout(_COMPARED_S):
                await asyncio.shield(self._comparison)
        except TimeoutError as error:
            raise BusUnavailable("rooms are being compared with their logs") from error

    async def compare(self, rooms: Sequence[Room]) -> None:
        """Compare ``rooms`` with logs, after the link was away: in a few round trips for all rooms.

        On return the forks that were found are marked, so that other edges tell clients of the forks, too.

        Raises:
            BusUnavailable: Redis is away again.

        """
        generation = self._link.statistics().generation
        self._reads.forget()  # tails of the Redis before may name entries that this Redis never had
        epoch = await self._log.epoch()
        self._epoch = self._epoch or epoch
        if self._compared_with != epoch:
            self._compared.clear()
            for room in rooms if self._compared_with is not None else ():
                room.sequencer.forks.forget()
        self._compared_with = epoch
        owed = [room for room in rooms if room not in self._compared]
        for start in range(0, len(owed), _COMPARE_ROOMS):
            await self._compare_some(owed[start : start + _COMPARE_ROOMS], is_another=self._epoch != epoch)
            if not self._is_link(generation):
                return
            self._compared.update(owed[start : start + _COMPARE_ROOMS])
        self._epoch = epoch  # not before: what fails is begun anew, and another Redis is another one still
        if self._is_link(generation):
            self._compared.clear()
            self._was_compared = True
            self._let_go(None)

    def _is_link(self, generation: int) -> bool:
        return self._link.is_up and self._link.statistics().generation == generation

    async def _compare_some(self, rooms: Sequence[Room], *, is_another: bool) -> None:
        heads = await self._reads.heads([room.channel for room in rooms])
        await asyncio.gather(*self._begin_differing(rooms, heads, is_another=is_another))
        await asyncio.gather(*(self._mark(room) for room in rooms if room.sequencer.forks.unmarked))
        self._learn(rooms, [head.forks for head in heads])

    def _begin_differing(
        self, rooms: Sequence[Room], heads: Sequence[Head], *, is_another: bool = False
    ) -> "list[asyncio.Task[None]]":
        """Begin recovery of rooms that stand elsewhere than the log ends; with another Redis, of all rooms."""
        for room, head in zip(rooms, heads, strict=True):
            room.sequencer.forks.compare(head.forks)
        differing = [
            room
            for room, head in zip(rooms, heads, strict=True)
            if is_another or not room.sequencer.is_in_sync or not _agree(room.sequencer.newest, head.position)
        ]
        for room in differing:
            room.sequencer.lose_sync()
        return [self.begin(room) for room in differing]

    async def settle(self, rooms: Sequence[Room]) -> list[Room]:
        """Have each fork marked that ``rooms`` alone know of, before the rooms are forgotten (decisions/0085).

        Return the rooms whose logs have all lines heard, or carry the mark; other rooms are still being recovered.

        Raises:
            BusUnavailable: Redis is away, or another server is the primary by now; the next call asks that one.
            BusError: Redis refused.

        """
        if (where := await self._log.misplaced()) is not None:
            await self._log.drop()
            raise BusUnavailable(where)
        settled: list[Room] = []
        for start in range(0, len(rooms), _COMPARE_ROOMS):
            settled += await self._settle_some(rooms[start : start + _COMPARE_ROOMS])
        return settled

    async def _settle_some(self, rooms: Sequence[Room]) -> list[Room]:
        heads = await self._reads.heads([room.channel for room in rooms])
        tasks = self._begin_differing(rooms, heads)
        if tasks:  # not all of them without end: a log that cannot be read keeps its own room, and no other one
            await asyncio.wait(tasks, timeout=_COMPARED_S)
        await asyncio.gather(*(self._mark(room) for room in rooms if room.sequencer.forks.unmarked))
        return [room for room in rooms if room.sequencer.is_in_sync]

    async def look(self, rooms: Sequence[Room]) -> None:
        """Look for forks of ``rooms`` that other edges marked after this edge had compared, and tell subscribers.

        Raises:
            BusUnavailable: Redis is away.
            BusError: Redis refused.

        """
        for start in range(0, len(rooms), _COMPARE_ROOMS):
            some = rooms[start : start + _COMPARE_ROOMS]
            self._learn(some, await self._reads.forks([room.channel for room in some]))

    def _learn(self, rooms: Sequence[Room], found: Sequence[tuple[Fork, ...]]) -> None:
        for room, forks in zip(rooms, found, strict=True):
            if room.sequencer.learn(forks):
                self._write(room)


def _agree(newest: str | None, head: str | None) -> bool:
    """Tell whether a room stands where the log ends; both may stand where there is no log yet."""
    return newest == head or (newest is not None and head is not None and newest.endswith("-0") and head.endswith("-0"))
