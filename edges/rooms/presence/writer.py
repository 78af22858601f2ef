"""The users of this edge, on their way to Redis; and the edge's beats, by which other edges know that the edge lives.

A single task writes, beats, and prunes the users of dead edges, so that no two of these overtake each other.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Final

from bus.channel import Channel
from bus.errors import BusError, BusUnavailable
from bus.presence.store import DEAD_S, PresenceStore
from edges.limits.mishaps import Mishaps
from edges.rooms.presence.beats import BEAT_S, Beats
from edges.rooms.presence.here import Here

__all__ = ["Writer"]

TICK_S: Final = 0.05
"""Changes of so long share a pipeline: a storm of 5,000 users is some dozens of pipelines."""
_KEEP_S: Final = 15.0
_USERS: Final = 500
"""The most users of a room in a call of the script, which holds up all clients of Redis meanwhile."""
_ROOMS: Final = 64
"""The most rooms in a pipeline."""


class Writer:
    """Writes the users of this edge.

    Args:
        store: the connection.
        edge: the edge's name in Redis. After an outage the edge goes on as ``<edge>~2``, and so on (decisions/0109).
        mishaps: is told while Redis refuses.
        changed: is told of rooms whose users may have changed.

    Attributes:
        rooms: with users of this edge, by the name in Redis.
        pipelines: how many were written.

    """

    def __init__(
        self, store: PresenceStore, edge: str, mishaps: Mishaps, changed: Callable[[Channel], None] = lambda _: None
    ) -> None:
        self._changed = changed
        self._store, self._edge, self._mishaps = store, edge, mishaps
        self.rooms: dict[str, Here] = {}
        self.pipelines = 0
        self._name, self._names = edge, 1
        self._former: list[str] = []
        self._has_beaten = self._is_doubtful = False
        self._owing: dict[str, Here] = {}
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._strange: dict[str, float] = {}
        self._unchecked: set[str] = set()
        self._beats = Beats()
        self._pruned: set[str] = set()
        self._beat_due_s = self._keep_due_s = 0.0
        self._woken = asyncio.Event()

    def room(self, channel: Channel) -> Here:
        """Return the users of a room at this edge."""
        room = self.rooms.get(channel.redis)
        if room is None:
            room = self.rooms[channel.redis] = Here(channel)
            self._unchecked.add(channel.redis)
        return room

    def owe(self, room: Here) -> None:
        """Have the changes of a room written soon."""
        self._owing[room.channel.redis] = room
        self._woken.set()

    async def written(self, room: Here) -> None:
        """Wait until Redis has all changes of a room."""
        if room.channel.redis in self._owing:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(room.channel.redis, []).append(waiting)
            await waiting

    def doubt(self) -> None:
        """Take note that another Redis may answer now, or an older state: all users are written anew."""
        self._is_doubtful = True
        self._woken.set()

    def found_strange(self, edges: Iterable[str]) -> None:
        """Take note of edges that have users in a room, and no beat: dead ones, or of a Redis that is new to them."""
        now_s = asyncio.get_running_loop().time()
        for edge in edges:
            self._strange.setdefault(edge, now_s)
            self._woken.set()

    async def run(self) -> None:
        """Write and beat until cancelled; without a user at this edge, do nothing."""
        while True:
            await self._until_due()
            with self._mishaps.spared("members"):
                await self.round()

    async def _until_due(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._beat_due_s if self._is_used else None):
                await self._woken.wait()
                await asyncio.sleep(TICK_S)
        self._woken.clear()

    @property
    def _is_used(self) -> bool:
        return bool(self.rooms or self._owing or self._former)

    async def round(self) -> None:
        """Beat if a beat is due, and write all changes.

        Raises:
            BusUnavailable: Redis is away; everything is written anew when Redis is back.
            BusError: Redis refused some rooms; the others are written.

        """
        now_s = asyncio.get_running_loop().time()
        try:
            if not self._is_used:
                self._strange.clear()
                return
            if now_s >= self._beat_due_s or not self._has_beaten or self._is_doubtful:
                self._beat_due_s = now_s + BEAT_S
                await self._beat(now_s)
            refused = await self._write()
            if self._owing.keys() <= refused.keys():
                await self._retire()
            await self._keep(now_s)
        except BusUnavailable:
            # What was on its way may be carried out yet, behind what is written next.
            self._is_doubtful = True
            raise
        if refused:
            raise next(iter(refused.values()))

    async def _beat(self, now_s: float) -> None:
        if self._is_doubtful:
            self._rename()
        # Before the first entry under a name: users of an edge without a beat are not shown, and are pruned.
        beat = await self._store.beat(self._name)
        if not beat.is_alive:  # buried by other edges, while Redis or this edge was away for long
            self._has_beaten = True
            self._rename()
            beat = await self._store.beat(self._name)
        self._has_beaten = True
        seen = self._beats.see(beat.edges, now_s)
        # An edge beats before its first entry: with a beat by now, the edge came in between two reads. In a Redis that
        # has just taken over, an edge with the old link writes entries in front of its next beat.
        self._strange = {it: since_s for it, since_s in self._strange.items() if beat.edges.get(it, -1) < 0}
        dead = {it for it, since_s in self._strange.items() if it in beat.edges or now_s - since_s >= DEAD_S}
        buried = set(seen.buried) | dead
        for edge, beat_ms in seen.silent.items():
            if edge != self._name and await self._store.bury(edge, beat_ms):
                buried.add(edge)
        # A name that beats was pruned in a Redis that a failover has put an older one in the place of.
        self._pruned = {edge for edge in self._pruned if beat.edges.get(edge, 0) < 0}
        await self._prune((buried - self._pruned) | dead)
        for edge in dead:
            self._strange.pop(edge, None)

    def _rename(self) -> None:
        """Go on under a new name: the old name is buried once all users are written under the new name."""
        self._is_doubtful = False
        if self._has_beaten:
            self._former.append(self._name)
            self._names += 1
            self._name, self._has_beaten = f"{self._edge}~{self._names}", False
        # What was taken out under the old name may be back in another Redis; with that name, it is pruned.
        for room in self.rooms.values():
            room.owe_all()
        self._owing.update(self.rooms)

    async def _prune(self, edges: Iterable[str]) -> None:
        for edge in edges:
            if edge not in (self._name, *self._former):
                await self._prune_rooms(edge)
                self._pruned.add(edge)

    async def _prune_rooms(self, edge: str) -> None:
        rooms = [room.channel for room in self.rooms.values()]
        await self._store.prune(rooms, edge)
        for channel in rooms:
            self._changed(channel)

    async def _retire(self) -> None:
        """Bury the edge's former names, as all users stand under the present one."""
        while self._former:
            name = self._former[0]
            await self._store.bury(name)
            self._pruned.add(name)
            await self._prune_rooms(name)
            self._former.pop(0)

    async def _keep(self, now_s: float) -> None:
        """Keep the rooms' keys from expiring, and look for users of dead edges there."""
        names = self.rooms.keys() & self._unchecked
        if now_s >= self._keep_due_s:
            self._keep_due_s, names = now_s + _KEEP_S, set(self.rooms)
        rooms = [self.rooms[name] for name in names]
        self._unchecked.clear()
        if not rooms:
            return
        kept = await self._store.keep([it.channel for it in rooms])
        edges = await self._store.edges()  # behind the rooms, as in `_beat`
        for room, (is_there, found) in zip(rooms, kept, strict=True):
            self.found_strange(set(self._store.strange(found, edges)) - {self._name, *self._former})
            if not is_there and not room.is_empty:  # deleted by hand
                room.owe_all()
                self.owe(room)

    async def _write(self) -> dict[str, BusError]:
        """Write what is owed, some rooms at a time; return the rooms that Redis refuses, which hold up no others."""
        refused: dict[str, BusError] = {}
        while rooms := [room for name, room in self._owing.items() if name not in refused][:_ROOMS]:
            refused |= await self._write_rooms(rooms)
        return refused

    async def _write_rooms(self, rooms: list[Here]) -> dict[str, BusError]:
        writes = [room.take(self._name, _USERS) for room in rooms]
        self.pipelines += 1
        try:
            errors = await self._store.write(writes)
        except BaseException:
            for room, write in zip(rooms, writes, strict=True):
                room.give_back(write)
            raise
        refused = {}
        for room, write, error in zip(rooms, writes, errors, strict=True):
            self._changed(room.channel)
            if error is not None:
                room.give_back(write)
                refused[room.channel.redis] = error
            elif not room.is_owed:
                self._settled(room)
        return refused

    def _settled(self, room: Here) -> None:
        self._owing.pop(room.channel.redis, None)
        for waiting in self._waiting.pop(room.channel.redis, ()):
            if not waiting.done():
                waiting.set_result(None)
        if room.is_empty:
            self.rooms.pop(room.channel.redis, None)

    async def end(self) -> None:
        """Take all users of this edge out, for good.

        Raises:
            BusError: Redis is away, or refused; other edges find the edge dead, and its users gone.

        """
        if not self._has_beaten:
            return
        for room in self.rooms.values():
            room.let_all_go()  # users are told as gone now, and not when other edges miss the beats
            self._owing[room.channel.redis] = room
        rooms = [room.channel for room in self.rooms.values()]
        with contextlib.suppress(BusError):
            await self._write()
        for name in (*self._former, self._name):
            await self._store.bury(name)
            await self._store.prune(rooms, name)
            for channel in rooms:
                self._changed(channel)
