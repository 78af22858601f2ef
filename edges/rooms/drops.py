"""Lines from Redis that reach no client: counted by reason, and told once for each room."""

import logging
from collections.abc import Mapping

from bus.errors import EventError
from edges.rooms.room import Room
from edges.rooms.statistics import DROPS

__all__ = ["Drops", "TooLarge"]

_logger = logging.getLogger("edgebus.edges")


class TooLarge(EventError):
    """A line is larger than an edge hands on."""


class Drops:
    """Counts of dropped lines."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts = dict.fromkeys(DROPS, 0)

    @property
    def by_reason(self) -> Mapping[str, int]:
        """The counts, by the reasons of ``DROPS``."""
        return self._counts

    @property
    def total(self) -> int:
        """How many lines were dropped."""
        return sum(self._counts.values())

    def homeless(self) -> None:
        """Count a line of a room that has just closed."""
        self._counts["no_room"] += 1

    def unreadable(self, room: Room, error: EventError | UnicodeDecodeError) -> None:
        """Count a line that no client could read."""
        reason = str(error) if isinstance(error, EventError) else "the line is not UTF-8"
        self._drop(room, "too_large" if isinstance(error, TooLarge) else "unreadable", reason)

    def failed(self, room: Room, error: Exception) -> None:
        """Count a line that the edge failed at."""
        self._drop(room, "bug", f"a bug of ours: {type(error).__name__}")

    def _drop(self, room: Room, kind: str, reason: str) -> None:
        """Count a line; a room's first such line is worth a warning."""
        self._counts[kind] += 1
        room.dropped += 1
        level = logging.WARNING if room.dropped == 1 else logging.DEBUG
        _logger.log(level, "dropped a line", extra={"channel": room.channel.name, "reason": reason})
