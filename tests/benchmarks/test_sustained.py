"""The search for the highest rate that a server carries."""

from typing import Any

import pytest

from benchmarks.stand import Turn
from benchmarks.sustained import first_rate, highest, is_carried


def searched(capacity: int, first: int, seconds: float = 60) -> tuple[int, list[int], bool]:
    tried: list[int] = []

    def carried(rate: int) -> str | None:
        tried.append(rate)
        return f"at {rate}" if rate <= capacity else None

    rate, best, is_done = highest(carried, first, seconds)
    assert best == (f"at {rate}" if rate else None)
    return rate, tried, is_done


@pytest.mark.parametrize(("closed_loop", "first"), [(0, 10), (15, 10), (39, 10), (40, 20), (900, 320), (1e9, 40_960)])
def test_first_rate_is_half_of_a_closed_loop_or_less(closed_loop: float, first: int) -> None:
    """Of the rates that doubling ten gives: so two servers are asked for the same."""
    assert first_rate(closed_loop) == first


def test_rate_is_doubled_then_searched_for() -> None:
    """To an eighth of the rate."""
    assert searched(9_000, 2_560) == (8_960, [2_560, 5_120, 10_240, 7_680, 8_960, 9_600], True)


def test_first_rate_that_is_too_much_is_halved() -> None:
    """A closed loop on a calm machine says little of the same server when others are at work."""
    assert searched(100, 320) == (100, [320, 160, 80, 120, 100, 110], True)


def test_server_that_carries_nothing_has_no_rate() -> None:
    """Ten a second is where the search ends."""
    assert searched(0, 40) == (0, [40, 20, 10], True)


def test_search_ends_at_the_highest_rate_that_is_tried() -> None:
    """A generator on one core gives no more."""
    assert searched(10**6, 25_600) == (51_200, [25_600, 51_200], True)


def test_search_that_takes_too_long_keeps_what_was_carried() -> None:
    """The table says that more was not tried."""
    assert searched(10**6, 320, seconds=0) == (0, [], False)


@pytest.mark.parametrize(
    ("changed", "is_it"),
    [({}, True), ({"received": 97}, False), ({"p99_ms": 251}, False), ({"closed": 1}, False), ({"received": 98}, True)],
)
def test_rate_is_carried(changed: dict[str, Any], is_it: bool) -> None:
    """By nearly all deliveries, soon, and to every client."""
    answer = {"received": 100, "expected": 100, "p99_ms": 249.0, "closed": 0, **changed}
    assert is_carried(Turn(answer, 1, 1, 1, 0)) is is_it
