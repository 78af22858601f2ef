"""Forks: places in a log behind which an edge had events that the log lost, because another Redis took over without.

The log alone shows no fork: the chain is whole, from before that place to the end. Pure: ``bus.log.marks`` keeps marks.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from bus.envelope import Arrived
from bus.position import BEGINNING, milliseconds, order
from bus.values import frozen

__all__ = ["FORKS", "Fork", "passed", "passed_since"]

FORKS: Final = 8
"""The most forks remembered of a log."""
_CLOCKS_MS: Final = 10_000
"""How far the clocks of two primaries may differ."""
_LOOKS_MS: Final = 15_000
"""How long after the finding an edge may learn of a fork, and tell its subscribers (decisions/0018)."""


@frozen
class Fork:
    """A place behind which events were lost.

    Attributes:
        position: the last entry before the lost events; ``BEGINNING`` where no such entry is left.
        found_ms: the time of the finding, by Redis' clock.

    """

    position: str
    found_ms: int


def passed(
    forks: Iterable[Fork], at: str | None, lines: Sequence[Arrived], end: str | None, *, has_stayed: bool
) -> list[str]:
    """Return the places of forks passed by a reader from ``at`` over ``lines`` to ``end``.

    ``at`` is None for a reader that stood nowhere. A reader that comes back may have passed a fork before anybody knew
    of the fork; a reader that ``has_stayed`` was told at the finding.
    """
    found = [fork for fork in forks if _is_passed(fork, at, lines, end) or not (has_stayed or _was_known(fork, at))]
    return [fork.position for fork in found]


def _was_known(fork: Fork, at: str | None) -> bool:
    """Tell whether a reader that stands at an event behind a fork was told, or stands before the fork."""
    if at is None or at.endswith("-0") or order(at) <= order(fork.position):
        return True
    return milliseconds(at) > fork.found_ms + _LOOKS_MS


def _is_passed(fork: Fork, at: str | None, lines: Sequence[Arrived], end: str | None) -> bool:
    # decisions/0018: for `<ms>-0` ten seconds more, since the time is of a clock, and two primaries' clocks differ.
    if fork.position == BEGINNING:
        return at is not None and at.endswith("-0") and milliseconds(at) <= fork.found_ms + _CLOCKS_MS
    links = lines if at is not None else lines[1:]  # a reader that stood nowhere misses no event before the first line
    return fork.position in (at, end) or any(line.previous == fork.position for line in links)


def passed_since(forks: Iterable[Fork], since_ms: int) -> list[str]:
    """Return the places of forks found since a time: when the lost events were published, no log knows any more."""
    return [fork.position for fork in forks if since_ms <= fork.found_ms]
