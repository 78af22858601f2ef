"""Marks in Redis of the places where a log lost events (``bus.log.forks``): written by edges, read with logs.

A mark stands beside the log, in ``bus:forks:{channel}``: neither a publish nor a live line is touched by marks.
"""

from collections.abc import Sequence
from typing import Any, Final

from bus.channel import Channel
from bus.log.entries import forks
from bus.log.forks import FORKS, Fork
from bus.log.pages import Pages
from bus.redis.connection import Connection, Reply
from bus.redis.refusals import all_checked

__all__ = ["Marks"]

_LIVES: Final = 7
"""Lives of a log that its marks live: a publish makes the log's life longer, and knows nothing of marks."""
_READ: Final = 4 * FORKS
"""The most members read of one log's marks: people may have typed some, and none may cost the others."""


class Marks:
    """Marks of all logs, over ``connection``; typed members are told by ``pages``."""

    def __init__(self, connection: Connection, pages: Pages) -> None:
        self._connection, self._pages = connection, pages

    def ask(self, pipeline: Any, channel: Channel) -> None:
        """Add to a pipeline the command whose answer ``read`` takes."""
        # decisions/0018: read in the round trip that reads the log, so marks cost a reader no further one.
        pipeline.zrange(channel.forks_key, -_READ, -1, withscores=True)

    def read(self, channel: Channel, answer: Reply) -> tuple[Fork, ...]:
        """Return the marks in Redis' answer, oldest finding first.

        Raises:
            RedisError: the answer is an error, other than that the key has another type.

        """
        marks, unreadable = forks(answer)
        if unreadable:
            self._pages.tell_foreign(channel, "passed over marks that the bus did not write", None, channel.forks_key)
        return marks

    async def of(self, channels: Sequence[Channel]) -> list[tuple[Fork, ...]]:
        """Return the marks of each channel's log, in one round trip."""
        async with self._connection.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            for channel in channels:
                self.ask(pipeline, channel)
            return list(map(self.read, channels, await pipeline.execute(raise_on_error=False)))

    async def add(self, channel: Channel, found: Sequence[Fork]) -> None:
        """Write marks into Redis; the newest ``FORKS`` are kept."""
        if not found:
            return
        async with self._connection.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            pipeline.zadd(channel.forks_key, {fork.position: fork.found_ms for fork in found})
            pipeline.zremrangebyrank(channel.forks_key, 0, -FORKS - 1)
            self.keep(pipeline, channel)
            all_checked(await pipeline.execute(raise_on_error=False))

    def keep(self, pipeline: Any, channel: Channel) -> None:
        """Add to a pipeline the command that begins the life of a channel's marks anew."""
        pipeline.pexpire(channel.forks_key, _LIVES * channel.retention.expires_s * 1000)
