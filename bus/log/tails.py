"""Reading a log's newest part for returning clients (``bus.log.replay``), page by page from the log's end."""

from typing import NamedTuple

from bus.channel import Channel
from bus.envelope import Arrived
from bus.log.entries import Ends, StreamEntry, ends, published
from bus.log.forks import Fork
from bus.log.marks import Marks
from bus.log.pages import Pages
from bus.log.reading import PAGE, Reading
from bus.log.replay import Tail
from bus.log.states import States
from bus.redis.clock import redis_ms
from bus.redis.connection import Connection, Reply
from bus.redis.keys import EPOCH_KEY
from bus.redis.refusals import checked

__all__ = ["Tails"]


class _End(NamedTuple):
    """The end of a log at a single moment: Redis' clock, the beginning of this Redis, and the first page."""

    now_ms: int
    began_ms: int
    ends: Ends
    page: list[StreamEntry]
    asked: int
    forks: tuple[Fork, ...]
    state: Reply = None
    """The unread answer; None where no state was asked for."""


class Tails:
    """Tails of all logs, over ``connection``."""

    def __init__(self, connection: Connection, pages: Pages, marks: Marks) -> None:
        self._connection, self._pages, self._marks = connection, pages, marks
        self._states = States(pages)

    async def read(self, channel: Channel, reading: Reading, *, with_state: bool = False) -> Tail:
        """Return the newest part of a channel's log, within the limits of ``reading``; and the channel's state then."""
        reading.begin()
        end = await self._end(channel, reading, with_state=with_state)
        state = await self._states.read(channel, end.state, end.ends.last) if with_state else None
        await self._read_back(channel, end, reading)
        lines, is_cut = reading.lines, reading.is_cut
        first, first_previous = end.ends.first, end.ends.first_previous
        if lines and not is_cut:  # entries trimmed while further pages were read are not there any more
            first, first_previous = lines[0].position, lines[0].previous
        life_ms = channel.retention.expires_s * 1000
        known = (end.now_ms, end.began_ms, lines, first, first_previous, end.ends.last, is_cut)
        return Tail(*known, life_ms, end.forks, state)

    async def _end(self, channel: Channel, reading: Reading, *, with_state: bool) -> _End:
        asked = self._pages.pace.count(None, most=reading.most(PAGE))
        async with self._pages.turn() as redis:
            # A transaction: clock, epoch, ends and page of different moments would contradict each other.
            pipeline = redis.pipeline(transaction=True)
            pipeline.time()
            pipeline.get(EPOCH_KEY)
            pipeline.xinfo_stream(channel.log_key)
            pipeline.xrevrange(channel.log_key, count=asked)
            self._marks.ask(pipeline, channel)
            if with_state:
                self._states.ask(pipeline, channel)
            time, epoch, info, page, marks, *states = await pipeline.execute(raise_on_error=False)
            now_ms, found = int(redis_ms(*checked(time))), ends(info)
            if epoch is None:  # Redis was flushed, and begins now: all positions of before are unknown
                await self._connection.begin_anew()
        began_ms = self._connection.began_ms(epoch, now_ms)
        marked = self._marks.read(channel, marks)
        return _End(now_ms, began_ms, found, self._pages.page(channel, page), asked, marked, *states)

    async def _read_back(self, channel: Channel, end: _End, reading: Reading) -> None:
        """Read on from the page at a log's end, until ``reading`` is done or the log has no more."""
        page, asked = end.page, end.asked
        while True:
            for position, fields in self._pages.own(channel, page):
                if not reading.wants(position):
                    return
                line = published(position.encode(), fields)
                is_wanted = reading.take(Arrived(line, position, fields[b"previous"].decode()))
                has_leapt = reading.take_over()
                reading.end_if_full(end.ends.first)
                if reading.is_done or not is_wanted:
                    return
                if has_leapt:
                    break
            else:
                has_leapt = False
            if reading.ends_with_page or (len(page) < asked and not has_leapt):
                return
            before = reading.reached if has_leapt else page[-1][0].decode()
            asked = self._pages.pace.count(reading.entry_bytes, most=reading.most(PAGE))
            page = await self._pages.newest(channel, f"({before}", asked)
