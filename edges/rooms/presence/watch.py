"""Clients that asked to be told who comes and leaves: a table of users for each room, kept by the room's changes."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from bus.channel import Channel
from bus.errors import BusError
from bus.presence.entries import Change
from bus.presence.store import PresenceStore
from bus.redis.subscriber import Subscriber
from bus.tasks import Spawn
from edges.protocol.envelope import ENVELOPE
from edges.rooms.fanout import Fanout
from edges.rooms.presence.table import MISSING_S, Table
from edges.rooms.room import RoomSubscriber

__all__ = ["Watch"]

_RETRY_S: Final = 1.0
_HELD: Final = 10_000
"""Changes kept while a room is read; with more, the room is read again."""


@dataclass(eq=False, slots=True)
class _Room:
    channel: Channel
    table: Table
    watchers: dict[RoomSubscriber, None] = field(default_factory=dict)
    held: list[Change] | None = None
    is_owed: bool = False
    timer: asyncio.TimerHandle | None = None


class Watch:
    """Tells watchers of rooms.

    Args:
        store: reads rooms.
        link: brings the changes.
        spawn: runs and owns a task.
        found_strange: is given edges without a beat that have users in a room.
        limit: the most users of a room to know by name.

    Attributes:
        unreadable: how many messages were none that an edge wrote.

    """

    def __init__(
        self,
        store: PresenceStore,
        link: Subscriber,
        spawn: Spawn,
        *,
        found_strange: Callable[[Iterable[str]], None],
        limit: int,
    ) -> None:
        self._store, self._link, self._spawn = store, link, spawn
        self._found_strange, self._limit = found_strange, limit
        self._rooms: dict[str, _Room] = {}
        self.fanout = Fanout()
        self.unreadable = 0

    def add(self, channel: Channel, watcher: RoomSubscriber) -> None:
        """Tell ``watcher`` of changes from now on; twice is once."""
        room = self._rooms.get(channel.redis)
        if room is None:
            counts = channel.presence is not None and channel.presence.kind == "count"
            table = Table(channel.name, counts=counts, limit=self._limit)
            room = self._rooms[channel.redis] = _Room(channel, table)
            self._link.listen(channel.presence_key, partial(self._take, room))
            self._read(room)
        room.watchers[watcher] = None

    def remove(self, channel: Channel, watcher: RoomSubscriber) -> None:
        """Tell ``watcher`` no more; a room that nobody watches is forgotten."""
        room = self._rooms.get(channel.redis)
        if room is None or watcher not in room.watchers:
            return
        del room.watchers[watcher]
        if not room.watchers:
            del self._rooms[channel.redis]
            self._link.unlisten(channel.presence_key)
            if room.timer is not None:
                room.timer.cancel()

    def came(self) -> None:
        """Read all rooms anew: changes may have been missed while the link was away."""
        for room in self._rooms.values():
            self._read(room)

    def _is_watched(self, room: _Room) -> bool:
        return self._rooms.get(room.channel.redis) is room

    # Reading.

    def _read(self, room: _Room) -> None:
        room.is_owed = True
        if room.held is None:  # else a read is under way, and begins again behind
            room.held = []
            self._spawn(self._read_owed(room), f"read who is in {room.channel.redis}")

    async def _read_owed(self, room: _Room) -> None:
        try:
            while room.is_owed and self._is_watched(room):
                room.is_owed = False
                room.held = []
                await self._read_once(room)
        except BusError:  # the table stays as it is: a user is not gone because Redis is away
            self._later(_RETRY_S, room)
        finally:
            held, room.held = room.held or [], None
            for change in held:
                room.table.change(change)
            self._schedule(room)

    async def _read_once(self, room: _Room) -> None:
        # Changes come before the room is read, and are held: none is missed in between.
        await self._link.subscribe(room.channel.presence_key)
        snapshot = await self._store.read(room.channel, limit=self._limit)
        self._found_strange(snapshot.strange)
        if room.table.begin(snapshot, asyncio.get_running_loop().time()):
            self._later(MISSING_S, room)

    def _later(self, wait_s: float, room: _Room) -> None:
        asyncio.get_running_loop().call_later(wait_s, self._read_if_watched, room)

    def _read_if_watched(self, room: _Room) -> None:
        if self._is_watched(room):
            self._read(room)

    # Telling.

    def _take(self, room: _Room, message: bytes) -> None:
        change = Change.load(message)
        if change is None:
            self.unreadable += 1
        elif room.held is None:
            room.table.change(change)
            self._schedule(room)
        elif len(room.held) < _HELD:
            room.held.append(change)
        else:
            room.is_owed = True

    def _schedule(self, room: _Room) -> None:
        loop = asyncio.get_running_loop()
        due_s = room.table.due_s(loop.time())
        if due_s is not None and room.timer is None and self._is_watched(room):
            room.timer = loop.call_at(due_s, self._tell, room)

    def _tell(self, room: _Room) -> None:
        room.timer = None
        notices = room.table.news(asyncio.get_running_loop().time(), len(room.watchers))
        if notices:
            # Encoded once for all: only clients of the envelope can ask to be told.
            frames = b"".join(ENVELOPE.say(notice) for notice in notices)
            self.fanout.hand(list(room.watchers), frames, room.watchers)
        self._schedule(room)
