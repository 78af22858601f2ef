"""The rooms of one client: joining, leaving, and what a client that reads slowly is left out of.

Knows rooms; of the conversation nothing, so joining returns what is to be written.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from bus.channel import Channel
from bus.log.replay import Replay, Start
from edges.protocol.envelope import text_frame
from edges.rooms.hub import Hub
from edges.rooms.room import Item
from edges.session.replaying import Replaying
from edges.session.transport import Transport

__all__ = ["Joined", "Subscriptions"]


class Joined(NamedTuple):
    """The place at which a client has joined a room.

    ``frames`` of the latest event are for behind the answer; there are none where the client was in the room already.
    """

    position: str | None
    frames: Sequence[bytes]


class Subscriptions:
    """The rooms of one client.

    Args:
        transport: the client's.
        hub: has the rooms.
        waiting_bytes: the most that may wait for the client, and that rooms may keep for it together; a replay takes
            half of it at most.
        network: whose turns at replays the client takes.

    Attributes:
        rooms: those that the client is in, by their names.
        replaying: the replay that the client is given, until it is in the room or has left.
        has_ended: whether the client has gone, so that it joins nothing any more.

    """

    def __init__(self, transport: Transport, hub: Hub, *, waiting_bytes: int, network: str = "") -> None:
        self.rooms: dict[str, Channel] = {}
        self.replaying: Replaying | None = None
        self._transport, self._hub, self.network = transport, hub, network
        self._waiting_bytes = waiting_bytes
        self.has_ended = self._is_behind = False

    @property
    def channels(self) -> list[Channel]:
        """What the client is given events of."""
        return [*self.rooms.values(), *([] if self.replaying is None else [self.replaying.channel])]

    def end(self) -> None:
        """Leave every room for good. What is under way is let go on, and finds no way in."""
        self.has_ended = True
        self._end_replay()
        self.leave_all()

    def leave(self, channel: Channel) -> None:
        """Leave a room, or have no more of its replay; one that the client is not in is ignored."""
        if self.replaying is not None and self.replaying.channel == channel:
            self._end_replay()
        self._leave(channel)

    def _end_replay(self) -> None:
        if self.replaying is not None:
            self.replaying.is_wanted = False
            self.replaying = None

    def _leave(self, channel: Channel) -> None:
        if self.rooms.pop(channel.name, None) is not None:
            self._hub.leave(channel, self._transport)

    def leave_all(self, *, but: Channel | None = None) -> None:
        """Leave every room, or every other."""
        for channel in list(self.rooms.values()):
            if channel != but:
                self.leave(channel)

    # Joining.

    def join(self, channel: Channel) -> Joined | None:
        """Join a room if it is open, else return None; not one whose latest event has to wait for the client."""
        is_new = channel.name not in self.rooms
        if channel.retention.kind == "latest" and is_new and not self._transport.takes_more:
            return None
        room = None if self.has_ended else self._hub.join_now(channel, self._transport)
        if room is None:
            return None
        self.rooms[channel.name] = channel
        self._lag(channel)
        frame = None if room.latest is None or not is_new else self._transport.dialect.frame(room.latest)
        return Joined(room.position, () if frame is None else (frame,))

    async def open(self, channel: Channel) -> None:
        """Open a room, if it is not yet; the client then joins it, before anything else waits.

        Raises:
            BusError: it cannot be; the client is in no other rooms than before.

        """
        await self._hub.open(channel)
        while channel.retention.kind == "latest" and not self._transport.takes_more:  # a large one, behind large ones
            await self._transport.drained()
            await self._hub.open(channel)

    def switch(self, channel: Channel) -> Joined | None:
        """Go to one room, which is open, and leave the others."""
        self.leave_all(but=channel)
        return self.join(channel)

    @asynccontextmanager
    async def resume(self, channel: Channel, start: Start, *, has_followed: bool = False) -> AsyncIterator[Replay]:
        """Join anew where the client left off: the body answers, and at its end the client is given the replay.

        So answer, what was missed and live events come in this order, without a hole. From the answer on, leaving the
        room ends the replay. ``has_followed``: the subscription is the same one, and of a log that diverged the client
        is given only what came after the takeover.

        Raises:
            LimitReached: too many others do so; the client is in no other rooms than before.
            BusError: the log cannot be read; likewise.

        """
        replaying = Replaying(self, channel, self._transport, self._hub, at_once_bytes=self._waiting_bytes // 2)
        try:
            async with self._hub.turns.turn(self.network) as turn:
                replay = await replaying.read(start, has_followed=has_followed)
                self._leave(channel)
                self.replaying, replaying.is_wanted = replaying, not self.has_ended
                yield replay
                await replaying.give(start, replay, turn)
            del replay  # a client that reads slowly holds no lines without a turn
            await replaying.give_rest()
        finally:
            self.replaying = None

    def enter(self, channel: Channel) -> None:
        """Join the room of a replay behind its last line."""
        if self.replaying is not None and self._hub.join_now(channel, self._transport) is not None:
            self.rooms[channel.name] = channel
            self._lag(channel)

    # Being slow.

    def fall_behind(self) -> None:
        """Be left out of every room whose policy allows it, until ``catch_up``."""
        if self._is_behind:
            return
        self._is_behind = True
        for channel in self.rooms.values():
            self._lag(channel)

    def _lag(self, channel: Channel) -> None:
        if self._is_behind and channel.when_slow.kind != "close":
            self._hub.suspend(channel, self._transport)

    def catch_up(self) -> None:
        """Go on, room by room, for as long as the client is not behind again."""
        was_behind, self._is_behind = self._is_behind, False
        for channel in list(self.rooms.values()) if was_behind else ():
            if self._is_behind:
                return
            if channel.when_slow.kind != "close":
                self._write_items(self._hub.readmit(channel, self._transport))

    def check_kept(self) -> None:
        """Close a client for which rooms keep more together than may wait for it. Called now and then.

        Each room bounds what it keeps; a client that trickles along in many of them would cost their sum.
        """
        if self._is_behind and self._kept_bytes() > self._waiting_bytes:
            self._transport.close_slow()

    def _kept_bytes(self) -> int:
        return sum(self._hub.kept_bytes(channel, self._transport) for channel in self.rooms.values())

    def _write_items(self, items: Sequence[Item]) -> None:
        if not items:
            return
        dialect = self._transport.dialect
        frames = [dialect.frame(it) if isinstance(it, bytes) else text_frame(dialect.write(it)) for it in items]
        self._transport.write(b"".join(frame for frame in frames if frame is not None))
