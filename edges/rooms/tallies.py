"""The families of an edge's rooms, and how late a sample of the events of each was handed on.

A closed set: channels of other families, as the rooms of an edge with an owner may be, count together.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from bus.channel import Channel
from edges.limits.buckets import Buckets, doubling

__all__ = ["OTHER", "Tallies", "Tally"]

OTHER: Final = "other"
_BOUNDS_S: Final = doubling(0.0001, 19)
"""From 0.1 ms to 26 s."""
_OLDEST_S: Final = 3_600.0
_TIMESTAMP_BYTES: Final = 32
"""Of ``2026-01-02T03:04:05.678901+00:00``, as ``bus.event.now`` writes."""
_BEHIND_BYTES: Final = 2
"""Of quote and comma, between the timestamp and the line's end."""


class Tally:
    """The counts of a family.

    Attributes:
        family: the name.
        latency: from the timestamps of a sample of events to their hand-over.

    """

    __slots__ = ("family", "latency")

    def __init__(self, family: str = OTHER) -> None:
        self.family = family
        self.latency = Buckets(_BOUNDS_S)


class Tallies:
    """The counts of all families.

    Args:
        heads: the names of the service's families, in front of the colon.

    Attributes:
        odd: sampled timestamps that say nothing of the bus, by reason: another clock is wrong, or the text.

    """

    def __init__(self, heads: Iterable[str] = ()) -> None:
        self._by_head: dict[str, Tally] = {head: Tally(head) for head in (*heads, OTHER)}
        self.odd = {"ahead": 0, "old": 0, "unreadable": 0}

    def of(self, channel: Channel) -> Tally:
        """Return the counts of a channel's family."""
        return self._by_head.get(channel.name.partition(":")[0]) or self._by_head[OTHER]

    @property
    def by_family(self) -> Mapping[str, Tally]:
        """The counts by the names of families."""
        return self._by_head

    def sample(self, line: bytes, end: bytes, tally: Tally, now_s: float) -> None:
        """Count how long ago the producer made the event in ``line``, which was handed on at ``now_s``.

        Args:
            line: one of the bus's own, which ends with ``end``; a line of other writers is passed over.
            end: of all lines of the room.
            tally: of the room's family.
            now_s: seconds since 1970.

        """
        if not line.endswith(end):
            return
        at = len(line) - len(end) - _BEHIND_BYTES
        try:
            made_s = datetime.fromisoformat(line[at - _TIMESTAMP_BYTES : at].decode()).timestamp()
        except (ValueError, OverflowError):
            self.odd["unreadable"] += 1
            return
        late_s = now_s - made_s
        if late_s < 0:  # decisions/0115: never counted as 0, or a clock ahead would look like a fast bus
            self.odd["ahead"] += 1
        elif late_s > _OLDEST_S:
            self.odd["old"] += 1
        else:
            tally.latency.observe(late_s)
