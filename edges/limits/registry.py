"""Who is connected: places for clients, room for handshakes, quotas, and what is counted of them."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

from edges.limits.counters import Counters
from edges.limits.quotas import Excess, Quota, network_of
from edges.protocol.messages import Closing, Notice
from edges.settings import EdgeSettings

__all__ = ["Registry", "RegistryStatistics", "registry_of"]

_GRACE_S: Final = 1.0
"""A request follows its connection at once; this is for an edge that is busy, or has many to read at once. It also
bounds how fast those who are dropped can come again."""


_BY_ADDRESS: Final = "max_connections_per_address "
_BY_USER: Final = "max_connections_per_user "


class Timed(Protocol):
    """What the registry holds."""

    def check_deadlines(self, now: float) -> None:
        """Do what is due at ``now``, seconds of the event loop's clock."""

    def check_revoked(self) -> None:
        """Send the client away if its token was revoked."""

    def prove_alive(self, now: float) -> None:
        """Give a sign of life within seconds, or be cut."""

    def close(self, code: Closing) -> None:
        """Begin the closing handshake."""

    def notify(self, notice: Notice) -> bool:
        """Tell the client something; tell whether it was greeted already, so that it could be told."""

    def cut(self) -> None:
        """Drop the socket."""


@dataclass(frozen=True, slots=True)
class RegistryStatistics:
    """``connections`` counts now, the rest since the start.

    Attributes:
        connections: clients, with those that still shake hands or have to show a token.
        accepted: clients that got in.
        refused: clients that found no place, or had too many already.
        slow: clients closed because they read too slowly.
        cut: those of them that did not even take the close frame.
        strangers: handshakes refused for their origin.
        limited: by the name of a setting, how often that limit hit somebody.

    """

    connections: int
    accepted: int
    refused: int
    slow: int
    cut: int
    strangers: int
    limited: Mapping[str, int]


class _State(Enum):
    SHAKING = auto()
    PLACED = auto()
    LEAVING = auto()


@dataclass(slots=True)
class _Stay:
    network: str
    since: float
    state: _State = _State.SHAKING
    address: str | None = None
    user: str | None = None
    names: tuple[str, ...] = ()


class Registry:
    """The connections of one edge.

    A client takes a place when its opening handshake is complete and, where it must show a token, that was found good.
    Until then, and while it only asks plain HTTP or is on its way out, it is one of the ``handshakes`` that may be
    there besides. When these are too many, the oldest of the network with most of them is dropped: a flood of half
    handshakes, or of strangers, pushes out itself. Nobody is dropped in the first moment, in which a client's request
    comes that is no part of a flood, unless there are twice as many.

    Args:
        limit: places.
        handshakes: how many more may be connected.
        addresses: counts the connections of each address.
        users: counts those of each user.
        counters: those of the edge; None: of the registry alone.

    """

    def __init__(
        self,
        limit: int,
        *,
        handshakes: int = 2_000,
        addresses: Quota | None = None,
        users: Quota | None = None,
        counters: Counters | None = None,
    ) -> None:
        self._limit, self._handshakes = limit, handshakes
        self._counters = Counters() if counters is None else counters
        self._addresses = Quota("address") if addresses is None else addresses
        self._users = Quota("user") if users is None else users
        self._present: dict[Timed, _Stay] = {}
        self._outside: dict[str, dict[Timed, None]] = {}
        self._named: dict[str, dict[Timed, None]] = {}
        self._of: dict[str, dict[Timed, None]] = {}
        """Who was counted as one of an address or a user, by the setting that bounds them and their name."""
        self._count = Counter[_State]()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """How many clients there are, with those that still shake hands."""
        return self._count[_State.PLACED] + self._count[_State.SHAKING]

    @property
    def is_full(self) -> bool:
        """Whether every place is taken."""
        return self._count[_State.PLACED] >= self._limit

    def __iter__(self) -> Iterator[Timed]:
        """All that are connected, with a place or without."""
        return iter(list(self._present))

    def enter(self, connection: Timed, address: str, now: float) -> None:
        """Note a new connection, unless it is there already; ``address`` is that of the other end of its socket."""
        if connection in self._present:
            return
        stay = self._present[connection] = _Stay(network_of(address), now)
        self._outside.setdefault(stay.network, {})[connection] = None
        self._count[_State.SHAKING] += 1
        self._trim(now)

    def _trim(self, now: float) -> None:
        while (over := len(self._present) - self._count[_State.PLACED] - self._handshakes) > 0:
            crowd = max(self._outside.values(), key=len)
            oldest = next(iter(crowd))
            if over <= self._handshakes and now - self._present[oldest].since < _GRACE_S:
                return
            self._counters.hit("max_handshakes")
            self.exit(oldest)
            oldest.cut()

    def claim(self, connection: Timed, address: str, now: float) -> Excess | None:
        """Count ``connection`` as one of its address's, or say what that has too much of."""
        network = network_of(address)
        excess = self._refuse(self._addresses.enter(network, now), network, now)
        if excess is None and (stay := self._present.get(connection)) is not None:
            stay.address = network
            self._of.setdefault(_BY_ADDRESS + network, {})[connection] = None
        return excess

    def identify(self, connection: Timed, user: str, now: float) -> Excess | None:
        """Count ``connection`` as one of ``user``'s, once it is known whose it is, or say what that has too much of."""
        stay = self._present.get(connection)
        if stay is None or stay.user == user:
            return None
        excess = self._refuse(self._users.enter(user, now), user, now)
        if excess is None:
            self._leave_user(connection, stay)
            stay.user = user
            self._of.setdefault(_BY_USER + user, {})[connection] = None
        return excess

    def name(self, connection: Timed, names: tuple[str, ...]) -> None:
        """Let ``connection`` be found by these names, and by no others that it had; one that is gone has none."""
        stay = self._present.get(connection)
        if stay is not None:
            self._forget_names(connection, stay)
            stay.names = names
            for name in names:
                self._named.setdefault(name, {})[connection] = None

    def named(self, name: str) -> tuple[Timed, ...]:
        """Return the connections that are called ``name``; it looks at no others."""
        return tuple(self._named.get(name, ()))

    def check_revoked(self, names: Collection[str]) -> None:
        """Have each connection with one of ``names`` look whether its token was revoked."""
        for name in names:
            for connection in self.named(name):
                connection.check_revoked()

    def notify(self, notice: Notice) -> None:
        """Tell every client that was greeted."""
        for connection in self:
            connection.notify(notice)

    def _forget_names(self, connection: Timed, stay: _Stay) -> None:
        for name in stay.names:
            them = self._named[name]
            del them[connection]
            if not them:
                del self._named[name]
        stay.names = ()

    def _refuse(self, excess: Excess | None, who: str, now: float) -> Excess | None:
        """Count a refusal; those who hold the places prove that they are alive, so that no ghost keeps others out."""
        if excess is not None:
            self._counters.refused += 1
            self._counters.hit(excess.name)
            for holder in list(self._of.get(f"{excess.name} {who}", ())):
                holder.prove_alive(now)
        return excess

    def expect_token(self, connection: Timed, address: str) -> None:
        """Let ``connection`` be one of the handshakes of ``address``, its own, until it takes a place by its token."""
        stay = self._present.get(connection)
        if stay is not None:
            self._come_in(connection, stay)
            stay.network = network_of(address)
            self._outside.setdefault(stay.network, {})[connection] = None

    def take_place(self, connection: Timed) -> bool:
        """Give ``connection`` a place; tell whether there was one."""
        has_place = connection in self._present and not self.is_full
        if has_place:
            self._counters.accepted += 1
        else:
            self._counters.refused += 1
            self._counters.hit("max_connections")
        self._move(connection, _State.PLACED if has_place else _State.LEAVING)
        return has_place

    def give_back(self, connection: Timed) -> None:
        """Count ``connection`` no longer: it turned out not to be a client."""
        self._move(connection, _State.LEAVING)

    def _move(self, connection: Timed, state: _State) -> None:
        stay = self._present.get(connection)
        if stay is None or stay.state is state:
            return
        self._count[stay.state] -= 1
        self._count[state] += 1
        stay.state = state
        if state is _State.PLACED:
            self._come_in(connection, stay)
        else:
            self._outside.setdefault(stay.network, {})[connection] = None

    def _come_in(self, connection: Timed, stay: _Stay) -> None:
        them = self._outside.get(stay.network, {})
        them.pop(connection, None)
        if not them:
            self._outside.pop(stay.network, None)

    def exit(self, connection: Timed) -> None:
        """Forget a connection that is gone; twice is harmless."""
        stay = self._present.pop(connection, None)
        if stay is not None:
            self._count[stay.state] -= 1
            self._come_in(connection, stay)
            self._forget_names(connection, stay)
            self._leave_address(connection, stay)
            self._leave_user(connection, stay)
        self._changed.set()

    def _leave_address(self, connection: Timed, stay: _Stay) -> None:
        if stay.address is not None:
            self._addresses.leave(stay.address)
            self._forget(connection, _BY_ADDRESS + stay.address)

    def _leave_user(self, connection: Timed, stay: _Stay) -> None:
        if stay.user is not None:
            self._users.leave(stay.user)
            self._forget(connection, _BY_USER + stay.user)

    def _forget(self, connection: Timed, whose: str) -> None:
        holders = self._of[whose]
        del holders[connection]
        if not holders:
            del self._of[whose]

    def look(self, now: float) -> None:
        """Let go of what is known of those who are gone, and of handshakes too many. The edge calls it now and then."""
        self._trim(now)
        self._addresses.forget_idle(now)
        self._users.forget_idle(now)

    async def emptied(self) -> None:
        """Wait until nobody is connected."""
        while self._present:
            self._changed.clear()
            await self._changed.wait()

    def statistics(self) -> RegistryStatistics:
        """Return the counters."""
        it = self._counters
        return RegistryStatistics(len(self), it.accepted, it.refused, it.slow, it.cut, it.strangers, dict(it.limited))


def registry_of(settings: EdgeSettings, counters: Counters) -> Registry:
    """Return the registry of an edge, with the bounds of its settings."""
    address = Quota(
        "address",
        connections=settings.max_connections_per_address,
        per_second=settings.connects_per_second_per_address,
    )
    user = Quota(
        "user", connections=settings.max_connections_per_user, per_second=settings.connects_per_second_per_user
    )
    return Registry(
        settings.max_connections, handshakes=settings.max_handshakes, addresses=address, users=user, counters=counters
    )
