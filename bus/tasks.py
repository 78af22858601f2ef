"""Tasks with an owner: their beginning, and their end."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, TypeAlias

__all__ = ["Spawn", "end", "first_of"]

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]
"""Runs a coroutine in a task of this name, and owns the task: sees the task's end, and ends the task with the owner."""

_PATIENCE_S: Final = 0.5
_endings: "Final[set[asyncio.Task[None]]]" = set()
"""Kept, because an event loop keeps no reference to a task."""


async def end(tasks: "Iterable[asyncio.Task[Any]]") -> None:
    """Cancel ``tasks`` and wait until all have ended; results and errors are dropped.

    A cancelled caller (by anyio, at every step) does not wait on, and the tasks are ended all the same.
    """
    ending = asyncio.ensure_future(_end(tasks))
    _endings.add(ending)
    ending.add_done_callback(_endings.discard)
    await asyncio.shield(ending)


async def first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Return when one of ``works`` has ended; the others are cancelled, and have ended by then, too.

    Raises:
        Exception: the error of the work that ended first.

    """
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await end(tasks)


async def _end(tasks: "Iterable[asyncio.Task[Any]]") -> None:
    pending = set(tasks)
    while pending:
        # decisions/0011: cancelled again, while a task goes on. The Redis client's `connect` takes a cancellation for a
        # reason to return quietly, and the task then never hears of the cancellation.
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=_PATIENCE_S)
        for task in done:
            if not task.cancelled():
                task.exception()
