"""Leaving without a rush: each client is told when to come back, and closed at that time, over a window."""

import asyncio
import contextlib
import math
import random
from collections import deque
from collections.abc import Iterable
from typing import Final

from bus.words import NoticeName
from edges.limits.registry import Registry, Timed
from edges.protocol.messages import RESTARTING, Closing, Notice

__all__ = ["Departures", "say_goodbye", "send_away"]

_TICK_S: Final = 0.02


class Departures:
    """The times of leaving: in random order, evenly over the rest of the window. Pure but for the dice.

    Args:
        ends_at: the end of the window, in seconds of the clock of ``now``.
        dice: decides the order.

    """

    # decisions/0027: even times in random order. With random times the busiest second has half as many clients again.

    def __init__(self, ends_at: float, dice: random.Random) -> None:
        self._ends_at, self._dice = ends_at, dice
        self._known: set[Timed] = set()
        self._due: deque[tuple[float, Timed]] = deque()

    def plan(self, present: Iterable[Timed], now: float) -> list[tuple[Timed, float]]:
        """Give a time to each of ``present`` without a time; return the new ones, with the seconds to wait."""
        fresh = [one for one in present if one not in self._known]
        if not fresh:
            return []
        self._dice.shuffle(fresh)
        self._known.update(fresh)
        left_s = max(0.0, self._ends_at - now)
        delays_s = [left_s * (index + 1) / len(fresh) for index in range(len(fresh))]
        due = [(now + delay_s, one) for one, delay_s in zip(fresh, delays_s, strict=True)]
        self._due = deque(sorted([*self._due, *due], key=lambda it: it[0]))
        return list(zip(fresh, delays_s, strict=True))

    def take_due(self, now: float) -> list[Timed]:
        """Return connections at the end of their time, once each."""
        gone = []
        while self._due and self._due[0][0] <= now:
            gone.append(self._due.popleft()[1])
        return gone


async def send_away(registry: Registry, window_s: float) -> None:
    """Tell every client when to come back, and close with 1012 at that time; end with the window, or the last client.

    A client that comes during the window gets a time in the rest of the window; a client without a welcome is told
    after the welcome.
    """
    # decisions/0027: the listener stays open, since a balancer that has not noticed may still send clients. Closing at
    # the advised time spreads clients that do not read the advice, too.
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + window_s
    departures = Departures(ends_at, random.SystemRandom())
    untold: dict[Timed, float] = {}
    while len(registry):
        now = loop.time()
        untold |= {one: now + delay_s for one, delay_s in departures.plan(registry, now)}
        untold = {one: at for one, at in untold.items() if not one.notify(_advice(at - now))}
        for one in departures.take_due(now):
            untold.pop(one, None)
            one.close(RESTARTING)
        if now >= ends_at:
            return
        await asyncio.sleep(_TICK_S)


def _advice(delay_s: float) -> Notice:
    return Notice.of(NoticeName.EDGE_DRAINING, max(0, math.ceil(delay_s * 1000)))


async def say_goodbye(registry: Registry, farewell: Closing, within_s: float) -> None:
    """Close every connection now, and cut clients that have not closed the other half ``within_s``."""
    for connection in registry:
        connection.close(farewell)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await registry.emptied()
    for connection in registry:
        connection.cut()
