"""A room: the subscribers of one channel in this edge, and the lines that wait to be written. Pure.

Knows no order of lines, which is the sequencer's.
"""

import asyncio
from collections.abc import Hashable
from typing import Final, NamedTuple, Protocol

from bus.channel import Channel
from bus.envelope import end_of
from bus.log.log import Head
from edges.protocol.envelope import Dialect
from edges.rooms.flow import Flow
from edges.rooms.sequencer import Item, Sequencer
from edges.rooms.slow_consumers import SlowConsumers
from edges.rooms.tallies import Tally
from edges.rooms.ways import Reachable, Ways

__all__ = ["Room", "RoomSubscriber", "Sole"]

BACKLOG_BYTES: Final = 256 * 1024
"""The most that is kept for slow consumers."""


class RoomSubscriber(Hashable, Reachable, Protocol):
    """A connection that can be in a room."""

    @property
    def dialect(self) -> Dialect:
        """The dialect that the subscriber speaks at the moment."""

    def deliver(self, frames: bytes) -> bool:
        """Take frames; tell whether the frames are kept until ``uncork``. Never waits and never raises."""

    def uncork(self) -> int:
        """Write the frames that were kept, in one piece; return how many there were."""

    def takes(self, size: int) -> bool:
        """Tell whether a repair of ``size`` bytes may be written to the subscriber at once."""

    def recover(self, channel: Channel, position: str) -> None:
        """Catch up from ``position`` on at the subscriber's own pace, and join the room again, which was left."""

    def fail(self) -> None:
        """Be closed, and come back for the lines that a bug of ours kept from the subscriber."""


class Sole(NamedTuple):
    """All that a line for a room of one subscriber asks for.

    Attributes:
        dialect: the subscriber's.
        subscriber: the one of the room.
        flow: the room's.
        end: of each line of the bus's own on the room's channel.

    """

    dialect: Dialect
    subscriber: RoomSubscriber
    flow: Flow
    end: bytes


class Room:
    """Subscribers by dialect, lines that wait to be written, and the position.

    A newcomer stands at ``position``, is shown ``latest``, and is given every line after ``position`` and none before.
    ``sole`` is what a line asks of a room of one subscriber; None of any other room, while a slow subscriber is left
    out, and while a pass is under way.
    """

    def __init__(self, channel: Channel, *, backlog_bytes: int = BACKLOG_BYTES, tally: Tally | None = None) -> None:
        self.channel = channel
        self.tally = Tally() if tally is None else tally
        self.has_log = channel.retention.kind != "live"
        self.end = end_of(channel.name)
        self.lock = asyncio.Lock()
        self.subscribers: dict[Dialect, dict[RoomSubscriber, None]] = {}
        self.is_open = False
        self.empty_since: float | None = None
        self.dropped = self._taken = 0
        self.sequencer = Sequencer(channel)
        self.flow = self.sequencer.flow
        self.passes = 0
        self.came_in_pass: set[RoomSubscriber] = set()
        self.sole: Sole | None = None
        self.slow: SlowConsumers[RoomSubscriber] | None = None
        self._ways: dict[Dialect, Ways[RoomSubscriber]] | None = None
        self._backlog_bytes = backlog_bytes
        self._suspend_after_pass: set[RoomSubscriber] = set()

    def __len__(self) -> int:
        count = 0 if self.slow is None else len(self.slow)
        for subscribers in self.subscribers.values():  # of one dialect, mostly; `sum` and `map` take twice as long
            count += len(subscribers)
        return count

    @property
    def position(self) -> str | None:
        """Where a subscriber that joins now stands; None on a ``live`` channel. Lines that wait are still to come."""
        return self.sequencer.position

    @property
    def latest(self) -> bytes | None:
        """The newest line of a ``latest`` channel, for a subscriber that joins now; None while a newer line waits."""
        return self.sequencer.latest

    @property
    def written(self) -> int:
        """How many lines and notices were handed to the subscribers."""
        return self._taken + self.flow.count

    @property
    def lost(self) -> int:
        """How many lines slow consumers were not given."""
        return 0 if self.slow is None else self.slow.lost

    def kept_bytes(self, subscriber: RoomSubscriber) -> int:
        """Return how much is kept for a slow ``subscriber``; the same is kept for every slow consumer."""
        return self.slow.kept_bytes if self.slow is not None and subscriber in self.slow else 0

    def add(self, subscriber: RoomSubscriber) -> None:
        """Take a subscriber in; twice is once. A pass under way writes lines before the subscriber's position."""
        if self.slow is not None and subscriber in self.slow:
            return
        subscribers = self.subscribers.setdefault(subscriber.dialect, {})
        if self.passes and subscriber not in subscribers:
            self.came_in_pass.add(subscriber)
        subscribers[subscriber] = None
        self._come_to_members()

    def remove(self, subscriber: RoomSubscriber) -> None:
        """Let a subscriber go, in any dialect; a stranger to the room is ignored."""
        for subscribers in self.subscribers.values():
            subscribers.pop(subscriber, None)
        if self.slow is not None:
            self.slow.remove(subscriber)
        self._come_to_members()

    def _come_to_members(self) -> None:
        self._ways = None
        self.sole = None
        each = [(dialect, subscribers) for dialect, subscribers in self.subscribers.items() if subscribers]
        if len(each) == 1 and len(each[0][1]) == 1 and not (self.passes or self.slow):
            self.sole = Sole(each[0][0], next(iter(each[0][1])), self.flow, self.end)

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
                self._come_to_members()

    def readmit(self, subscriber: RoomSubscriber) -> list[Item]:
        """Take a subscriber in again; return the items to write first, none for a subscriber that was not left out."""
        self._suspend_after_pass.discard(subscriber)
        if self.slow is None or subscriber not in self.slow:
            return []
        items = self.slow.take(subscriber, self.position)
        self.add(subscriber)
        return items

    def members(self) -> list[RoomSubscriber]:
        """Return the subscribers, those left out for slowness last."""
        flowing = [subscriber for subscribers in self.subscribers.values() for subscriber in subscribers]
        return [*flowing, *(self.slow or ())]

    def ways(self, dialect: Dialect, moment: int) -> Ways[RoomSubscriber]:
        """Return the ways to the subscribers of a dialect, as known since ``moment``, or else from a look at each."""
        if self._ways is None:
            self._ways = {}
        ways = self._ways.get(dialect)
        if ways is None or ways.moment != moment:
            ways = self._ways[dialect] = Ways(self.subscribers[dialect], moment)
        return ways

    def begin_pass(self) -> None:
        """Take note of a pass through the subscribers that takes more than this tick."""
        self.passes += 1
        self.sole = None

    def end_pass(self) -> None:
        """Take note of the end of a pass through the subscribers."""
        self.passes -= 1
        if self.passes:
            return
        self.came_in_pass.clear()
        self._come_to_members()
        late, self._suspend_after_pass = self._suspend_after_pass, set()
        for subscriber in late:
            self.suspend(subscriber)

    def begin(self, head: Head) -> None:
        """Open the room at the end of the log, after every line up to ``head`` has arrived."""
        self.sequencer.begin(head)
        self.is_open = True

    def take(self) -> list[Item]:
        """Return the lines and notices that wait, and empty the queue."""
        items = self.sequencer.take()
        self._taken += len(items)
        if self.slow:
            self.slow.note(items)
        return items
