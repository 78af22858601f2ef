"""Making rooms whole from their logs: one that misses something, and all of them after the link was away."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeAlias

from bus.errors import BusError
from bus.log import Log
from bus.replay import Since
from bus.subscriber import Subscriber
from edges.room import Room
from edges.tails import Tails

__all__ = ["Mending", "Spawn"]

_COMPARE_ROOMS: Final = 500
_RETRY_S: Final = 0.2

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


class Mending:
    """Reads logs for rooms; a room is mended by one task at a time.

    Args:
        log: tells where logs end.
        tails: reads them.
        write: writes what waits in a room to its members.

    """

    def __init__(self, log: Log, tails: Tails, write: Callable[[Room], None]) -> None:
        self._log, self._tails, self._write = log, tails, write
        self._subscriber: Subscriber | None = None
        self._spawn: Spawn | None = None
        self._birth: str | None = None
        self._tasks: dict[Room, asyncio.Task[None]] = {}

    def attach(self, subscriber: Subscriber, spawn: Spawn) -> None:
        """Name the link, and who owns tasks; once, before the first room is opened."""
        self._subscriber, self._spawn = subscriber, spawn

    @property
    def _link(self) -> Subscriber:
        if self._subscriber is None:
            raise BusError("the hub has no link: call attach first")
        return self._subscriber

    def begin(self, room: Room) -> "asyncio.Task[None]":
        """Have what is missing in a room read from its log."""
        if self._spawn is None:
            raise BusError("the hub has nobody who owns tasks: call attach first")
        task = self._tasks.get(room)
        if task is None or task.done():  # one that is done may not have been forgotten yet
            task = self._tasks[room] = self._spawn(self._mended(room), f"mend {room.channel.redis}")
            task.add_done_callback(lambda done: self._forget(room, done))
        return task

    def _forget(self, room: Room, task: "asyncio.Task[None]") -> None:
        if self._tasks.get(room) is task:
            del self._tasks[room]

    async def _mended(self, room: Room) -> None:
        """Read and go on until lines flow again. Where Redis is away, the link's return begins this anew."""
        while room.is_open and not room.is_whole and self._link.is_up and (newest := room.ask()) is not None:
            try:
                tail = await self._tails.read(room.channel)
            except BusError:
                await asyncio.sleep(_RETRY_S)
                continue
            room.mend(tail.replay(Since(newest)))
            self._write(room)

    async def compare(self, rooms: Sequence[Room]) -> None:
        """Compare ``rooms`` with their logs, after the link was away: in a few round trips, not one per room.

        Raises:
            BusUnavailable: Redis is away again.

        """
        self._tails.forget()
        birth = await self._log.birth()
        self._birth = self._birth or birth
        is_another = self._birth != birth
        for start in range(0, len(rooms), _COMPARE_ROOMS):
            some = rooms[start : start + _COMPARE_ROOMS]
            heads = await self._log.heads([room.channel for room in some])
            differing = [
                room
                for room, head in zip(some, heads, strict=True)
                if is_another or not room.is_whole or not _agree(room.newest, head.position)
            ]
            for room in differing:
                room.suspect()
            await asyncio.gather(*(self.begin(room) for room in differing))
        self._birth = birth  # not before: what fails is begun anew, and another Redis is another one still


def _agree(newest: str | None, head: str | None) -> bool:
    """Tell whether a room stands where its log ends; both may stand where there is no log yet."""
    return newest == head or (newest is not None and head is not None and newest.endswith("-0") and head.endswith("-0"))
