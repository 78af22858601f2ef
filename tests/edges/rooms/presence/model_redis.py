"""A Redis for models of presence: what ``presence.lua`` does, in memory, and links and connections that can be cut."""

import asyncio
import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bus.channel import Channel
from bus.errors import BusError, BusUnavailable
from bus.presence.entries import Member
from bus.presence.store import Beat, Snapshot, Write

HIDDEN_MS = 4_000
FORGET_MS = 600_000


class Redis:
    """The data, and who listens."""

    def __init__(self) -> None:
        self.beats: dict[str, int] = {}
        self.rooms: dict[str, dict[str, int]] = {}
        self.members: dict[str, dict[tuple[str, str], bytes]] = {}
        self.links: list[Link] = []

    @staticmethod
    def now_ms() -> int:
        return 1_000_000 + int(asyncio.get_running_loop().time() * 1000)

    def saved(self) -> Any:
        """Return the data of now, for a replica that lags from here on."""
        return copy.deepcopy((self.beats, self.rooms, self.members))

    def restore(self, saved: Any) -> None:
        self.beats, self.rooms, self.members = copy.deepcopy(saved)

    def publish(self, channel: Channel, joined: Sequence[bytes], left: Sequence[str]) -> None:
        if joined or left:
            message = json.dumps({"joined": [json.loads(it) for it in joined], "left": list(left)}).encode()
            for link in self.links:
                link.hear(channel.presence_key, message)

    def is_elsewhere(self, channel: Channel, edge: str, user: str) -> bool:
        others = [it for it in self.rooms.get(channel.redis, {}) if it != edge]
        return any((it, user) in self.members.get(channel.redis, {}) for it in others)

    def write(self, write: Write) -> None:
        channel, edge = write.channel, write.edge
        members = self.members.setdefault(channel.redis, {})
        joined, left = [], []
        for user, text in write.users:
            is_known = (edge, user) in members
            if text is not None:
                members[edge, user] = text
                joined += [] if is_known or self.is_elsewhere(channel, edge, user) else [text]
            elif is_known:
                del members[edge, user]
                left += [] if self.is_elsewhere(channel, edge, user) else [user]
        room = self.rooms.setdefault(channel.redis, {})
        room.pop(edge, None)
        if write.connections:
            room[edge] = write.connections
        self.publish(channel, joined, left)

    def prune(self, channel: Channel, edge: str) -> None:
        if edge not in self.rooms.get(channel.redis, {}):
            return
        members = self.members.setdefault(channel.redis, {})
        left = []
        for field in [it for it in members if it[0] == edge]:
            del members[field]
            left += [] if self.is_elsewhere(channel, edge, field[1]) else [field[1]]
        del self.rooms[channel.redis][edge]
        self.publish(channel, [], left)


class Store:
    """A connection, in place of ``PresenceStore``.

    Attributes:
        is_cut: no answer comes.
        carries: whether a command on a cut connection is carried out, once, before the cut is noticed.

    """

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.is_cut = self.carries = False

    async def _call(self, work: Callable[[], Any]) -> Any:
        await asyncio.sleep(0.001)
        if not self.is_cut:
            return work()
        if self.carries:
            self.carries = False
            work()
        raise BusUnavailable("cut")

    async def beat(self, edge: str) -> Beat:
        return Beat(*await self._call(lambda: self._beat(edge)))

    def _beat(self, edge: str) -> tuple[bool, dict[str, int]]:
        is_alive, now_ms = self.redis.beats.get(edge, 0) >= 0, self.redis.now_ms()
        if is_alive:
            self.redis.beats[edge] = now_ms
        return is_alive, dict(self.redis.beats)

    async def bury(self, edge: str, beat_ms: int | None = None) -> bool:
        return bool(await self._call(lambda: self._bury(edge, beat_ms)))

    def _bury(self, edge: str, beat_ms: int | None) -> bool:
        known = self.redis.beats.get(edge)
        if beat_ms is not None and known != beat_ms:
            return known is not None and known < 0
        self.redis.beats[edge] = -self.redis.now_ms()
        return True

    async def write(self, writes: Sequence[Write]) -> list[BusError | None]:
        await self._call(lambda: list(map(self.redis.write, writes)))
        return [None] * len(writes)

    async def prune(self, channels: Iterable[Channel], edge: str) -> None:
        rooms = list(channels)
        await self._call(lambda: list(map(self.redis.prune, rooms, [edge] * len(rooms))))

    async def keep(self, channels: Sequence[Channel]) -> list[tuple[bool, tuple[str, ...]]]:
        rooms = await self._call(lambda: [dict(self.redis.rooms.get(it.redis, {})) for it in channels])
        return [(bool(room), tuple(room)) for room in rooms]

    async def edges(self) -> Mapping[str, int]:
        return dict(await self._call(lambda: dict(self.redis.beats)))

    def strange(self, names: Iterable[str], beating: Mapping[str, int]) -> tuple[str, ...]:
        return tuple(it for it in names if beating.get(it, -1) < 0)

    async def read(self, channel: Channel, *, limit: int) -> Snapshot:
        return await self._call(lambda: self._read(channel))  # type: ignore[no-any-return]

    def _read(self, channel: Channel) -> Snapshot:
        shown = {it for it, beat_ms in self.redis.beats.items() if beat_ms > self.redis.now_ms() - HIDDEN_MS}
        members = {}
        for (edge, user), text in self.redis.members.get(channel.redis, {}).items():
            member = Member.load(text)
            if edge in shown and member is not None:
                members[user] = member
        names = self.strange(self.redis.rooms.get(channel.redis, {}), self.redis.beats)
        return Snapshot(dict(sorted(members.items())), len(members), 0, strange=names)

    def forget(self) -> None: ...

    async def drop(self) -> None: ...

    async def close(self) -> None: ...


class Link:
    """A subscriber link, in place of ``Subscriber``."""

    def __init__(self, redis: Redis) -> None:
        self.takes: dict[str, Callable[[bytes], None]] = {}
        self.subscribed: set[str] = set()
        self.is_cut = False
        redis.links.append(self)

    def listen(self, channel: str, take: Callable[[bytes], None]) -> None:
        self.takes[channel] = take

    def unlisten(self, channel: str) -> None:
        self.takes.pop(channel, None)
        self.subscribed.discard(channel)

    async def subscribe(self, channel: str) -> None:
        await asyncio.sleep(0.001)
        if self.is_cut:
            raise BusUnavailable("cut")
        self.subscribed.add(channel)

    def hear(self, channel: str, message: bytes) -> None:
        if not self.is_cut and channel in self.subscribed:
            asyncio.get_running_loop().call_soon(self.takes[channel], message)
