"""A connection to Redis for commands, and the first commands on each new connection.

Errors of the client library end here: callers see a ``BusError``.
"""

import functools
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Self, TypeAlias, cast

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from bus.redis import address
from bus.redis.clock import Clock, now, redis_ms
from bus.redis.epoch import epoch_ms
from bus.redis.failures import converted
from bus.redis.keys import EPOCH_KEY, FORMER_KEY

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

    _ends_predecessor = True
    """Whether a connection with a script ends the connection before at Redis' end."""

    def __init__(self, url: str, *, name: str, scripts: Sequence[str] = ()) -> None:
        self._redis: Redis = address.client(url, name)
        self._redis.connection_pool.connection_kwargs["redis_connect_func"] = self._greet
        self._url, self._name, self._scripts = url, name, scripts
        self._is_known, self._has_told_epoch = True, False
        self._clock = Clock()
        self._predecessor: tuple[str, str] | None = None
        self._calls_function = False

    async def __aenter__(self) -> Self:
        """Return the object; no connection is made yet."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connection."""
        await self.close()

    async def close(self) -> None:
        """Close the connection; a second call is harmless."""
        await self._redis.aclose()

    def forget(self) -> None:
        """Take note that another Redis may answer now: the epoch is seen to again before the next call."""
        self._is_known = False

    async def drop(self) -> None:
        """Give up a connection that may lead nowhere, with all waiting calls; the next call opens another."""
        self.forget()
        with suppress(RedisError, OSError):
            await self._redis.connection_pool.disconnect()

    async def _greet(self, connection: AbstractConnection) -> None:
        """Begin on each new connection, before any other command: a restarted Redis has neither script nor epoch."""
        await address.begin(connection, name=self._name)
        self._clock.forget()
        ask = functools.partial(_ask, connection)
        if self._scripts and self._ends_predecessor:
            await self._replace(ask)
        # A script found missing half way through a pipeline would cost the order: refused events would come last.
        with suppress(ResponseError):  # the caller's own command will tell of the refusal
            await self._begin(ask)

    async def _replace(self, ask: Callable[..., Awaitable[Reply]]) -> None:
        """End the connection before ours at Redis' end, too, by id and address there."""
        # decisions/0020: commands still under way on the old connection (in a proxy, a stopped Redis, asyncio's
        # buffers) would be carried out after their repetition, without the check that only repetitions make.
        if self._predecessor is not None:
            with suppress(ResponseError):  # a user without CLIENT KILL has to trust the network
                await ask("CLIENT", "KILL", "ID", self._predecessor[0], "ADDR", self._predecessor[1])
        self._predecessor = None
        with suppress(ResponseError):
            info = dict(pair.split("=", 1) for pair in (await ask("CLIENT", "INFO")).decode().split() if "=" in pair)
            self._predecessor = (info["id"], info["addr"]) if "id" in info and "addr" in info else None

    async def _begin(self, ask: Callable[..., Awaitable[Reply]]) -> None:
        """Ask for the time, load the scripts, and set the epoch of this Redis if no process has."""
        time_ms = redis_ms(*await ask("TIME"))
        self._clock.take(time_ms, now())
        if self._scripts:
            self._calls_function = not await _may_load(ask, self._scripts)
        # decisions/0051: a Redis that is full, or cannot save, refuses SETNX, and can be read all the same.
        with suppress(ResponseError):
            # decisions/0028: SETNX, and not SET … NX. A user permitted no more than SETNX can never set the epoch anew.
            await ask("SETNX", EPOCH_KEY, await _former(ask) or f"{int(time_ms)}-{secrets.token_hex(8)}")

    async def begin_anew(self) -> None:
        """Ask for the time, load the scripts and see to the epoch on the open connection, as on a new connection."""
        await self._begin(self._redis.execute_command)

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
    async def connected(self) -> AsyncIterator[Redis]:
        """Begin with this Redis on the first call, and give the client library's client for commands.

        Raises:
            BusUnavailable: Redis cannot be reached, or did not answer.
            BusError: Redis refused.

        """
        with converted(self._url):
            if not self._is_known:
                await self.begin_anew()
                self._is_known = True
            yield self._redis


async def _may_load(ask: Callable[..., Awaitable[Reply]], scripts: Sequence[str]) -> bool:
    """Load scripts; tell whether this user may: a user who may not calls functions (docs/acl.md)."""
    # decisions/0056: learned from the refusal; a setting for "calls the function" could contradict the user's rules.
    try:
        for script in scripts:
            await ask("SCRIPT LOAD", script)
    except NoPermissionError:
        return False
    return True


async def _former(ask: Callable[..., Awaitable[Reply]]) -> bytes | None:
    """Return the epoch under the key of older versions; None where no readable value stands.

    Raises:
        ResponseError: this user may not look, and so must not set a new epoch over an old.

    """
    # decisions/0067: asked before each SETNX, and not after a GET of the new key found no value. An epoch, once set, is
    # never set anew, so clients that come back over an upgrade are answered from the same logs.
    try:
        answer = await ask("GET", FORMER_KEY)
    except ResponseError as error:
        answer = error
    return None if epoch_ms(answer) is None else answer


async def _ask(connection: AbstractConnection, *command: str) -> Reply:
    await connection.send_command(*command)
    return await connection.read_response()
