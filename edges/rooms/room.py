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
from edges.rooms.slow_consumers import SlowConsumers

__all__ = ["Room", "RoomSubscriber"]

BACKLOG_BYTES: Final = 256 * 1024
"""How much is kept for subscribers that lag."""


class RoomSubscriber(Hashable, Protocol):
    """Who can be in a room."""

    @property
    def dialect(self) -> Dialect:
        """What the subscriber speaks at the moment."""

    def deliver(self, frames: bytes) -> bool:
        """Take frames; tell whether it keeps them until ``uncork``. Never waits and never raises."""

    def uncork(self) -> None:
        """Write what was kept, in one piece."""

    def takes(self, size: int) -> bool:
        """Tell whether so much of what the room lacked may be written to the subscriber at once."""

    def recover(self, channel: Channel, position: str) -> None:
        """Catch up from ``position`` on at the subscriber's own pace, and join the room again; it has left for that."""

    def fail(self) -> None:
        """Be closed, and come back for what a bug of ours kept from the subscriber."""


class Room:
    """Subscribers by dialect, lines that wait to be written, and the position.

    A newcomer stands at ``position`` and is shown ``latest``; every line after that is given to it, and none before.
    While the room is not ``is_in_sync``, lines are held: something before them is missing, and is read from the log.
    """

    def __init__(self, channel: Channel, *, backlog_bytes: int = BACKLOG_BYTES) -> None:
        self.channel = channel
        self.has_log = channel.retention.kind != "live"
        self.end = end_of(channel.name)
        self.lock = asyncio.Lock()
        self.subscribers: dict[Dialect, dict[RoomSubscriber, None]] = {}
        self.is_open = False
        self.empty_since: float | None = None
        self.dropped = 0
        self.sequencer = Sequencer(channel)
        self.passes = 0
        self.came_in_pass: set[RoomSubscriber] = set()
        self.slow: SlowConsumers[RoomSubscriber] | None = None
        self._backlog_bytes = backlog_bytes
        self._suspend_after_pass: set[RoomSubscriber] = set()

    def __len__(self) -> int:
        return sum(map(len, self.subscribers.values())) + len(self.slow or ())

    @property
    def position(self) -> str | None:
        """Where a subscriber that joins now stands; None on a ``live`` channel. Lines that wait are still to come."""
        return self.sequencer.position

    @property
    def latest(self) -> bytes | None:
        """The newest line of a ``latest`` channel, for a subscriber that joins now; None while a newer line waits."""
        return self.sequencer.latest

    @property
    def lost(self) -> int:
        """How many lines subscribers were not given because they lagged."""
        return 0 if self.slow is None else self.slow.lost

    def kept_bytes(self, subscriber: RoomSubscriber) -> int:
        """Return how much is kept for ``subscriber`` because it lags; for all that do it is the same."""
        return self.slow.kept_bytes if self.slow is not None and subscriber in self.slow else 0

    def add(self, subscriber: RoomSubscriber) -> None:
        """Take a subscriber in; twice is once. What a pass under way still writes was before its position."""
        if self.slow is not None and subscriber in self.slow:
            return
        subscribers = self.subscribers.setdefault(subscriber.dialect, {})
        if self.passes and subscriber not in subscribers:
            self.came_in_pass.add(subscriber)
        subscribers[subscriber] = None

    def remove(self, subscriber: RoomSubscriber) -> None:
        """Let a subscriber go, whatever dialect it came in with; one that is not in is ignored."""
        for subscribers in self.subscribers.values():
            subscribers.pop(subscriber, None)
        if self.slow is not None:
            self.slow.remove(subscriber)

    def suspend(self, subscriber: RoomSubscriber) -> None:
        """Leave a subscriber out until ``readmit``; during a pass only behind it, since the turn may be over."""
        if self.passes:
            self._suspend_after_pass.add(subscriber)
            return
        for subscribers in self.subscribers.values():
            if subscriber in subscribers:
                del subscribers[subscriber]
                if self.slow is None:
                    self.slow = SlowConsumers(self.channel, self._backlog_bytes)
                self.slow.add(subscriber, self.position)

    def readmit(self, subscriber: RoomSubscriber) -> list[Item]:
        """Take a subscriber in again; return what it is given first, nothing where it was not left out."""
        self._suspend_after_pass.discard(subscriber)
        if self.slow is None or subscriber not in self.slow:
            return []
        items = self.slow.take(subscriber, self.position)
        self.add(subscriber)
        return items

    def end_pass(self) -> None:
        """Take note that a pass through the subscribers is over."""
        self.passes -= 1
        if self.passes:
            return
        self.came_in_pass.clear()
        late, self._suspend_after_pass = self._suspend_after_pass, set()
        for subscriber in late:
            self.suspend(subscriber)

    def begin(self, head: Head) -> None:
        """Open the room at the end of its log, after every line up to ``head`` has arrived."""
        self.sequencer.begin(head)
        self.is_open = True

    def take(self) -> list[Item]:
        """Return what waits, and let nothing wait."""
        items = self.sequencer.take()
        if self.slow:
            self.slow.note(items)
        return items
