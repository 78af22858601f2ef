"""A room: the subscribers of one channel in this edge, and the lines that wait to be written to them. Pure.

Knows no order of lines: that is the sequencer's.
"""

import asyncio
from collections.abc import Hashable
from typing import Final, Protocol

from bus.channel import Channel
from bus.envelope import end_of
from bus.log.log import Head
from edges.protocol.envelope import Dialect
from edges.rooms.sequencer import Item, Sequencer
from edges.rooms.slow_consumers import Laggards

__all__ = ["Member", "Room"]

BACKLOG_BYTES: Final = 256 * 1024
"""How much is kept for members that lag."""


class Member(Hashable, Protocol):
    """Who can be in a room."""

    @property
    def dialect(self) -> Dialect:
        """What the member speaks at the moment."""

    def deliver(self, frames: bytes) -> bool:
        """Take frames; tell whether it keeps them until ``uncork``. Never waits and never raises."""

    def uncork(self) -> None:
        """Write what was kept, in one piece."""

    def takes(self, size: int) -> bool:
        """Tell whether so much of what the room lacked may be written to the member at once."""

    def recover(self, channel: Channel, position: str) -> None:
        """Catch up from ``position`` on at the member's own pace, and join the room again; it has left for that."""

    def fail(self) -> None:
        """Be closed, and come back for what a bug of ours kept from the member."""


class Room:
    """Members by dialect, lines that wait to be written, and the position.

    A newcomer stands at ``position`` and is shown ``latest``; every line after that is given to it, and none before.
    While the room is not ``is_in_sync``, lines are held: something before them is missing, and is read from the log.
    """

    def __init__(self, channel: Channel, *, backlog_bytes: int = BACKLOG_BYTES) -> None:
        self.channel = channel
        self.has_log = channel.retention.kind != "live"
        self.end = end_of(channel.name)
        self.lock = asyncio.Lock()
        self.members: dict[Dialect, dict[Member, None]] = {}
        self.is_open = False
        self.empty_since: float | None = None
        self.dropped = 0
        self.sequencer = Sequencer(channel)
        self.passes = 0
        self.came_in_pass: set[Member] = set()
        self.laggards: Laggards[Member] | None = None
        self._backlog_bytes = backlog_bytes
        self._lag_after_pass: set[Member] = set()

    def __len__(self) -> int:
        return sum(map(len, self.members.values())) + len(self.laggards or ())

    @property
    def position(self) -> str | None:
        """Where a member that joins now stands; None on a ``live`` channel. Lines that wait are still to come."""
        return self.sequencer.position

    @property
    def latest(self) -> bytes | None:
        """The newest line of a ``latest`` channel, for a member that joins now, unless one waits to be given anyway."""
        return self.sequencer.latest

    @property
    def lost(self) -> int:
        """How many lines members were not given because they lagged."""
        return 0 if self.laggards is None else self.laggards.lost

    def kept_bytes(self, member: Member) -> int:
        """Return how much is kept for ``member`` because it lags; for all that do it is the same."""
        return self.laggards.kept_bytes if self.laggards is not None and member in self.laggards else 0

    def add(self, member: Member) -> None:
        """Take a member in; twice is once. What a pass under way still writes was before its position."""
        if self.laggards is not None and member in self.laggards:
            return
        members = self.members.setdefault(member.dialect, {})
        if self.passes and member not in members:
            self.came_in_pass.add(member)
        members[member] = None

    def remove(self, member: Member) -> None:
        """Let a member go, whatever dialect it came in with; one that is not in is ignored."""
        for members in self.members.values():
            members.pop(member, None)
        if self.laggards is not None:
            self.laggards.remove(member)

    def suspend(self, member: Member) -> None:
        """Leave a member out until ``readmit``; in a pass under way only after it, for who knows if it was its turn."""
        if self.passes:
            self._lag_after_pass.add(member)
            return
        for members in self.members.values():
            if member in members:
                del members[member]
                if self.laggards is None:
                    self.laggards = Laggards(self.channel, self._backlog_bytes)
                self.laggards.add(member, self.position)

    def readmit(self, member: Member) -> list[Item]:
        """Take a member in again; return what it is given first, nothing where it was not left out."""
        self._lag_after_pass.discard(member)
        if self.laggards is None or member not in self.laggards:
            return []
        items = self.laggards.take(member, self.position)
        self.add(member)
        return items

    def end_pass(self) -> None:
        """Take note that a pass through the members is over."""
        self.passes -= 1
        if self.passes:
            return
        self.came_in_pass.clear()
        late, self._lag_after_pass = self._lag_after_pass, set()
        for member in late:
            self.suspend(member)

    def begin(self, head: Head) -> None:
        """Open the room at the end of its log, after every line up to ``head`` has arrived."""
        self.sequencer.begin(head)
        self.is_open = True

    def take(self) -> list[Item]:
        """Return what waits, and let nothing wait."""
        items = self.sequencer.take()
        if self.laggards:
            self.laggards.note(items)
        return items
