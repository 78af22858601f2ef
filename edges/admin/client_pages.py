"""Lists of clients, in pages bounded in rows and bytes, and walked in slices, so that no client waits."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import orjson

from bus.admin.values import ClientInfo
from bus.admin.words import ANSWER_BYTES, PAGE_ROWS
from bus.channel import Channel
from bus.slices import Slices
from edges.admin.asked import Asked
from edges.admin.sights import Sights
from edges.limits.registry import Registry, Timed
from edges.rooms.hub import Hub

__all__ = ["ClientPages"]


@dataclass(frozen=True, slots=True)
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
        size, last, slices, loop = 0, query.after, Slices(), asyncio.get_running_loop()
        for number, connection in await self._candidates(query, slices):
            if len(rows) >= query.limit or size >= ANSWER_BYTES:
                return {"rows": rows, "after": last}
            await slices.give_way()
            last = number
            row = self._sights.row(connection, loop.time())
            if row is not None and self._matches(row, connection, query):
                rows.append(row)
                size += len(orjson.dumps(row))
        return {"rows": rows, "after": None}

    async def _candidates(self, query: _Query, slices: Slices) -> Iterable[tuple[int, Timed]]:
        """Return connections behind the last page, in order; the narrowest of the filters is walked, and no other."""
        found: Sequence[Timed]
        if query.channel is not None:
            room = self._hub.room(query.channel)
            found = [] if room is None else cast(list[Timed], room.members())
        elif query.is_slow:
            found = list(self._registry.lagging)
        elif query.user is not None:
            found = self._registry.of_user(query.user)
        else:
            return self._numbered(self._registry.behind(query.after))
        numbers: list[tuple[int, Timed]] = []
        for connection in found:
            await slices.give_way()
            number = self._registry.number(connection)
            if number is not None and number > query.after:
                numbers.append((number, connection))
        return sorted(numbers, key=lambda it: it[0])

    def _numbered(self, connections: Sequence[Timed]) -> Iterable[tuple[int, Timed]]:
        for connection in connections:
            number = self._registry.number(connection)
            if number is not None:
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
        for connection in self._registry:
            await slices.give_way()
            if getattr(connection, "name", None) == wanted and self._registry.number(connection) is not None:
                return connection
        return None

    def whole(self, connection: Timed) -> ClientInfo | None:
        """Return a client with all rooms."""
        return self._sights.row(connection, asyncio.get_running_loop().time(), whole=True)
