"""How long things took, as counts by size: what a histogram of Prometheus is made of. Pure."""

from bisect import bisect_left

__all__ = ["Buckets", "doubling"]


def doubling(first_s: float, count: int) -> tuple[float, ...]:
    """Return ``count`` bounds, seconds; each is twice the one before."""
    return tuple(first_s * 2**power for power in range(count))


class Buckets:
    """Counts of durations.

    Args:
        bounds_s: the upper bounds, ascending, seconds; a duration beyond the last bound is counted as well.

    Attributes:
        counts: the durations up to each bound and above the bound before; the last number is of those beyond.
        sum_s: of all durations, seconds.

    """

    # Plain numbers of a loop with one thread: a histogram of the client library takes a lock and a clock each time.
    __slots__ = ("bounds_s", "counts", "sum_s")

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count a duration."""
        self.counts[bisect_left(self.bounds_s, seconds)] += 1
        self.sum_s += seconds

    def observe_many(self, seconds: float, count: int) -> None:
        """Count ``count`` equal durations."""
        self.counts[bisect_left(self.bounds_s, seconds)] += count
        self.sum_s += seconds * count

    def add(self, other: "Buckets") -> None:
        """Add the counts of ``other``, which has the same bounds."""
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.sum_s += other.sum_s

    @property
    def count(self) -> int:
        """The number of durations."""
        return sum(self.counts)
