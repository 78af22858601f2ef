"""Pages of logs over a connection: entries read from a log's end backwards, the bus's own told from typed entries."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from bus.channel import Channel
from bus.envelope import is_sound
from bus.log.entries import StreamEntry, is_own
from bus.log.reading import PAGE, PagePace, size_of
from bus.redis import library
from bus.redis.clock import now
from bus.redis.connection import Connection, Reply
from bus.redis.refusals import checked, is_wrong_type

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["Fields", "Pages"]

Fields: TypeAlias = Mapping[bytes, bytes]

_FOREIGN_LIMIT: Final = 1_000
"""The most channels remembered as told: a typed entry is told once per channel."""

_logger = logging.getLogger("edgebus.bus")


class Pages:
    """Reads pages of any log, over ``connection``.

    Attributes:
        pace: how much a page may hold on this path.
        unreadable: how often an entry or a key of other writers was passed over.

    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._foreign: set[str] = set()
        self._turn = asyncio.Lock()
        self.pace = PagePace()
        self.unreadable = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["Redis"]:
        """Enter the connection for one large read, after all large reads begun before.

        Raises:
            BusError: as ``Connection.connected`` does.

        """
        # decisions/0052: reads wait for each other without a deadline, since each has a deadline for its standstill.
        async with self._turn, self._connection.connected() as redis:
            yield redis

    async def newest(self, channel: Channel, before: str, count: int, *, after: str = "-") -> list[StreamEntry]:
        """Return up to ``count`` entries from ``before`` backwards to ``after``, typed ones included."""
        async with self.turn() as redis:
            began_s = now()
            try:
                page = cast(list[StreamEntry], await redis.xrevrange(channel.log_key, before, after, count))
            except library.ResponseError as error:
                return self.page(channel, error)
            self.pace.take(sum(size_of(fields) for _, fields in page), now() - began_s)
            return page

    async def at_end(self, channel: Channel, read: tuple[str | int, ...]) -> tuple[Reply, list[StreamEntry]]:
        """Return the answers to ``XINFO STREAM`` and to the command ``read``, both of the same moment."""
        async with self.turn() as redis:
            pipeline = redis.pipeline(transaction=True)
            pipeline.xinfo_stream(channel.log_key)
            pipeline.execute_command(*read)
            info, page = await pipeline.execute(raise_on_error=False)
        return info, self.page(channel, page)

    async def backwards(
        self,
        channel: Channel,
        page: list[StreamEntry] | None = None,
        *,
        asked: int = 0,
        most: int | None = None,
        after: str = "-",
    ) -> AsyncIterator[tuple[str, Fields]]:
        """Go through a log's own entries from its end to its beginning, or to ``after``; reads no more than ``most``.

        Args:
            channel: whose log.
            page: the page at the end, if known; None reads one.
            asked: how many entries that page was to have at most; fewer are the whole log.
            most: how many entries are wanted; None for all.
            after: the id to stop at, with ``(`` in front to stop before that entry.

        """
        size, seen, found = 0, 0, 0
        if page is None:
            asked = self.pace.count(None, most=PAGE if most is None else min(PAGE, most))
            page = await self.newest(channel, "+", asked)
        while True:
            for entry in self.own(channel, page):
                found += 1
                yield entry
            if len(page) < asked:
                return
            seen, size = seen + len(page), size + sum(size_of(fields) for _, fields in page)
            left = PAGE if most is None else max(1, min(PAGE, most - found))
            asked = self.pace.count(size / seen, most=left)
            page = await self.newest(channel, f"({page[-1][0].decode()}", asked, after=after)

    def own(self, channel: Channel, page: Iterable[StreamEntry]) -> Iterator[tuple[str, Fields]]:
        """Yield the bus's own entries of a page."""
        for entry_id, fields in page:
            if self.is_own(channel, fields):
                yield entry_id.decode(), fields
            else:
                # decisions/0019: a typed entry is no event, and breaks the chain for readers who cross the entry. To
                # link the events around anew would change bytes that other readers got.
                self.tell_foreign(channel, "passed over an entry that the bus did not write", entry_id.decode())

    def is_own(self, channel: Channel, fields: Fields) -> bool:
        """Tell whether an entry has the form and the line of the bus's own entries of this channel."""
        return is_own(fields) and is_sound(fields[b"line"], channel.name)

    def page(self, channel: Channel, answer: Reply) -> list[StreamEntry]:
        """Return the entries in Redis' answer; a key of another type has none.

        Raises:
            BusError: the answer is any other error.

        """
        if is_wrong_type(answer):
            self.tell_foreign(channel, "a key that should be a log holds something else", None)
            return []
        return cast(list[StreamEntry], checked(answer))

    def tell_foreign(self, channel: Channel, text: str, entry: str | None, key: str | None = None) -> None:
        """Count a change made by hand to a channel's log, or to another ``key`` of the channel; warn once a channel."""
        self.unreadable += 1
        if channel.redis in self._foreign:
            return
        if len(self._foreign) >= _FOREIGN_LIMIT:
            self._foreign.clear()
        self._foreign.add(channel.redis)
        # decisions/0049: told, and not mended, since the entry may mean something to its writer; without the content.
        _logger.warning(text, extra={"channel": channel.redis, "key": key or channel.log_key, "entry": entry})
