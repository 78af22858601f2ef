"""Who has how many connections, and how often it connects: counted by address or by user. Pure.

What is known of somebody goes when it says nothing any more: no connection, and a bucket that is full again.
"""

from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

from edges.limits.rates import TokenBucket

__all__ = ["Excess", "Quota", "network_of"]

_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Excess:
    """What somebody has too much of.

    Attributes:
        name: of the setting.
        limit: its value.
        retry_s: after how many seconds it is worth another attempt.

    """

    name: str
    limit: int
    retry_s: float


@dataclass(slots=True)
class _Account:
    bucket: TokenBucket | None
    connections: int = field(default=0)


class Quota:
    """The connections of each of many.

    Args:
        what: ``address`` or ``user``; the names of the settings end with it.
        connections: the most at once, None for any number.
        per_second: the most new ones per second, with a burst of twice that; None for any number.

    """

    def __init__(self, what: str, *, connections: int | None = None, per_second: int | None = None) -> None:
        self._what, self._most, self._per_second = what, connections, per_second
        self._accounts: dict[str, _Account] = {}

    def __len__(self) -> int:
        """Of how many something is known."""
        return len(self._accounts)

    def enter(self, who: str, now: float) -> Excess | None:
        """Count one more connection, or say why it is one too many; then it is not counted.

        Args:
            who: whose it is.
            now: seconds of a monotonic clock.

        """
        if self._most is None and self._per_second is None:
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
        """Count one connection less of somebody who was let in."""
        account = self._accounts.get(who)
        if account is None:
            return
        account.connections -= 1
        if account.connections == 0 and account.bucket is None:
            del self._accounts[who]

    def forget_idle(self, now: float) -> None:
        """Let go of everybody with no connection and a full bucket. Called now and then by the edge."""
        idle = [
            who
            for who, account in self._accounts.items()
            if account.connections == 0 and (account.bucket is None or account.bucket.is_full(now))
        ]
        for who in idle:
            del self._accounts[who]


def network_of(address: str) -> str:
    """Return who an address counts as: an IPv4 address itself, an IPv6 one its /64, which is one household's.

    Anything else, such as the empty address of a Unix socket's peer, is itself.
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
