"""The counters of an edge's rooms, as values."""

from collections.abc import Mapping
from dataclasses import field
from typing import Final, NamedTuple

from bus.position import Reason
from bus.values import frozen

__all__ = ["DROPS", "HubStatistics", "Totals"]

DROPS: Final = ("no_room", "unreadable", "too_large", "bug")
"""Why lines from Redis reach no client: the room has just closed; no client could read the line; the line is larger
than ``max_line_bytes``; the edge failed at the line."""


@frozen
class HubStatistics:
    """Counters since the start; ``rooms``, ``subscriptions`` and ``lagging`` count now.

    Attributes:
        rooms: open rooms with members.
        lines: lines that came by the link.
        deliveries: lines and notices, times the members they were written to.
        dropped: lines that no client could read, and lines of no room.
        gaps: lines that did not follow the line before.
        repaired: lines made up for from logs.
        reads: reads of a log's newest part.
        skipped: deliveries left out for slow members of rooms with the policy ``skip``.
        conflated: the same with the policy ``conflate``.
        subscriptions: members of rooms, a client in two rooms twice.
        sent_bytes: bytes of the deliveries.
        writes: pieces in which deliveries were written; frames of one read from Redis are joined.
        drops: ``dropped`` by reason (``DROPS``).
        told: gaps told by reason: once per room to the members, and once per client coming back.
        slowed: by policy, how often a client was left out of a room.
        lagging: by policy, clients left out of rooms.
        events: by family, lines and notices that were handed to rooms, each once.
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
    subscriptions: int = 0
    sent_bytes: int = 0
    writes: int = 0
    drops: Mapping[str, int] = field(default_factory=dict)
    told: Mapping[Reason, int] = field(default_factory=dict)
    slowed: Mapping[str, int] = field(default_factory=dict)
    lagging: Mapping[str, int] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)
    unreadable: int = 0


class Totals(NamedTuple):
    """Numbers since the start that are counted as they come, whatever the number of rooms."""

    lines: int
    deliveries: int
    gaps: int
    sent_bytes: int
    writes: int
