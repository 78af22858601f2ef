"""Who watches what: rooms opened on demand, and every line from Redis handed to the members of its room.

A room is opened by its first member (subscribe, wait for Redis' confirmation, read where the log ends) and closed
``linger_s`` after its last one left, under the room's lock and with a second look. Handing on never waits.
"""

import asyncio
import logging
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final

from bus.channel import Channel
from bus.envelope import LINE_LIMIT_BYTES, Arrived, foreign, read_front
from bus.errors import BusError, BusUnavailable, EventError
from bus.log import Log
from bus.subscriber import Subscriber
from edges.room import Member, Room

__all__ = ["Hub", "HubStatistics"]

_SLICE_MEMBERS: Final = 2_000
"""How many members are written to before other work is heard; some 10 ms."""

_logger = logging.getLogger("edgebus.edges")


@dataclass(frozen=True, slots=True)
class HubStatistics:
    """Counters since the start. ``rooms`` are those with members; ``dropped`` lines could be delivered to nobody."""

    rooms: int
    lines: int
    deliveries: int
    dropped: int
    gaps: int


class Hub:
    """The rooms of one edge.

    Args:
        log: reads where a log ends.
        subscriber: the link; its ``deliver`` must be this hub's.
        line_limit_bytes: a longer line is dropped and counted.
        linger_s: how long a room without members stays open.

    """

    def __init__(self, log: Log, *, line_limit_bytes: int = LINE_LIMIT_BYTES, linger_s: float = 1.0) -> None:
        self._log = log
        self._subscriber: Subscriber | None = None
        self._line_limit_bytes, self._linger_s = line_limit_bytes, linger_s
        self._rooms: dict[bytes, Room] = {}
        self._corked: list[Member] = []
        self._lines = self._deliveries = self._dropped = self._gaps = 0

    def attach(self, subscriber: Subscriber) -> None:
        """Name the link that subscribes for the rooms; once, before the first ``join``."""
        self._subscriber = subscriber

    @property
    def channels(self) -> list[Channel]:
        """The channels of all open rooms."""
        return [room.channel for room in self._rooms.values() if room.is_open]

    def statistics(self) -> HubStatistics:
        """Return the counters."""
        rooms = list(self._rooms.values())
        gaps = self._gaps + sum(room.gaps for room in rooms)
        return HubStatistics(sum(1 for room in rooms if len(room)), self._lines, self._deliveries, self._dropped, gaps)

    # Joining and leaving.

    def join_now(self, channel: Channel, member: Member) -> Room | None:
        """Let ``member`` in if the room is open already, else return None and change nothing."""
        room = self._rooms.get(channel.redis.encode())
        if room is None or not room.is_open:
            return None
        room.add(member)
        room.empty_since = None
        return room

    async def open(self, channel: Channel) -> None:
        """Return when the room is open; the caller then joins it with ``join_now``, before anything else waits.

        Raises:
            BusUnavailable: Redis cannot be reached; the room is not there then, for anybody.
            BusError: Redis refused.

        """
        key = channel.redis.encode()
        while True:
            room = self._rooms.setdefault(key, Room(channel))
            async with room.lock:
                if self._rooms.get(key) is not room:
                    continue
                if not room.is_open:
                    await self._open(key, room)
                    room.empty_since = asyncio.get_running_loop().time()
                return

    async def _open(self, key: bytes, room: Room) -> None:
        try:
            await self._link.subscribe(room.channel.redis)
            head = (await self._log.heads([room.channel]))[0]
            # Once more: this confirmation comes behind every line that the head includes, so none is still on its way.
            await self._link.subscribe(room.channel.redis)
            room.begin(head)
        finally:
            if not room.is_open:
                del self._rooms[key]
                self._link.forget(room.channel.redis)

    def leave(self, channel: Channel, member: Member) -> None:
        """Let ``member`` out; the last one out begins the room's last second."""
        room = self._rooms.get(channel.redis.encode())
        if room is None:
            return
        room.remove(member)
        if not len(room):
            room.empty_since = asyncio.get_running_loop().time()

    async def close_empty(self) -> None:
        """Close the rooms that have lingered long enough. Called now and then by the edge."""
        now = asyncio.get_running_loop().time()
        due = [
            (key, room)
            for key, room in self._rooms.items()
            if room.empty_since is not None and not len(room) and now - room.empty_since >= self._linger_s
        ]
        await asyncio.gather(*(self._close_if_empty(key, room) for key, room in due))

    async def _close_if_empty(self, key: bytes, room: Room) -> None:
        async with room.lock:
            if len(room) or self._rooms.get(key) is not room or not room.is_open:
                return
            room.is_open = False
            del self._rooms[key]
            self._gaps += room.gaps
            try:
                await self._link.unsubscribe(room.channel.redis)
            except BusUnavailable:
                _logger.debug("unsubscribed by the loss of the link", extra={"channel": room.channel.name})

    @property
    def _link(self) -> Subscriber:
        if self._subscriber is None:
            raise BusError("the hub has no link: call attach first")
        return self._subscriber

    # Handing on.

    def deliver(self, batch: Sequence[tuple[bytes, bytes]]) -> None:
        """Hand the lines of one read from Redis to the members of their rooms; one write per member and read."""
        self._lines += len(batch)
        touched: dict[Room, None] = {}
        for name, line in batch:
            room = self._rooms.get(name)
            if room is None:
                self._dropped += 1
                continue
            arrived = self._arrived(room, line)
            if arrived is not None and room.accept(arrived):
                touched[room] = None
        for room in touched:
            self._flush(room)
        self._uncork()

    def _arrived(self, room: Room, line: bytes) -> Arrived | None:
        if len(line) > self._line_limit_bytes:
            self._drop(room, f"the line has {len(line)} bytes; the limit is {self._line_limit_bytes}")
            return None
        try:
            return read_front(line) or foreign(line, room.channel.name)
        except (EventError, UnicodeDecodeError) as error:
            self._drop(room, str(error))
            return None

    def _drop(self, room: Room, reason: str) -> None:
        """Count a line that no client could read; the first one of a room is worth a line in the log."""
        self._dropped += 1
        room.dropped += 1
        level = logging.WARNING if room.dropped == 1 else logging.DEBUG
        _logger.log(level, "dropped a line", extra={"channel": room.channel.name, "reason": reason})

    def _flush(self, room: Room) -> None:
        """Write what waits in a room, unless an earlier pass through its members is still under way."""
        if room.passes:
            return
        lines = room.take()
        for dialect, members in room.members.items():
            frames = [frame for line in lines if (frame := dialect.frame(line)) is not None] if members else []
            if not frames:
                continue
            if len(members) > _SLICE_MEMBERS:
                room.passes += 1
                self._write_slices(room, members, list(members), b"".join(frames), len(frames))
            else:
                self._write(list(members), b"".join(frames), len(frames))

    def _write(self, members: Sequence[Member], frames: bytes, count: int) -> None:
        self._deliveries += len(members) * count
        for member in members:
            if member.deliver(frames):
                self._corked.append(member)

    def _write_slices(
        self, room: Room, present: Container[Member], members: Sequence[Member], frames: bytes, count: int
    ) -> None:
        """Write to the first members, and to the rest after other work was heard.

        Who left meanwhile gets nothing, nor who left and came back: its new position is behind these frames.
        """
        some, rest = members[:_SLICE_MEMBERS], members[_SLICE_MEMBERS:]
        came = room.came_in_pass
        self._write([member for member in some if member in present and member not in came], frames, count)
        if rest:
            asyncio.get_running_loop().call_soon(self._write_slices, room, present, rest, frames, count)
        else:
            room.passes -= 1
            if not room.passes:
                room.came_in_pass.clear()
            self._flush(room)
        self._uncork()

    def _uncork(self) -> None:
        corked, self._corked = self._corked, []
        for member in corked:
            member.uncork()
