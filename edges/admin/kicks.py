"""Clients that an operator wants gone: connections closed, or let out of a room."""

from collections.abc import Iterable
from typing import Final, cast

from bus.channel import Channel
from bus.slices import Slices
from edges.admin.client_pages import ClientPages
from edges.limits.registry import Registry, Timed
from edges.protocol.messages import KICKED
from edges.rooms.hub import Hub
from edges.transport.served import Served

__all__ = ["Kicks"]

_REASON: Final = "kicked"


class Kicks:
    """Kicks clients.

    Args:
        registry: the connections.
        hub: the rooms.
        pages: finds a client by its id.

    """

    def __init__(self, registry: Registry, hub: Hub, pages: ClientPages) -> None:
        self._registry, self._hub, self._pages = registry, hub, pages

    async def kick(self, client: str | None, user: str | None, channel: Channel | None) -> int:
        """Close connections, or with a ``channel`` let clients out of the room; return how many."""
        found = await self._found(client, user, channel)
        slices, count = Slices(), 0
        for connection in found:
            await slices.give_way()
            if isinstance(connection, Served) and (session := connection.session) is not None:
                count += session.let_out(channel, _REASON) if channel is not None else _close(connection)
        return count

    async def _found(self, client: str | None, user: str | None, channel: Channel | None) -> Iterable[Timed]:
        if client is not None:
            one = await self._pages.find(client)
            return () if one is None else (one,)
        if user is not None:
            return self._registry.of_user(user)
        room = None if channel is None else self._hub.room(channel)
        return () if room is None else cast(list[Timed], room.members())


def _close(connection: Served) -> bool:
    connection.close(KICKED)
    return True
