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
        answered_bytes: bytes of answers, notices and replays.
        answer_writes: pieces in which these were written.
        limited: by the name of a setting, how often the limit hit a client, 0 included.

    """

    # Plain numbers, since the loop has one thread: a metric's own counter costs a lock each time.
    __slots__ = (
        "accepted",
        "answer_writes",
        "answered_bytes",
        "cut",
        "failed_hooks",
        "limited",
        "refused",
        "slow",
        "strangers",
    )

    def __init__(self) -> None:
        self.accepted = self.refused = self.slow = self.cut = self.strangers = self.failed_hooks = 0
        self.answered_bytes = self.answer_writes = 0
        self.limited = Counter[str](dict.fromkeys(LIMITS, 0))

    def answered(self, size: int) -> None:
        """Count a write of ``size`` bytes that is no delivery in a room."""
        self.answered_bytes += size
        self.answer_writes += 1

    def hit(self, limit: str) -> None:
        """Count a client hit by ``limit``, the name of a setting."""
        self.limited[limit] += 1

    def hit_slow(self, limit: str) -> None:
        """Count a client too slow for ``limit``."""
        self.slow += 1
        self.hit(limit)
