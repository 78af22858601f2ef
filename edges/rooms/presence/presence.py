"""The users in the rooms of an edge: connections come and go, and others look and are told."""

import asyncio
import contextlib
from collections import deque
from datetime import UTC, datetime
from typing import Final

from bus.channel import Channel
from bus.errors import BusError, BusUnavailable
from bus.presence.store import PresenceStore, Snapshot
from bus.redis.subscriber import Subscriber
from bus.tasks import Spawn, end
from edges.limits.mishaps import Mishaps
from edges.rooms.fanout import Fanout
from edges.rooms.presence.announcer import Announcer
from edges.rooms.presence.here import Here, Who
from edges.rooms.presence.looks import Looks, Page
from edges.rooms.presence.watch import Watch
from edges.rooms.presence.writer import Writer
from edges.rooms.room import RoomSubscriber

__all__ = ["GRACE_S", "Presence"]

_WRITTEN_S: Final = 3.0
GRACE_S: Final = 0.8
"""A user whose last connection left stays for so long: a tab that blinks, or goes to another edge, has not left."""


def _nobody(_: Channel) -> None: ...


class Presence:
    """The users in the rooms of an edge with families of presence.

    Args:
        store: the connection for it.
        link: brings the changes of watched rooms.
        edge: the edge's name in Redis.
        spawn: runs and owns a task.
        mishaps: is told while Redis refuses.
        limit: the most users of a room to name.
        announcer: publishes the service's events of users; None where the service has none.

    """

    def __init__(
        self,
        store: PresenceStore,
        link: Subscriber,
        edge: str,
        spawn: Spawn,
        mishaps: Mishaps,
        *,
        limit: int,
        announcer: Announcer | None = None,
    ) -> None:
        self._store, self._announcer = store, announcer
        self._writer = Writer(store, edge, mishaps, _nobody if announcer is None else announcer.note)
        strange = self._writer.found_strange
        self._watch = Watch(store, link, spawn, found_strange=strange, limit=limit)
        self._looks = Looks(store, found_strange=strange, limit=limit)
        self._staying: deque[tuple[float, Here, str]] = deque()
        """Users without a connection, by the time to let each go."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def fanout(self) -> Fanout:
        """Counts the notices that were written."""
        return self._watch.fanout

    @property
    def unreadable(self) -> int:
        """How many texts from Redis were passed over."""
        return self._watch.unreadable + self._looks.unreadable

    @property
    def pipelines(self) -> int:
        """How many pipelines of users were written."""
        return self._writer.pipelines

    # Connections.

    def enter(self, channel: Channel, connection: RoomSubscriber, who: Who, *, is_told: bool) -> None:
        """Let a connection be in a room as ``who``; with ``is_told`` the connection is told who comes and leaves."""
        self.join(channel, connection, who)
        self.watch(channel, connection, is_told=is_told)

    def join(self, channel: Channel, connection: RoomSubscriber, who: Who) -> None:
        """Let a connection be in a room as ``who``."""
        room = self._writer.room(channel)
        room.enter(who, connection, datetime.now(UTC).isoformat())
        self._writer.owe(room)

    def watch(self, channel: Channel, connection: RoomSubscriber, *, is_told: bool) -> None:
        """Tell a connection who comes and leaves, or no more."""
        if is_told:
            self._watch.add(channel, connection)
        else:
            self._watch.remove(channel, connection)

    def leave(self, channel: Channel, connection: RoomSubscriber, who: Who) -> None:
        """Let a connection out of a room; the user stays for ``GRACE_S``."""
        self._watch.remove(channel, connection)
        self.part(channel, connection, who)

    def part(self, channel: Channel, connection: RoomSubscriber, who: Who, *, at_once: bool = False) -> None:
        """Let a connection out of a room and watch on; ``at_once`` the user is gone without ``GRACE_S``."""
        room = self._writer.rooms.get(channel.redis)
        if room is None:
            return
        was_last = room.leave(who, connection)
        if was_last and at_once:
            room.let_go(who.user)
        elif was_last:
            self._staying.append((asyncio.get_running_loop().time() + GRACE_S, room, who.user))
            self._wait()
        self._writer.owe(room)

    def _wait(self) -> None:
        if self._timer is None and self._staying:
            self._timer = asyncio.get_running_loop().call_at(self._staying[0][0], self._let_go)

    def _let_go(self) -> None:
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        while self._staying and self._staying[0][0] <= now_s:
            _, room, user = self._staying.popleft()
            room.let_go(user)
            self._writer.owe(room)
        self._wait()

    async def written(self, channel: Channel) -> None:
        """Wait until Redis has the changes of a room; whoever asks then is told of them.

        Raises:
            BusUnavailable: Redis does not answer; the changes are written when Redis is back.

        """
        room = self._writer.rooms.get(channel.redis)
        try:
            async with asyncio.timeout(_WRITTEN_S):
                if room is not None:
                    await self._writer.written(room)
        except TimeoutError:
            raise BusUnavailable("Redis does not answer; the room is told when Redis is back") from None
        self._looks.forget(channel)

    async def look(
        self, channel: Channel, *, limit: int, after: str | None = None, network: str = ""
    ) -> tuple[Snapshot, Page]:
        """Return who is in a room, see ``Looks.page``."""
        return await self._looks.page(channel, limit=limit, after=after, network=network)

    # The link to Redis, beginning and end.

    def link_came(self) -> None:
        """Write the users of this edge anew, and read watched rooms: another Redis may answer now."""
        self._store.forget()
        self._writer.doubt()
        self._watch.came()

    async def run(self) -> None:
        """Write users and beat, until cancelled."""
        await self._writer.run()

    async def drop(self) -> None:
        """Give the connection up; the next command opens another."""
        await self._store.drop()

    async def close(self, within_s: float) -> None:
        """Take the users of this edge out, when clients had time to come back at another edge; close the connection.

        ``run`` has ended before.
        """
        await end(self._looks.tasks)
        try:
            if self._staying:
                await asyncio.sleep(max(0.0, self._staying[-1][0] - asyncio.get_running_loop().time()))
            with contextlib.suppress(BusError, TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._writer.end()
                    if self._announcer is not None:  # other edges of the room publish what is left
                        await self._announcer.publish_due()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            await self._store.close()
