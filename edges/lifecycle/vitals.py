"""The vital signs of an edge's process: the lag of the event loop, open descriptors, memory.

Of the process, so edges that share a process have the same.
"""

import asyncio
import os
import resource
from pathlib import Path
from typing import Final

from bus.shortage import shortage
from bus.values import frozen
from edges.limits.buckets import Buckets, doubling

__all__ = ["Vitals", "loop_lag", "vitals", "watch_loop"]

_TICK_S: Final = 0.25
_LAG_BOUNDS_S: Final = doubling(0.001, 14)
"""To 8 s; an event loop's timers are no finer than a millisecond."""


@frozen
class Vitals:
    """The state of the process; 0 for a number that the system does not tell, or not at present.

    Attributes:
        fds: open descriptors.
        fds_limit: the most that may be open.
        memory_bytes: resident memory.

    """

    fds: int
    fds_limit: int
    memory_bytes: int


def vitals() -> Vitals:
    """Look at the process."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Vitals(_open_descriptors(limit), limit, _resident_bytes())


def _open_descriptors(limit: int) -> int:
    try:
        return len(os.listdir("/dev/fd")) - 1  # without the descriptor of the look itself
    except OSError as error:  # the look needs a descriptor, and descriptors may run out
        return limit if shortage(error) is not None else 0


def _resident_bytes() -> int:
    """Return the resident memory (proc(5), statm)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def loop_lag() -> Buckets:
    """Return empty counts of the loop's lags."""
    return Buckets(_LAG_BOUNDS_S)


async def watch_loop(lag: Buckets) -> None:
    """Count how much later than asked for the event loop wakes this task, four times a second."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + _TICK_S
        await asyncio.sleep(_TICK_S)
        lag.observe(max(0.0, loop.time() - due_s))
