"""The connections of an edge: places for clients, room for handshakes, quotas."""

import asyncio
import itertools
import logging
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, Protocol

from bus.values import frozen, mutable
from edges.limits.counters import Counters
from edges.limits.floods import Floods, Told
from edges.limits.groups import Groups
from edges.limits.quotas import Excess, Quota, network_of
from edges.protocol.messages import Closing, Notice
from edges.settings import EdgeSettings

__all__ = ["Registry", "RegistryStatistics", "registry_of"]

_GRACE_S: Final = 1.0
"""A request follows the connection at once, but a busy edge reads late. The grace also bounds how fast a dropped flood
can come again (decisions/0033)."""
_REFUSED: Final = Told("refused a connection over a limit")
_BY_ADDRESS: Final = "max_connections_per_address "
_BY_USER: Final = "max_connections_per_user "

_logger = logging.getLogger("edgebus.edges")


class Timed(Protocol):
    """A connection, as far as the registry knows."""

    def check_deadlines(self, now: float) -> None:
        """Look at deadlines at ``now``, seconds of the event loop's clock."""

    def check_revoked(self) -> None:
        """Send the client away if the token was revoked."""

    def prove_alive(self, now: float) -> None:
        """Give a sign of life within seconds, or be cut."""

    def close(self, code: Closing) -> None:
        """Begin the closing handshake."""

    def notify(self, notice: Notice) -> bool:
        """Tell the client a notice; return False for a client that was not greeted yet, and so not told."""

    def cut(self) -> None:
        """Drop the socket."""

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait for the client."""


@frozen
class RegistryStatistics:
    """``connections`` counts now, the rest since the start, as ``Counters``.

    Attributes:
        connections: clients, with handshakes under way and clients that owe a token.
        accepted: clients with a place.
        refused: clients without a place, or over a quota.
        slow: clients closed for slow reading.
        cut: slow clients that did not even take the close frame.
        strangers: handshakes refused for an origin or a host.
        failed_hooks: handshakes and plain requests at which ``process_request`` failed.
        limited: by the name of a setting, how often the limit hit a client.
        lagging: clients that read slower than the edge writes, now.
        waiting_bytes: waiting for these, now.

    """

    connections: int
    accepted: int
    refused: int
    slow: int
    cut: int
    strangers: int
    failed_hooks: int
    limited: Mapping[str, int]
    lagging: int = 0
    waiting_bytes: int = 0


_SHAKING, _PLACED, _LEAVING = range(3)
"""How far a connection has come: places in a list of counts, as an enum's members cost a call each to be hashed."""


@mutable
class _Stay:
    number: int
    network: str
    since: float
    state: int = _SHAKING
    address: str | None = None
    user: str | None = None
    names: tuple[str, ...] = ()


class Registry:
    """The connections of an edge.

    A client takes a place after the opening handshake and, where a token is required, after a good token. Before, with
    a request of plain HTTP, and on the way out, a connection is among the ``handshakes`` that may be there besides.

    Of too many handshakes, the oldest of the network with the most is dropped: a flood of half handshakes, or of
    strangers, pushes out the flood. No handshake is dropped in the first moment, in which the request of an honest
    client comes, unless there are twice as many.

    Args:
        limit: places.
        handshakes: how many more may be connected.
        addresses: counts the connections of each address.
        users: counts the connections of each user.
        counters: of the edge; None: of the registry alone.
        floods: tells the log of refusals; None: of the registry alone.

    Attributes:
        lagging: connections for which much waits at the moment, in the order of falling behind.
        closed: what a client is told that comes while the edge takes none; None: the edge takes clients.

    """

    def __init__(
        self,
        limit: int,
        *,
        handshakes: int = 2_000,
        addresses: Quota | None = None,
        users: Quota | None = None,
        counters: Counters | None = None,
        floods: Floods | None = None,
    ) -> None:
        self._floods = Floods(_logger) if floods is None else floods
        self._limit, self._handshakes = limit, handshakes
        self._counters = Counters() if counters is None else counters
        self._addresses = Quota("address") if addresses is None else addresses
        self._users = Quota("user") if users is None else users
        self._present: dict[Timed, _Stay] = {}
        self._outside = Groups[Timed]()
        """The connections without a place, by network."""
        self._named = Groups[Timed]()
        self._counted = Groups[Timed]()
        """The connections of an address or a user, by the setting of the quota and the name."""
        self._count = [0, 0, 0]
        self._numbers = itertools.count(1)
        self.lagging: dict[Timed, None] = {}
        self.closed: Closing | None = None
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """The number of clients, with handshakes under way."""
        return self._count[_PLACED] + self._count[_SHAKING]

    @property
    def is_full(self) -> bool:
        """Whether every place is taken."""
        return self._count[_PLACED] >= self._limit

    def __iter__(self) -> Iterator[Timed]:
        """All connections, with a place or without."""
        return iter(list(self._present))

    def enter(self, connection: Timed, address: str, now: float) -> None:
        """Note a connection, unless noted already; ``address`` is of the other end of the socket."""
        if connection in self._present:
            return
        stay = self._present[connection] = _Stay(next(self._numbers), network_of(address), now)
        self._outside.add(stay.network, connection)
        self._count[_SHAKING] += 1
        self._trim(now)

    def _trim(self, now: float) -> None:
        while (over := len(self._present) - self._count[_PLACED] - self._handshakes) > 0:
            # decisions/0033: the oldest, as in the SYN caches of kernels. Refusing the newest would let a flood keep
            # all others out; the network with the most drops its own.
            oldest = self._outside.oldest_of_largest()
            if over <= self._handshakes and now - self._present[oldest].since < _GRACE_S:
                return
            self._counters.hit("max_handshakes")
            self._floods.note(_REFUSED, "max_handshakes", self._present[oldest].network)
            self.exit(oldest)
            oldest.cut()

    # For operators: who is there, in the order of coming.

    def number(self, connection: Timed) -> int | None:
        """Return the place of ``connection`` in the order of coming, from 1; None for a connection that has gone."""
        stay = self._present.get(connection)
        return None if stay is None else stay.number

    def since(self, connection: Timed) -> float | None:
        """Return when ``connection`` came, in seconds of the loop's clock; None for a connection that has gone."""
        stay = self._present.get(connection)
        return None if stay is None else stay.since

    def behind(self, number: int) -> Sequence[Timed]:
        """Return the connections that came after the one with ``number``, in order."""
        present = list(self._present)  # numbers ascend, as a dict keeps the order of coming
        return present[bisect_right(present, number, key=lambda it: self._present[it].number) :]

    def of_user(self, user: str) -> tuple[Timed, ...]:
        """Return the connections of a user whom a token named."""
        return self._counted.of(_BY_USER + user)

    def lag(self, connection: Timed) -> None:
        """Take note that much waits for ``connection``."""
        if connection in self._present:
            self.lagging[connection] = None

    def catch_up(self, connection: Timed) -> None:
        """Take note that little waits for ``connection``."""
        self.lagging.pop(connection, None)

    def turn_away(self, connection: Timed) -> Closing | None:
        """Return what a client is told that may not come in at the moment, and count the client no longer."""
        if self.closed is not None:
            self._counters.refused += 1
            self._move(connection, _LEAVING)
        return self.closed

    def claim(self, connection: Timed, address: str, now: float) -> Excess | None:
        """Count ``connection`` for ``address``, or return the quota that is used up."""
        network = network_of(address)
        excess = self._refuse(self._addresses.enter(network, now), network, now)
        if excess is None and (stay := self._present.get(connection)) is not None:
            stay.address = network
            if self._addresses.is_bound:  # else nobody is asked to prove to be alive
                self._counted.add(_BY_ADDRESS + network, connection)
        return excess

    def identify(self, connection: Timed, user: str, now: float) -> Excess | None:
        """Count ``connection`` for ``user``, once a token names the user, or return the quota that is used up."""
        if (stay := self._present.get(connection)) is None or stay.user == user:
            return None
        excess = self._refuse(self._users.enter(user, now), user, now)
        if excess is None:
            self._leave_user(connection, stay)
            stay.user = user
            self._counted.add(_BY_USER + user, connection)
        return excess

    def name(self, connection: Timed, names: tuple[str, ...]) -> None:
        """Let ``connection`` be found by ``names``, and by no earlier names; a closed connection has no names."""
        if (stay := self._present.get(connection)) is not None:
            self._forget_names(connection, stay)
            stay.names = names
            for name in names:
                self._named.add(name, connection)

    def named(self, name: str) -> tuple[Timed, ...]:
        """Return the connections with the name ``name``, at no cost for others."""
        return self._named.of(name)

    def check_revoked(self, names: Collection[str]) -> None:
        """Have each connection with a name of ``names`` look whether the token was revoked."""
        for name in names:
            for connection in self.named(name):
                connection.check_revoked()

    def notify(self, notice: Notice) -> int:
        """Tell every greeted client; return how many were told."""
        return sum([connection.notify(notice) for connection in self])

    def _forget_names(self, connection: Timed, stay: _Stay) -> None:
        for name in stay.names:
            self._named.remove(name, connection)
        stay.names = ()

    def _refuse(self, excess: Excess | None, who: str, now: float) -> Excess | None:
        """Count a refusal; the holders of the places prove to be alive, so that no dead client keeps others out."""
        if excess is not None:
            self._counters.refused += 1
            self._counters.hit(excess.name)
            self._floods.note(_REFUSED, excess.name, who, {"limit": excess.limit})
            # decisions/0057: a client that changed networks finds its own dead socket here. "The newest wins" would let
            # two tabs of a user end each other for ever.
            for holder in self._counted.of(f"{excess.name} {who}"):
                holder.prove_alive(now)
        return excess

    def expect_token(self, connection: Timed, address: str) -> None:
        """Count ``connection`` among the handshakes of ``address``, the client's own, until a good token."""
        if (stay := self._present.get(connection)) is not None:
            self._outside.remove(stay.network, connection)
            stay.network = network_of(address)  # decisions/0043: behind a proxy all sockets come from one network
            self._outside.add(stay.network, connection)

    def take_place(self, connection: Timed) -> bool:
        """Give ``connection`` a place; tell whether a place was free."""
        has_place = connection in self._present and not self.is_full
        if has_place:
            self._counters.accepted += 1
        else:
            self._counters.refused += 1
            self._counters.hit("max_connections")
            stay = self._present.get(connection)
            self._floods.note(_REFUSED, "max_connections", "" if stay is None else stay.network)
        self._move(connection, _PLACED if has_place else _LEAVING)
        return has_place

    def give_back(self, connection: Timed) -> None:
        """Count ``connection`` no longer: no client, but plain HTTP or a refusal."""
        self._move(connection, _LEAVING)

    def _move(self, connection: Timed, state: int) -> None:
        if (stay := self._present.get(connection)) is None or stay.state == state:
            return
        self._count[stay.state] -= 1
        self._count[state] += 1
        stay.state = state
        if state == _PLACED:
            self._outside.remove(stay.network, connection)
        else:
            self._outside.add(stay.network, connection)

    def exit(self, connection: Timed) -> None:
        """Forget a closed connection; twice is harmless."""
        if (stay := self._present.pop(connection, None)) is not None:
            self.lagging.pop(connection, None)
            self._count[stay.state] -= 1
            self._outside.remove(stay.network, connection)
            self._forget_names(connection, stay)
            if stay.address is not None:
                self._addresses.leave(stay.address)
                self._counted.remove(_BY_ADDRESS + stay.address, connection)
            self._leave_user(connection, stay)
        self._changed.set()

    def _leave_user(self, connection: Timed, stay: _Stay) -> None:
        if stay.user is not None:
            self._users.leave(stay.user)
            self._counted.remove(_BY_USER + stay.user, connection)

    def look(self, now: float) -> None:
        """Let go of empty accounts, and of handshakes beyond the bound. Called now and then by the edge."""
        self._trim(now)
        self._addresses.forget_idle(now)
        self._users.forget_idle(now)

    async def emptied(self) -> None:
        """Wait for the end of the last connection."""
        while self._present:
            self._changed.clear()
            await self._changed.wait()

    def statistics(self) -> RegistryStatistics:
        """Return the counters."""
        it = self._counters
        limited, waiting = dict(it.limited), sum(connection.waiting_bytes for connection in self.lagging)
        counts = (it.accepted, it.refused, it.slow, it.cut, it.strangers, it.failed_hooks)
        return RegistryStatistics(len(self), *counts, limited, len(self.lagging), waiting)


def registry_of(settings: EdgeSettings, counters: Counters, floods: Floods | None = None) -> Registry:
    """Return the registry of an edge, with the bounds of the settings."""
    address = Quota(
        "address",
        connections=settings.max_connections_per_address,
        per_second=settings.connects_per_second_per_address,
    )
    user = Quota(
        "user", connections=settings.max_connections_per_user, per_second=settings.connects_per_second_per_user
    )
    return Registry(
        settings.max_connections,
        handshakes=settings.max_handshakes,
        addresses=address,
        users=user,
        counters=counters,
        floods=floods,
    )
