"""How fast a client sends its own messages, so that the edge need never refuse one for its rate. Pure.

An edge counts messages with a bucket. The bucket holds twice the welcome's rate, and fills at the welcome's rate
(docs/limits.md). The client's own messages keep to half of the bucket.
"""

# decisions/0053: the other half is for callers' requests, which never wait, and for the road: messages of one second
# may arrive in one moment. To wait for the welcome before the first message was rejected: a silent client gets its
# welcome after 100 ms only, and an edge of another make may send none.

from typing import Final

from bus.values import mutable

__all__ = ["Pace", "Terms"]

_RATE: Final = 100.0
"""An edge's usual rate, until the edge has named its own."""
_BEFORE_WELCOME: Final = 8.0
_REMEMBERED: Final = 50.0
"""Messages at once before the welcome: of an unknown edge, and after another connection's welcome. Fewer than an edge's
patience either way; a rolling restart may bring an edge with another rate."""
_ROOM_S: Final = 1.0
_LEAST_S: Final = 1e-6


@mutable
class Terms:
    """The edge's limits, as far as known; outlives a connection.

    Attributes:
        request_bytes: the longest message that the edge takes.
        rate: messages per second, None while no welcome was heard.

    """

    request_bytes: int
    rate: float | None = None


class Pace:
    """A bucket on the client's side, of one connection.

    Args:
        rate: an earlier welcome's, None for a first connection.
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
        """Count a message, the client's own or a caller's; callers' messages are counted and never wait."""
        self._fill(now)
        self._tokens -= 1
        self._said += 1

    def wait_s(self, now: float) -> float:
        """Return the wait of the client's own messages; 0 where a message may go now."""
        self._fill(now)
        wait_s = (1 - self._tokens) / self._rate
        return wait_s if wait_s > _LEAST_S else 0.0

    def welcomed(self, rate: float, now: float) -> None:
        """Go by the edge's own rate from here on; the messages sent so far came out of the edge's bucket."""
        self._fill(now)
        self._rate = self._burst = rate
        self._tokens = rate - self._said

    def refused(self, wait_s: float, now: float) -> None:
        """Be silent for ``wait_s``, the edge's advice, and one second more."""
        # The edge's bucket has one message's room then, so refused rooms would be refused again, one after another.
        self._fill(now)
        self._tokens = min(self._tokens, 1 - self._rate * (wait_s + _ROOM_S))
