"""A connection to Redis for commands, and the first commands on each new connection.

Errors of the client library end here: callers see a ``BusError``.
"""

import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from bus.redis import address, library
from bus.redis.command_opening import open_command_link
from bus.redis.epoch import epoch_ms
from bus.redis.failures import converted
from bus.redis.greeting import Greeting
from bus.redis.keys import EPOCH_KEY
from bus.redis.loading import is_loaded, loaded

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.connection import AbstractConnection

__all__ = ["Connection", "Reply"]

Reply: TypeAlias = Any
"""The client library's answer to a command, which has no type there."""

_logger = logging.getLogger("edgebus.bus")


class Connection:
    """A single connection to Redis.

    Connects at the first call and again after a failure. Methods may be called from many tasks of one event loop;
    the tasks take turns on the connection. A cancelled call leaves the connection usable for the next call.

    Args:
        url: of database 0, see ``bus.redis.address``.
        name: for ``CLIENT LIST``.
        scripts: loaded on each new connection before any other command; none for a connection that only reads, probes
            and announces: Redis is asked for fewer permissions (``acl``).

    """

    def __init__(self, url: str, *, name: str, scripts: Sequence[str] = ()) -> None:
        self._arguments = address.check_url(url)
        self._url, self._name = url, name
        self._is_known, self._has_told_epoch = True, False
        self._greeting = Greeting(scripts, ends_predecessor=False)

    async def __aenter__(self) -> Self:
        """Return the object; no connection is made yet."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connection."""
        await self.close()

    async def close(self) -> None:
        """Close the connection; a second call is harmless."""
        if "_redis" in vars(self):
            await self._redis.aclose()

    def forget(self) -> None:
        """Take note that another Redis may answer now: the epoch is seen to again before the next call."""
        self._is_known = False

    async def drop(self) -> None:
        """Give up a connection that may lead nowhere, with all waiting calls; the next call opens another."""
        self.forget()
        with suppress(library.RedisError, OSError):
            if "_redis" in vars(self):
                await self._redis.connection_pool.disconnect()

    @functools.cached_property
    def _redis(self) -> "Redis":
        # At the first call: the client library is a third of what an edge loads, and a quarter of its start.
        redis = address.checked_client(self._arguments, self._name)
        redis.connection_pool.connection_kwargs["redis_connect_func"] = self._greet
        return redis

    async def _greet(self, connection: "AbstractConnection") -> None:
        """Begin on each new connection, before any other command."""
        from bus.redis.pooled import begin

        await begin(connection, name=address.fit_name(self._name))
        await self._greeting.greet(functools.partial(_ask, connection))

    async def begin_anew(self) -> None:
        """Ask for the time, load the scripts and see to the epoch on the open connection, as on a new connection."""
        await self._greeting.begin(self._redis.execute_command)

    def began_ms(self, epoch: Reply, now_ms: int) -> int:
        """Return when this Redis began, as ``GET`` of the epoch's key says; ``now_ms`` where nobody knows.

        Raises:
            RedisError: the answer is an error, other than that the key has another type.

        """
        began_ms = epoch_ms(epoch)
        if began_ms is None and epoch is not None:
            self._tell_epoch()
        # decisions/0049: an unreadable epoch counts as "just now", so that clients who come back are told `unknown`.
        return now_ms if began_ms is None else began_ms

    async def epoch(self) -> str:
        """Return the identity of this Redis, in front the time of the beginning: ``<ms>-<random>``.

        A value typed by hand tells no two servers apart; a warning says so.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused.

        """
        epoch = await (self.early("GET", EPOCH_KEY) if self.is_early else self._asked_for_epoch())
        with converted(self._url):
            if epoch and epoch_ms(epoch) is None:
                self._tell_epoch()
        return epoch.decode(errors="replace") if isinstance(epoch, bytes) else ""

    async def _asked_for_epoch(self) -> Reply:
        async with self.connected() as redis:
            return await _answer(redis.get(EPOCH_KEY))

    @property
    def is_early(self) -> bool:
        """Whether a command had to wait until the client library is loaded."""
        return "_redis" not in vars(self) and not is_loaded()

    async def early(self, *words: str) -> Reply:
        """Ask on a connection for this command alone: an edge is ready before the client library is loaded.

        Return Redis' answer as Redis gives it, an error of Redis' as a value.

        Raises:
            BusUnavailable: Redis cannot be reached, or did not answer.
            BusError: Redis refused the connection.

        """
        link = await open_command_link(self._url, self._name, self._greeting)
        try:
            with converted(self._url):
                return await _answer(link.ask(*words))
        finally:
            link.abort()

    def _tell_epoch(self) -> None:
        """Warn once of an unreadable key, with the command that mends the key."""
        # decisions/0049: no edge overwrites the key, since an edge's user may not, by design.
        level = logging.DEBUG if self._has_told_epoch else logging.WARNING
        self._has_told_epoch = True
        fields = {"key": EPOCH_KEY, "run": f"redis-cli DEL {EPOCH_KEY}"}
        _logger.log(level, "nobody can tell when this Redis began: the key holds something else", extra=fields)

    async def ping(self) -> None:
        """Return when Redis answered.

        Raises:
            BusUnavailable: no answer came.

        """
        async with self.connected() as redis:
            await redis.ping()  # type: ignore[misc, unused-ignore]

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["Redis"]:
        """Begin with this Redis on the first call, and give the client library's client for commands.

        Raises:
            BusUnavailable: Redis cannot be reached, or did not answer.
            BusError: Redis refused.

        """
        with converted(self._url):
            if "_redis" not in vars(self):
                await loaded()
            if not self._is_known:
                await self.begin_anew()
                self._is_known = True
            yield self._redis


async def _answer(asked: Awaitable[Reply]) -> Reply:
    """Return Redis' answer, an error of Redis' as a value."""
    try:
        return await asked
    except library.ResponseError as error:
        return error


async def _ask(connection: "AbstractConnection", *command: str) -> Reply:
    await connection.send_command(*command)
    return await connection.read_response()
