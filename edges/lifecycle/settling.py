"""What an edge leaves for the time after it is ready: clients may come before all is loaded that some will ask for."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from bus.aside import aside
from bus.redis.loading import is_loaded, loaded
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
        self._is_loaded, self._is_over = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Load and compose, in a process without the library behind the time at which the edge should be ready."""
        try:
            if not is_loaded():
                await self._load()
            self._is_loaded.set()
            # Schemas of forty models take 20 ms: on the event loop, clients would wait for the first who asks.
            await aside(partial(catalogue_of, self._service), "edgebus-catalogue")
        finally:  # without a thread to be had, too: whoever needs the rest loads it
            self._is_loaded.set()
            self._is_over.set()

    async def _load(self) -> None:
        # Not before: the interpreter's lock is one for all threads, so that the edge would be ready later.
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LINK_S):
                await until_true(self._is_ready)
        await loaded()

    async def loaded(self) -> None:
        """Return when the library is loaded; works at Redis that no client waits for begin then."""
        await self._is_loaded.wait()

    async def over(self) -> None:
        """Return when all is loaded and composed."""
        await self._is_over.wait()
