"""Clients that have said nothing yet, in the order in which their delays end: one timer for all of an edge's."""

import asyncio
from collections.abc import Callable

__all__ = ["Silences"]


class Silences:
    """Silent clients that are to be welcomed."""

    # Thousands of clients come in a second, and most talk at once: a timer of the loop for each costs its making, its
    # place in a heap and its cancelling. The delay is one setting, so clients come in the order of the ends; a client
    # that was not silent after all, and waits once more, has a timer of its own.
    def __init__(self) -> None:
        self._waiting: dict[object, tuple[float, Callable[[], None]]] = {}
        self._alone: dict[object, asyncio.TimerHandle] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0.0

    def wait(self, who: object, until: float, welcome: Callable[[], None]) -> None:
        """Call ``welcome`` at ``until``, seconds of the loop's clock, unless ``who`` is heard before."""
        if until < self._last:
            self._alone[who] = asyncio.get_running_loop().call_at(until, self._end_alone, who, welcome)
            return
        self._last, self._waiting[who] = until, (until, welcome)
        if self._timer is None:
            self._arm(until)

    def is_waiting(self, who: object) -> bool:
        """Tell whether the delay of ``who`` runs."""
        return who in self._waiting or who in self._alone

    def stop(self, who: object) -> None:
        """Take note that ``who`` was heard, or has gone."""
        # The timer stays: in a moment it looks for the next, and most looks find nobody.
        if self._waiting.pop(who, None) is None and who in self._alone:
            self._alone.pop(who).cancel()

    def _end_alone(self, who: object, welcome: Callable[[], None]) -> None:
        del self._alone[who]
        welcome()

    def _arm(self, until: float) -> None:
        self._timer = asyncio.get_running_loop().call_at(until, self._look)

    def _look(self) -> None:
        self._timer, now = None, asyncio.get_running_loop().time()
        try:
            while self._waiting:
                who, (until, welcome) = next(iter(self._waiting.items()))
                if until > now:
                    break
                del self._waiting[who]
                welcome()
        finally:
            if self._waiting and self._timer is None:
                self._arm(next(iter(self._waiting.values()))[0])
