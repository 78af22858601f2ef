"""The log: one atomic publish, and reading what was published. The only module that knows the keys of logs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bus.channel import Channel
from bus.envelope import Arrived, is_sound
from bus.errors import BusError, BusNotReady
from bus.log.appending import SCRIPT, Appended, Entry, Replicas, command, outcome
from bus.log.entries import Ends, StreamEntry, ends, forks, is_own, published
from bus.log.forks import FORKS, Fork
from bus.log.history import HISTORY_BYTES, History, Weighed, advanced, deleted, made, weighed
from bus.log.reading import PAGE, Pace, Reading, size_of
from bus.log.replay import REPLAY_BYTES, REPLAY_EVENTS, Tail
from bus.position import BEGINNING, no_log
from bus.redis.address import without_password
from bus.redis.connection import Connection, Reply, now, redis_ms
from bus.redis.epoch import EPOCH_KEY, epoch_ms
from bus.redis.exchange import exchange
from bus.redis.failures import failure
from bus.redis.refusals import is_wrong_type, said
from bus.redis.role import is_untold, misplaced
from bus.slices import Slices

__all__ = ["Appended", "Entry", "Head", "History", "Log", "Replicas"]

_PAGE: Final = PAGE
_FORK_LIVES: Final = 7
"""How many lives of a log its marks live: a log lives on with every event, and publishing knows nothing of marks."""
_MARKS: Final = 4 * FORKS
"""How many members are read of the marks of one log: somebody may have typed some, and none must cost the rest."""
_FOREIGN_LIMIT: Final = 1_000
"""How many channels are remembered whose log somebody wrote to by hand."""

_CUTS: Final = (RedisConnectionError, RedisTimeoutError, OSError)
"""What a command has for an answer when its line was cut."""

_logger = logging.getLogger("edgebus.bus")


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a channel's log: where a reader that starts now stands, and the last line as it was published.

    ``position`` is None on a ``live`` channel; ``last`` is None where there is no log. ``forks``: where it lost events.
    """

    position: str | None
    last: bytes | None
    forks: tuple[Fork, ...] = ()


class Log(Connection):
    """A connection for publishing and reading logs."""

    def __init__(self, url: str, *, name: str, appends: bool = True) -> None:
        super().__init__(url, name=name, script=SCRIPT if appends else None)
        self._appends = appends
        self._foreign: set[str] = set()
        self._pace = Pace()
        self._turn = asyncio.Lock()
        """Of large reads: they wait for each other without a deadline, for each has one for its own standstill."""
        self._asks_role = True
        self.sent_ms: int | None = None
        """A time by Redis' clock, not after the last ``append`` was sent; None when that sent nothing."""
        self.unreadable = 0
        """How often something that the bus did not write was passed over."""

    async def append(self, entries: Sequence[Entry], *, replicas: Replicas | None = None) -> list[Appended | BusError]:
        """Store and publish every entry, in order, in one pipeline; return a result or an error for each.

        Entries are independent: one may fail while others do not. An entry is either stored and published, or neither.
        One that was sent before (``since_ms``) is stored and published only if it is not there.

        Raises:
            BusNotReady: Redis took none, and will when its state has passed.
            BusUnavailable: the connection failed before any entry was answered; any may or may not have been stored,
                or none if ``sent_ms`` is None. Once some are answered, this is the error of those that are not.
            RuntimeError: this log was made with ``appends=False``.

        """
        if not self._appends:
            raise RuntimeError("this log was made with appends=False")
        self.sent_ms = None
        async with self._connected():
            replies, confirmed = await self._run(entries, replicas)
            if any(isinstance(reply, NoScriptError) for reply in replies):
                confirmed = await self._rerun(entries, replies, replicas)
        outcomes = [self._outcome(entry, reply, confirmed) for entry, reply in zip(entries, replies, strict=True)]
        if any(isinstance(it, BusNotReady) for it in outcomes):
            await self._redis.connection_pool.disconnect()  # its address may lead to another server by now
        return outcomes

    def _outcome(self, entry: Entry, reply: Reply, confirmed: int | None) -> Appended | BusError:
        if isinstance(reply, _CUTS):
            return failure(reply, self._url)
        return outcome(entry, reply, confirmed)

    async def _run(self, entries: Iterable[Entry], replicas: Replicas | None) -> tuple[list[Reply], int | None]:
        """Send the commands for ``entries``; return an answer for each, and how many replicas confirmed them all."""
        # Taken here: where no connection can be made, nothing was sent, and what is sent next is no repetition.
        pool = self._redis.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call, unused-ignore]
        try:
            now_s = now()
            is_stale = self._clock.is_stale(now_s)
            self.sent_ms = self._clock.floor_ms(now_s) if self.sent_ms is None else self.sent_ms
            appending = [command(entry, by_function=self._calls_function) for entry in entries]
            commands = [*([("TIME",)] if is_stale else []), *appending]
            if replicas is not None:
                commands.append(("WAIT", replicas.count, replicas.timeout_ms))
            replies = await exchange(connection, commands)
        finally:
            await pool.release(connection)
        if is_stale and not isinstance(time := replies.pop(0), Exception):
            self._clock.take(redis_ms(*time), now())
        return replies, None if replicas is None else _confirmed(replies)

    async def _rerun(self, entries: Sequence[Entry], replies: list[Reply], replicas: Replicas | None) -> int | None:
        """Run again what failed for want of the script: somebody flushed it, and Redis did nothing with those."""
        missing = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        try:
            await self._begin(self._redis.execute_command)
            again, confirmed = await self._run([entries[index] for index in missing], replicas)
        except (RedisError, OSError) as error:  # what needs no script may be there: these are refused, not all
            again, confirmed = [error] * len(missing), None if replicas is None else 0
        for index, reply in zip(missing, again, strict=True):
            replies[index] = reply
        return confirmed

    async def heads(self, channels: Sequence[Channel]) -> list[Head]:
        """Return where each channel's log ends, in one round trip, or two where some have no entries.

        A key of another type is no log; it is told in a warning.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        async with self._connected():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.time()
            for channel in channels:
                pipeline.xrevrange(channel.log_key, count=1)
                pipeline.zrange(channel.forks_key, -_MARKS, -1, withscores=True)
            time, *answers = await pipeline.execute(raise_on_error=False)
            none_yet = no_log(int(redis_ms(*_checked(time))))
            pages = [self._page(channel, page) for channel, page in zip(channels, answers[::2], strict=True)]
            emptied = await self._ends([channel for channel, page in zip(channels, pages, strict=True) if not page])
        ended = (
            await self._head(channel, next(iter(page), None), emptied.get(channel, Ends()), none_yet)
            for channel, page in zip(channels, pages, strict=True)
        )
        marks = map(self._forks, channels, answers[1::2])
        return [replace(head, forks=next(marks)) async for head in ended]

    async def _ends(self, channels: Sequence[Channel]) -> dict[Channel, Ends]:
        """Return the ends of logs that seem to be empty: the ids that they generated count still."""
        if not channels:
            return {}
        pipeline = self._redis.pipeline(transaction=False)
        for channel in channels:
            pipeline.xinfo_stream(channel.log_key)
        infos = await pipeline.execute(raise_on_error=False)
        return {channel: ends(info) for channel, info in zip(channels, infos, strict=True)}

    async def _head(self, channel: Channel, newest: StreamEntry | None, end: Ends, none_yet: str) -> Head:
        if channel.retention.kind == "live":
            return Head(None, None)
        newest = newest or end.newest
        if newest is None:
            return Head(none_yet if end.last == BEGINNING else end.last, None)
        if _is_own(channel, newest[1]):
            return Head(newest[0].decode(), published(*newest))
        lines = await self.lines(channel, count=1)
        return Head(newest[0].decode(), lines[0] if lines else None)

    async def history(
        self, channel: Channel, known: History | None = None, *, limit_bytes: int = HISTORY_BYTES
    ) -> History:
        """Return the past events of ``channel``, at most the newest ``limit_bytes`` of lines.

        Of a log that is ``known`` only what came since is read; where nothing did, that same history is returned. Where
        the log does not go on from there, all of it is read anew. Work on many events gives way to other tasks.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        if known is not None and known.known is not None:
            found = await self._advanced(channel, known, limit_bytes)
            if found is not None:
                return found
        asked = self._pace.count(None, most=_PAGE)
        info, page = await self._end(channel, ("XREVRANGE", channel.log_key, "+", "-", "COUNT", asked))
        slices, entries, size, is_cut = Slices(), list[Weighed](), 0, False
        async for entry_id, fields in self._backwards(channel, page, asked=asked):
            await slices.give_way()
            entry = self._weighed(channel, entry_id, fields)
            size += entry.size
            is_cut = size > limit_bytes and bool(entries)
            if is_cut:
                break
            entries.append(entry)
        return made(entries[::-1], ends(info).last, deleted(info), is_cut=is_cut)

    async def _advanced(self, channel: Channel, history: History, limit_bytes: int) -> History | None:
        """Return ``history`` with what came since, None where it has to be read anew: soon, too, where much came."""
        after = f"({history.known.last if history.known is not None else BEGINNING}"
        asked = self._pace.count(None, most=_PAGE)
        info, page = await self._end(channel, ("XREVRANGE", channel.log_key, "+", after, "COUNT", asked))
        slices, entries, size = Slices(), list[Weighed](), 0
        last = page[0][0].decode() if page else after[1:]
        async for entry_id, fields in self._backwards(channel, page, asked=asked, after=after):
            await slices.give_way()
            entries.append(self._weighed(channel, entry_id, fields))
            size += entries[-1].size
            if size > limit_bytes:
                return None
        return advanced(history, ends(info), deleted(info), entries[::-1], last=last, limit_bytes=limit_bytes)

    async def _end(self, channel: Channel, read: tuple[str | int, ...]) -> tuple[Reply, list[StreamEntry]]:
        """Return what ``XINFO STREAM`` says of a log, and what the command ``read`` finds in it in the same moment."""
        async with self._turn, self._connected():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.xinfo_stream(channel.log_key)
            pipeline.execute_command(*read)
            info, page = await pipeline.execute(raise_on_error=False)
        return info, self._page(channel, page)

    def _weighed(self, channel: Channel, position: str, fields: Mapping[bytes, bytes]) -> Weighed:
        entry = weighed(position, fields)
        if entry.event is None:
            self._tell_foreign(channel, "passed over an entry that is no event, or too wide or deep a one", position)
        return entry

    async def lines(self, channel: Channel, *, count: int) -> list[bytes]:
        """Return the newest ``count`` lines as they were published, oldest first.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        lines: list[bytes] = []
        if not count:
            return lines
        async for position, fields in self._backwards(channel, most=count):
            lines.append(published(position.encode(), fields))
            if len(lines) == count:
                break
        return lines[::-1]

    async def tail(
        self,
        channel: Channel,
        *,
        limit_events: int = REPLAY_EVENTS,
        limit_bytes: int = REPLAY_BYTES,
        reading: Reading | None = None,
    ) -> Tail:
        """Return the newest part of a channel's log, within the limits; all of it where it is smaller.

        With a ``reading``, that has the limits, and keeps what was read for the next attempt when this one fails.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        reading = Reading(limit_events=limit_events, limit_bytes=limit_bytes) if reading is None else reading
        reading.begin()
        asked = self._pace.count(None, most=reading.most(_PAGE))
        async with self._turn, self._connected():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.time()
            pipeline.get(EPOCH_KEY)
            pipeline.xinfo_stream(channel.log_key)
            pipeline.xrevrange(channel.log_key, count=asked)
            pipeline.zrange(channel.forks_key, -_MARKS, -1, withscores=True)
            time, epoch, info, page, marks = await pipeline.execute(raise_on_error=False)
            now_ms, end = int(redis_ms(*_checked(time))), ends(info)
            if epoch is None:  # somebody flushed this Redis: it begins now, and nobody can know what was before
                await self._begin(self._redis.execute_command)
        await self._read_back(channel, self._page(channel, page), asked, reading, end.first)
        lines, is_cut = reading.lines, reading.is_cut
        first, first_previous = end.first, end.first_previous
        if lines and not is_cut:  # what was trimmed while further pages were read is not there any more
            first, first_previous = lines[0].position, lines[0].previous
        life_ms = channel.retention.expires_s * 1000
        began_ms, found = self._began(epoch, now_ms), self._forks(channel, marks)
        return Tail(now_ms, began_ms, lines, first, first_previous, end.last, is_cut, life_ms, found)

    def _began(self, epoch: Reply, now_ms: int) -> int:
        """Return when this Redis began; just now where nobody knows, so that whoever comes back is told so."""
        began_ms = epoch_ms(epoch)
        if began_ms is None and epoch is not None:
            self._tell_epoch()
        return now_ms if began_ms is None else began_ms

    async def _read_back(
        self, channel: Channel, page: list[StreamEntry], asked: int, reading: Reading, first: str | None
    ) -> None:
        """Read on from the ``page`` at a log's end, for which so many were ``asked``; ``first`` is the log's own."""
        while True:
            for position, fields in self._own(channel, page):
                if not reading.wants(position):
                    return
                line = published(position.encode(), fields)
                is_wanted = reading.take(Arrived(line, position, fields[b"previous"].decode()))
                has_leapt = reading.take_over()
                reading.end_if_full(first)
                if reading.is_done or not is_wanted:
                    return
                if has_leapt:
                    break
            else:
                has_leapt = False
            if len(page) < asked and not has_leapt:
                return
            before = reading.reached if has_leapt else page[-1][0].decode()
            asked = self._pace.count(reading.entry_bytes, most=reading.most(_PAGE))
            page = await self._newest(channel, f"({before}", asked)

    async def _backwards(
        self,
        channel: Channel,
        page: list[StreamEntry] | None = None,
        *,
        asked: int = 0,
        most: int | None = None,
        after: str = "-",
    ) -> AsyncIterator[tuple[str, Mapping[bytes, bytes]]]:
        """Go through a log's own entries from its end to its beginning, or to ``after``; no more is read than ``most``.

        A ``page`` at the end may be known, for which so many were ``asked``.
        """
        size, seen, found = 0, 0, 0
        if page is None:
            asked = self._pace.count(None, most=_PAGE if most is None else min(_PAGE, most))
            page = await self._newest(channel, "+", asked)
        while True:
            for entry in self._own(channel, page):
                found += 1
                yield entry
            if len(page) < asked:
                return
            seen, size = seen + len(page), size + sum(size_of(fields) for _, fields in page)
            left = _PAGE if most is None else max(1, min(_PAGE, most - found))
            asked = self._pace.count(size / seen, most=left)
            page = await self._newest(channel, f"({page[-1][0].decode()}", asked, after=after)

    def _own(self, channel: Channel, page: Iterable[StreamEntry]) -> Iterator[tuple[str, Mapping[bytes, bytes]]]:
        """Yield those entries of a page that the bus wrote."""
        for entry_id, fields in page:
            if _is_own(channel, fields):
                yield entry_id.decode(), fields
            else:
                self._tell_foreign(channel, "passed over an entry that the bus did not write", entry_id.decode())

    async def _newest(self, channel: Channel, before: str, count: int, *, after: str = "-") -> list[StreamEntry]:
        async with self._turn, self._connected():
            began_s = now()
            try:
                page = cast(list[StreamEntry], await self._redis.xrevrange(channel.log_key, before, after, count))
            except ResponseError as error:
                return self._page(channel, error)
            self._pace.take(sum(size_of(fields) for _, fields in page), now() - began_s)
            return page

    def _page(self, channel: Channel, answer: Reply) -> list[StreamEntry]:
        """Return the entries that Redis gave; a key of another type has none."""
        if is_wrong_type(answer):
            self._tell_foreign(channel, "a key that should be a log holds something else", None)
            return []
        return cast(list[StreamEntry], _checked(answer))

    def _tell_foreign(self, channel: Channel, what: str, entry: str | None, key: str | None = None) -> None:
        """Say once per channel what somebody did to its log by hand, or to another key of it."""
        self.unreadable += 1
        if channel.redis in self._foreign:
            return
        if len(self._foreign) >= _FOREIGN_LIMIT:
            self._foreign.clear()
        self._foreign.add(channel.redis)
        _logger.warning(what, extra={"channel": channel.redis, "key": key or channel.log_key, "entry": entry})

    async def send_probe(self, channel: str, token: str) -> str | None:
        """Publish ``token`` on an edge's own channel, past every log; return why the server is none to publish to.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        async with self._connected():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.publish(channel, token)
            if self._asks_role:
                pipeline.execute_command("ROLE")
            sent, *role = await pipeline.execute(raise_on_error=False)
            _checked(sent)
        return self._misplaced(role[0]) if role else None

    def _misplaced(self, role: Reply) -> str | None:
        """Return what a role says against this server; one that may not be asked for is asked for no more."""
        if isinstance(role, Exception):
            self._asks_role = not is_untold(said(role))
            return None
        where = misplaced(role)
        return where and f"Redis at {without_password(self._url)} {where}"

    def forget(self) -> None:
        """Take note that Redis may be another one now."""
        super().forget()
        self._asks_role = True

    async def mark(self, channel: Channel, found: Sequence[Fork]) -> None:
        """Note where the channel's log lost events that an edge had; the newest ``FORKS`` are kept, for some days.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        if not found:
            return
        async with self._connected():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.zadd(channel.forks_key, {fork.position: fork.found_ms for fork in found})
            pipeline.zremrangebyrank(channel.forks_key, 0, -FORKS - 1)
            pipeline.pexpire(channel.forks_key, _FORK_LIVES * channel.retention.expires_s * 1000)
            _all_checked(await pipeline.execute(raise_on_error=False))

    async def forks(self, channels: Sequence[Channel]) -> list[tuple[Fork, ...]]:
        """Return where each channel's log lost events, in one round trip.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        async with self._connected():
            pipeline = self._redis.pipeline(transaction=False)
            for channel in channels:
                pipeline.zrange(channel.forks_key, -_MARKS, -1, withscores=True)
            return list(map(self._forks, channels, await pipeline.execute(raise_on_error=False)))

    def _forks(self, channel: Channel, answer: Reply) -> tuple[Fork, ...]:
        marks, unreadable = forks(answer)
        if unreadable:
            self._tell_foreign(channel, "passed over marks that the bus did not write", None, channel.forks_key)
        return marks

    async def keep(self, channels: Iterable[Channel]) -> None:
        """Begin the life of the channels' logs and marks anew, so that what somebody watches does not expire."""
        async with self._connected():
            pipeline = self._redis.pipeline(transaction=False)
            for channel in channels:
                if channel.retention.kind != "live":
                    pipeline.pexpire(channel.log_key, channel.retention.expires_s * 1000)
                    pipeline.pexpire(channel.forks_key, _FORK_LIVES * channel.retention.expires_s * 1000)
            _all_checked(await pipeline.execute(raise_on_error=False))

    async def announce(self, key: str, fields: Mapping[str, str | int], *, expires_s: float) -> None:
        """Write the hash ``key`` anew and let it expire; how an edge says that it is there."""
        async with self._connected():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.hset(key, items=[text for pair in fields.items() for text in pair])
            pipeline.pexpire(key, int(expires_s * 1000))
            _all_checked(await pipeline.execute(raise_on_error=False))

    async def withdraw(self, key: str) -> None:
        """Remove what ``announce`` wrote."""
        async with self._connected():
            await self._redis.delete(key)


def _confirmed(replies: list[Reply]) -> int:
    """Take the answer to ``WAIT`` off the end; whoever waits for replicas learns nothing from half of the answers.

    Raises:
        Exception: what cut the line before that answer.

    """
    confirmed = replies.pop()
    if isinstance(confirmed, _CUTS):
        raise confirmed
    return confirmed if isinstance(confirmed, int) else 0


def _is_own(channel: Channel, fields: Mapping[bytes, bytes]) -> bool:
    """Tell whether the bus wrote an entry of this channel's log, or somebody what could pass for one."""
    return is_own(fields) and is_sound(fields[b"line"], channel.name)


def _checked(answer: Reply) -> Reply:
    """Return what Redis answered, raise it if it is an error."""
    if isinstance(answer, Exception):
        raise answer
    return answer


def _all_checked(answers: Iterable[Reply]) -> None:
    """Raise the first error among answers as Redis gave it: the client library would quote the command in its text."""
    for answer in answers:
        _checked(answer)
