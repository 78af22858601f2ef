"""The counters of an edge's rooms, as values."""

from dataclasses import dataclass

__all__ = ["HubStatistics"]


@dataclass(frozen=True, slots=True)
class HubStatistics:
    """Counters since the start.

    Attributes:
        rooms: open rooms with members, now.
        lines: lines that came by the link.
        deliveries: lines and notices, times the members they were written to.
        dropped: lines that no client could read, and lines of no room.
        gaps: lines that did not follow the line before.
        repaired: lines made up for from logs.
        reads: reads of a log's newest part.
        skipped: deliveries left out for slow members of rooms with the policy ``skip``.
        conflated: the same with the policy ``conflate``.
        unreadable: entries of logs, marks of forks and events of an older model that were passed over.

    """

    rooms: int
    lines: int
    deliveries: int
    dropped: int
    gaps: int
    repaired: int
    reads: int
    skipped: int
    conflated: int
    unreadable: int = 0
