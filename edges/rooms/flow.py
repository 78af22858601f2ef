"""The lines of a room that came in order, of which nothing else has to be known until somebody asks. Pure."""

from collections import deque
from typing import Final

from edges.rooms import recent

__all__ = ["CLOSED", "FLOWING_BYTES", "Flow"]

CLOSED: Final = b""
"""Where no line flows; the position of no event."""
FLOWING_BYTES: Final = recent.RECENT_BYTES // 2 // recent.RECENT_LINES
"""The most bytes of a line that flows: so many lines as a room remembers are half the bytes that a room remembers."""


class Flow:
    """Lines that follow each other, and are looked at no closer for now.

    Attributes:
        at: the position that the next line must name as the one before, as in the line; None on a ``live`` channel;
            ``CLOSED`` while each line is looked at.
        count: how many lines flowed, since the start.
        lines: the newest lines of a log that flowed; as many as a room remembers.

    """

    # Two stores and an append per line, and no object that the garbage collector tracks: to remember a line with both
    # positions, in an order and in a set, took a fifth of all that an event of a room with one member cost.
    __slots__ = ("at", "count", "lines")

    def __init__(self) -> None:
        self.at: bytes | None = CLOSED
        self.count = 0
        self.lines: deque[bytes] = deque(maxlen=recent.RECENT_LINES)

    def close(self) -> list[bytes]:
        """Let no line flow; return the lines of a log that flowed since the last call, as far as they are kept."""
        self.at = CLOSED
        lines = list(self.lines)
        self.lines.clear()
        return lines
