"""Diverged lines: heard by this edge, and in the log no more. Where each has its place among lines of the log. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from bus.envelope import Arrived
from bus.position import BEGINNING, order

__all__ = ["placed"]


def placed(
    diverged: Iterable[tuple[str, Sequence[Arrived]]], missing: Sequence[Arrived], end: str
) -> dict[str | None, list[Arrived]]:
    """Return the diverged lines by the position of the line of ``missing`` that comes next, or by ``end``.

    Each group arrived before the line whose position the group is with.
    """
    # decisions/0086: in one log ids only grow, so entries that both logs have come before the diverged entries of the
    # lost log. This order is the one use of ids of two logs.
    placed: dict[str | None, list[Arrived]] = {}
    keys = [line.position or BEGINNING for line in missing]
    orders, at = [order(key) for key in keys], 0
    for anchor, lines in diverged:
        latest = keys.index(anchor) if anchor in keys else 0
        for line in lines:
            at = max(at, min(latest, bisect_left(orders, order(line.position or BEGINNING))))
            placed.setdefault(keys[at] if keys else end, []).append(line)
    return placed
