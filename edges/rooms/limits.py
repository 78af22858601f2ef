"""The bounds of an edge's rooms, as values."""

from typing import Final

from bus.envelope import LINE_LIMIT_BYTES
from bus.values import frozen
from edges.rooms.room import BACKLOG_BYTES

__all__ = ["ROOM_LIMITS", "RoomLimits"]


@frozen
class RoomLimits:
    """The bounds of an edge's rooms.

    Attributes:
        line_bytes: a longer line is dropped and counted.
        rooms: the most rooms open at once, lingering rooms included.
        replays: the most members given a replay at once.
        backlog_bytes: the most a room keeps for slow members.

    """

    line_bytes: int = LINE_LIMIT_BYTES
    rooms: int = 20_000
    replays: int = 64
    backlog_bytes: int = BACKLOG_BYTES


ROOM_LIMITS: Final = RoomLimits()
"""The bounds of a hub that is given no others."""
