"""Revoked tokens: kept in Redis for every edge to read, and told at once to those that listen.

One sorted set and one channel, both called ``bus:revoked``. A member is ``user:<id>`` or ``id:<jti>``, its score the
time of the revocation in milliseconds by Redis' clock; a message on the channel is a member, a space and its score.
"""

from dataclasses import dataclass
from typing import Final, Self, cast

from bus.connection import Connection, redis_ms

__all__ = ["KEPT_S", "REVOKED", "Revocation", "Revocations", "of_token", "of_user"]

REVOKED: Final = "bus:revoked"
KEPT_S: Final = 31 * 24 * 60 * 60
"""How long a revocation is kept. No edge takes tokens that live longer, so none that it concerns is left by then."""
_DIGITS: Final = 15


def of_user(user_id: str) -> str:
    """Return the member for every token that a user was given until now."""
    return f"user:{user_id}"


def of_token(token_id: str) -> str:
    """Return the member for the one token with this ``jti``."""
    return f"id:{token_id}"


@dataclass(frozen=True, slots=True)
class Revocation:
    """What was revoked, and when: milliseconds by Redis' clock."""

    member: str
    at_ms: int

    @classmethod
    def parse(cls, message: bytes) -> Self | None:
        """Return the revocation in a message of the channel, None when there is none in it."""
        member, _, at_ms = message.decode(errors="replace").rpartition(" ")
        is_time = at_ms.isascii() and at_ms.isdecimal() and len(at_ms) <= _DIGITS
        return cls(member, int(at_ms)) if member and is_time else None


class Revocations(Connection):
    """One connection to Redis for reading and writing revocations.

    Args:
        url: of database 0, see ``bus.address``.
        name: what ``CLIENT LIST`` shows.

    """

    def __init__(self, url: str, *, name: str) -> None:
        super().__init__(url, name=name, appends=False)

    async def revoke(self, member: str) -> tuple[Revocation, int]:
        """Revoke now; return the revocation, and how many edges were told at once. The others read it when they can.

        Once it returns, no edge that comes up takes a token that this concerns.

        Raises:
            BusUnavailable: Redis did not answer; the revocation may be there or not, and can be repeated.
            BusError: Redis refused.

        """
        async with self._connected():
            at_ms = int(redis_ms(*await self._redis.time()))
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.zadd(REVOKED, {member: at_ms}, gt=True)
            pipeline.zremrangebyscore(REVOKED, 0, at_ms - KEPT_S * 1000)
            pipeline.expire(REVOKED, KEPT_S)
            pipeline.publish(REVOKED, f"{member} {at_ms}")
            *_, told = await pipeline.execute()
        return Revocation(member, at_ms), int(told)

    async def all(self) -> list[Revocation]:
        """Return every revocation that is kept, the oldest first.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        async with self._connected():
            found = cast(list[tuple[bytes, float]], await self._redis.zrange(REVOKED, 0, -1, withscores=True))
        return [Revocation(member.decode(errors="replace"), int(at_ms)) for member, at_ms in found]
