"""Ending tasks that we own."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

__all__ = ["end"]

_PATIENCE_S: Final = 0.5


async def end(tasks: "Iterable[asyncio.Task[Any]]") -> None:
    """Cancel ``tasks`` and wait until all have ended; their results and errors are dropped.

    A task is cancelled again when it goes on: the Redis client's ``connect`` takes a cancellation for a reason to
    return quietly, and the task then never hears of it.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=_PATIENCE_S)
        for task in done:
            if not task.cancelled():
                task.exception()
