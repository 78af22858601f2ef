"""Counters of clients since the start of an edge: written where events happen, read by statistics."""

from collections import Counter

from edges.limits.rates import LIMITS

__all__ = ["Counters"]


class Counters:
    """The counters of an edge: made by the composition, and handed to every part that counts.

    Attributes:
        accepted: clients with a place.
        refused: clients without a place, or over a quota.
        slow: clients closed for slow reading.
        cut: slow clients that did not even take the close frame.
        strangers: handshakes refused for an origin or a host.
        failed_hooks: handshakes and plain requests at which ``process_request`` failed.
        limited: by the name of a setting, how often the limit hit a client, 0 included.

    """

    # Plain numbers, since the loop has one thread: a metric's own counter costs a lock each time.
    __slots__ = ("accepted", "cut", "failed_hooks", "limited", "refused", "slow", "strangers")

    def __init__(self) -> None:
        self.accepted = self.refused = self.slow = self.cut = self.strangers = self.failed_hooks = 0
        self.limited = Counter[str](dict.fromkeys(LIMITS, 0))

    def hit(self, limit: str) -> None:
        """Count a client hit by ``limit``, the name of a setting."""
        self.limited[limit] += 1

    def hit_slow(self, limit: str) -> None:
        """Count a client too slow for ``limit``."""
        self.slow += 1
        self.hit(limit)
