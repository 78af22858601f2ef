import pytest

from edges.limits.buckets import Buckets, doubling


def test_bounds_double() -> None:
    """Each bound is twice the one before."""
    assert doubling(0.5, 4) == (0.5, 1.0, 2.0, 4.0)


@pytest.mark.parametrize(
    ("seconds", "counts"),
    [(0.0, [1, 0, 0]), (1.0, [1, 0, 0]), (1.5, [0, 1, 0]), (2.0, [0, 1, 0]), (2.1, [0, 0, 1]), (1e9, [0, 0, 1])],
)
def test_duration_is_counted_under_the_first_bound_that_holds_it(seconds: float, counts: list[int]) -> None:
    """A bound belongs to its own bucket, as Prometheus' `le` says; beyond the last bound nothing is lost."""
    buckets = Buckets((1.0, 2.0))
    buckets.observe(seconds)
    assert (buckets.counts, buckets.count, buckets.sum_s) == (counts, 1, seconds)
