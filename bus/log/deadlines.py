"""The deadlines of publications with callers: one timer for all that have the same time left to them.

Knows neither Redis nor a queue.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from bus.log.publication import Publication

__all__ = ["Deadlines"]

PublicationT = TypeVar("PublicationT", bound=Publication)


class Deadlines(Generic[PublicationT]):
    """Calls ``expire`` with the publications whose deadline has passed, and which have no outcome."""

    # decisions/0156: nearly all publishes of a producer have the same time, so they come to their deadlines in the
    # order of the calls. A timer each would cost a tenth of a publish, and lie in the loop's heap for ten seconds.

    def __init__(self, expire: Callable[[Sequence[PublicationT]], None]) -> None:
        self._expire = expire
        self._queues: dict[float, deque[PublicationT]] = {}
        self._timers: dict[float, asyncio.TimerHandle] = {}

    def add(self, item: PublicationT, patience_s: float) -> None:
        """Look after ``item``, which has ``patience_s`` until ``item.deadline_s``."""
        queue = self._queues.get(patience_s)
        if queue is None:
            queue = self._queues[patience_s] = deque()
            self._look_at(item.deadline_s, patience_s)
        while queue and queue[0].is_given_up:
            queue.popleft()
        queue.append(item)

    def close(self) -> None:
        """Look after no publication any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._queues.clear()

    def _look_at(self, when_s: float, patience_s: float) -> None:
        self._timers[patience_s] = asyncio.get_running_loop().call_at(when_s, self._look, patience_s)

    def _look(self, patience_s: float) -> None:
        queue, now_s = self._queues[patience_s], asyncio.get_running_loop().time()
        overdue: list[PublicationT] = []
        while queue and (queue[0].is_given_up or queue[0].deadline_s <= now_s):
            overdue.append(queue.popleft())
        if queue:
            self._look_at(queue[0].deadline_s, patience_s)
        else:
            del self._queues[patience_s], self._timers[patience_s]
        self._expire(overdue)  # passes over those with an outcome
