"""Forks: places in a log behind which events were lost that an edge had, because another Redis took over without them.

The log alone does not show one: it is a whole chain, from before that place to its end. Pure: the log keeps marks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bus.envelope import Arrived
from bus.position import BEGINNING, milliseconds

__all__ = ["FORKS", "Fork", "crosses", "crosses_time", "passed", "passed_since"]

FORKS: Final = 8
"""How many are remembered of one log."""
_CLOCKS_MS: Final = 10_000
"""What the clocks of two primaries may differ by."""


@dataclass(frozen=True, slots=True)
class Fork:
    """One place.

    Attributes:
        position: the entry behind which events were lost; ``BEGINNING`` where no entry is left that was before them.
        found_ms: when that was found, by Redis' clock.

    """

    position: str
    found_ms: int


def crosses(forks: Iterable[Fork], at: str | None, lines: Sequence[Arrived], end: str | None) -> bool:
    """Tell whether a reader that stands ``at`` some position, and at ``end`` once it has ``lines``, passes a fork.

    ``at`` is None for one that stood nowhere.
    """
    return bool(passed(forks, at, lines, end))


def passed(forks: Iterable[Fork], at: str | None, lines: Sequence[Arrived], end: str | None) -> list[str]:
    """Return the places of those that such a reader passes."""
    return [fork.position for fork in forks if _is_passed(fork, at, lines, end)]


def _is_passed(fork: Fork, at: str | None, lines: Sequence[Arrived], end: str | None) -> bool:
    if fork.position == BEGINNING:
        return at is not None and at.endswith("-0") and milliseconds(at) <= fork.found_ms + _CLOCKS_MS
    links = lines if at is not None else lines[1:]  # who stood nowhere misses nothing before its first line
    return fork.position in (at, end) or any(line.previous == fork.position for line in links)


def crosses_time(forks: Iterable[Fork], since_ms: int) -> bool:
    """Tell whether events may have been lost since a time: when they were published nobody knows any more."""
    return bool(passed_since(forks, since_ms))


def passed_since(forks: Iterable[Fork], since_ms: int) -> list[str]:
    """Return the places where events may have been lost since a time."""
    return [fork.position for fork in forks if since_ms <= fork.found_ms]
