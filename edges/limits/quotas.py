"""Connections, and new connections per second, by address or by user. Pure.

An account ends when empty: without a connection, and with a full bucket.
"""

from dataclasses import field
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from bus.values import frozen, mutable
from edges.limits.rates import TokenBucket

__all__ = ["Excess", "Quota", "network_of"]

_RETRY_S = 1.0


@frozen
class Excess:
    """A quota that is used up.

    Attributes:
        name: of the setting.
        limit: the setting's value.
        retry_s: seconds before another attempt is worthwhile.

    """

    name: str
    limit: int
    retry_s: float


@mutable
class _Account:
    bucket: TokenBucket | None
    connections: int = field(default=0)


class Quota:
    """The connections of each address, or of each user.

    Args:
        what: ``address`` or ``user``, as the settings' names end.
        connections: the most at once, None for any number.
        per_second: the most new connections per second, with a burst of twice as many; None for any number.

    """

    def __init__(self, what: str, *, connections: int | None = None, per_second: int | None = None) -> None:
        self._what, self._most, self._per_second = what, connections, per_second
        self._accounts: dict[str, _Account] = {}

    def __len__(self) -> int:
        """The number of accounts."""
        return len(self._accounts)

    @property
    def is_bound(self) -> bool:
        """Whether anything is counted."""
        return self._most is not None or self._per_second is not None

    def enter(self, who: str, now: float) -> Excess | None:
        """Count one more connection, or return the quota that is used up and count no connection.

        Args:
            who: the address or the user.
            now: seconds of a monotonic clock.

        """
        if not self.is_bound:
            return None
        account = self._accounts.get(who) or self._new(now)
        excess = self._excess(account, now)
        if excess is None:
            account.connections += 1
            self._accounts[who] = account
        return excess

    def _new(self, now: float) -> _Account:
        return _Account(None if self._per_second is None else TokenBucket(self._per_second, now))

    def _excess(self, account: _Account, now: float) -> Excess | None:
        if self._most is not None and account.connections >= self._most:
            return Excess(f"max_connections_per_{self._what}", self._most, _RETRY_S)
        wait_s = account.bucket.take(now) if account.bucket is not None else 0.0
        if wait_s > 0 and self._per_second is not None:
            return Excess(f"connects_per_second_per_{self._what}", self._per_second, wait_s)
        return None

    def leave(self, who: str) -> None:
        """Count one connection less of an address or user."""
        account = self._accounts.get(who)
        if account is None:
            return
        account.connections -= 1
        if account.connections == 0 and account.bucket is None:
            del self._accounts[who]

    def forget_idle(self, now: float) -> None:
        """Let go of empty accounts. Called now and then by the edge."""
        idle = [  # decisions/0034: else strangers' names would fill the memory
            who
            for who, account in self._accounts.items()
            if account.connections == 0 and (account.bucket is None or account.bucket.is_full(now))
        ]
        for who in idle:
            del self._accounts[who]


@lru_cache(1_024)
def network_of(address: str) -> str:
    """Return the network of an address: an IPv4 address alone, an IPv6 address' /64.

    Other texts, such as the empty address of a Unix socket's peer, are returned unchanged.
    """
    # decisions/0034: a /64 is the least that a household is given (RFC 6177), so any address in there is free to take.
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
