"""The log: one atomic publish, and reading what was published. The only module that knows the keys in Redis.

Errors of the client library end here: what leaves is a ``BusError``.
"""

import functools
import hashlib
import importlib.resources
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias, cast

import orjson
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError, NoScriptError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bus import address
from bus.channel import Channel
from bus.envelope import splice
from bus.errors import BusError, BusTimeout, BusUnavailable, PublishError
from bus.position import BEGINNING, no_log
from bus.service import PastEvent

__all__ = ["Appended", "Entry", "Head", "History", "Log"]

BIRTH_KEY: Final = "bus:birth"
_SCRIPT: Final = importlib.resources.files("bus").joinpath("publish.lua").read_text("utf-8")
_SHA: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
"""What Redis calls the script once it was loaded."""
_PAGE: Final = 200
"""Entries per read, so that a long log does not hold up Redis or the event loop."""
_SALT_LIMIT: Final = 2**32

StreamEntry: TypeAlias = tuple[bytes, dict[bytes, bytes]]
Reply: TypeAlias = Any
"""What the client library hands back for one command: typed here, because it cannot be typed there."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line to append to one channel."""

    channel: Channel
    id: str
    event: str
    line: bytes


@dataclass(frozen=True, slots=True)
class Appended:
    """Where an entry came to stand (None on a ``live`` channel), and how many subscribers Redis sent it to."""

    position: str | None
    receivers: int


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a channel's log: where a reader that starts now stands, and the last line as it was published.

    ``position`` is None on a ``live`` channel; ``last`` is None where there is no log.
    """

    position: str | None
    last: bytes | None


@dataclass(frozen=True, slots=True)
class History:
    """Past events of one channel, oldest first. ``truncated``: the log no longer holds its beginning."""

    events: list[PastEvent]
    truncated: bool


class Log:
    """One connection to Redis for publishing and reading logs.

    Connects at the first call and again after a failure. Methods may be called from many tasks of one event loop;
    they take turns on the connection. A cancelled call leaves the connection usable for the next one.

    Args:
        url: of database 0, see ``bus.address``.
        name: what ``CLIENT LIST`` shows.

    """

    def __init__(self, url: str, *, name: str) -> None:
        self._redis: Redis = address.client(url, name)
        self._redis.connection_pool.connection_kwargs["redis_connect_func"] = self._greet
        self._url = url
        self._is_known = True

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
        """Take note that Redis may be another one now: its birth is looked after again before the next call."""
        self._is_known = False

    async def append(self, entries: Sequence[Entry]) -> list[Appended | BusError]:
        """Store and publish every entry, in order, in one pipeline; return a result or an error for each.

        Entries are independent: one may fail while others do not. An entry is either stored and published, or neither.

        Raises:
            BusUnavailable: the connection failed; any of the entries may or may not have been stored.

        """
        async with self._connected():
            replies = await self._run(entries)
            if any(isinstance(reply, NoScriptError) for reply in replies):
                await _begin(self._redis.execute_command)
                replies = await self._rerun(entries, replies)
        return [_appended(entry, reply) for entry, reply in zip(entries, replies, strict=True)]

    async def _greet(self, connection: AbstractConnection) -> None:
        """Begin on each new connection before anything else: after a restart it leads to a Redis that has nothing.

        Noticed half way through a pipeline, a missing script would cost the order: what was refused is sent again, and
        comes after what was taken once another producer had loaded the script.
        """
        await connection.on_connect()
        with suppress(ResponseError):  # a full or read-only Redis can still be read; a publish says what is wrong
            await _begin(functools.partial(_ask, connection))

    async def _run(self, entries: Iterable[Entry]) -> list[Reply]:
        pipeline = self._redis.pipeline(transaction=False)
        for entry in entries:
            channel = entry.channel
            if channel.retention.kind == "live":
                pipeline.publish(channel.redis, splice(entry.line, None, None))
                continue
            salt = 1 + secrets.randbelow(_SALT_LIMIT)
            keep, life_ms = channel.retention.max_events, channel.retention.expires_s * 1000
            text = (entry.id, entry.event, entry.line, salt, keep, life_ms, channel.redis)
            pipeline.evalsha(_SHA, 1, channel.log_key, *text)  # type: ignore[arg-type, unused-ignore]
        return list(await pipeline.execute(raise_on_error=False))

    async def _rerun(self, entries: Sequence[Entry], replies: list[Reply]) -> list[Reply]:
        """Run again what failed for want of the script: somebody flushed it, and Redis did nothing with those."""
        missing = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        again = await self._run([entries[index] for index in missing])
        for index, reply in zip(missing, again, strict=True):
            replies[index] = reply
        return replies

    async def heads(self, channels: Sequence[Channel]) -> list[Head]:
        """Return where each channel's log ends, in one round trip.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        async with self._connected():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.time()
            for channel in channels:
                pipeline.xrevrange(channel.log_key, count=1)
            (seconds, micros), *newest = await pipeline.execute()
        none_yet = no_log(seconds * 1000 + micros // 1000)
        return [_head(channel, entries, none_yet) for channel, entries in zip(channels, newest, strict=True)]

    async def history(self, channel: Channel, *, limit_bytes: int = 16 * 1024 * 1024) -> History:
        """Return the past events of ``channel``, at most the newest ``limit_bytes`` of lines.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        events: list[PastEvent] = []
        first_previous, size = BEGINNING, 0
        async for position, fields in self._backwards(channel):
            size += len(fields[b"line"])
            if size > limit_bytes and events:
                break
            events.append(_past_event(position, fields[b"line"]))
            first_previous = fields[b"previous"].decode()
        events.reverse()
        return History(events, truncated=first_previous != BEGINNING)

    async def lines(self, channel: Channel, *, count: int) -> list[bytes]:
        """Return the newest ``count`` lines as they were published, oldest first.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        entries = await self._newest(channel, "+", count)
        return [_published(entry_id, fields) for entry_id, fields in reversed(entries)]

    async def _backwards(self, channel: Channel) -> AsyncIterator[tuple[str, Mapping[bytes, bytes]]]:
        before = "+"
        while True:
            page = await self._newest(channel, before, _PAGE)
            for entry_id, fields in page:
                yield entry_id.decode(), fields
            if len(page) < _PAGE:
                return
            before = f"({page[-1][0].decode()}"

    async def _newest(self, channel: Channel, before: str, count: int) -> list[StreamEntry]:
        async with self._connected():
            return cast(list[StreamEntry], await self._redis.xrevrange(channel.log_key, max=before, count=count))

    async def keep(self, channels: Iterable[Channel]) -> None:
        """Begin the life of the channels' logs anew, so that a log somebody watches does not expire."""
        async with self._connected():
            pipeline = self._redis.pipeline(transaction=False)
            for channel in channels:
                if channel.retention.kind != "live":
                    pipeline.pexpire(channel.log_key, channel.retention.expires_s * 1000)
            await pipeline.execute()

    async def announce(self, key: str, fields: Mapping[str, str | int], *, expires_s: float) -> None:
        """Write the hash ``key`` anew and let it expire; how an edge says that it is there."""
        async with self._connected():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.hset(key, items=[text for pair in fields.items() for text in pair])
            pipeline.pexpire(key, int(expires_s * 1000))
            await pipeline.execute()

    async def withdraw(self, key: str) -> None:
        """Remove what ``announce`` wrote."""
        async with self._connected():
            await self._redis.delete(key)

    async def ping(self) -> None:
        """Return when Redis answered.

        Raises:
            BusUnavailable: it did not.

        """
        async with self._connected():
            await self._redis.ping()  # type: ignore[misc, unused-ignore]

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        """Begin with this Redis if that was not done yet, and convert what goes wrong."""
        try:
            if not self._is_known:
                await _begin(self._redis.execute_command)
                self._is_known = True
            yield
        except AuthenticationError as error:
            raise BusUnavailable(f"Redis refuses the log-in: {error}") from error
        except (RedisTimeoutError, TimeoutError) as error:
            raise BusTimeout(f"Redis at {address.without_password(self._url)} does not answer") from error
        except (RedisConnectionError, OSError) as error:
            raise BusUnavailable(address.start_line(self._url)) from error
        except RedisError as error:
            raise BusError(f"Redis answered with an error: {error}") from error


async def _begin(ask: Callable[..., Awaitable[Reply]]) -> None:
    """Load the script, and set the birth of this Redis if nobody has."""
    await ask("SCRIPT LOAD", _SCRIPT)
    seconds, micros = await ask("TIME")
    birth = f"{int(seconds) * 1000 + int(micros) // 1000}-{secrets.token_hex(8)}"
    await ask("SET", BIRTH_KEY, birth, "NX")


async def _ask(connection: AbstractConnection, *command: str) -> Reply:
    await connection.send_command(*command)
    return await connection.read_response()


def _appended(entry: Entry, reply: Reply) -> Appended | BusError:
    if isinstance(reply, ResponseError):
        return PublishError(f"Redis did not take the event on {entry.channel.name}: {reply}")
    if isinstance(reply, Exception):
        return BusUnavailable(f"Redis did not answer for {entry.channel.name}: {reply}")
    if entry.channel.retention.kind == "live":
        return Appended(None, reply)
    position, receivers = reply
    return Appended(position.decode(), receivers)


def _head(channel: Channel, entries: list[StreamEntry], none_yet: str) -> Head:
    if channel.retention.kind == "live":
        return Head(None, None)
    if not entries:
        return Head(none_yet, None)
    entry_id, fields = entries[0]
    return Head(entry_id.decode(), _published(entry_id, fields))


def _published(entry_id: bytes, fields: Mapping[bytes, bytes]) -> bytes:
    return splice(fields[b"line"], entry_id.decode(), fields[b"previous"].decode())


def _past_event(position: str, line: bytes) -> PastEvent:
    value = orjson.loads(line)
    return PastEvent(value["event"], value["data"], value["timestamp"], position)
