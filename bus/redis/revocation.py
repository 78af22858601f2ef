"""Revoked tokens: kept in Redis for every edge to read, and told at once to listening edges.

A sorted set and a channel, both called ``bus:revoked``. A member is ``user:<id>`` or ``id:<jti>``, its score the time
of the revocation in milliseconds by Redis' clock; a message on the channel is a member, a space and the score. People
may write there by hand, so every member is checked: a member without a user or a token is counted and passed over.
"""

import math
from collections.abc import AsyncIterator
from typing import Final, Self, cast

from bus.redis.clock import redis_ms
from bus.redis.connection import Connection
from bus.redis.failures import converted
from bus.redis.keys import REVOKED
from bus.redis.refusals import checked
from bus.values import frozen

__all__ = ["KEPT_S", "REVOKED", "Page", "Revocation", "Revocations", "of_token", "of_user"]

KEPT_S: Final = 31 * 24 * 60 * 60
"""How long a revocation is kept. No edge takes tokens that live longer than 30 days, so none is left by then."""
_DIGITS: Final = 15
_END_OF_TIME_MS: Final = 10**_DIGITS - 1
"""For a score without an end (``+inf``): a person who typed that means every token, future tokens too."""
_KINDS: Final = ("user:", "id:")
_PAGE: Final = 1_000
"""Revocations per read, so that 200,000 of them hold up neither Redis nor the event loop."""


def of_user(user_id: str) -> str:
    """Return the member for every token given to a user until now."""
    return f"user:{user_id}"


def of_token(token_id: str) -> str:
    """Return the member for the token with this ``jti``."""
    return f"id:{token_id}"


@frozen
class Revocation:
    """A revoked user or token, and the time: milliseconds by Redis' clock."""

    member: str
    at_ms: int

    @classmethod
    def parse(cls, message: bytes) -> Self | None:
        """Return the revocation in a message of the channel, None for any other message."""
        member, _, at_ms = message.decode(errors="replace").rpartition(" ")
        is_time = at_ms.isascii() and at_ms.isdecimal() and len(at_ms) <= _DIGITS
        return cls(member, int(at_ms)) if is_time and _names_somebody(member) else None

    @classmethod
    def read(cls, member: bytes, score: float) -> Self | None:
        """Return the revocation that a member of the set stands for, None for any other member."""
        # decisions/0049: errs to the safe side. A time without an end revokes for ever; a member for nobody, nobody.
        name = member.decode(errors="replace")
        if not _names_somebody(name) or not score >= 0:
            return None
        return cls(name, int(min(score, _END_OF_TIME_MS)))


def _names_somebody(member: str) -> bool:
    return member.startswith(_KINDS) and member not in _KINDS and "\ufffd" not in member


@frozen
class Page:
    """Some of the kept revocations, and the number of members beside that stand for none."""

    readable: list[Revocation]
    unreadable: int


class Revocations(Connection):
    """A connection to Redis for reading and writing revocations.

    Args:
        url: of database 0, see ``bus.redis.address``.
        name: for ``CLIENT LIST``.

    """

    # decisions/0024: a connection of its own, since a long read of a log must not hold a revocation up.

    def __init__(self, url: str, *, name: str) -> None:
        super().__init__(url, name=name)

    async def revoke(self, member: str) -> tuple[Revocation, int]:
        """Revoke now; return the revocation, and how many edges were told at once. Other edges read the set later.

        After the return, no edge that comes up takes a token of this user, or this token.

        Raises:
            BusUnavailable: Redis did not answer; the revocation may be there or not, and can be repeated.
            BusError: Redis refused.

        """
        async with self.connected() as redis:
            at_ms = int(redis_ms(*await redis.time()))
            pipeline = redis.pipeline(transaction=True)
            pipeline.zadd(REVOKED, {member: at_ms}, gt=True)
            # decisions/0024: writers trim the set. A life per member needs Redis 7.4, a key per revocation a SCAN.
            pipeline.zremrangebyscore(REVOKED, 0, at_ms - KEPT_S * 1000)
            pipeline.expire(REVOKED, KEPT_S)
            pipeline.publish(REVOKED, f"{member} {at_ms}")
            *_, told = await pipeline.execute()
        return Revocation(member, at_ms), int(told)

    async def pages(self) -> AsyncIterator[Page]:
        """Go through all kept revocations, the newest first; some may come twice.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused.

        """
        # Pages are told apart by times, not by places: a member removed meanwhile would else hide another member.
        newest, count = math.inf, _PAGE
        while True:
            found = await self._newest(newest, count)
            readable = [it for member, score in found if (it := Revocation.read(member, score)) is not None]
            yield Page(readable, len(found) - len(readable))
            if len(found) < count:
                return
            oldest = found[-1][1]
            newest, count = oldest, (_PAGE if oldest < newest else 2 * count)

    async def _newest(self, at_most: float, count: int) -> list[tuple[bytes, float]]:
        if at_most == math.inf and self.is_early:
            return await self._newest_early(count)
        async with self.connected() as redis:
            found = await redis.zrange(
                REVOKED, at_most, -math.inf, desc=True, byscore=True, withscores=True, offset=0, num=count
            )
        return cast(list[tuple[bytes, float]], found)

    async def _newest_early(self, count: int) -> list[tuple[bytes, float]]:
        """Read the first page without the client library: an edge with keys is ready once all pages were read."""
        words = "ZRANGE", REVOKED, "+inf", "-inf", "BYSCORE", "REV", "LIMIT", "0", str(count), "WITHSCORES"
        found = await self.early(*words)
        with converted(self._url):
            flat = iter(checked(found))
        return [(member, float(score)) for member, score in zip(flat, flat, strict=True)]
