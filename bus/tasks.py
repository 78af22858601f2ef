"""Tasks that somebody owns: how they begin, and how they end."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, TypeAlias

__all__ = ["Spawn", "end"]

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]
"""Runs what it is given in a task of this name, and owns that: sees how it ends, and ends it when the owner does."""

_PATIENCE_S: Final = 0.5
_endings: "Final[set[asyncio.Task[None]]]" = set()
"""Kept, because an event loop keeps no task."""


async def end(tasks: "Iterable[asyncio.Task[Any]]") -> None:
    """Cancel ``tasks`` and wait until all have ended; their results and errors are dropped.

    A task is cancelled again when it goes on: the Redis client's ``connect`` takes a cancellation for a reason to
    return quietly, and the task then never hears of it. Where the caller is cancelled itself (by anyio at every step
    that it takes), it does not wait, and they are ended all the same.
    """
    ending = asyncio.ensure_future(_end(tasks))
    _endings.add(ending)
    ending.add_done_callback(_endings.discard)
    await asyncio.shield(ending)


async def _end(tasks: "Iterable[asyncio.Task[Any]]") -> None:
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=_PATIENCE_S)
        for task in done:
            if not task.cancelled():
                task.exception()
