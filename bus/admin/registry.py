"""The registry of edges in Redis, as operators read the registry: an index, an entry for each edge, and looks."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from pydantic import TypeAdapter, ValidationError

from bus.admin.values import EdgeEntry, GoneEdge, Look
from bus.admin.words import look_key
from bus.redis import library
from bus.redis.clock import redis_ms
from bus.redis.connection import Connection
from bus.redis.keys import EDGES_KEY, edge_key
from bus.redis.refusals import checked

__all__ = ["Registry", "entry_of"]

_BATCH: Final = 100
"""Entries read in one round trip."""
_MOST_EDGES: Final = 10_000
_MOST_GONE: Final = 100

_ENTRY: Final = TypeAdapter(EdgeEntry)
_LOOK: Final = TypeAdapter(Look)


class Registry(Connection):
    """A connection of an operator for commands.

    Every method raises ``BusUnavailable`` where Redis did not answer, and ``BusError`` where Redis refused.

    Args:
        url: of database 0, see ``bus.redis.address``.
        name: for ``CLIENT LIST``.

    """

    def __init__(self, url: str, *, name: str) -> None:
        super().__init__(url, name=name)
        self._foreign: set[str] = set()

    async def edges(self) -> list[EdgeEntry]:
        """Return the edges that are there, by id; a killed edge stays for at most ten seconds."""
        async with self.connected() as redis:
            known: Any = await redis.zrange(EDGES_KEY, -_MOST_EDGES, -1)  # the freshest
        ids = [name for edge in known if (name := edge.decode(errors="replace")) not in self._foreign]
        found: list[EdgeEntry] = []
        for start in range(0, len(ids), _BATCH):
            found += await self._entries(ids[start : start + _BATCH])
        return sorted(found, key=lambda it: it.id)

    async def _entries(self, ids: Sequence[str]) -> list[EdgeEntry]:
        async with self.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            for edge in ids:
                pipeline.hgetall(edge_key(edge))
            hashes = await pipeline.execute(raise_on_error=False)
        pairs = list(zip(ids, hashes, strict=True))
        # Another service's edge is asked for once, and not every second: each refusal is an entry in ACL LOG.
        self._foreign.update(edge for edge, fields in pairs if isinstance(fields, library.NoPermissionError))
        # An entry of another type, typed by hand, is no edge either.
        return [entry_of(edge, fields) for edge, fields in pairs if isinstance(fields, dict) and fields]

    async def gone(self) -> list[GoneEdge]:
        """Return the edges that ended without a word within the last ten minutes, the last first, and at most so many.

        Edges that ended in order have taken themselves out of the index.
        """
        async with self.connected() as redis:
            now_ms = redis_ms(*await redis.time())
            pairs: Any = await redis.zrange(
                EDGES_KEY, int(now_ms), 0, desc=True, withscores=True, byscore=True, offset=0, num=_MOST_GONE
            )
        ids = [(edge.decode(errors="replace"), score) for edge, score in pairs]
        return [GoneEdge(edge, (now_ms - score) / 1000) for edge, score in ids if edge not in self._foreign]

    async def looks(self, ids: Sequence[str]) -> list[Look]:
        """Return the newest look of each edge that wrote one."""
        async with self.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            for edge in ids:
                pipeline.hgetall(look_key(edge))
            hashes = await pipeline.execute(raise_on_error=False)
        looks = (_look(fields) for fields in hashes if isinstance(fields, dict) and fields)
        return [look for look in looks if look is not None]

    async def say(self, channel: str, message: bytes) -> int:
        """Publish ``message``; return how many heard."""
        async with self.connected() as redis:
            return int(checked(await redis.publish(channel, message)))


def entry_of(edge: str, fields: Mapping[bytes, bytes]) -> EdgeEntry:
    """Read an entry; a field that cannot be read is None, since a person may have typed the field."""
    said = {name.decode(errors="replace"): text.decode(errors="replace") for name, text in fields.items()}
    known: dict[str, Any] = {name: text for name, text in said.items() if name in EdgeEntry.__match_args__}
    known["id"] = edge
    try:
        return _ENTRY.validate_python(known)
    except ValidationError as error:
        for wrong in error.errors():
            known.pop(str(wrong["loc"][0]), None)
        return _ENTRY.validate_python(known)


def _look(fields: Mapping[bytes, bytes]) -> Look | None:
    try:
        return _LOOK.validate_python({name.decode(): orjson.loads(text) for name, text in fields.items()})
    except ValueError:  # of both: fields that a person typed are no look
        return None
