"""The newest lines of a room, for who left off a moment ago; bounded in number and bytes. Waits for nothing."""

from collections import deque
from collections.abc import Sequence
from typing import Final

from bus.envelope import Arrived
from bus.position import BEGINNING, order

__all__ = ["RECENT_LINES", "Recent"]

RECENT_LINES: Final = 256
RECENT_BYTES: Final = 1024 * 1024


class Recent:
    """Lines that follow each other in their log, from the oldest that is still remembered."""

    __slots__ = ("_bytes", "_lines")

    def __init__(self) -> None:
        self._lines: deque[Arrived] = deque()
        self._bytes = 0

    def add(self, arrived: Arrived) -> None:
        """Remember a line, and forget the oldest ones where they are too many; one line always fits."""
        self._lines.append(arrived)
        self._bytes += len(arrived.line)
        while len(self._lines) > RECENT_LINES or (self._bytes > RECENT_BYTES and len(self._lines) > 1):
            oldest = self._lines.popleft()
            self._bytes -= len(oldest.line)

    def clear(self) -> None:
        """Forget them: what comes next does not follow."""
        self._lines.clear()
        self._bytes = 0

    def between(self, position: str, at: str | None, *, was_absent: bool) -> Sequence[Arrived] | None:
        """Return the lines after ``position`` up to ``at``, None when they are not remembered.

        ``was_absent``: the log was just looked for, and not there at ``position``; so whatever is there now came later.
        """
        lines = list(self._lines)
        if position == at:
            return ()
        if was_absent and at is not None and at.endswith("-0"):
            return () if order(at) <= order(position) else None
        while lines and lines[-1].position != at:  # it waits, and comes to a newcomer anyway
            lines.pop()
        previous = BEGINNING if was_absent else position
        for index in range(len(lines) - 1, -1, -1):
            if lines[index].previous == previous:
                return lines[index:]
        return None
