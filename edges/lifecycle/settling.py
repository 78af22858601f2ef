"""What an edge leaves for the time after it is ready: clients may come before all is loaded that some will ask for."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from bus.redis.loading import loaded
from bus.retrying import until_true
from bus.service import Service
from edges.lifecycle.redis_link import FIRST_LINK_S
from edges.session.verbs.services import catalogue_of

__all__ = ["Settling"]


class Settling:
    """Loads Redis' client library, and composes the catalogue, beside the event loop (decisions/0167).

    Args:
        service: the catalogue.
        is_ready: whether the edge is ready.

    """

    def __init__(self, service: Service, is_ready: Callable[[], Awaitable[bool]]) -> None:
        self._service, self._is_ready = service, is_ready
        self._is_done = asyncio.Event()

    async def run(self) -> None:
        """Wait until the edge is ready, or should have been; then load and compose."""
        # Not before: the interpreter's lock is one for all threads, so that the edge would be ready later.
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_LINK_S):
                    await until_true(self._is_ready)
            await loaded()
            # Schemas of forty models take 20 ms: on the event loop, clients would wait for the first who asks.
            await asyncio.to_thread(catalogue_of, self._service)
        finally:
            self._is_done.set()  # without a thread to be had, too: whoever needs the rest loads it

    async def done(self) -> None:
        """Return when all is loaded; works of the edge that nobody waits for begin then."""
        await self._is_done.wait()
