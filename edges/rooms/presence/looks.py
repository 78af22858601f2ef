"""Looks at who is in a room: shared by all who ask within a second, and given in pages."""

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

from bus.channel import Channel
from bus.presence.entries import Member
from bus.presence.store import PresenceStore, Snapshot
from bus.values import frozen
from edges.limits.replay_slots import Slots
from edges.rooms.single_flight import SingleFlight

__all__ = ["Looks", "Page"]

_FRESH_S: Final = 0.5
_KEPT_MEMBERS: Final = 100_000


class Page(NamedTuple):
    """Some members of a room, in the order of ids; ``next`` is where to go on, None at the end."""

    members: Sequence[Member]
    next: str | None


@frozen
class _Look:
    snapshot: Snapshot
    at_s: float
    ids: Sequence[str]


class Looks:
    """Reads rooms for clients that ask.

    Args:
        store: reads.
        found_strange: is given edges without a beat that have users in a room.
        limit: the most users of a room to name.
        reads: the most rooms to read at once.

    Attributes:
        unreadable: how many entries were passed over.

    """

    def __init__(
        self,
        store: PresenceStore,
        *,
        found_strange: Callable[[Iterable[str]], None],
        limit: int,
        reads: int = 4,
    ) -> None:
        self._store, self._found_strange, self._limit = store, found_strange, limit
        self._slots = Slots("max_requests", reads)
        self._under_way = SingleFlight[str, _Look]()
        self._kept: OrderedDict[str, _Look] = OrderedDict()
        self._kept_members = 0
        self.unreadable = 0

    @property
    def tasks(self) -> "list[asyncio.Task[_Look]]":
        """The reads under way, for the owner to end."""
        return self._under_way.tasks

    def forget(self, channel: Channel) -> None:
        """Read a room anew for whoever asks next."""
        self._forget(channel.redis)

    async def page(self, channel: Channel, *, limit: int, after: str | None, network: str) -> tuple[Snapshot, Page]:
        """Return a room's numbers, at most half a second old, and the members with ids behind ``after``.

        Raises:
            LimitReached: too many others ask.
            BusError: the room cannot be read.

        """
        look = self._kept.get(channel.redis)
        if look is None or asyncio.get_running_loop().time() - look.at_s > _FRESH_S:
            work = partial(self._look, channel, network)
            look = await self._under_way.share(channel.redis, work, f"look who is in {channel.redis}")
        begin = 0 if after is None else bisect_right(look.ids, after)
        ids = look.ids[begin : begin + limit]
        is_last = begin + limit >= len(look.ids)
        return look.snapshot, Page([look.snapshot.members[it] for it in ids], None if is_last else ids[-1])

    async def _look(self, channel: Channel, network: str) -> _Look:
        async with self._slots.slot(network):
            snapshot = await self._store.read(channel, limit=self._limit)
        self._found_strange(snapshot.strange)
        self.unreadable += snapshot.unreadable
        look = _Look(snapshot, asyncio.get_running_loop().time(), list(snapshot.members))
        self._keep(channel.redis, look)
        return look

    def _keep(self, name: str, look: _Look) -> None:
        self._forget(name)
        self._kept[name] = look
        self._kept_members += 1 + len(look.ids)
        for old in [it for it, kept in self._kept.items() if look.at_s - kept.at_s > _FRESH_S]:
            self._forget(old)
        while self._kept_members > _KEPT_MEMBERS and len(self._kept) > 1:
            self._forget(next(iter(self._kept)))

    def _forget(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        if kept is not None:
            self._kept_members -= 1 + len(kept.ids)
