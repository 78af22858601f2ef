"""Reading a log backwards, page by page: the size of the next page, and the lines read so far. Pure.

A narrow path must not be given more than the path carries in a moment: a long page holds up all other reads, and a
lost page is read again.
"""

from collections.abc import Container, Mapping
from typing import Final

from bus.envelope import Arrived
from bus.log.replay import REPLAY_BYTES, REPLAY_EVENTS

__all__ = ["PAGE", "PagePace", "Reading", "size_of"]

PAGE: Final = 200
"""The most entries per read, so that a long log does not hold up Redis or the event loop."""
# decisions/0052: a page is to take a quarter of a second, so that a probe, a heartbeat or another room never waits long
# behind a page. Learned from the pages before; a setting would be a number that nobody knows.
_FIRST_PAGE: Final = 16
_PAGE_S: Final = 0.25
_PAGE_BYTES: Final = range(4 * 1024, 1024 * 1024)
_FIRST_BYTES: Final = 64 * 1024


class PagePace:
    """The bytes of a page that takes a quarter of a second, learned from the pages before."""

    def __init__(self) -> None:
        self._bytes = _FIRST_BYTES

    def take(self, size: int, took_s: float) -> None:
        """Take note of a page of ``size`` bytes, and of the time from its command to its last byte."""
        fits = int(size * _PAGE_S / max(took_s, 0.001))
        is_full = 2 * size >= self._bytes  # the time of a small page is the way there and back, and says little
        if is_full or (fits < self._bytes and took_s > _PAGE_S):
            self._bytes = min(max(fits, self._bytes // 4, _PAGE_BYTES.start), self._bytes * 4, _PAGE_BYTES.stop)

    def count(self, entry_bytes: float | None, *, most: int) -> int:
        """Return how many entries to ask for, given the mean size of this log's entries; None: not known yet."""
        if entry_bytes is None:
            return min(_FIRST_PAGE, most)
        return max(1, min(most, int(self._bytes / max(entry_bytes, 1.0))))


class Reading:
    """The lines read of a log, the newest first. Lines of a failed attempt are kept, and taken over by the next.

    Args:
        limit_events: the most lines.
        limit_bytes: the most bytes of lines; the newest line is read in any case.
        until: positions that end the reading, once read: the caller has all lines before such a position.
        whole_pages: whether such a position ends the reading behind the rest of its page, which serves other readers.

    """

    # decisions/0052: over 100 KB/s a log of 3 MB never came within a deadline, and each attempt began anew. Read back
    # only to a known position, and with the last attempt's lines kept, every attempt gets further than the one before.

    def __init__(
        self,
        *,
        limit_events: int = REPLAY_EVENTS,
        limit_bytes: int = REPLAY_BYTES,
        until: Container[str] = (),
        whole_pages: bool = False,
    ) -> None:
        self._whole_pages = whole_pages
        self._limit_events, self._limit_bytes, self._until = limit_events, limit_bytes, until
        self._read: list[Arrived] = []
        self._before: list[Arrived] = []
        self._size = 0
        self.is_cut = self.is_done = self.ends_with_page = False

    @property
    def lines(self) -> tuple[Arrived, ...]:
        """The lines read since ``begin``, oldest first."""
        return tuple(reversed(self._read))

    @property
    def entry_bytes(self) -> float | None:
        """The mean size of the lines read; None before the first."""
        return self._size / len(self._read) if self._read else None

    def most(self, page: int) -> int:
        """Return the most entries to read next, at most a whole ``page``."""
        return max(1, min(page, self._limit_events - len(self._read)))

    def end_if_full(self, first: str | None) -> None:
        """End at the limit of events; whether the log holds more is told by ``first``, without a further read."""
        if len(self._read) == self._limit_events:
            self.is_done = True
            self.is_cut = self.reached != first

    @property
    def reached(self) -> str | None:
        """The position of the oldest line read."""
        return self._read[-1].position if self._read else None

    def begin(self) -> None:
        """Begin at the log's end; the lines of an earlier attempt stand ready to be taken over."""
        self._before = max(self._before, self._read, key=len)
        self._read, self._size = [], 0
        self.is_cut = self.is_done = self.ends_with_page = False

    def wants(self, position: str) -> bool:
        """Tell whether an entry is the predecessor of the oldest line read; any other entry ends the reading."""
        # Another Redis may answer for the next page, without some entries between: a replay never skips such a hole.
        self.is_done = self.is_done or (bool(self._read) and self._read[-1].previous != position)
        return not self.is_done

    def take(self, line: Arrived) -> bool:
        """Take the line before the oldest line read; tell whether still earlier lines are wanted."""
        is_over = len(self._read) >= self._limit_events or (
            self._size + len(line.line) > self._limit_bytes and bool(self._read)
        )
        if is_over:
            self.is_cut = self.is_done = True
            return False
        self._read.append(line)
        self._size += len(line.line)
        if line.position is not None and line.position in self._until:
            self.is_cut = self.ends_with_page = True
            self.is_done = not self._whole_pages
        return not self.is_done

    def take_over(self) -> bool:
        """Take over the lines of an earlier attempt, once this attempt has read back to them; tell whether any came."""
        if not self._before or not self._read or self._before[0].position != self._read[-1].position:
            return False
        before, self._before = self._before[1:], []
        for line in before:
            if not self.take(line):
                break
        return bool(before)


def size_of(fields: Mapping[bytes, bytes]) -> int:
    """Return about how many bytes an entry takes on its way."""
    return sum(len(value) for value in fields.values()) + 64
