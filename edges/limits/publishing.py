"""How much clients may publish: events and bytes per second, of a connection, and of a user over all connections. Pure.

The times are seconds of a monotonic clock.
"""

from typing import Final

from edges.limits.quotas import Excess
from edges.limits.rates import TokenBucket
from edges.settings import EdgeSettings

__all__ = ["Account", "PublishLimits"]

_LEAST_LOOK: Final = 1_024
"""Accounts, before idle ones are looked for."""


class Account:
    """The events and bytes of a connection, or of a user.

    Args:
        suffix: of the settings' names.
        events: per second.
        size: bytes per second.
        now: the time of full buckets.

    """

    __slots__ = ("_bytes", "_events", "_limits")

    def __init__(self, suffix: str, events: int, size: int, now: float) -> None:
        self._limits = ((f"publish_rate_limit{suffix}", events), (f"publish_bytes_per_second{suffix}", size))
        self._events, self._bytes = TokenBucket(events, now), TokenBucket(size, now)

    def take(self, size: int, now: float) -> Excess | None:
        """Count an event of ``size`` bytes, or return the limit reached and count nothing."""
        (events, rate), (octets, most) = self._limits
        wait_s = self._events.take(now)
        if wait_s > 0:
            return Excess(events, rate, wait_s)
        at_once = min(size, most)  # an event larger than a second's worth is a debt, as a message is (decisions/0041)
        wait_s = self._bytes.take(now, at_once)
        if wait_s > 0:
            self._events.charge(-1)
            return Excess(octets, most, wait_s)
        self._bytes.charge(size - at_once)
        return None

    def give_back(self, size: int) -> None:
        """Take back what was counted for an event."""
        self._events.charge(-1)
        self._bytes.charge(-size)

    def is_full(self, now: float) -> bool:
        """Tell whether the account is as good as new."""
        return self._events.is_full(now) and self._bytes.is_full(now)


class PublishLimits:
    """The accounts of an edge: one for each user, and for each address of clients without a token.

    Args:
        settings: of the edge.

    """

    def __init__(self, settings: EdgeSettings) -> None:
        self._settings = settings
        self._accounts: dict[str, Account] = {}
        self._look_at = _LEAST_LOOK

    def connection(self, now: float) -> Account:
        """Return the account of a new connection."""
        it = self._settings
        return Account("", it.publish_rate_limit, it.publish_bytes_per_second, now)

    def take(self, own: Account | None, holder: str, size: int, now: float) -> Excess | None:
        """Count an event for a connection (None: a single request) and for ``holder``, or return the limit reached.

        Both count, or neither.
        """
        excess = None if own is None else own.take(size, now)
        if excess is not None:
            return excess
        excess = self._of(holder, now).take(size, now)
        if excess is not None and own is not None:
            own.give_back(size)
        return excess

    def _of(self, holder: str, now: float) -> Account:
        account = self._accounts.get(holder)
        if account is None:
            it = self._settings
            self._forget_idle(now)
            account = Account("_per_user", it.publish_rate_limit_per_user, it.publish_bytes_per_second_per_user, now)
            self._accounts[holder] = account
        return account

    def _forget_idle(self, now: float) -> None:
        """Let go of full accounts, each time that accounts have doubled: strangers' names would fill the memory."""
        if len(self._accounts) < self._look_at:
            return
        self._accounts = {name: it for name, it in self._accounts.items() if not it.is_full(now)}
        self._look_at = max(_LEAST_LOOK, 2 * len(self._accounts))
