"""The log: one atomic publish, and reading what was published. The only module that knows the keys in Redis.

Errors of the client library end here: what leaves is a ``BusError``.
"""

import asyncio
import functools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias, cast

import orjson
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, RedisError, ResponseError

from bus import address
from bus.appending import SCRIPT, Appended, Clock, Entry, Replicas, Reply, outcome, queue
from bus.channel import Channel
from bus.envelope import Arrived, splice
from bus.errors import BusError, BusNotReady
from bus.failures import converted
from bus.position import BEGINNING, no_log
from bus.replay import REPLAY_BYTES, REPLAY_EVENTS, Tail
from bus.service import PastEvent

__all__ = ["Appended", "Entry", "Head", "History", "Log", "Replicas"]

BIRTH_KEY: Final = "bus:birth"
_PAGE: Final = 200
"""Entries per read, so that a long log does not hold up Redis or the event loop."""

StreamEntry: TypeAlias = tuple[bytes, dict[bytes, bytes]]


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
        self._clock = Clock()
        self._predecessor: tuple[str, str] | None = None
        self.sent_ms: int | None = None
        """A time by Redis' clock, not after the last ``append`` was sent; None when that sent nothing."""

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

    async def drop(self) -> None:
        """Give up the connection, and what waits on it: it may lead nowhere. The next call opens a new one."""
        self.forget()
        with suppress(RedisError, OSError):
            await self._redis.connection_pool.disconnect()

    async def append(self, entries: Sequence[Entry], *, replicas: Replicas | None = None) -> list[Appended | BusError]:
        """Store and publish every entry, in order, in one pipeline; return a result or an error for each.

        Entries are independent: one may fail while others do not. An entry is either stored and published, or neither.
        One that was sent before (``since_ms``) is stored and published only if it is not there.

        Raises:
            BusNotReady: Redis took none, and will when its state has passed.
            BusUnavailable: the connection failed; any of the entries may or may not have been stored, or none
                if ``sent_ms`` is None.

        """
        self.sent_ms = None
        async with self._connected():
            replies, confirmed = await self._run(entries, replicas)
            if any(isinstance(reply, NoScriptError) for reply in replies):
                await self._begin(self._redis.execute_command)
                confirmed = await self._rerun(entries, replies, replicas)
        outcomes = [outcome(entry, reply, confirmed) for entry, reply in zip(entries, replies, strict=True)]
        if any(isinstance(it, BusNotReady) for it in outcomes):
            await self._redis.connection_pool.disconnect()  # its address may lead to another server by now
        return outcomes

    async def _greet(self, connection: AbstractConnection) -> None:
        """Begin on each new connection before anything else: after a restart it leads to a Redis that has nothing.

        Noticed half way through a pipeline, a missing script would cost the order: what was refused comes last then.
        """
        await connection.on_connect()
        self._clock.forget()
        ask = functools.partial(_ask, connection)
        await self._replace(ask)
        with suppress(ResponseError):  # a full or read-only Redis can still be read; a publish says what is wrong
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
            self._predecessor = (info["id"], info["addr"])

    async def _begin(self, ask: Callable[..., Awaitable[Reply]]) -> None:
        """Ask for the time, load the script, and set the birth of this Redis if nobody has."""
        redis_ms = _ms(*await ask("TIME"))
        self._clock.take(redis_ms, _now())
        await ask("SCRIPT LOAD", SCRIPT)
        await ask("SET", BIRTH_KEY, f"{int(redis_ms)}-{secrets.token_hex(8)}", "NX")

    async def _run(self, entries: Iterable[Entry], replicas: Replicas | None) -> tuple[list[Reply], int | None]:
        """Send the commands for ``entries``; return an answer for each, and how many replicas confirmed them all."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            # Taken here: where no connection can be made, nothing was sent, and what is sent next is no repetition.
            pipeline.connection = await self._redis.connection_pool.get_connection()  # type: ignore[no-untyped-call, unused-ignore]
            now_s = _now()
            is_stale = self._clock.is_stale(now_s)
            self.sent_ms = self._clock.floor_ms(now_s) if self.sent_ms is None else self.sent_ms
            if is_stale:
                pipeline.time()
            for entry in entries:
                queue(pipeline, entry)
            if replicas is not None:
                pipeline.wait(replicas.count, replicas.timeout_ms)
            replies = list(await pipeline.execute(raise_on_error=False))
        if is_stale and not isinstance(time := replies.pop(0), Exception):
            self._clock.take(_ms(*time), _now())
        if replicas is None:
            return replies, None
        confirmed = replies.pop()
        return replies, confirmed if isinstance(confirmed, int) else 0

    async def _rerun(self, entries: Sequence[Entry], replies: list[Reply], replicas: Replicas | None) -> int | None:
        """Run again what failed for want of the script: somebody flushed it, and Redis did nothing with those."""
        missing = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        again, confirmed = await self._run([entries[index] for index in missing], replicas)
        for index, reply in zip(missing, again, strict=True):
            replies[index] = reply
        return confirmed

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

    async def tail(
        self, channel: Channel, *, limit_events: int = REPLAY_EVENTS, limit_bytes: int = REPLAY_BYTES
    ) -> Tail:
        """Return the newest part of a channel's log, within the limits; all of it where it is smaller.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        async with self._connected():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.time()
            pipeline.get(BIRTH_KEY)
            pipeline.xinfo_stream(channel.log_key)
            pipeline.xrevrange(channel.log_key, count=_PAGE)
            (seconds, micros), birth, info, page = await pipeline.execute(raise_on_error=False)
            first, first_previous, last = _ends(info)
            if birth is None:  # somebody flushed this Redis: it begins now, and nobody can know what was before
                await self._begin(self._redis.execute_command)
        lines, is_cut = await self._lines_before(channel, page, limit_events, limit_bytes)
        if lines and not is_cut:  # what was trimmed while further pages were read is not there any more
            first, first_previous = lines[0].position, lines[0].previous
        now_ms = seconds * 1000 + micros // 1000
        birth_ms = int(birth.partition(b"-")[0]) if birth else now_ms
        return Tail(now_ms, birth_ms, lines, first, first_previous, last, is_cut)

    async def _lines_before(
        self, channel: Channel, page: list[StreamEntry], limit_events: int, limit_bytes: int
    ) -> tuple[tuple[Arrived, ...], bool]:
        """Return lines, oldest first, back from the newest ``page`` to a limit, and whether the limit cut some off.

        They end where the chain does: another Redis may answer for the next page, and one that lacks some between.
        """
        lines: list[Arrived] = []
        size, is_cut = 0, False
        async for position, fields in self._backwards(channel, page):
            if lines and lines[-1].previous != position:
                break
            line = _published(position.encode(), fields)
            size += len(line)
            is_cut = len(lines) >= limit_events or (size > limit_bytes and bool(lines))
            if is_cut:
                break
            lines.append(Arrived(line, position, fields[b"previous"].decode()))
        return tuple(reversed(lines)), is_cut

    async def _backwards(
        self, channel: Channel, page: list[StreamEntry] | None = None
    ) -> AsyncIterator[tuple[str, Mapping[bytes, bytes]]]:
        """Go through a log from its end, or from the ``page`` at its end, to its beginning."""
        page = await self._newest(channel, "+", _PAGE) if page is None else page
        while True:
            for entry_id, fields in page:
                yield entry_id.decode(), fields
            if len(page) < _PAGE:
                return
            page = await self._newest(channel, f"({page[-1][0].decode()}", _PAGE)

    async def _newest(self, channel: Channel, before: str, count: int) -> list[StreamEntry]:
        async with self._connected():
            return cast(list[StreamEntry], await self._redis.xrevrange(channel.log_key, max=before, count=count))

    async def birth(self) -> str:
        """Return when this Redis began, and which one it is: ``<ms>-<random>``.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        async with self._connected():
            birth = cast(bytes | None, await self._redis.get(BIRTH_KEY))
        return birth.decode() if birth else ""

    async def send_probe(self, channel: str, token: str) -> None:
        """Publish ``token`` on an edge's own channel, past every log."""
        async with self._connected():
            await self._redis.publish(channel, token)

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
        with converted(self._url):
            if not self._is_known:
                await self._begin(self._redis.execute_command)
                self._is_known = True
            yield


async def _ask(connection: AbstractConnection, *command: str) -> Reply:
    await connection.send_command(*command)
    return await connection.read_response()


def _ms(seconds: int | bytes, micros: int | bytes) -> float:
    return int(seconds) * 1000 + int(micros) / 1000


def _now() -> float:
    return asyncio.get_running_loop().time()


def _head(channel: Channel, entries: list[StreamEntry], none_yet: str) -> Head:
    if channel.retention.kind == "live":
        return Head(None, None)
    if not entries:
        return Head(none_yet, None)
    entry_id, fields = entries[0]
    return Head(entry_id.decode(), _published(entry_id, fields))


def _published(entry_id: bytes, fields: Mapping[bytes, bytes]) -> bytes:
    return splice(fields[b"line"], entry_id.decode(), fields[b"previous"].decode())


def _ends(info: Any) -> tuple[str | None, str | None, str]:
    """Return the first entry's id and predecessor, and the last id, of what ``XINFO STREAM`` said, or failed to."""
    if isinstance(info, ResponseError):
        if "no such key" not in str(info).lower():
            raise info
        return None, None, BEGINNING
    last = info["last-generated-id"].decode()
    if info["first-entry"] is None:
        return None, None, last
    entry_id, fields = info["first-entry"]
    return entry_id.decode(), fields[b"previous"].decode(), last


def _past_event(position: str, line: bytes) -> PastEvent:
    value = orjson.loads(line)
    return PastEvent(value["event"], value["data"], value["timestamp"], position)
