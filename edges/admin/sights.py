"""Clients as rows for operators."""

import time

from bus.admin.values import ClientInfo
from edges.limits.registry import Registry, Timed
from edges.session.sight import Sight
from edges.transport.served import Served

__all__ = ["Sights"]

_SHOWN_ROOMS = 10
"""Rooms of a client in a list."""
_MOST_ROOMS = 1_000


class Sights:
    """Makes rows of connections.

    Args:
        registry: of the edge.
        edge_id: the edge's name in Redis.

    """

    def __init__(self, registry: Registry, edge_id: str) -> None:
        self._registry, self._edge = registry, edge_id

    def row(self, connection: Timed, now: float, *, whole: bool = False) -> ClientInfo | None:
        """Return a client at ``now`` of the loop's clock; None for a connection without a client.

        ``whole``: with all rooms.
        """
        since = self._registry.since(connection)
        if since is None or not isinstance(connection, Served) or (session := connection.session) is None:
            return None
        sight = session.sight(waiting_bytes=connection.waiting_bytes, lagging_at=connection.lagging_at)
        wall_ms = time.time() * 1000
        return ClientInfo(
            id=sight.id,
            edge=self._edge,
            user=sight.user,
            address=sight.address,
            rooms=sight.rooms[: _MOST_ROOMS if whole else _SHOWN_ROOMS],
            rooms_count=len(sight.rooms),
            waiting_bytes=sight.waiting_bytes,
            state=_state(sight),
            lagging_since=None if sight.lagging_at is None else int(wall_ms - (now - sight.lagging_at) * 1000),
            token_ends=None if sight.token_ends is None else int(sight.token_ends * 1000),
            connected=int(wall_ms - (now - since) * 1000),
            dialect=sight.dialect,
            messages=sight.messages,
        )


def _state(sight: Sight) -> str:
    if sight.owes_token:
        return "owes a token"
    if sight.is_left_out:
        return "left out"
    return "reading" if sight.lagging_at is None else "lagging"
