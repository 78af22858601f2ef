"""An event loop with a clock of its own: time stands still while anything can happen, and jumps to the next timer.

For tests marked ``virtual_time``, whose two ends live in one loop: no process, no thread answers there. A timer then
fires because all else waits, and never because the machine was busy (decisions/0084).
"""

import asyncio
import selectors
from typing import Final

_GRACE_S: Final = 0.001, 0.03
"""At least and at most, for bytes that the kernel of this machine has still in its hands."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop that never waits for a timer."""

    def __init__(self) -> None:
        self._passed_s = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Return the seconds that were jumped over so far."""
        return self._passed_s

    def pass_over(self, seconds: float) -> None:
        """Let time pass."""
        self._passed_s += seconds


class _Jumping(selectors.DefaultSelector):
    """Looks for bytes, and where there are none lets the time pass for which it was to wait."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if not timeout:
            return super().select(timeout)
        # A busy kernel takes milliseconds now and then. A long timer is a deadline, whose early end costs an answer;
        # short timers fire by the thousand.
        least_s, most_s = _GRACE_S
        if events := super().select(max(least_s, min(timeout / 100, most_s))):
            return events
        self._loop.pass_over(timeout)
        return []
