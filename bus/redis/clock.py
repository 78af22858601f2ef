"""What Redis' clock says at least, by answers to ``TIME`` and our own clock. Pure."""

from typing import Final

__all__ = ["Clock"]

_DRIFT: Final = 0.0005
"""What a second of our clock may differ from one of Redis': the most that NTP corrects."""
_FRESH_S: Final = 1.0


class Clock:
    """What Redis' clock says at least, from an answer to ``TIME`` on this connection and our own clock.

    The estimate is low by the time the answer took, and by what the two clocks may have drifted apart since.
    """

    def __init__(self) -> None:
        self._redis_ms = 0.0
        self._taken_s: float | None = None

    def take(self, redis_ms: float, now_s: float) -> None:
        """Take the answer to ``TIME`` that arrived at ``now_s``."""
        self._redis_ms, self._taken_s = redis_ms, now_s

    def forget(self) -> None:
        """Forget the answer: another server may be asked from now on."""
        self._taken_s = None

    def is_stale(self, now_s: float) -> bool:
        """Tell whether ``TIME`` is worth asking for along with something else."""
        return self._taken_s is None or now_s - self._taken_s > _FRESH_S

    def floor_ms(self, now_s: float) -> int:
        """Return a time that Redis' clock has reached; 0 when nothing is known of it."""
        if self._taken_s is None:
            return 0
        return int(self._redis_ms + (now_s - self._taken_s) * 1000 * (1 - _DRIFT))
