"""The values of one subscription that wait for the caller, in the order of the log.

The queue knows neither the edge nor positions' order: ``clients.state`` decides which values come in.
"""

import asyncio
from collections import deque
from typing import Final, NamedTuple

from clients.values import Cause, Gap, Interrupted, Recovered, State, Value

__all__ = ["LEAST_LIMIT", "Entry", "Queue"]

LEAST_LIMIT: Final = 16
"""Below this limit a room that was left for slowness would hardly get on: each return costs a value of its own."""


class Entry(NamedTuple):
    """A value, and the caller's position after taking the value; None leaves the caller's position as it was."""

    value: Value
    position: str | None = None


class Queue:
    """Shared by the client, on whose side values come in, and the subscription, on whose side values go out.

    After an ``Interrupted`` comes exactly one ``Recovered``, ``Gap`` or ``State``.

    Args:
        channel: the channel's name.
        limit: how many values may wait. One ``Interrupted`` (``slow``) comes on top.
        position: where the caller stands at first.

    """

    def __init__(self, channel: str, *, limit: int, position: str | None = None) -> None:
        self.channel, self.position = channel, position
        self.changed = asyncio.Event()
        """Set when the caller has to look again."""
        self.is_over = False
        self.error: Exception | None = None
        self.is_interrupted = False
        self._limit = limit
        self._waiting: deque[Entry] = deque()

    def __len__(self) -> int:
        """Return how many values wait."""
        return len(self._waiting)

    @property
    def is_behind(self) -> bool:
        """Whether more than half of the limit waits: too much to let more events come."""
        return len(self._waiting) > self._limit // 2

    # The caller's side.

    def take(self) -> Value | None:
        """Hand the next value over, None when none waits; from here on the caller has the value."""
        if not self._waiting:
            return None
        value, position = self._waiting.popleft()
        self.position = position or self.position
        return value

    # The client's side.

    def put(self, *entries: Entry) -> bool:
        """Have all of ``entries`` wait, or none.

        False where the limit does not allow all of them. The caller is told of that as an interruption (``slow``).
        """
        if len(self._waiting) + len(entries) > self._limit:
            self.interrupt("slow", f"{len(self._waiting)} values wait to be taken")
            return False
        self._waiting.extend(entries)
        return True

    def go_on(self, value: Recovered | Gap | State, position: str | None = None) -> bool:
        """End an interruption, if there is one, with ``value``. False as ``put`` returns False."""
        if not self.put(Entry(value, position)):
            return False
        self.is_interrupted = False
        return True

    def interrupt(self, cause: Cause, detail: str) -> None:
        """Tell the caller once that no event comes for now; no limit applies."""
        if not self.is_interrupted:
            self.is_interrupted = True
            self._waiting.append(Entry(Interrupted(self.channel, cause, detail)))

    def stand(self, position: str) -> None:
        """Move the caller's place to ``position`` where no value waits that would move the place later."""
        if not self._waiting:
            self.position = position

    def wake(self) -> None:
        """Have the caller look again."""
        self.changed.set()

    def end(self, error: Exception | None) -> None:
        """End the subscription: with None at once, with an error after all values that wait. Once; the first counts."""
        if not self.is_over:
            self.is_over, self.error = True, error
            self.wake()
