"""The rooms of a client: joining, leaving, and rooms without a client slow to read.

Knows rooms, not the conversation: joining returns frames for the caller to write.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from bus.channel import Channel
from bus.log.replay import Replay, Since, Start
from edges.rooms.hub import Hub
from edges.rooms.sequencer import Item
from edges.session.appearances import Appearances
from edges.session.replaying import AT_ONCE_BYTES, AtOnce, Replaying, at_once
from edges.session.transport import Transport

__all__ = ["Joined", "Subscriptions"]


class Joined(NamedTuple):
    """The place at which a client has joined a room.

    ``frames`` of the latest event are for behind the answer; empty where the client was in the room already.
    """

    position: str | None
    frames: Sequence[bytes]


class Subscriptions:
    """The rooms of a client.

    Args:
        transport: of the client.
        hub: has the rooms.
        waiting_bytes: the most bytes to wait for the client, and to be kept by all rooms for the client; a replay takes
            at most half.
        network: the client's, as slots count networks.
        appearances: is told of rooms with presence.

    Attributes:
        rooms: the channels of the client's rooms, by name.
        replaying: the replay under way, until the client is in the room or has left.
        is_suspended: whether rooms with a policy for slow consumers leave the client out.
        has_ended: whether the client has gone, and joins no more rooms.

    """

    __slots__ = (
        "_appearances",
        "_hub",
        "_transport",
        "_waiting_bytes",
        "has_ended",
        "is_suspended",
        "network",
        "replaying",
        "rooms",
    )

    def __init__(
        self,
        transport: Transport,
        hub: Hub,
        *,
        waiting_bytes: int,
        network: str = "",
        appearances: Appearances | None = None,
    ) -> None:
        self.rooms: dict[str, Channel] = {}
        self.replaying: Replaying | None = None
        self._transport, self._hub, self.network = transport, hub, network
        self._waiting_bytes, self._appearances = waiting_bytes, appearances
        self.has_ended = self.is_suspended = False

    @property
    def channels(self) -> list[Channel]:
        """The channels of all events for the client."""
        return [*self.rooms.values(), *([] if self.replaying is None else [self.replaying.channel])]

    def end(self) -> None:
        """Leave every room for good. A command under way goes on, and finds no way in."""
        self.has_ended = True
        self._end_replay()
        self.leave_all()
        if self._appearances is not None:
            self._appearances.part_all()

    def leave(self, channel: Channel) -> None:
        """Leave a room, or end the replay before the room; a room without the client is ignored."""
        if self.replaying is not None and self.replaying.channel == channel:
            self._end_replay()
        self._leave(channel)
        self._disappear(channel)

    def _end_replay(self) -> None:
        if self.replaying is not None:
            self.replaying.is_wanted = False
            self._disappear(self.replaying.channel)
            self.replaying = None

    def _appear(self, channel: Channel) -> None:
        if channel.presence is not None and self._appearances is not None:
            self._appearances.enter(channel)

    def _disappear(self, channel: Channel) -> None:
        if channel.presence is not None and self._appearances is not None:
            self._appearances.leave(channel)

    def _leave(self, channel: Channel) -> None:
        if self.rooms.pop(channel.name, None) is not None:
            self._transport.attend(len(self.rooms))
            self._hub.leave(channel, self._transport)

    def leave_all(self, *, but: Channel | None = None) -> None:
        """Leave every room, or every other."""
        for channel in list(self.rooms.values()):
            if channel != but:
                self.leave(channel)

    # Joining.

    def join(self, channel: Channel) -> Joined | None:
        """Join an open room, else return None; None too where the latest event has to wait for the client."""
        is_new = channel.name not in self.rooms
        if channel.retention.kind == "latest" and is_new and not self._transport.takes_more:
            return None
        room = None if self.has_ended else self._hub.join_now(channel, self._transport)
        if room is None:
            return None
        self._take_in(channel)
        frame = None if room.latest is None or not is_new else self._transport.dialect.frame(room.latest)
        return Joined(room.position, () if frame is None else (frame,))

    async def open(self, channel: Channel) -> None:
        """Open a room for the client to join, before the caller's next wait.

        Raises:
            BusError: the room cannot be opened; the client is in no other rooms than before.

        """
        await self._hub.open(channel)
        # decisions/0045: the latest events of a hundred rooms, 256 KiB each, cut whoever entered all of the rooms.
        while channel.retention.kind == "latest" and not self._transport.takes_more:
            await self._transport.drained()
            await self._hub.open(channel)

    def switch(self, channel: Channel) -> Joined | None:
        """Go to an open room, and leave the others."""
        self.leave_all(but=channel)
        return self.join(channel)

    def resume_at_once(self, channel: Channel, start: Start) -> AtOnce | None:
        """Join where the client left off, for the caller to write answer and frames before any wait; see ``resume``.

        None, and no change, where a step may have to wait, or there is more to tell than events.
        """
        # decisions/0152: most of a crowd that comes back misses little, and all of that is at hand. A task, a generator
        # and a second write cost as much as the bytes.
        if not isinstance(start, Since) or channel.retention.kind == "latest" or channel.name in self.rooms:
            return None
        has_room = self._waiting_bytes // 2 >= AT_ONCE_BYTES and self._transport.is_idle and not self.has_ended
        if not has_room or not self._hub.replay_slots.pass_by():
            return None
        found = at_once(self._hub, channel, self._transport.dialect, start)
        if found is None or self._hub.join_now(channel, self._transport) is None:
            return None
        self._take_in(channel)
        return found

    @asynccontextmanager
    async def resume(self, channel: Channel, start: Start, *, with_state: bool = False) -> AsyncIterator[Replay]:
        """Join anew where the client left off: the body answers, and at the body's end the client is given the replay.

        Answer, missed events and live events come in order, without a hole. From the answer on, leaving the room ends
        the replay. A subscriber that stayed (``Since``) is given only the events after the takeover of a log that
        diverged. With ``with_state`` a reader that may have missed events is given the channel's state in their place.

        Raises:
            LimitReached: too many other clients resume; the client is in no other rooms than before.
            BusError: the log cannot be read; likewise.

        """
        given = self._hub.given(channel, start.position) if isinstance(start, Since) and start.has_stayed else None
        at_once_bytes = self._waiting_bytes // 2
        hub, bounds = self._hub, {"at_once_bytes": at_once_bytes}
        replaying = Replaying(self, channel, self._transport, hub, **bounds, given=given, with_state=with_state)
        try:
            async with self._hub.replay_slots.slot(self.network) as slot:
                replay = await replaying.read(start)
                self._leave(channel)
                self.replaying, replaying.is_wanted = replaying, not self.has_ended
                if not self.has_ended:  # present for as long as the replay takes
                    self._appear(channel)
                yield replay
                await replaying.give(start, replay, slot)
            del replay  # a client that reads slowly holds no lines without a slot
            await replaying.give_rest()
        finally:
            self.replaying = None
            if channel.name not in self.rooms:
                self._disappear(channel)

    def enter(self, channel: Channel) -> None:
        """Join the room behind the last line of a replay."""
        if self.replaying is not None and self._hub.join_now(channel, self._transport) is not None:
            self._take_in(channel)

    def _take_in(self, channel: Channel) -> None:
        self.rooms[channel.name] = channel
        self._transport.attend(len(self.rooms))
        self._appear(channel)
        self._suspend_in(channel)

    # Being slow.

    def suspend(self) -> None:
        """Be left out of rooms with a policy for slow consumers, until ``readmit``."""
        if self.is_suspended:
            return
        self.is_suspended = True
        for channel in self.rooms.values():
            self._suspend_in(channel)

    def _suspend_in(self, channel: Channel) -> None:
        if self.is_suspended and channel.when_slow.kind != "close":
            self._hub.suspend(channel, self._transport)

    def readmit(self) -> None:
        """Go on, room by room, until the client is suspended again."""
        was_suspended, self.is_suspended = self.is_suspended, False
        for channel in list(self.rooms.values()) if was_suspended else ():
            if self.is_suspended:  # by the frames of the room before
                return
            if channel.when_slow.kind != "close":
                self._write_items(self._hub.readmit(channel, self._transport))

    def check_kept(self) -> None:
        """Close a client for whom rooms keep more bytes together than may wait. Called now and then.

        Each room has a bound; a client slow to read in many rooms would cost the sum of the bounds.
        """
        if self.is_suspended and self._kept_bytes() > self._waiting_bytes:
            self._transport.close_slow()

    def _kept_bytes(self) -> int:
        return sum(self._hub.kept_bytes(channel, self._transport) for channel in self.rooms.values())

    def _write_items(self, items: Sequence[Item]) -> None:
        if not items:
            return
        dialect = self._transport.dialect
        frames = [dialect.frame(it) if isinstance(it, bytes) else dialect.say(it) for it in items]
        self._transport.write(b"".join(frame for frame in frames if frame is not None))
