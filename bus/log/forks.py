"""Forks: places in a log behind which an edge had events that the log lost, because another Redis took over without.

The log alone shows no fork: the chain is whole, from before that place to the end. Pure: ``bus.log.marks`` keeps marks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bus.envelope import Arrived
from bus.position import BEGINNING, milliseconds

__all__ = ["FORKS", "Fork", "crosses", "crosses_time", "passed", "passed_since"]

FORKS: Final = 8
"""The most forks remembered of a log."""
_CLOCKS_MS: Final = 10_000
"""How far the clocks of two primaries may differ."""


@dataclass(frozen=True, slots=True)
class Fork:
    """A place behind which events were lost.

    Attributes:
        position: the last entry before the lost events; ``BEGINNING`` where no such entry is left.
        found_ms: the time of the finding, by Redis' clock.

    """

    position: str
    found_ms: int


def crosses(forks: Iterable[Fork], at: str | None, lines: Sequence[Arrived], end: str | None) -> bool:
    """Tell whether a reader passes a fork, as ``passed`` does."""
    return bool(passed(forks, at, lines, end))


def passed(forks: Iterable[Fork], at: str | None, lines: Sequence[Arrived], end: str | None) -> list[str]:
    """Return the places of forks passed by a reader from ``at`` over ``lines`` to ``end``.

    ``at`` is None for a reader that stood nowhere.
    """
    return [fork.position for fork in forks if _is_passed(fork, at, lines, end)]


def _is_passed(fork: Fork, at: str | None, lines: Sequence[Arrived], end: str | None) -> bool:
    # decisions/0018: for `<ms>-0` ten seconds more, since the time is of a clock, and two primaries' clocks differ.
    if fork.position == BEGINNING:
        return at is not None and at.endswith("-0") and milliseconds(at) <= fork.found_ms + _CLOCKS_MS
    links = lines if at is not None else lines[1:]  # a reader that stood nowhere misses no event before the first line
    return fork.position in (at, end) or any(line.previous == fork.position for line in links)


def crosses_time(forks: Iterable[Fork], since_ms: int) -> bool:
    """Tell whether events may have been lost since a time; when lost events were published, no log knows any more."""
    return bool(passed_since(forks, since_ms))


def passed_since(forks: Iterable[Fork], since_ms: int) -> list[str]:
    """Return the places of forks found since a time, and so of events that may be of that time."""
    return [fork.position for fork in forks if since_ms <= fork.found_ms]
