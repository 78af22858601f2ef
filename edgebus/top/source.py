"""Where frames come from: an operator of the bus, asked once a second, and never waited for long."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Final, Protocol

from bus.admin.operator import Operator
from bus.admin.values import ClientInfo, Page, RoomInfo, RoomRow, View
from bus.errors import BusError
from bus.tasks import end
from edgebus.top.frames import Frame, Ledger

__all__ = ["OperatorSource", "Source"]

_EVERY_S: Final = 1.0
_ANSWER_S: Final = 2.0
"""A Redis that has not answered by then counts as away; a dashboard that waits shows nothing."""


class Source(Protocol):
    """The questions of the dashboard. Every page is bounded, and every call has an end."""

    def frames(self) -> AsyncIterator[Frame]:
        """Yield a frame a second, for ever, also while Redis is away."""
        ...

    async def rooms(
        self, edge_ids: Sequence[str] | None = None, *, by: str, prefix: str, limit: int, cursor: str | None
    ) -> Page[RoomRow]:
        """Return a page of rooms."""
        ...

    async def clients(
        self,
        edge_ids: Sequence[str] | None = None,
        *,
        room: str | None,
        user: str | None,
        limit: int,
        cursor: str | None,
    ) -> Page[ClientInfo]:
        """Return a page of clients."""
        ...

    async def room(self, channel: str) -> RoomInfo:
        """Return all about a room."""
        ...

    async def client(self, client_id: str) -> ClientInfo:
        """Return all about a client."""
        ...


class OperatorSource:
    """A source over an open operator, of a service's edges or of all."""

    def __init__(self, operator: Operator, service: str | None = None) -> None:
        self._service = service
        self._operator = operator
        self._ledger = Ledger(time.monotonic)
        self._view: View | None = None
        self.rooms, self.clients = operator.rooms, operator.clients
        self.room, self.client = operator.room, operator.client

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield a frame a second, for ever, also while Redis is away."""
        looking = asyncio.create_task(self._look(), name="look at edges")
        try:
            while True:
                await self._ask()
                if looking.done():
                    looking.result()  # a bug of ours ends the dashboard: without looks it would be wrong in silence
                yield self._ledger.frame()
                await asyncio.sleep(_EVERY_S)
        finally:
            await end([looking])

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(_ANSWER_S):
                entries = await self._operator.edges(self._service)
                gone = await self._operator.gone(self._service)
        except (BusError, TimeoutError) as error:
            self._ledger.away(str(error) or f"no answer within {_ANSWER_S:g} s")
        else:
            self._ledger.take(entries, self._view, gone)

    async def _look(self) -> None:
        """Keep the newest view; looks begin anew once Redis is back."""
        while True:
            try:
                async with aclosing(self._operator.look()) as views:  # type: ignore[type-var]
                    async for view in views:
                        self._view = view
            except BusError:
                await asyncio.sleep(_EVERY_S)
