"""The counters of an edge's rooms, as values."""

from dataclasses import dataclass

__all__ = ["HubStatistics"]


@dataclass(frozen=True, slots=True)
class HubStatistics:
    """Counters since the start. ``rooms`` are those with members; ``dropped`` lines could be delivered to nobody.

    ``skipped`` and ``conflated`` count deliveries that were left out for members that read too slowly. ``unreadable``
    is how often something was passed over that the bus did not write so: entries of logs, marks of forks, and events of
    an older model in requests.
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
