"""The wait of a program for an edge that is ready."""

import asyncio
from collections.abc import Awaitable, Callable

from bus.retrying import until_true
from bus.tasks import first_of

__all__ = ["until_ready"]


async def until_ready(
    not_ready: Callable[[], str | None], failed: Callable[[], Awaitable[None]], is_running: Callable[[], bool]
) -> None:
    """Return when ``not_ready`` has no reason any more.

    Raises:
        RuntimeError: the edge was stopped, and will not be ready.
        Exception: the error of ``failed``, the wait for a part that fails.

    """

    async def is_ready() -> bool:
        if not is_running():
            raise RuntimeError("the edge was stopped")
        return not_ready() is None

    async def failure() -> None:
        try:
            await failed()
        except asyncio.CancelledError:
            # The parts of an edge that stops are cancelled, and a part that was cancelled has not failed.
            await is_ready()
            raise

    await first_of(until_true(is_ready), failure())
