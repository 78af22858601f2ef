"""One second of the edge after another, written to Redis while an operator looks; nothing while nobody does."""

import asyncio
import heapq
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

import orjson

from bus.admin.telling import Telling
from bus.admin.values import BusyRoom, ClientInfo, Look, Rates
from bus.admin.words import INTEREST_S, LOOK_LIFE_S, LOOK_ROWS, look_key
from bus.slices import Slices, batches
from bus.tasks import Spawn
from edges.admin.sights import Sights
from edges.limits.counters import Counters
from edges.limits.mishaps import Mishaps
from edges.limits.registry import Registry, Timed
from edges.rooms.hub import Hub
from edges.rooms.room import Room

__all__ = ["Looks"]

_EVERY_S: Final = 1.0
_STEPS: Final = 500
"""Connections in one step of a walk."""


class Looks:
    """Writes looks.

    Args:
        edge_id: the edge's name in Redis.
        hub: the rooms.
        registry: the connections.
        counters: of clients.
        sights: makes rows of clients.
        telling: writes to Redis.
        spawn: runs and owns a task.
        mishaps: is told when a look cannot be written.

    Attributes:
        rates: events a second of the rooms with events in the last whole second; None where nobody measured one.

    """

    def __init__(  # noqa: PLR0913, PLR0917 (what a look is made of)
        self,
        edge_id: str,
        hub: Hub,
        registry: Registry,
        counters: Counters,
        sights: Sights,
        telling: Telling,
        spawn: Spawn,
        mishaps: Mishaps,
    ) -> None:
        self._edge, self._hub, self._registry, self._sights = edge_id, hub, registry, sights
        self._counters = counters
        self._telling, self._spawn, self._mishaps = telling, spawn, mishaps
        self._until = 0.0
        self._is_running = False
        self.rates: Mapping[str, float] | None = None

    def interest(self) -> None:
        """Look for the next five seconds."""
        self._until = asyncio.get_running_loop().time() + INTEREST_S
        if not self._is_running:
            self._is_running = True
            self._spawn(self._run(), "looks for operators")

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._hub.activity.watch(is_watched=True)
        before, at = self._counts(), loop.time()
        try:
            while loop.time() < self._until:
                await asyncio.sleep(at + _EVERY_S - loop.time())
                after, was, at = self._counts(), at, loop.time()
                look = await self._look(before, after, at - was)
                before = after
                with self._mishaps.spared("looks for operators"):
                    await self._telling.show(look_key(self._edge), _fields(look), expires_s=LOOK_LIFE_S)
        finally:
            self._is_running, self.rates = False, None
            self._hub.activity.watch(is_watched=False)

    def _counts(self) -> Rates:
        """Return the running numbers of the edge, at no cost that grows with rooms or clients."""
        rooms, clients = self._hub.totals, self._counters
        return Rates(
            events_in=rooms.lines,
            deliveries=rooms.deliveries,
            gaps=rooms.gaps,
            accepted=clients.accepted,
            refused=clients.refused,
            slow=clients.slow,
            bytes_out=rooms.sent_bytes,
            writes=rooms.writes,
        )

    async def _look(self, before: Rates, after: Rates, spent_s: float) -> Look:
        rooms = await self._busy(spent_s)
        waiting_bytes, clients = await self._slow()
        pairs = zip(asdict(before).values(), asdict(after).values(), strict=True)
        return Look(
            edge=self._edge,
            at=int(time.time() * 1000),
            connections=len(self._registry),
            rooms_count=self._hub.occupied,
            rates=Rates(*(round((now - was) / spent_s, 1) for was, now in pairs)),
            rooms=rooms,
            clients=clients,
            lagging=len(self._registry.lagging),
            waiting_bytes=waiting_bytes,
        )

    async def _busy(self, spent_s: float) -> tuple[BusyRoom, ...]:
        """Return the busiest rooms; only rooms with events are looked at."""
        rates: dict[str, float] = {}
        best: list[tuple[float, str, Room]] = []
        slices = Slices()
        for room, lines in self._hub.activity.take().items():
            await slices.give_way()
            rate = rates[room.channel.name] = round(lines / spent_s, 1)
            item = (rate, room.channel.name, room)
            if len(best) < LOOK_ROWS:
                heapq.heappush(best, item)
            elif item[:2] > best[0][:2]:
                heapq.heapreplace(best, item)
        self.rates = rates
        ordered = sorted(best, key=lambda it: (-it[0], it[1]))
        return tuple(BusyRoom(name, rate, len(room)) for rate, name, room in ordered)

    async def _slow(self) -> tuple[int, tuple[ClientInfo, ...]]:
        """Return how much waits, and the clients with the most; only clients for which much waits are looked at."""
        now, slices = asyncio.get_running_loop().time(), Slices()
        whole = 0
        most: list[tuple[int, Timed]] = []
        for some in batches(list(self._registry.lagging), _STEPS):
            sizes = [(connection.waiting_bytes, connection) for connection in some]
            whole += sum(size for size, _ in sizes)
            most = heapq.nlargest(LOOK_ROWS, [*most, *sizes], key=lambda it: it[0])
            await slices.give_way()
        rows = (self._sights.row(connection, now) for _, connection in most)
        return whole, tuple(row for row in rows if row is not None)


def _fields(look: Look) -> dict[str, bytes]:
    return {name: orjson.dumps(value) for name, value in asdict(look).items()}
