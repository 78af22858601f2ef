"""An edge's answers to operators, and its looks, on a connection opened for the first of both."""

from collections.abc import Mapping

from bus.redis.connection import Connection
from bus.redis.refusals import all_checked, checked

__all__ = ["Telling"]


class Telling(Connection):
    """A connection of an edge for operators.

    Every method raises ``BusUnavailable`` where Redis did not answer, and ``BusError`` where Redis refused.
    """

    async def tell(self, channel: str, message: bytes) -> None:
        """Publish an answer on an operator's own channel."""
        async with self.connected() as redis:
            checked(await redis.publish(channel, message))

    async def show(self, key: str, fields: Mapping[str, bytes], *, expires_s: float) -> None:
        """Write the hash ``key``, which expires."""
        async with self.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            pipeline.hset(key, items=[text for pair in fields.items() for text in pair])
            pipeline.pexpire(key, int(expires_s * 1000))
            all_checked(await pipeline.execute(raise_on_error=False))
