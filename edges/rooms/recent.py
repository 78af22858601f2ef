"""The newest lines of a room, for clients that left a moment ago; bounded in number and bytes. Pure."""

from collections import deque
from typing import Final

from bus.envelope import Arrived
from bus.position import BEGINNING, order

__all__ = ["RECENT_BYTES", "RECENT_LINES", "Recent"]

RECENT_LINES: Final = 256
RECENT_BYTES: Final = 1024 * 1024


class Recent:
    """Lines that follow each other in the log, from the oldest line that is still remembered."""

    __slots__ = ("_bytes", "_last", "_lines")

    def __init__(self) -> None:
        self._lines: deque[Arrived] = deque()
        self._bytes = 0
        self._last: tuple[str, str | None, tuple[Arrived, ...]] | None = None

    @property
    def is_light(self) -> bool:
        """Whether half of the bytes are left, for lines that are not added yet."""
        return self._bytes <= RECENT_BYTES // 2

    def add(self, arrived: Arrived) -> None:
        """Remember a line, and forget the oldest lines past the bounds; a single line always fits."""
        if self._lines and self._lines[-1].position == arrived.previous:
            arrived = Arrived(arrived.line, arrived.position, self._lines[-1].position)  # one text for both
        self._lines.append(arrived)
        self._bytes += len(arrived.line)
        while len(self._lines) > RECENT_LINES or (self._bytes > RECENT_BYTES and len(self._lines) > 1):
            oldest = self._lines.popleft()
            self._bytes -= len(oldest.line)

    def keep(self, count: int) -> None:
        """Forget the oldest lines until ``count`` are left, and what was found for clients that came back together."""
        self._last = None
        while len(self._lines) > count:
            self._bytes -= len(self._lines.popleft().line)

    def clear(self) -> None:
        """Forget all lines: the next line does not follow."""
        self._lines.clear()
        self._bytes, self._last = 0, None

    def between(self, position: str, at: str | None, *, was_absent: bool) -> tuple[Arrived, ...] | None:
        """Return the lines after ``position`` up to ``at``, None when lines are forgotten.

        ``was_absent``: a read just found no log at ``position``, so every line of the log came later.
        """
        if position == at:
            return ()
        if was_absent and at is not None and at.endswith("-0"):
            return () if order(at) <= order(position) else None
        previous, last = BEGINNING if was_absent else position, self._last
        if last is not None and last[0] == previous and last[1] == at:
            return last[2]
        found: list[Arrived] = []
        for line in reversed(self._lines):
            if found or line.position == at:  # else it waits, and comes to a newcomer anyway
                found.append(line)
                if line.previous == previous:
                    lines = tuple(reversed(found))
                    self._last = previous, at, lines  # clients that come back together stand at one position
                    return lines
        return None
