"""Taking turns at what only so many may do at once: fairly among networks, and for a while only where others wait."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from edges.limits.rates import LimitReached

__all__ = ["Turn", "Turns"]

_SLICE_S: Final = 1.0


class Turn:
    """A turn that somebody holds."""

    __slots__ = ("_since", "_turns")

    def __init__(self, turns: "Turns", since: float) -> None:
        self._turns, self._since = turns, since

    @property
    def is_over(self) -> bool:
        """Whether it has lasted long enough, and somebody waits for one; its holder should give it back then."""
        return self._turns.waiting > 0 and asyncio.get_running_loop().time() - self._since >= self._turns.slice_s


class Turns:
    """So many turns, and a queue before them for each network.

    A turn that becomes free goes to the network that holds the fewest; within it, first come, first served. So whoever
    comes from elsewhere need not wait for all who came from one address before it.

    Args:
        name: of the setting with their number.
        limit: their number.
        wait_s: the longest that anybody waits in the queue.
        slice_s: how long a turn lasts at least, however many wait.

    """

    def __init__(self, name: str, limit: int, *, wait_s: float = 5.0, slice_s: float = _SLICE_S) -> None:
        self._name, self._limit, self._wait_s, self.slice_s = name, limit, wait_s, slice_s
        self._held = Counter[str]()
        self._queues: dict[str, dict[asyncio.Future[None], None]] = {}
        self.waiting = 0
        self.waited = 0

    @asynccontextmanager
    async def turn(self, who: str) -> AsyncIterator[Turn]:
        """Hold a turn for as long as the body runs.

        Args:
            who: the network that it counts for.

        Raises:
            LimitReached: none became free in time.

        """
        await self._take(who)
        try:
            yield Turn(self, asyncio.get_running_loop().time())
        finally:
            self._give_back(who)

    async def _take(self, who: str) -> None:
        if self._held.total() < self._limit:
            self._held[who] += 1
            return
        granted = asyncio.get_running_loop().create_future()
        self._queues.setdefault(who, {})[granted] = None
        self.waiting += 1
        self.waited += 1
        is_held = False
        try:
            async with asyncio.timeout(self._wait_s):
                await granted
            is_held = True
        except TimeoutError:
            raise LimitReached(self._name, f"{self._limit} are under way; try again later") from None
        finally:
            if granted.done() and not granted.cancelled():
                if not is_held:  # it came in the very moment in which nobody waited for it any more
                    self._give_back(who)
            else:
                self._leave_queue(who, granted)

    def _leave_queue(self, who: str, granted: "asyncio.Future[None]") -> None:
        self.waiting -= 1
        queue = self._queues[who]
        del queue[granted]
        if not queue:
            del self._queues[who]

    def _give_back(self, who: str) -> None:
        self._held[who] -= 1
        if not self._held[who]:
            del self._held[who]
        self._pass_on()

    def _pass_on(self) -> None:
        """Give what became free to who has least, and let that one's network queue up behind the others."""
        for who in sorted(self._queues, key=self._held.__getitem__):
            granted = next((it for it in self._queues[who] if not it.done()), None)
            if granted is None:  # cancelled, and about to leave
                continue
            self._leave_queue(who, granted)
            if who in self._queues:
                self._queues[who] = self._queues.pop(who)
            self._held[who] += 1
            granted.set_result(None)
            return
