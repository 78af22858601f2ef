"""Reading a log backwards, page by page: how much the next page holds, and what was read so far. Pure.

A narrow path must not be given more than it carries in a moment: a page that takes long holds up all others, and one
that is lost is read again.
"""

from collections.abc import Container, Mapping
from typing import Final

from bus.envelope import Arrived
from bus.log.replay import REPLAY_BYTES, REPLAY_EVENTS

__all__ = ["PAGE", "Pace", "Reading", "size_of"]

PAGE: Final = 200
"""The most entries per read, so that a long log does not hold up Redis or the event loop."""
_FIRST_PAGE: Final = 16
_PAGE_S: Final = 0.25
_PAGE_BYTES: Final = range(4 * 1024, 1024 * 1024)
_FIRST_BYTES: Final = 64 * 1024


class Pace:
    """How many bytes a page holds, such that it takes a quarter of a second; learned from the pages before it."""

    def __init__(self) -> None:
        self._bytes = _FIRST_BYTES

    def take(self, size: int, took_s: float) -> None:
        """Take note of a page of so many bytes, and of the time from its command to its last byte."""
        fits = int(size * _PAGE_S / max(took_s, 0.001))
        is_full = 2 * size >= self._bytes  # a small page says little: its time is that of the way there and back
        if is_full or (fits < self._bytes and took_s > _PAGE_S):
            self._bytes = min(max(fits, self._bytes // 4, _PAGE_BYTES.start), self._bytes * 4, _PAGE_BYTES.stop)

    def count(self, entry_bytes: float | None, *, most: int) -> int:
        """Return how many entries to ask for, given what one of this log takes; None: nobody knows yet."""
        if entry_bytes is None:
            return min(_FIRST_PAGE, most)
        return max(1, min(most, int(self._bytes / max(entry_bytes, 1.0))))


class Reading:
    """What was read of one log, the newest first. What was there is kept when the path is lost, and taken over after.

    Args:
        limit_events: so many at most.
        limit_bytes: so much at most, and one line always.
        until: positions of which one ends it, once it is read: whoever asks has what came before.

    """

    def __init__(
        self, *, limit_events: int = REPLAY_EVENTS, limit_bytes: int = REPLAY_BYTES, until: Container[str] = ()
    ) -> None:
        self._limit_events, self._limit_bytes, self._until = limit_events, limit_bytes, until
        self._read: list[Arrived] = []
        self._before: list[Arrived] = []
        self._size = 0
        self.is_cut = self.is_done = False

    @property
    def lines(self) -> tuple[Arrived, ...]:
        """What was read since ``begin``, oldest first."""
        return tuple(reversed(self._read))

    @property
    def entry_bytes(self) -> float | None:
        """What an entry takes, as far as it is known."""
        return self._size / len(self._read) if self._read else None

    def most(self, page: int) -> int:
        """Return how many entries to read at most, where a page has so many."""
        return max(1, min(page, self._limit_events - len(self._read)))

    def end_if_full(self, first: str | None) -> None:
        """End where as much was read as may be; nothing is read to learn whether there is more than ``first``."""
        if len(self._read) == self._limit_events:
            self.is_done = True
            self.is_cut = self.reached != first

    @property
    def reached(self) -> str | None:
        """The position of the oldest line that was read."""
        return self._read[-1].position if self._read else None

    def begin(self) -> None:
        """Begin at the log's end; what an earlier attempt had read is there to be taken over."""
        self._before = max(self._before, self._read, key=len)
        self._read, self._size = [], 0
        self.is_cut = self.is_done = False

    def wants(self, position: str) -> bool:
        """Tell whether an entry goes on from what was read; one that does not ends the reading.

        They end where the chain does: another Redis may answer for the next page, and one that lacks some between.
        """
        self.is_done = self.is_done or (bool(self._read) and self._read[-1].previous != position)
        return not self.is_done

    def take(self, line: Arrived) -> bool:
        """Take the line before those that were read; tell whether what comes before it is wanted, and not known yet."""
        is_over = len(self._read) >= self._limit_events or (
            self._size + len(line.line) > self._limit_bytes and bool(self._read)
        )
        if is_over:
            self.is_cut = self.is_done = True
            return False
        self._read.append(line)
        self._size += len(line.line)
        if line.position is not None and line.position in self._until:
            self.is_cut = self.is_done = True
        return not self.is_done

    def take_over(self) -> bool:
        """Take over what an earlier attempt had read, where this one has come to it; tell whether it has."""
        if not self._before or not self._read or self._before[0].position != self._read[-1].position:
            return False
        before, self._before = self._before[1:], []
        for line in before:
            if not self.take(line):
                break
        return bool(before)


def size_of(fields: Mapping[bytes, bytes]) -> int:
    """Return about what an entry takes on its way."""
    return sum(len(value) for value in fields.values()) + 64
