"""Slots for work of which an edge does only so much at once: fair among networks, and held briefly in a crowd."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from edges.limits.buckets import Buckets, doubling
from edges.limits.rates import LimitReached

__all__ = ["Slot", "Slots"]

_SLICE_S: Final = 1.0
_BOUNDS_S: Final = doubling(0.001, 14)


class Slot:
    """A slot in use."""

    __slots__ = ("_since", "_slots")

    def __init__(self, slots: "Slots", since: float) -> None:
        self._slots, self._since = slots, since

    @property
    def is_over(self) -> bool:
        """Whether the slot was held long enough and others wait; the holder should give the slot back then."""
        return self._slots.waiting > 0 and asyncio.get_running_loop().time() - self._since >= self._slots.slice_s


class Slots:
    """A number of slots, and a queue before them for each network.

    A free slot goes to the network that holds the fewest; within a network, first come, first served. So a client from
    elsewhere need not wait for all clients that came from one address before.

    Args:
        name: the setting with the number of slots.
        limit: the number of slots.
        wait_s: the longest wait in the queue.
        slice_s: how long a slot is held at least, however many clients wait.

    Attributes:
        waits: how long slots were waited for; 0 where one was free.

    """

    def __init__(self, name: str, limit: int, *, wait_s: float = 5.0, slice_s: float = _SLICE_S) -> None:
        self._name, self._limit, self._wait_s, self.slice_s = name, limit, wait_s, slice_s
        self._held = Counter[str]()
        self._queues: dict[str, dict[asyncio.Future[None], None]] = {}
        self.waiting = 0
        self.waited = 0
        self.waits = Buckets(_BOUNDS_S)

    @property
    def held(self) -> int:
        """How many slots are in use."""
        return self._held.total()

    @asynccontextmanager
    async def slot(self, who: str) -> AsyncIterator[Slot]:
        """Hold a slot for as long as the body runs.

        Args:
            who: the network of the client.

        Raises:
            LimitReached: no slot became free in time.

        """
        await self._take(who)
        try:
            yield Slot(self, asyncio.get_running_loop().time())
        finally:
            self._give_back(who)

    def pass_by(self) -> bool:
        """Take a slot for a step that never waits, and give it back; tell whether one was free."""
        is_free = self._held.total() < self._limit
        if is_free:
            self.waits.observe(0.0)
        return is_free

    async def _take(self, who: str) -> None:
        if self._held.total() < self._limit:
            self._held[who] += 1
            self.waits.observe(0.0)
            return
        since_s = asyncio.get_running_loop().time()
        granted = asyncio.get_running_loop().create_future()
        self._queues.setdefault(who, {})[granted] = None
        self.waiting += 1
        self.waited += 1
        is_held = False
        try:
            async with asyncio.timeout(self._wait_s):
                await granted
            is_held = True
            self.waits.observe(asyncio.get_running_loop().time() - since_s)
        except TimeoutError:
            raise LimitReached(self._name, f"{self._limit} are under way; try again later") from None
        finally:
            if granted.done() and not granted.cancelled():
                if not is_held:  # granted in the very moment in which the waiter was cancelled or out of time
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
        """Give a free slot to the network with the fewest, and let the network queue up behind the others."""
        # Cancelled waiters are still in their queues until their tasks run: they are passed over here.
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
