"""Lines without the plain front: lines with a trace, told once written, and lines of other writers."""

import time
from collections.abc import Callable, Container
from typing import Final, NamedTuple

from bus.envelope import Arrived, foreign, read_front
from bus.traces.lines import is_kept
from edges.rooms.room import Room

__all__ = ["TracedLine", "TracedLines"]

_MOST: Final = 1_000
"""The most lines of one read that are told; a read seldom has as many."""


class TracedLine(NamedTuple):
    """A line behind the hand-over. Times are nanoseconds since 1970, by the edge's clock.

    Attributes:
        clients: the number of members, for whom the line was written.
        is_held: the line waits, as lines before are missing.

    """

    line: bytes
    channel: str
    read_ns: int
    written_ns: int
    clients: int
    is_held: bool


class TracedLines:
    """Reads lines without the plain front, and tells of lines with stages to keep.

    Args:
        tell: gets each, on the event loop, and must neither wait nor raise.

    Attributes:
        seen: the lines of the last read from Redis; most reads have none.

    """

    # decisions/0130: a line without a trace never comes here, since its front is another one.

    def __init__(self, tell: Callable[[TracedLine], None] = lambda _: None) -> None:
        self._tell = tell
        self.seen: list[tuple[bytes, Room, int]] = []

    def read(self, line: bytes, room: Room) -> Arrived:
        """Return a line of ``room`` with the positions; a line of other writers is completed.

        Raises:
            EventError: the line is no event.
            UnicodeDecodeError: the line is not UTF-8.

        """
        arrived = read_front(line)
        if arrived is None or not line.endswith(room.end) or (arrived.position is None) is room.has_log:
            return foreign(line, room.channel.name, has_log=room.has_log)
        if len(self.seen) < _MOST and is_kept(line):
            self.seen.append((line, room, time.time_ns()))
        return arrived

    def written(self, touched: Container[Room]) -> None:
        """Tell of the lines seen: lines of ``touched`` rooms are with the connections now, others wait."""
        now_ns, seen, self.seen = time.time_ns(), self.seen, []
        for line, room, read_ns in seen:
            is_held = room not in touched
            clients = 0 if is_held else sum(map(len, room.subscribers.values()))
            self._tell(TracedLine(line, room.channel.name, read_ns, now_ns, clients, is_held))
