"""How fast a client may say what it says by itself, and how much at once, so that the edge need never refuse it. Pure.

An edge counts messages with a bucket: it holds twice the rate that the welcome names, and fills at that rate
(protocol.md). The client keeps to half of that bucket: the other half is the caller's, and the road's, for what is sent
over a second may arrive in one moment.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["Pace", "Terms"]

_RATE: Final = 100.0
"""An edge's usual one, until it has said its own."""
_BEFORE_WELCOME: Final = 8.0
_REMEMBERED: Final = 50.0
"""So many messages at once, before the edge said its rate: where nothing is known of it, and where another connection's
welcome was heard. Fewer than an edge's patience either way."""
_ROOM_S: Final = 1.0
_LEAST_S: Final = 1e-6


@dataclass(slots=True)
class Terms:
    """What the edge grants, as far as is known; outlives a connection.

    Attributes:
        request_bytes: the longest message that it takes.
        rate: messages per second, None while no welcome was heard.

    """

    request_bytes: int
    rate: float | None = None


class Pace:
    """A bucket on the client's side, of one connection.

    Args:
        rate: what an earlier welcome named, None for a first connection.
        now: seconds of a monotonic clock; ``now`` is an argument below, too.

    """

    __slots__ = ("_burst", "_rate", "_said", "_tokens", "_updated")

    def __init__(self, rate: float | None, now: float) -> None:
        self._rate = _RATE if rate is None else rate
        self._burst = self._tokens = _BEFORE_WELCOME if rate is None else min(rate, _REMEMBERED)
        self._updated, self._said = now, 0

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._rate)
        self._updated = now

    def spend(self, now: float) -> None:
        """Count a message, whoever wanted it said; the caller's own are counted and never wait."""
        self._fill(now)
        self._tokens -= 1
        self._said += 1

    def wait_s(self, now: float) -> float:
        """Return for how long the client's own messages have to wait; 0 where one may go."""
        self._fill(now)
        wait_s = (1 - self._tokens) / self._rate
        return wait_s if wait_s > _LEAST_S else 0.0

    def welcomed(self, rate: float, now: float) -> None:
        """Go by the edge's own rate from here on; what was said already came out of its bucket."""
        self._fill(now)
        self._rate = self._burst = rate
        self._tokens = rate - self._said

    def refused(self, wait_s: float, now: float) -> None:
        """Be silent for as long as the edge said, and until its bucket holds a second's worth again."""
        self._fill(now)
        self._tokens = min(self._tokens, 1 - self._rate * (wait_s + _ROOM_S))
