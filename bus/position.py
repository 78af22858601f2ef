"""Positions: the identity of an event in a channel's log, and the conclusions from two positions.

A position is the id of a stream entry, ``<ms>-<n>``. Every entry also names a predecessor, so a log is a chain. Two
positions are compared by identity, never by size: after a failover the smaller may be the newer.
"""

import re
from collections.abc import Container
from enum import Enum, StrEnum, auto
from typing import Final

from bus.values import frozen

__all__ = [
    "BEGINNING",
    "FORM",
    "Past",
    "Reason",
    "Step",
    "is_position",
    "judge",
    "judge_time",
    "milliseconds",
    "no_log",
    "order",
    "step",
    "went_back",
]

BEGINNING: Final = "0-0"
"""The ``previous`` of a log's first entry."""

FORM: Final = r"[0-9]{1,20}-[0-9]{1,20}"
"""Of a position, as a regular expression: two numbers of up to 64 bits."""
_POSITION: Final = re.compile(FORM)


class Step(Enum):
    """An arriving event, seen from a reader's position."""

    NEXT = auto()
    DUPLICATE = auto()
    GAP = auto()


class Reason(StrEnum):
    """Why a reader that comes back may have missed events."""

    TRIMMED = "trimmed"
    """The log no longer reaches back to the reader's position."""
    DIVERGED = "diverged"
    """This Redis never had the reader's position: it took over without."""
    UNKNOWN = "unknown"
    """There is no log, or this Redis began after the reader's position."""
    LIMIT = "limit"
    """There is more than a single replay may hold."""
    SLOW = "slow"
    """The reader was slower than events came, and the channel's policy is to leave some out."""


@frozen
class Past:
    """The facts of a log for a reader that stood at some position.

    Attributes:
        epoch_ms: when this Redis began.
        first: the id of the log's first entry, None for a log without entries.
        first_previous: the predecessor named by the first entry.
        last: the last id the log ever generated; ``BEGINNING`` when there is no log.
        holds: whether the position is an entry of the log.
        next_previous: the predecessor named by the first entry after the position; None without such an entry.
        now_ms: Redis' clock.
        life_ms: how long a log lives after its last event; None: for ever.

    """

    epoch_ms: int
    first: str | None = None
    first_previous: str | None = None
    last: str = BEGINNING
    holds: bool = False
    next_previous: str | None = None
    now_ms: int = 0
    life_ms: int | None = None


def judge(since: str, past: Past) -> Reason | None:
    """Tell why a reader that stood at ``since`` may have missed events; None for a whole log (delivery.md)."""
    # delivery.md: by identity. Counting (offset and epoch) cannot tell a log from another log of the same length, and
    # after a failover with lag lost ten events unseen, 20 times of 20.
    if milliseconds(since) < past.epoch_ms:
        return Reason.UNKNOWN
    if since.endswith("-0"):
        return _judge_beginning(since, past)
    if past.last == BEGINNING:
        return Reason.UNKNOWN
    if past.holds or past.next_previous == since or (past.next_previous is None and past.last == since):
        return None
    return Reason.TRIMMED if order(since) < order(past.first or past.last) else Reason.DIVERGED


def _judge_beginning(since: str, past: Past) -> Reason | None:
    """Judge for a reader that came when there was no log."""
    if past.last == BEGINNING or past.first_previous == BEGINNING:
        return _judge_absence(milliseconds(since), past)
    return Reason.TRIMMED if order(since) < order(past.first or past.last) else Reason.DIVERGED


def _judge_absence(since_ms: int, past: Past) -> Reason | None:
    """Judge for a time at which this log was not there."""
    # decisions/0019: an earlier log may have come, lived out its life and gone since; such a log's life must have ended
    # before this log began, or before now.
    began_ms = past.now_ms if past.first is None else milliseconds(past.first)
    return Reason.UNKNOWN if past.life_ms is not None and began_ms - since_ms >= past.life_ms else None


def judge_time(since_ms: int, past: Past) -> Reason | None:
    """Tell why the log may lack events since a time; None when the log has all."""
    if since_ms < past.epoch_ms:
        return Reason.UNKNOWN
    if past.last != BEGINNING and milliseconds(past.first or past.last) < since_ms:
        return None
    if past.last == BEGINNING or past.first_previous == BEGINNING:
        return _judge_absence(since_ms, past)
    return Reason.TRIMMED


def milliseconds(position: str) -> int:
    """Return the time in a position, milliseconds of Redis' clock."""
    return int(position.partition("-")[0])


def order(position: str) -> tuple[int, int]:
    """Return the key by which the entries of a *single* log are ordered; between two logs the order has no meaning."""
    ms, _, n = position.partition("-")
    return int(ms), int(n)


def went_back(at: str | None, position: str | None) -> bool:
    """Tell whether the only event of a ``latest`` channel is older now than the event ``at`` which a reader stood."""
    # decisions/0055: ids of a single log only grow, so the reader's event is in this log no more, and is shown to no
    # client again. A question about a single log, and no comparison between the events of two.
    if at is None or position is None or not is_position(at) or not is_position(position):
        return False
    return not at.endswith("-0") and order(position) < order(at)


def is_position(text: str) -> bool:
    """Tell whether ``text`` has the form ``<ms>-<n>``."""
    return _POSITION.fullmatch(text) is not None


def no_log(redis_ms: int) -> str:
    """Return the position of a channel that has no log at ``redis_ms``, milliseconds of Redis' clock.

    No entry ever has such an id: the salt in ``publish.lua`` is never 0.
    """
    return f"{redis_ms}-0"


def step(at: str, position: str, previous: str, recent: Container[str]) -> Step:
    """Tell how the event at ``position``, with the predecessor ``previous``, follows for a reader that stands ``at``.

    ``recent`` holds positions of the reader's last events.
    """
    # The hot path: comparisons of texts alone, and no number is parsed for a line.
    if previous == at or (previous == BEGINNING and at.endswith("-0")):
        return Step.NEXT
    if position == at or position in recent:
        return Step.DUPLICATE
    return Step.GAP
