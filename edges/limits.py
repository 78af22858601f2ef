"""Limits on how much a client may do. Pure: the time is an argument, in seconds of a monotonic clock."""

from collections import deque

__all__ = ["Patience", "TokenBucket"]


class TokenBucket:
    """A rate with a burst: the bucket holds twice the rate, and fills at the rate.

    Args:
        rate: tokens per second.
        now: the time at which it is full.

    """

    __slots__ = ("_rate", "_tokens", "_updated")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._tokens = 2 * rate
        self._updated = now

    def take(self, now: float, tokens: int = 1) -> float:
        """Take ``tokens`` and return 0, or leave them and return the seconds until there are that many."""
        self._tokens = min(2 * self._rate, self._tokens + (now - self._updated) * self._rate)
        self._updated = now
        if self._tokens >= tokens:
            self._tokens -= tokens
            return 0.0
        return (tokens - self._tokens) / self._rate


class Patience:
    """Ends with ``limit`` refusals within any ``window_s`` seconds."""

    __slots__ = ("_refusals", "_window_s")

    def __init__(self, limit: int = 100, window_s: float = 10.0) -> None:
        self._window_s = window_s
        self._refusals: deque[float] = deque(maxlen=limit)

    def ends(self, now: float) -> bool:
        """Count one refusal, and tell whether it was one too many."""
        self._refusals.append(now)
        return len(self._refusals) == self._refusals.maxlen and now - self._refusals[0] <= self._window_s
