"""The counters of rooms, added up: of rooms that are open, and of rooms closed long ago."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from bus.position import Reason
from edges.rooms.drops import Drops
from edges.rooms.fanout import Fanout
from edges.rooms.room import Room, RoomSubscriber
from edges.rooms.slow_consumers import SlowConsumers
from edges.rooms.statistics import HubStatistics

__all__ = ["Sums", "statistics_of", "with_notices"]


class Sums:
    """Sums over rooms.

    Attributes:
        events: by family, lines and notices that were handed to rooms.
        gaps: lines that did not follow the line before.
        repaired: lines made up for from logs.
        left_out: by policy, deliveries left out for slow clients.
        slowed: by policy, how often a client was left out of a room for a while.
        told: by reason, gaps told to the members of rooms; each counts once, however many members there are.
        lagging: by policy, clients left out of rooms now.
        subscriptions: members of rooms now.

    """

    __slots__ = ("events", "gaps", "lagging", "left_out", "repaired", "slowed", "subscriptions", "told")

    def __init__(self) -> None:
        self.gaps = self.repaired = self.subscriptions = 0
        self.left_out, self.slowed, self.lagging = Counter[str](), Counter[str](), Counter[str]()
        self.told, self.events = Counter[Reason](), Counter[str]()

    def add(self, *rooms: Room) -> None:
        """Add the counters of rooms."""
        # Of some ten thousand rooms every few seconds, on the loop that delivers: what is rare is asked for once.
        gaps = repaired = members = 0
        for room in rooms:
            sequencer = room.sequencer
            gaps += sequencer.gaps
            repaired += sequencer.repaired
            self.events[room.tally.family] += room.written
            for subscribers in room.subscribers.values():
                members += len(subscribers)
            if sequencer.told:
                self.told.update(sequencer.told)
            if room.slow is not None:
                self._add_slow(room.channel.when_slow.kind, room.slow)
        self.gaps += gaps
        self.repaired += repaired
        self.subscriptions += members

    def _add_slow(self, policy: str, slow: SlowConsumers[RoomSubscriber]) -> None:
        self.left_out[policy] += slow.lost
        self.slowed[policy] += slow.added
        self.lagging[policy] += len(slow)
        self.subscriptions += len(slow)
        self.told[Reason.SLOW] += slow.told

    def with_rooms(self, rooms: Iterable[Room]) -> "Sums":
        """Return these sums and those of ``rooms``."""
        found = Sums()
        found.gaps, found.repaired = self.gaps, self.repaired
        found.left_out, found.slowed, found.told = self.left_out.copy(), self.slowed.copy(), self.told.copy()
        found.events = self.events.copy()
        found.add(*rooms)
        return found


def statistics_of(
    sums: Sums, fanout: Fanout, drops: Drops, told: Counter[Reason], *, rooms: int, lines: int, reads: int
) -> HubStatistics:
    """Return the counters of all rooms of an edge, as a value."""
    return HubStatistics(
        rooms=rooms,
        lines=lines,
        deliveries=fanout.deliveries,
        dropped=drops.total,
        gaps=sums.gaps,
        repaired=sums.repaired,
        reads=reads,
        skipped=sums.left_out["skip"],
        conflated=sums.left_out["conflate"],
        subscriptions=sums.subscriptions,
        sent_bytes=fanout.sent_bytes,
        writes=fanout.writes,
        drops=dict(drops.by_reason),
        told=dict(sums.told + told),
        slowed=dict(sums.slowed),
        lagging=dict(sums.lagging),
        events=dict(sums.events),
    )


def with_notices(rooms: HubStatistics, fanout: Fanout) -> HubStatistics:
    """Return the counters with what notices of presence took of the clients' sockets; no notice is a delivery."""
    return replace(rooms, sent_bytes=rooms.sent_bytes + fanout.sent_bytes, writes=rooms.writes + fanout.writes)
