"""Limits on how much a client may do. Pure: the time is an argument, in seconds of a monotonic clock."""

from collections import deque
from typing import Final

from bus.errors import BusUnavailable

__all__ = ["LIMITS", "LimitReached", "Patience", "TokenBucket"]

LIMITS: Final = (
    "message_rate_limit",
    "control_rate_limit",
    "max_message_bytes",
    "max_message_values",
    "max_fragments",
    "max_rooms",
    "max_waiting_commands",
    "max_waiting_command_bytes",
    "max_waiting_bytes",
    "slow_deadline_s",
    "max_connections",
    "max_handshakes",
    "open_timeout_s",
    "max_open_rooms",
    "max_replays",
    "max_requests",
    "max_presence_members",
    "publish_rate_limit",
    "publish_bytes_per_second",
    "publish_rate_limit_per_user",
    "publish_bytes_per_second_per_user",
    "max_publish_bytes",
    "max_answer_bytes",
    "max_questions",
    "max_connections_per_address",
    "connects_per_second_per_address",
    "max_connections_per_user",
    "connects_per_second_per_user",
)
"""The settings that bound what clients may do; each is counted when it does (``Counters.limited``)."""


class LimitReached(BusUnavailable):
    """A bound of the whole edge is reached; the client may ask again later. ``name`` is of the setting."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(f"{name}: {sentence}")
        self.name = name


class TokenBucket:
    """A rate with a burst: the bucket holds twice the rate, and fills at the rate.

    Args:
        rate: tokens per second.
        now: the time of a full bucket.

    """

    __slots__ = ("_rate", "_tokens", "_updated")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._tokens = (
            2 * rate
        )  # decisions/0053: clients keep to once the rate, and the rest is for callers and the road
        self._updated = now

    def take(self, now: float, tokens: int = 1) -> float:
        """Take ``tokens`` and return 0, or take none and return the seconds until there are enough."""
        filled, most = self._tokens + (now - self._updated) * self._rate, 2 * self._rate
        self._tokens, self._updated = (filled if filled < most else most), now  # `min` takes as long as all the rest
        if self._tokens >= tokens:
            self._tokens -= tokens
            return 0.0
        return (tokens - self._tokens) / self._rate

    def charge(self, tokens: int) -> None:
        """Take ``tokens``, more than there are if need be: the debt is paid off later."""
        # decisions/0041: a message counts for its bytes, too. One bucket with debts, since clients pace themselves by
        # one number of the welcome, and even a rate of 1 must let a large message through.
        self._tokens -= tokens

    def is_full(self, now: float) -> bool:
        """Tell whether the bucket is as good as new."""
        return self._tokens + (now - self._updated) * self._rate >= 2 * self._rate


class Patience:
    """Ends with ``limit`` refusals within any ``window_s`` seconds."""

    # decisions/0041: each refusal costs a look for the id in its answer; without an end, work without an end.
    __slots__ = ("_limit", "_refusals", "_window_s")

    def __init__(self, limit: int = 100, window_s: float = 10.0) -> None:
        self._window_s = window_s
        self._limit = limit
        self._refusals: deque[float] | None = None  # most clients are refused nothing, and an empty one is 624 bytes

    def ends(self, now: float) -> bool:
        """Count a refusal, and tell whether the limit is reached."""
        if self._refusals is None:
            self._refusals = deque(maxlen=self._limit)
        self._refusals.append(now)
        return len(self._refusals) == self._limit and now - self._refusals[0] <= self._window_s
