"""The table of operators' verbs: each reads its data, acts, and returns the data of the answer."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from bus.admin.words import AdminVerb
from bus.channel import Channel
from edges.admin.asked import Asked, BadCommand
from edges.admin.client_pages import ClientPages
from edges.admin.kicks import Kicks
from edges.admin.levels import change_level
from edges.admin.looks import Looks
from edges.admin.room_pages import RoomPages
from edges.lifecycle.draining import ENDING, Draining
from edges.limits.registry import Registry

__all__ = ["CHANGES", "Verbs"]

CHANGES: Final = frozenset({AdminVerb.KICK, AdminVerb.DRAIN, AdminVerb.UNDRAIN, AdminVerb.LOG_LEVEL})
"""Verbs that change something, and are told in the log."""

_Verb: TypeAlias = Callable[[Asked], Awaitable[dict[str, Any]]]


class Verbs:
    """What operators may ask for.

    Args:
        registry: the connections.
        clients: lists of clients.
        rooms: lists of rooms.
        looks: writes looks.
        kicks: kicks clients.
        draining: sends all clients away.

    """

    def __init__(
        self, registry: Registry, clients: ClientPages, rooms: RoomPages, looks: Looks, kicks: Kicks, draining: Draining
    ) -> None:
        self._registry, self._clients, self._rooms = registry, clients, rooms
        self._looks, self._kicks, self._draining = looks, kicks, draining
        self._table: Mapping[str, _Verb] = {
            AdminVerb.ROOMS: self._list_rooms,
            AdminVerb.CLIENTS: self._list_clients,
            AdminVerb.ROOM: self._room,
            AdminVerb.CLIENT: self._client,
            AdminVerb.LOOK: self._look,
            AdminVerb.KICK: self._kick,
            AdminVerb.DRAIN: self._drain,
            AdminVerb.UNDRAIN: self._undrain,
            AdminVerb.LOG_LEVEL: self._log_level,
        }

    async def answer(self, asked: Asked) -> dict[str, Any]:
        """Carry a command out, and return the data of the answer.

        Raises:
            BadCommand: the verb is unknown, or the data are of the wrong kind; the text is the answer.

        """
        verb = self._table.get(asked.verb)
        if verb is None:
            raise BadCommand(f"{asked.verb!r} is no verb of this version: {', '.join(AdminVerb)}")
        return await verb(asked)

    @property
    def _rates(self) -> Mapping[str, float]:
        return self._looks.rates or {}

    async def _list_rooms(self, asked: Asked) -> dict[str, Any]:
        if "names" in asked.data:
            return self._rooms.named(asked, self._rates)
        if asked.data.get("by") == "rate":
            self._looks.interest()
            if self._looks.rates is None:
                return {"is_measuring": True}
        return await self._rooms.page(asked, self._rates)

    async def _list_clients(self, asked: Asked) -> dict[str, Any]:
        if self._is_elsewhere(asked):
            return {"rows": [], "after": None}
        return await self._clients.page(asked, self._channel(asked))

    async def _room(self, asked: Asked) -> dict[str, Any]:
        return self._rooms.about(asked, self._rates)

    async def _client(self, asked: Asked) -> dict[str, Any]:
        found = await self._clients.find(asked.text("client") or "")
        return {"client": None if found is None else self._clients.whole(found)}

    async def _look(self, _: Asked) -> dict[str, Any]:
        self._looks.interest()
        return {}

    async def _kick(self, asked: Asked) -> dict[str, Any]:
        client, user = asked.text("client"), asked.text("user")
        if client is None and user is None and asked.text("room") is None:
            raise BadCommand("kick: name a client, a user or a room")
        if self._is_elsewhere(asked):
            return {"count": 0}
        return {"count": await self._kicks.kick(client, user, self._channel(asked))}

    async def _drain(self, _: Asked) -> dict[str, Any]:
        if self._draining.state is ENDING:
            raise BadCommand("the edge is going away already: its process ends")
        self._draining.begin()
        return self._standing()

    async def _undrain(self, _: Asked) -> dict[str, Any]:
        if self._draining.state is ENDING:
            raise BadCommand("too late: the edge's process ends, and serves no more; start another")
        if not await self._draining.take_back():
            raise BadCommand("no operator drains this edge: it serves")
        return self._standing()

    def _standing(self) -> dict[str, Any]:
        return {"state": self._draining.state, "connections": len(self._registry)}

    async def _log_level(self, asked: Asked) -> dict[str, Any]:
        before, level = change_level(asked.text("level"))
        return {"before": before, "level": level}

    def _is_elsewhere(self, asked: Asked) -> bool:
        """Tell whether a room is named that is of no family here: of another service, perhaps, and without clients."""
        return asked.text("room") is not None and self._channel(asked) is None

    def _channel(self, asked: Asked) -> Channel | None:
        room = asked.text("room")
        return None if room is None else self._rooms.channel(room)
