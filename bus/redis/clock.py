"""Our own clock, and Redis' clock, estimated from answers to ``TIME``."""

import asyncio
from typing import Final

__all__ = ["Clock", "now", "redis_ms"]

_DRIFT: Final = 0.0005
"""How far a second of our clock and a second of Redis' may differ: the most that NTP corrects."""
_FRESH_S: Final = 1.0


class Clock:
    """A lower bound of Redis' clock, from an answer to ``TIME`` on this connection and our own clock.

    The estimate is low by the time of the answer's way, and by the drift between the two clocks since.
    """

    # decisions/0020: low, since a repetition searches a log from that time on. A bound too high would miss the event
    # and store a second copy; a bound too low costs a longer search.

    def __init__(self) -> None:
        self._redis_ms = 0.0
        self._taken_s: float | None = None

    def take(self, redis_ms: float, now_s: float) -> None:
        """Take the answer to ``TIME`` that arrived at ``now_s``."""
        self._redis_ms, self._taken_s = redis_ms, now_s

    def forget(self) -> None:
        """Forget the answer: another server, with another clock, may be asked from now on."""
        self._taken_s = None

    def is_stale(self, now_s: float) -> bool:
        """Tell whether to ask for ``TIME`` along with the next pipeline."""
        return self._taken_s is None or now_s - self._taken_s > _FRESH_S

    def floor_ms(self, now_s: float) -> int:
        """Return a time that Redis' clock has reached, in milliseconds since 1970; 0 before any answer."""
        if self._taken_s is None:
            return 0
        return int(self._redis_ms + (now_s - self._taken_s) * 1000 * (1 - _DRIFT))


def redis_ms(seconds: int | bytes, micros: int | bytes) -> float:
    """Return the answer to ``TIME`` in milliseconds since 1970."""
    return int(seconds) * 1000 + int(micros) / 1000


def now() -> float:
    """Return our own clock, in seconds."""
    return asyncio.get_running_loop().time()
