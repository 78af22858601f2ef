"""Clients that read slower than the edge writes: whether what waits for them gets less. Pure."""

from typing import Final

__all__ = ["RESERVE_BYTES", "StallDetector", "patience"]

RESERVE_BYTES: Final = 64 * 1024
"""How much more than its events may wait for one client: for replies, notices and control frames."""

_STEP_BYTES: Final = 4 * 1024
_WINDOW_BYTES: Final = 64 * 1024


class StallDetector:
    """Whether what waits for one client gets less, from when it began to be much until it is little again.

    It does whenever less waits than ever since the last time it did, or when all that waited then has left: so neither
    a client that reads slowly and is sent nothing more, nor one that reads as fast as it is written to, is stuck.

    Args:
        waiting: bytes that wait: in our buffer, and in the kernel's until they are acknowledged.
        now: seconds of a monotonic clock.

    """

    __slots__ = ("_added", "_at_mark", "_since")

    def __init__(self, waiting: int, now: float) -> None:
        self._at_mark, self._since = waiting, now
        self._added = 0

    def add(self, size: int) -> None:
        """Take note of ``size`` more bytes."""
        self._added += size

    def stuck_s(self, waiting: int, now: float) -> float:
        """Return for how long it has not got less, seconds; 0 when it has since the last look."""
        if waiting < self._at_mark or self._added >= waiting:  # the latter: all that waited at the mark has left
            self._at_mark, self._since, self._added = waiting, now, 0
        return now - self._since


def patience(window_bytes: int) -> float:
    """Return how many times longer a client may take for a sign of reading than one whose kernel gives it at once.

    A closed window opens again when half of it was read: 64 KiB, which most systems give, say nothing for 32 KiB and
    more. Longer windows are counted as those; only who has read fast before has one.
    """
    return 1 + min(window_bytes, _WINDOW_BYTES) / _STEP_BYTES
