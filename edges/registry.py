"""Who is connected: admission against the limit, and the deadlines of all connections, looked at once a second."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from edges.protocol import CloseCode, Notice

__all__ = ["Registry", "RegistryStatistics"]


class Timed(Protocol):
    """What the registry holds."""

    def check_deadlines(self, now: float) -> None:
        """Do what is due at ``now``, seconds of the event loop's clock."""

    def check_revoked(self) -> None:
        """Send the client away if its token was revoked."""

    def close(self, code: CloseCode) -> None:
        """Begin the closing handshake."""

    def notify(self, notice: Notice) -> bool:
        """Tell the client something; tell whether it was greeted already, so that it could be told."""

    def cut(self) -> None:
        """Drop the socket."""


@dataclass(frozen=True, slots=True)
class RegistryStatistics:
    """``connections`` counts now, the rest since the start; ``strangers`` are handshakes refused for their origin."""

    connections: int
    accepted: int
    refused: int
    slow: int
    strangers: int = 0


class Registry:
    """The connections of one edge.

    A place is taken when a client connects, so that those still shaking hands count, and given back at the latest
    when it is gone. Who finds no place may still ask plain HTTP, up to ``spare`` such clients at once.

    Args:
        limit: places.

    """

    def __init__(self, limit: int, spare: int = 100) -> None:
        self._limit, self._spare = limit, spare
        self._present: dict[Timed, bool] = {}
        self._places = self._accepted = self._refused = 0
        self.slow = self.strangers = 0
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """How many places are taken."""
        return self._places

    def __iter__(self) -> Iterator[Timed]:
        """All that are connected, with a place or without."""
        return iter(list(self._present))

    def enter(self, connection: Timed) -> bool:
        """Note a new connection; tell whether there is room for it at all."""
        has_place = self._places < self._limit
        if not has_place and len(self._present) - self._places >= self._spare:
            self._refused += 1
            return False
        self._present[connection] = has_place
        self._places += has_place
        return True

    def has_place(self, connection: Timed) -> bool:
        """Tell whether ``connection`` got a place, counting the answer as accepted or refused."""
        has_place = self._present.get(connection, False)
        self._accepted += has_place
        self._refused += not has_place
        return has_place

    def give_back(self, connection: Timed) -> None:
        """Give back the place of one that turned out not to be a client."""
        self._places -= self._present.get(connection, False)
        if connection in self._present:
            self._present[connection] = False

    def exit(self, connection: Timed) -> None:
        """Forget a connection that is gone; twice is harmless."""
        self._places -= self._present.pop(connection, False)
        self._changed.set()

    async def emptied(self) -> None:
        """Wait until nobody is connected."""
        while self._present:
            self._changed.clear()
            await self._changed.wait()

    def statistics(self) -> RegistryStatistics:
        """Return the counters."""
        return RegistryStatistics(self._places, self._accepted, self._refused, self.slow, self.strangers)
