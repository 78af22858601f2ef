"""Positions: the identity of an event in its channel's log, and what follows from two of them.

A position is the id of a stream entry, ``<ms>-<n>``. Every entry also names the one before it, so a log is a chain.
Two positions are compared by identity, never by size: after a failover a smaller one may be the newer.
"""

import re
from collections.abc import Container
from enum import Enum, auto
from typing import Final

__all__ = ["BEGINNING", "Step", "is_position", "no_log", "step"]

BEGINNING: Final = "0-0"
"""The ``previous`` of a log's first entry."""

_POSITION: Final = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")


class Step(Enum):
    """What an arriving event is to somebody who stands at a position."""

    NEXT = auto()
    DUPLICATE = auto()
    GAP = auto()


def is_position(text: str) -> bool:
    """Tell whether ``text`` has the form ``<ms>-<n>``."""
    return _POSITION.fullmatch(text) is not None


def no_log(redis_ms: int) -> str:
    """Return the position of a channel that has no log at ``redis_ms``, milliseconds of Redis' clock.

    No entry ever has this id: the salt in ``publish.lua`` is never 0.
    """
    return f"{redis_ms}-0"


def step(at: str, position: str, previous: str, recent: Container[str]) -> Step:
    """Tell what the event at ``position``, whose predecessor is ``previous``, is to a reader that stands ``at``.

    ``recent`` holds positions that the reader had not long ago.
    """
    if previous == at or (previous == BEGINNING and at.endswith("-0")):
        return Step.NEXT
    if position == at or position in recent:
        return Step.DUPLICATE
    return Step.GAP
