"""Where the primary is, by the word of Redis Sentinel: asked anew for every connection."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from bus.errors import AddressError
from bus.redis import library
from bus.redis.refusals import said
from bus.redis.resolving import resolve
from bus.redis.url import RedisUrl, parse, place
from bus.values import frozen

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["SENTINEL_SCHEME", "NoPrimary", "Sentinels", "parse_sentinel_url", "sentinels"]

SENTINEL_SCHEME: Final = "redis+sentinel"
_FORM: Final = "write it like redis+sentinel://user:password@host1:26379,host2:26379/name-of-the-primary"
_PORT: Final = 26379
_ANSWER_DEADLINE_S: Final = 1.0
"""For one sentinel; the next is asked then."""

Trouble: TypeAlias = tuple[str, int, Exception]
"""Host and port of a sentinel, and why no answer came."""


class NoPrimary(OSError):
    """No sentinel said where the primary is, and why. ``is_login``: a sentinel wants another log-in than the URL's."""

    def __init__(self, text: str, *, is_login: bool = False) -> None:
        super().__init__(text)
        self.is_login = is_login


@frozen
class Sentinels:
    """The sentinels of the primary called ``service``, with the log-in of the primary and the sentinels' own."""

    # decisions/0065: two log-ins. To try the primary's on the sentinels would show one server's password to another.

    places: tuple[tuple[str, int], ...]
    service: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    own_username: str | None = None
    own_password: str | None = field(default=None, repr=False)

    async def primary(self) -> tuple[str, int]:
        """Return host and port of the primary, by the first sentinel with an answer.

        Raises:
            OSError: no sentinel answers, or none knows a healthy primary of that name.

        """
        troubles: list[Trouble] = []
        for host, port in self.places:
            try:
                return await self._ask(host, port)
            except (library.RedisError, OSError, LookupError, ValueError) as error:
                troubles.append((host, port, error))
        raise self._unknown(troubles) from troubles[-1][2]

    async def _ask(self, host: str, port: int) -> tuple[str, int]:
        async with asyncio.timeout(_ANSWER_DEADLINE_S):
            *others, last = await resolve(host, port)
        for address in others:
            with suppress(library.RedisConnectionError, OSError):
                return await self._ask_at(address, port)
        return await self._ask_at(last, port)

    async def _ask_at(self, host: str, port: int) -> tuple[str, int]:
        async with self._connected(host, port) as sentinel:
            return await self._primary_of(sentinel)

    async def word(self, host: str, port: int) -> tuple[tuple[str, int], list[tuple[str, int]]]:
        """Return the primary and the replicas, each as host and port, by the word of one sentinel.

        Raises:
            OSError: no answer.
            RedisError: no answer, or a refusal.
            LookupError: the sentinel knows no healthy primary of that name.

        """
        async with asyncio.timeout(2 * _ANSWER_DEADLINE_S), self._connected(host, port) as sentinel:
            replicas: Any = await sentinel.sentinel_slaves(self.service)  # type: ignore[no-untyped-call, unused-ignore]
            return await self._primary_of(sentinel), [(str(it["ip"]), int(it["port"])) for it in replicas]

    async def _primary_of(self, sentinel: "Redis") -> tuple[str, int]:
        primaries: Any = await sentinel.sentinel_masters()  # type: ignore[no-untyped-call, unused-ignore]
        state = primaries[self.service]
        # Told by a sentinel and down all the same: a failover is under way, and the next attempt asks anew.
        if not state["is_master"] or state["is_sdown"] or state["is_odown"]:
            raise LookupError("the primary is down")
        return str(state["ip"]), int(state["port"])

    @asynccontextmanager
    async def _connected(self, host: str, port: int) -> AsyncIterator["Redis"]:
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        from bus.redis.closing import client_of

        async with client_of(
            host=host,
            port=port,
            username=self.own_username,
            password=self.own_password,
            socket_timeout=_ANSWER_DEADLINE_S,
            socket_connect_timeout=_ANSWER_DEADLINE_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
        ) as sentinel:
            yield sentinel

    def _unknown(self, troubles: Sequence[Trouble]) -> NoPrimary:
        # A refused log-in first: repeating does not help there, while an absent sentinel may come back.
        for host, port, error in troubles:
            if isinstance(error, library.AuthenticationError) or said(error).startswith("NOPERM"):
                text = f"the sentinel at {host}:{port} wants another log-in ({said(error)}): add its own to the URL, "
                return NoPrimary(f"{text}?sentinel_username=USER&sentinel_password=PASSWORD", is_login=True)
        if any(isinstance(error, LookupError) for _, _, error in troubles):
            return NoPrimary(f"no sentinel knows a healthy primary called {self.service!r}")
        reasons = ", ".join(f"{host}:{port} ({said(error)})" for host, port, error in troubles)
        return NoPrimary(f"no sentinel answers: {reasons}")


def parse_sentinel_url(url: str) -> Sentinels | None:
    """Return the sentinels in a ``redis+sentinel`` URL, None for a URL of another scheme.

    Raises:
        AddressError: the URL is malformed.

    """
    parts = parse(url)
    return sentinels(parts) if parts.scheme == SENTINEL_SCHEME else None


def sentinels(parts: RedisUrl) -> Sentinels:
    """Return the sentinels in the parts of a URL.

    Raises:
        AddressError: no sentinel or no primary is named; the message shows the form.

    """
    service, places = parts.path.strip("/"), parts.place.split(",")
    if not service or "/" in service or not all(places):
        raise AddressError(f"the Redis URL cannot be used: {_FORM}")
    try:
        found = tuple(place(it, _PORT) for it in places)
    except AddressError:
        raise AddressError(f"the Redis URL cannot be used, a host or port is none: {_FORM}") from None
    own = parts.options.get("sentinel_username"), parts.options.get("sentinel_password")
    return Sentinels(found, service, parts.user, parts.password, *own)
