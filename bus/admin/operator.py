"""An operator of edges: what is there, who is there, and the few commands that change something.

The authorisation is Redis': whoever may publish on ``bus:admin:<edge>`` is an operator (``edgebus acl``).
"""

import os
from collections.abc import AsyncIterator, Sequence
from typing import Self

from bus.admin.desk import Desk
from bus.admin.registry import Registry
from bus.admin.values import (
    ClientInfo,
    EdgeEntry,
    Kicked,
    LevelChange,
    Page,
    RoomInfo,
    RoomRow,
    Standing,
    View,
)
from bus.admin.words import ANSWER_S, Order

__all__ = ["Operator"]


class Operator:
    """Looks at edges, and tells them what to do, through Redis.

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
        raise NotImplementedError

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
            room: only clients in this room.
            user: only clients of this user, as tokens name users.
            limit: the most rows of a page.
            cursor: of the page before. Nobody is shown twice, and nobody who stays is left out.

        """
        raise NotImplementedError

    async def room(self, channel: str) -> RoomInfo:
        """Return all about one room, over all edges and in Redis.

        Raises:
            NotThere: no edge serves the channel, and Redis has no log of it.

        """
        raise NotImplementedError

    async def client(self, client_id: str) -> ClientInfo:
        """Return all about one client.

        Raises:
            NotThere: no edge has the client; the sentence names the edges asked.

        """
        raise NotImplementedError

    async def look(self, edge_ids: Sequence[str] | None = None) -> AsyncIterator[View]:
        """Yield a view of the edges once a second, until closed; edges write looks only meanwhile.

        None for all edges: those that come later are seen, too.
        """
        raise NotImplementedError
        yield View(())

    # What changes something.

    async def kick(self, *, client: str | None = None, user: str | None = None, room: str | None = None) -> Kicked:
        """Close connections of a client or a user (3503: do not come back by yourself), or empty a room.

        With ``room``, connections stay open: the members, or with ``client`` or ``user`` those among the members, are
        let out of this room and told so.

        Raises:
            NotThere: no edge has such a connection; the sentence names the edges asked.

        """
        raise NotImplementedError

    async def drain(self, edge: str) -> Standing:
        """Have an edge send its clients away, over its own window, and refuse new ones until ``undrain``.

        Raises:
            EdgeSilent: no answer came.
            AdminRefused: the edge ends anyway.

        """
        raise NotImplementedError

    async def undrain(self, edge: str) -> Standing:
        """Have an edge take clients again.

        Raises:
            EdgeSilent: no answer came.
            AdminRefused: the edge was not drained by an operator, or its process ends.

        """
        raise NotImplementedError

    async def log_level(self, edge: str, level: str) -> LevelChange:
        """Change the level of an edge's log: ``debug``, ``info``, ``warning``, ``error`` or ``critical``.

        Raises:
            EdgeSilent: no answer came.
            AdminRefused: there is no such level.

        """
        raise NotImplementedError
