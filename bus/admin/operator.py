"""An operator of edges: edges, rooms and clients at a look, and the few commands that change an edge.

The authorisation is Redis': whoever may publish on ``bus:admin:<edge>`` is an operator (``edgebus acl``).
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Self

from bus.admin.about import client_of, known_of, room_of
from bus.admin.desk import Desk
from bus.admin.freshness import Freshness
from bus.admin.lists import Lists, ask_all
from bus.admin.registry import Registry
from bus.admin.values import (
    ClientInfo,
    EdgeEntry,
    GoneEdge,
    Kicked,
    LevelChange,
    Page,
    RoomInfo,
    RoomRow,
    Standing,
    View,
)
from bus.admin.words import ANSWER_S, AdminVerb, Order
from bus.errors import AdminRefused, NotThere

__all__ = ["Operator"]

_LOOK_EVERY_S: Final = 1.0


class Operator:
    """Looks at edges, and gives commands to edges, through Redis.

    Lists come in pages: of bounded rows and bytes, each cheap for an edge with 100,000 clients. An edge that does not
    answer within ``answer_s`` is named in ``silent`` of a list; a command to this one edge raises ``EdgeSilent``.

    Every method raises ``BusUnavailable`` where Redis cannot be reached, and ``BusError`` where Redis refused.

    Args:
        redis_url: of database 0, see ``bus.redis.address``; the user is ``operator`` of ``edgebus acl``.
        answer_s: how long an edge has for an answer.

    """

    def __init__(self, redis_url: str, *, answer_s: float = ANSWER_S) -> None:
        name = f"edgebus-operator-{os.getpid()}"
        self._registry = Registry(redis_url, name=name)
        self._desk = Desk(redis_url, name=f"{name}-answers", registry=self._registry, answer_s=answer_s)
        self._lists = Lists(self._desk)

    async def __aenter__(self) -> Self:
        """Return the operator; no connection is made yet."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close both connections."""
        await self._desk.close()
        await self._registry.close()

    # What is there.

    async def edges(self, service: str | None = None) -> list[EdgeEntry]:
        """Return the edges that are there, of one service or of all, by id.

        An edge says so every three seconds. A killed edge stays for at most ten.
        """
        return [it for it in await self._registry.edges() if service in (None, it.service)]

    async def gone(self, service: str | None = None) -> list[GoneEdge]:
        """Return the edges that ended without a word in the last ten minutes, the last first."""
        gone = await self._registry.gone()
        return [it for it in gone if service is None or it.id.startswith(f"{service}-")]

    async def rooms(
        self,
        edge_ids: Sequence[str] | None = None,
        *,
        by: Order | str = Order.MEMBERS,
        prefix: str = "",
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[RoomRow]:
        """Return rooms with members, over the edges named, or over all.

        Args:
            edge_ids: the edges to ask; None: all that are there.
            by: ``members``, ``rate`` (events a second; the first page takes a second to measure) or ``name``.
            prefix: the beginning of the channels' names.
            limit: the most rows of a page.
            cursor: of the page before.

        """
        try:
            order = Order(by)
        except ValueError:
            raise AdminRefused(f"by: expected one of {', '.join(Order)}, not {by!r}") from None
        edges = await self._edges(edge_ids)
        return await self._lists.rooms(edges, order, prefix, limit=limit, cursor=cursor)

    async def clients(
        self,
        edge_ids: Sequence[str] | None = None,
        *,
        slow: bool = False,
        room: str | None = None,
        user: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[ClientInfo]:
        """Return clients, the longest connected first, by edge.

        Args:
            edge_ids: the edges to ask; None: all that are there.
            slow: only clients for which much waits.
            room: only clients in this room; ``service/channel`` where several services have one.
            user: only clients of this user, as tokens name users.
            limit: the most rows of a page.
            cursor: of the page before. Nobody is shown twice, and nobody who stays is left out.

        """
        edges, name = await self._of_service(room, edge_ids)
        wanted: dict[str, Any] = {"slow": slow, "room": name, "user": user}
        return await self._lists.clients(edges, wanted, limit=limit, cursor=cursor)

    async def room(self, channel: str) -> RoomInfo:
        """Return all about a room, over all edges and in Redis; ``service/channel`` where several services have one.

        Raises:
            NotThere: no edge serves the channel, and Redis has no log of it.

        """
        edges, name = await self._of_service(channel, None)
        answers, silent = await ask_all(self._desk, edges, AdminVerb.ROOM, {"channel": name})
        return await room_of(self._registry, name or channel, answers, silent)

    async def client(self, client_id: str) -> ClientInfo:
        """Return all about a client.

        Raises:
            NotThere: no edge has the client; the sentence names the edges asked.

        """
        edges = await self._edges(None)
        answers, silent = await ask_all(self._desk, edges, AdminVerb.CLIENT, {"client": client_id})
        found = [it["client"] for it in answers.values() if it.get("client") is not None]
        if not found:
            raise NotThere(f"no client {client_id}: {_where(list(answers), silent)}")
        return client_of(found[0])

    async def look(self, edge_ids: Sequence[str] | None = None) -> AsyncIterator[View]:
        """Yield a view of the edges once a second, until closed; edges write looks only meanwhile.

        None for all edges: those that come later are seen, too.
        """
        clock, freshness = asyncio.get_running_loop().time, Freshness()
        while True:
            due = clock() + _LOOK_EVERY_S
            edges = await self._edges(edge_ids)
            await asyncio.gather(*(self._desk.say(edge, AdminVerb.LOOK) for edge in edges))
            await asyncio.sleep(due - clock())
            looks = freshness.take(await self._registry.looks(edges))
            written = {look.edge for look in looks}
            yield View(tuple(looks), tuple(edge for edge in edges if edge not in written))

    # What changes something.

    async def kick(self, *, client: str | None = None, user: str | None = None, room: str | None = None) -> Kicked:
        """Close connections of a client or a user (3503: do not come back by yourself), or empty a room.

        With ``room``, connections stay open: the members, or with ``client`` or ``user`` those among the members, are
        let out of this room and told so.

        Raises:
            NotThere: no edge has such a connection; the sentence names the edges asked.
            AdminRefused: several services have such a room: ``service/channel`` names one.

        """
        edges, channel = await self._of_service(room, None)
        wanted = {name: value for name, value in _named(client, user, channel).items() if value is not None}
        if not wanted or (client is not None and user is not None):
            raise AdminRefused("kick: name a client, a user or a room; a client and a user are one too many")
        if channel is not None:  # a room of several services is to be named with the service
            about, _ = await ask_all(self._desk, edges, AdminVerb.ROOM, {"channel": channel})
            known_of(channel, about)
        answers, silent = await ask_all(self._desk, edges, AdminVerb.KICK, wanted)
        counts = {edge: count for edge, it in answers.items() if isinstance(count := it.get("count"), int) and count}
        if not counts:
            who = ", ".join(f"{name} {value}" for name, value in wanted.items())
            raise NotThere(f"nobody to kick by {who}: {_where(list(answers), silent)}")
        return Kicked(counts, silent)

    async def drain(self, edge: str) -> Standing:
        """Have an edge send its clients away, over its own window, and refuse new ones until ``undrain``.

        Raises:
            EdgeSilent: no answer came.
            AdminRefused: the edge ends anyway.

        """
        return _standing(edge, await self._desk.ask(edge, AdminVerb.DRAIN, {}))

    async def undrain(self, edge: str) -> Standing:
        """Have an edge take clients again.

        Raises:
            EdgeSilent: no answer came.
            AdminRefused: the edge was not drained by an operator, or its process ends.

        """
        return _standing(edge, await self._desk.ask(edge, AdminVerb.UNDRAIN, {}))

    async def log_level(self, edge: str, level: str) -> LevelChange:
        """Change the level of an edge's log: ``debug``, ``info``, ``warning``, ``error`` or ``critical``.

        Raises:
            EdgeSilent: no answer came.
            AdminRefused: there is no such level.

        """
        answer = await self._desk.ask(edge, AdminVerb.LOG_LEVEL, {"level": level})
        return LevelChange(edge, str(answer.get("before", "")), str(answer.get("level", "")))

    async def _of_service(self, channel: str | None, edge_ids: Sequence[str] | None) -> tuple[list[str], str | None]:
        """Return the edges to ask for a channel, and its name there; ``service/channel`` leaves out other services."""
        if channel is None:
            return await self._edges(edge_ids), None
        entries = await self._registry.edges()
        service, _, name = channel.partition("/")
        is_named = service in {it.service for it in entries}
        others = {it.id for it in entries if is_named and it.service != service}
        ids = [it.id for it in entries] if edge_ids is None else list(dict.fromkeys(edge_ids))
        return [it for it in ids if it not in others], name if is_named else channel

    async def _edges(self, edge_ids: Sequence[str] | None) -> list[str]:
        """Return the ids of the edges to ask: those named, or all."""
        return [it.id for it in await self._registry.edges()] if edge_ids is None else list(dict.fromkeys(edge_ids))


def _named(client: str | None, user: str | None, room: str | None) -> dict[str, str | None]:
    return {"client": client, "user": user, "room": room}


def _where(asked: Sequence[str], silent: Sequence[str]) -> str:
    """Return where was looked, for a person."""
    looked = f"looked on {', '.join(asked)}" if asked else "there is no edge to look on"
    return f"{looked}; without an answer from {', '.join(silent)}" if silent else looked


def _standing(edge: str, answer: Mapping[str, Any]) -> Standing:
    connections = answer.get("connections")
    return Standing(edge, str(answer.get("state", "")), connections if isinstance(connections, int) else 0)
