"""The log for its readers.

A log is a stream of Redis, with the keys of ``bus.channel``. Each way of reading has a module of its own below.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from bus.channel import Channel
from bus.log.entries import Ends, StreamEntry, ends, published
from bus.log.forks import Fork
from bus.log.history import HISTORY_BYTES, History
from bus.log.marks import Marks
from bus.log.pages import Pages
from bus.log.pasts import Pasts
from bus.log.reading import Reading
from bus.log.replay import REPLAY_BYTES, REPLAY_EVENTS, State, Tail
from bus.log.tails import Tails
from bus.position import BEGINNING, no_log
from bus.redis.announcer import Announcer
from bus.redis.clock import redis_ms
from bus.redis.refusals import all_checked, checked
from bus.values import frozen

__all__ = ["Head", "History", "Log"]


@frozen
class Head:
    """The end of a channel's log: where a new reader stands, and the last line as published.

    Attributes:
        position: None on a ``live`` channel.
        last: None where there is no log.
        forks: the places where the log lost events.

    """

    position: str | None
    last: bytes | None
    forks: tuple[Fork, ...] = ()


class Log(Announcer):
    """A connection for reading logs, and for an edge's announcements.

    Every method raises ``BusUnavailable`` where Redis did not answer, and ``BusError`` where Redis refused.
    """

    def __init__(self, url: str, *, name: str) -> None:
        super().__init__(url, name=name)
        self._pages = Pages(self)
        self._marks = Marks(self, self._pages)
        self._tails = Tails(self, self._pages, self._marks)
        self._pasts = Pasts(self._pages)

    @property
    def unreadable(self) -> int:
        """How often an entry or a key of other writers was passed over."""
        return self._pages.unreadable

    async def heads(self, channels: Sequence[Channel], *, keeps: bool = False) -> list[Head]:
        """Return where each channel's log ends, in one round trip, or two where some have no entries.

        A key of another type is no log; a warning tells of the key.

        Args:
            channels: those asked for; a ``live`` one costs no command.
            keeps: whether the lives of logs and marks begin anew, as ``keep`` does, in the same round trip. Only an
                emptied log takes a second one then. A refusal to keep a log is passed over.

        """
        logged = [channel for channel in channels if channel.retention.kind != "live"]
        heads = dict(zip(logged, await self._logged_heads(logged, keeps=keeps), strict=True)) if logged else {}
        return [heads.get(channel, Head(None, None)) for channel in channels]

    async def _logged_heads(self, channels: Sequence[Channel], *, keeps: bool) -> list[Head]:
        each = 4 if keeps else 2
        async with self.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            pipeline.time()
            for channel in channels:
                pipeline.xrevrange(channel.log_key, count=1)
                self._marks.ask(pipeline, channel)
                if keeps:
                    self._keep(pipeline, channel)
            for channel in channels if keeps else ():
                self._keep_state(pipeline, channel)
            time, *answers = await pipeline.execute(raise_on_error=False)
            del answers[each * len(channels) :]  # a refusal to keep a state is passed over, too
            none_yet = no_log(int(redis_ms(*checked(time))))
            pages = [self._pages.page(*pair) for pair in zip(channels, answers[::each], strict=True)]
            marks = map(self._marks.read, channels, answers[1::each])
            # PEXPIRE answers 0 for a key that is not there: nothing more is to be learned of such a log.
            is_absent = [kept == 0 for kept in answers[2::each]] if keeps else [False] * len(channels)
            unsure = [it for it, page, gone in zip(channels, pages, is_absent, strict=True) if not page and not gone]
            emptied = await self._ends(unsure)
            return [
                replace(
                    await self._head(channel, next(iter(page), None), emptied.get(channel, Ends()), none_yet),
                    forks=found,
                )
                for channel, page, found in zip(channels, pages, marks, strict=True)
            ]

    async def _ends(self, channels: Sequence[Channel]) -> dict[Channel, Ends]:
        """Return the ends of logs without entries."""
        # decisions/0019: an emptied log ends with the last id that it generated; asked in a second round trip, which
        # only rooms without entries cost.
        if not channels:
            return {}
        async with self.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            for channel in channels:
                pipeline.xinfo_stream(channel.log_key)
            infos = await pipeline.execute(raise_on_error=False)
        return {channel: ends(info) for channel, info in zip(channels, infos, strict=True)}

    async def _head(self, channel: Channel, newest: StreamEntry | None, end: Ends, none_yet: str) -> Head:
        newest = newest or end.newest
        if newest is None:
            return Head(none_yet if end.last == BEGINNING else end.last, None)
        if self._pages.is_own(channel, newest[1]):
            return Head(newest[0].decode(), published(*newest))
        # decisions/0019: newcomers stand at a typed entry, since the next event names that entry as its predecessor;
        # the line to show is of the newest event before.
        lines = await self.lines(channel, count=1)
        return Head(newest[0].decode(), lines[0] if lines else None)

    async def history(
        self, channel: Channel, known: History | None = None, *, limit_bytes: int = HISTORY_BYTES
    ) -> History:
        """Return the past events of ``channel``, at most the newest ``limit_bytes`` of lines.

        Of a ``known`` log only later events are read; without later events the same history is returned. Where the log
        does not go on from there, all of the log is read anew. Work on many events gives way to other tasks.
        """
        if known is not None and known.known is not None:
            found = await self._pasts.advance(channel, known, limit_bytes)
            if found is not None:
                return found
        return await self._pasts.read(channel, limit_bytes)

    async def lines(self, channel: Channel, *, count: int) -> list[bytes]:
        """Return the newest ``count`` lines as published, oldest first."""
        lines: list[bytes] = []
        if not count:
            return lines
        async for position, fields in self._pages.backwards(channel, most=count):
            lines.append(published(position.encode(), fields))
            if len(lines) == count:
                break
        return lines[::-1]

    async def line_at(self, channel: Channel, position: str) -> bytes | None:
        """Return the line at ``position`` as published; None where the log has no event there."""
        page = await self._pages.newest(channel, position, 1, after=position)
        return next((published(at.encode(), fields) for at, fields in self._pages.own(channel, page)), None)

    async def line_of(self, channel: Channel, event_id: str) -> bytes | None:
        """Return the newest line of the event called ``event_id``, as published; reads back to that line."""
        wanted = event_id.encode(errors="replace")
        async for position, fields in self._pages.backwards(channel):
            if fields.get(b"id") == wanted:
                return published(position.encode(), fields)
        return None

    async def tail(
        self,
        channel: Channel,
        *,
        limit_events: int = REPLAY_EVENTS,
        limit_bytes: int = REPLAY_BYTES,
        reading: Reading | None = None,
        with_state: bool = False,
    ) -> Tail:
        """Return the newest part of a channel's log, within the limits; all of a smaller log. And the channel's state.

        A ``reading`` has limits of its own, and keeps the lines of a failed attempt for the next attempt.
        """
        if reading is None:
            reading = Reading(limit_events=limit_events, limit_bytes=limit_bytes)
        return await self._tails.read(channel, reading, with_state=with_state)

    async def past_of_state(self, channel: Channel, known: History | None = None) -> History:
        """Return the events of a channel's state, oldest first; the ``known`` ones where the log stands where it did.

        Of a truncated state, the events of the log are among them.
        """
        if known is not None and known.known is not None and known.known.last == await self._pasts.last(channel):
            return known
        tail = await self.tail(channel, limit_events=1, with_state=True)
        state = tail.state or State(())
        log = await self._pasts.read(channel, HISTORY_BYTES) if state.truncated else None
        return await self._pasts.of_state(channel, state, tail.last, log)

    async def mark(self, channel: Channel, found: Sequence[Fork]) -> None:
        """Note where the channel's log lost events that an edge had; the newest ``FORKS`` are kept, for some days."""
        await self._marks.add(channel, found)

    async def forks(self, channels: Sequence[Channel]) -> list[tuple[Fork, ...]]:
        """Return where each channel's log lost events, in one round trip."""
        return await self._marks.of(channels)

    async def keep(self, channels: Iterable[Channel]) -> None:
        """Begin the life of the channels' logs and marks anew, so that no log expires while clients watch."""
        async with self.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            for channel in channels:
                if channel.retention.kind != "live":
                    self._keep(pipeline, channel)
                    self._keep_state(pipeline, channel)
            all_checked(await pipeline.execute(raise_on_error=False))

    def _keep(self, pipeline: Any, channel: Channel) -> None:
        # decisions/0056: PEXPIRE, and not PERSIST, after which an unwatched log would stay for ever.
        pipeline.pexpire(channel.log_key, channel.retention.life_ms)
        self._marks.keep(pipeline, channel)

    def _keep_state(self, pipeline: Any, channel: Channel) -> None:
        for key in channel.state_keys if channel.keyed is not None else ():
            pipeline.pexpire(key, channel.retention.life_ms)
