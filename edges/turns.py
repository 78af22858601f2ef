"""Taking turns at what only so many may do at once, first come first served. Who holds a turn too long gives way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from edges.limits import LimitReached

__all__ = ["Turns"]


class Turns:
    """So many turns, and a queue before them.

    Args:
        name: of the setting with their number.
        limit: their number.
        wait_s: the longest that anybody waits in the queue.

    """

    def __init__(self, name: str, limit: int, *, wait_s: float = 5.0) -> None:
        self._name, self._limit, self._wait_s = name, limit, wait_s
        self._free = asyncio.Semaphore(limit)
        self._held: dict[object, tuple[float, Callable[[], None]]] = {}
        self.waiting = 0
        self.waited = 0

    @asynccontextmanager
    async def turn(self, give_way: Callable[[], None]) -> AsyncIterator[None]:
        """Hold a turn for as long as the body runs.

        Args:
            give_way: ends what the body does; called when it takes too long and others wait.

        Raises:
            LimitReached: none became free in time.

        """
        await self._take()
        turn = object()
        self._held[turn] = (asyncio.get_running_loop().time(), give_way)
        try:
            yield
        finally:
            del self._held[turn]
            self._free.release()

    async def _take(self) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        self.waiting += 1
        self.waited += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise LimitReached(self._name, f"{self._limit} are under way; try again later") from None
        finally:
            self.waiting -= 1

    def check_deadlines(self, now: float, longest_s: float) -> None:
        """Have those give way that began ``longest_s`` ago and longer, if anybody waits. Called by the edge."""
        if self.waiting:
            for since, give_way in list(self._held.values()):
                if now - since >= longest_s:
                    give_way()
