"""What has happened to the clients of one edge since its start: counted where it happens, read by statistics."""

from collections import Counter

from edges.limits.rates import LIMITS

__all__ = ["Counters"]


class Counters:
    """The counters of one edge: made by the composition, and handed to every part that counts.

    Attributes:
        accepted: clients that got in.
        refused: clients that found no place, or had too many already.
        slow: clients closed because they read too slowly.
        cut: those of them that did not even take the close frame.
        strangers: handshakes refused for their origin.
        limited: by the name of a setting, how often that limit hit a client; 0 for those that hit none.

    """

    __slots__ = ("accepted", "cut", "limited", "refused", "slow", "strangers")

    def __init__(self) -> None:
        self.accepted = self.refused = self.slow = self.cut = self.strangers = 0
        self.limited = Counter[str](dict.fromkeys(LIMITS, 0))

    def hit(self, limit: str) -> None:
        """Count that ``limit``, a setting by its name, hit a client."""
        self.limited[limit] += 1

    def hit_slow(self, limit: str) -> None:
        """Count a client that was too slow for ``limit``."""
        self.slow += 1
        self.hit(limit)
