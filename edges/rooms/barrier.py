"""The order between the link and the log: no reader stands at a position before every line up to there has arrived.

A confirmation travels behind the lines that Redis published before. Knows no rooms and no subscribers.
"""

from collections.abc import Callable

from bus.channel import Channel
from bus.log.log import Head
from bus.log.replay import Start, Tail
from bus.redis.subscriber import Subscriber
from bus.values import frozen
from edges.rooms.log_reads import LogReads, end_of

__all__ = ["Barrier", "End"]


@frozen
class End:
    """Where a log ends, and the tail read to learn the end; None where no reader wanted a tail."""

    head: Head
    tail: Tail | None = None


class Barrier:
    """Waits on the link for the lines that Redis published.

    Args:
        link: confirms subscriptions behind the lines before.
        reads: reads logs.
        is_wanted: tells whether a channel is subscribed on purpose; a subscription renewed for a channel that was left
            meanwhile is taken back.

    """

    def __init__(self, link: Subscriber, reads: LogReads, is_wanted: Callable[[Channel], bool]) -> None:
        self._link, self._reads, self._is_wanted = link, reads, is_wanted

    async def wait(self, channel: Channel) -> None:
        """Return when every line that Redis published on ``channel`` until now has arrived.

        Raises:
            BusUnavailable: the link is down.

        """
        # SUBSCRIBE for a channel that is subscribed changes nothing; the confirmation comes behind those lines.
        await self._link.subscribe(channel.redis)
        if not self._is_wanted(channel):
            self._link.forget(channel.redis)

    async def end(self, channel: Channel, start: Start | None) -> End:
        """Return where a log ends, after every line up to there has arrived.

        The channel must be subscribed, and confirmed. With a ``start``, the same read brings what a reader that begins
        there is given: two round trips, and none for the replay (decisions/0074).

        Raises:
            BusUnavailable: Redis cannot be reached.
            BusError: Redis refused.

        """
        while True:
            generation = self._link.statistics().generation
            end = await self._read(channel, start)
            await self._link.subscribe(channel.redis)
            # Lines published between two links came by neither: only on one link does the confirmation prove anything.
            if generation == self._link.statistics().generation:
                return end

    async def _read(self, channel: Channel, start: Start | None) -> End:
        if start is None:
            return End(await self._reads.head(channel))
        tail = await self._reads.tail(channel, start)
        return End(end_of(tail) or await self._reads.head(channel), tail)
