"""Clients slower than the edge's writes: whether fewer and fewer bytes wait. Pure."""

from typing import Final

__all__ = ["RESERVE_BYTES", "StallDetector", "patience"]

RESERVE_BYTES: Final = 64 * 1024
"""Beyond the bound of events: for replies, notices and control frames."""

_STEP_BYTES: Final = 4 * 1024
_WINDOW_BYTES: Final = 64 * 1024


class StallDetector:
    """Whether a client reads, from the moment when much waits until little waits again.

    Progress is a new low of waiting bytes, or the end of all bytes that waited at the last progress: so neither a slow
    reader without further events, nor a reader exactly as fast as the writes, is stuck.

    Args:
        waiting: bytes in the edge's buffer, and in the kernel's until acknowledged.
        now: seconds of a monotonic clock.

    """

    # decisions/0032: progress counts, not emptiness. A steady reader of a full buffer is not slow.

    __slots__ = ("_added", "_at_mark", "_since")

    def __init__(self, waiting: int, now: float) -> None:
        self._at_mark, self._since = waiting, now
        self._added = 0

    def add(self, size: int) -> None:
        """Take note of ``size`` more bytes."""
        self._added += size

    def stuck_s(self, waiting: int, now: float) -> float:
        """Return the time without progress, seconds; 0 after progress since the last look."""
        if waiting < self._at_mark or self._added >= waiting:  # the latter: all that waited at the mark has left
            self._at_mark, self._since, self._added = waiting, now, 0
        return now - self._since


def patience(window_bytes: int) -> float:
    """Return how many times the deadline a client may take for a sign of reading.

    A closed window opens again when half was read: the 64 KiB of most systems are silent for 32 KiB and more. Longer
    windows count as 64 KiB, since only a fast reader is given more.
    """
    # decisions/0046: measured on loopback, 12 s at 500 B/s with 8 KiB, 11 s at 6 KB/s with 128 KiB.
    return 1 + min(window_bytes, _WINDOW_BYTES) / _STEP_BYTES
