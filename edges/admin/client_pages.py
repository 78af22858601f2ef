"""Lists of clients, in pages bounded in rows and bytes, and walked in slices, so that no client waits."""

import asyncio
import heapq
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast
from uuid import UUID

from bus.admin.values import ClientInfo
from bus.admin.words import ANSWER_BYTES, PAGE_ROWS
from bus.channel import Channel
from bus.slices import Slices, batches
from bus.values import frozen
from edges.admin.asked import Asked
from edges.admin.sights import Sights
from edges.limits.registry import Registry, Timed
from edges.rooms.hub import Hub

__all__ = ["ClientPages"]

_STEPS: Final = 500
"""Connections in one step of a walk; some half a millisecond."""
_ROW_BYTES: Final = 400
"""The most that a row has beside names of rooms and of the user."""


@frozen
class _Query:
    is_slow: bool
    user: str | None
    channel: Channel | None
    after: int
    limit: int


class ClientPages:
    """Lists of clients.

    Args:
        registry: the connections.
        hub: the rooms.
        sights: makes rows.

    """

    def __init__(self, registry: Registry, hub: Hub, sights: Sights) -> None:
        self._registry, self._hub, self._sights = registry, hub, sights

    async def page(self, asked: Asked, channel: Channel | None) -> dict[str, Any]:
        """Return a page: rows in the order of coming, and the place to go on from, None at the end.

        Raises:
            BadCommand: a field is of the wrong kind.

        """
        query = _Query(
            asked.data.get("slow") is True,
            asked.text("user"),
            channel,
            asked.number("after", 0, most=2**62),
            max(1, asked.number("limit", 100, most=PAGE_ROWS)),
        )
        rows: list[ClientInfo] = []
        candidates, is_all = await self._candidates(query)
        size, last, slices, loop = 0, query.after, Slices(), asyncio.get_running_loop()
        for number, connection in candidates:
            if len(rows) >= query.limit or size >= ANSWER_BYTES:
                return {"rows": rows, "after": last}
            await slices.give_way()
            last = number
            row = self._sights.row(connection, loop.time())
            if row is not None and self._matches(row, connection, query):
                rows.append(row)
                size += _ROW_BYTES + sum(map(len, row.rooms)) + len(row.user or "")
        return {"rows": rows, "after": None if is_all else last}

    async def _candidates(self, query: _Query) -> tuple[Iterable[tuple[int, Timed]], bool]:
        """Return the next connections in order, and whether there are no more: the narrowest filter alone is walked."""
        found: Iterable[Timed]
        if query.channel is not None:
            room = self._hub.room(query.channel)
            found = () if room is None else cast(list[Timed], room.members())
        elif query.is_slow:
            found = list(self._registry.lagging)
        elif query.user is not None:
            found = self._registry.of_user(query.user)
        else:
            return self._numbered(self._registry.behind(query.after), query.after), True
        best: list[tuple[int, Timed]] = []
        count, slices = 2 * PAGE_ROWS, Slices()
        for some in batches(found, _STEPS):
            fresh = [*best, *self._numbered(some, query.after)]
            best = heapq.nsmallest(count + 1, fresh, key=lambda it: it[0])
            await slices.give_way()
        return best[:count], len(best) <= count

    def _numbered(self, connections: Iterable[Timed], after: int) -> Iterator[tuple[int, Timed]]:
        for connection in connections:
            number = self._registry.number(connection)
            if number is not None and number > after:
                yield number, connection

    def _matches(self, row: ClientInfo, connection: Timed, query: _Query) -> bool:
        is_slow = not query.is_slow or connection in self._registry.lagging
        return is_slow and query.user in (None, row.user)

    async def find(self, client_id: str) -> Timed | None:
        """Return the connection with an id, after a walk in slices; None for no such connection."""
        try:
            wanted = str(UUID(client_id))
        except ValueError:
            return None
        slices = Slices()
        for some in batches(self._registry, _STEPS):
            found = next((it for it in some if getattr(it, "name", None) == wanted), None)
            if found is not None:
                return found if self._registry.number(found) is not None else None
            await slices.give_way()
        return None

    def whole(self, connection: Timed) -> ClientInfo | None:
        """Return a client with all rooms."""
        return self._sights.row(connection, asyncio.get_running_loop().time(), whole=True)
