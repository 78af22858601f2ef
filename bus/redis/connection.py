"""A connection to Redis for commands: how it begins with each server.

Errors of the client library end here: what leaves is a ``BusError``.
"""

import asyncio
import functools
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Self, TypeAlias, cast

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from bus.redis import address
from bus.redis.clock import Clock
from bus.redis.epoch import EPOCH_KEY, FORMER_KEY, epoch_ms
from bus.redis.failures import converted

__all__ = ["Connection", "Reply", "now", "redis_ms"]

Reply: TypeAlias = Any
"""What the client library hands back for one command: typed here, because it cannot be typed there."""

_logger = logging.getLogger("edgebus.bus")


class Connection:
    """One connection to Redis.

    Connects at the first call and again after a failure. Methods may be called from many tasks of one event loop;
    they take turns on the connection. A cancelled call leaves the connection usable for the next one.

    Args:
        url: of database 0, see ``bus.redis.address``.
        name: what ``CLIENT LIST`` shows.
        script: what each new connection loads before anything else; None for one that only reads, probes and
            announces: Redis is asked for fewer permissions (``acl``).

    """

    def __init__(self, url: str, *, name: str, script: str | None = None) -> None:
        self._redis: Redis = address.client(url, name)
        self._redis.connection_pool.connection_kwargs["redis_connect_func"] = self._greet
        self._url, self._name, self._script = url, name, script
        self._is_known, self._has_told_epoch = True, False
        self._clock = Clock()
        self._predecessor: tuple[str, str] | None = None
        self._calls_function = False

    async def __aenter__(self) -> Self:
        """Return itself; nothing is connected yet."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connection."""
        await self.close()

    async def close(self) -> None:
        """Close the connection; calling it twice is harmless."""
        await self._redis.aclose()

    def forget(self) -> None:
        """Take note that Redis may be another one now: its epoch is looked after again before the next call."""
        self._is_known = False

    async def drop(self) -> None:
        """Give up the connection, and what waits on it: it may lead nowhere. The next call opens a new one."""
        self.forget()
        with suppress(RedisError, OSError):
            await self._redis.connection_pool.disconnect()

    async def _greet(self, connection: AbstractConnection) -> None:
        """Begin on each new connection before anything else: after a restart it leads to a Redis that has nothing.

        Noticed half way through a pipeline, a missing script would cost the order: what was refused comes last then.
        """
        await address.begin(connection, name=self._name)
        self._clock.forget()
        ask = functools.partial(_ask, connection)
        if self._script is not None:
            await self._replace(ask)
        with suppress(ResponseError):  # what follows says what is wrong
            await self._begin(ask)

    async def _replace(self, ask: Callable[..., Awaitable[Reply]]) -> None:
        """End the connection before this one at its other end too, by its id and its address there.

        What it still carries (in a proxy, a stopped Redis, asyncio's buffers) would else come after its own repetition.
        """
        if self._predecessor is not None:
            with suppress(ResponseError):  # a user without CLIENT KILL has to trust its network
                await ask("CLIENT", "KILL", "ID", self._predecessor[0], "ADDR", self._predecessor[1])
        self._predecessor = None
        with suppress(ResponseError):
            info = dict(pair.split("=", 1) for pair in (await ask("CLIENT", "INFO")).decode().split() if "=" in pair)
            self._predecessor = (info["id"], info["addr"]) if "id" in info and "addr" in info else None

    async def _begin(self, ask: Callable[..., Awaitable[Reply]]) -> None:
        """Ask for the time, load the script, and set the epoch of this Redis if nobody has.

        ``SETNX``, not ``SET … NX``: who is permitted no more than that can never set the epoch anew. A Redis that is
        full, or cannot save, refuses it and can be read all the same; a publish says what is wrong.
        """
        time_ms = redis_ms(*await ask("TIME"))
        self._clock.take(time_ms, now())
        if self._script is not None:
            self._calls_function = not await _may_load(ask, self._script)
        with suppress(ResponseError):
            await ask("SETNX", EPOCH_KEY, await _former(ask) or f"{int(time_ms)}-{secrets.token_hex(8)}")

    async def begin_anew(self) -> None:
        """Do on the open connection all that each new connection begins with: an epoch, and the script."""
        await self._begin(self._redis.execute_command)

    def began_ms(self, epoch: Reply, now_ms: int) -> int:
        """Return when this Redis began, as ``GET`` of the epoch's key says; ``now_ms`` where nobody knows.

        Raises:
            RedisError: the answer is an error, other than that the key has another type.

        """
        began_ms = epoch_ms(epoch)
        if began_ms is None and epoch is not None:
            self._tell_epoch()
        # decisions/0049: an unreadable epoch counts as "just now", so whoever comes back is told `unknown`.
        return now_ms if began_ms is None else began_ms

    async def epoch(self) -> str:
        """Return when this Redis began, and which one it is: ``<ms>-<random>``.

        What somebody wrote there by hand tells no two apart, and is told in a warning.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        async with self.connected() as redis:
            try:
                epoch = cast(bytes | None, await redis.get(EPOCH_KEY))
            except ResponseError as error:
                if epoch_ms(error) is None:
                    self._tell_epoch()
                return ""
        if epoch and epoch_ms(epoch) is None:
            self._tell_epoch()
        return epoch.decode(errors="replace") if epoch else ""

    def _tell_epoch(self) -> None:
        """Say once what is wrong with the key, and what mends it."""
        level = logging.DEBUG if self._has_told_epoch else logging.WARNING
        self._has_told_epoch = True
        fields = {"key": EPOCH_KEY, "run": f"redis-cli DEL {EPOCH_KEY}"}
        _logger.log(level, "nobody can tell when this Redis began: the key holds something else", extra=fields)

    async def ping(self) -> None:
        """Return when Redis answered.

        Raises:
            BusUnavailable: it did not.

        """
        async with self.connected() as redis:
            await redis.ping()  # type: ignore[misc, unused-ignore]

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Redis]:
        """Begin with this Redis if that was not done yet, and give the client library's client for commands.

        Raises:
            BusUnavailable: Redis cannot be reached, or did not answer.
            BusError: Redis refused.

        """
        with converted(self._url):
            if not self._is_known:
                await self.begin_anew()
                self._is_known = True
            yield self._redis


async def _may_load(ask: Callable[..., Awaitable[Reply]], script: str) -> bool:
    """Load a script; tell whether this user may, for one who may not calls a function (docs/acl.md)."""
    try:
        await ask("SCRIPT LOAD", script)
    except NoPermissionError:
        return False
    return True


async def _former(ask: Callable[..., Awaitable[Reply]]) -> bytes | None:
    """Return the epoch as an older version keeps it; None where none did, or nobody can read what stands there.

    Asked before each ``SETNX``, not after one that found nothing: an epoch that is set is never set anew. A refusal is
    raised: a user who may not look must not make another Redis of an old one.
    """
    try:
        answer = await ask("GET", FORMER_KEY)
    except ResponseError as error:
        answer = error
    return None if epoch_ms(answer) is None else answer


async def _ask(connection: AbstractConnection, *command: str) -> Reply:
    await connection.send_command(*command)
    return await connection.read_response()


def redis_ms(seconds: int | bytes, micros: int | bytes) -> float:
    """Return what ``TIME`` answered, in milliseconds since 1970."""
    return int(seconds) * 1000 + int(micros) / 1000


def now() -> float:
    """Return our own clock, in seconds."""
    return asyncio.get_running_loop().time()
