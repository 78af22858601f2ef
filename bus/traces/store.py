"""Stages in Redis: a hash for each event, and an index of the newest. Both expire, and both are bounded in number."""

import time
from collections.abc import Sequence
from typing import Any, Final

from bus.redis.connection import Connection
from bus.redis.keys import TRACES_KEY, trace_key
from bus.redis.refusals import all_checked, checked
from bus.traces.lines import Marked
from bus.traces.stages import Handover, Stages, fields_of, stages_of

__all__ = ["LIFE_S", "MOST_EVENTS", "MOST_FIELDS", "TraceStore"]

LIFE_S: Final = 3_600
"""Stages are kept for so long after the last edge wrote some."""
MOST_EVENTS: Final = 10_000
"""The oldest go, when there are more: some ten megabytes in all."""
MOST_FIELDS: Final = 256
"""The most fields of one event; what more edges say is left out."""
_TRIM: Final = 1_000


class TraceStore:
    """Writes and reads stages over ``connection``, in turns with the connection's other users.

    Every method raises ``BusUnavailable`` where Redis did not answer, and ``BusError`` where Redis refused.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, told: Sequence[tuple[Marked, Handover]]) -> None:
        """Write an edge's stages of some events."""
        now_ms = int(time.time() * 1000)
        async with self._connection.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            for marked, _ in told:
                pipeline.hlen(trace_key(marked.id))
            lengths = await pipeline.execute(raise_on_error=False)
            # A second round trip, off the hot path: a hash that grows with every event of one id would have no bound.
            for (marked, handover), length in zip(told, lengths, strict=True):
                if isinstance(length, int) and length < MOST_FIELDS:  # another type, typed by hand, is left alone
                    key, fields = trace_key(marked.id), fields_of(marked, handover)
                    pipeline.hset(key, items=[text for pair in fields.items() for text in pair])
                    pipeline.pexpire(key, LIFE_S * 1000)
                    pipeline.zadd(TRACES_KEY, {marked.id: now_ms})
            pipeline.pexpire(TRACES_KEY, LIFE_S * 1000)
            pipeline.zremrangebyscore(TRACES_KEY, "-inf", now_ms - LIFE_S * 1000)
            pipeline.zcard(TRACES_KEY)
            answers = await pipeline.execute(raise_on_error=False)
            all_checked(answers)
            if (count := answers[-1]) > MOST_EVENTS:
                await self._trim(redis, min(count - MOST_EVENTS, _TRIM))

    async def _trim(self, redis: Any, count: int) -> None:
        oldest = await redis.zrange(TRACES_KEY, 0, count - 1)
        pipeline = redis.pipeline(transaction=False)
        pipeline.unlink(*(trace_key(it.decode(errors="replace")) for it in oldest))
        pipeline.zrem(TRACES_KEY, *oldest)
        all_checked(await pipeline.execute(raise_on_error=False))

    async def read(self, event_id: str) -> Stages | None:
        """Return the stages of an event; None where none are kept."""
        async with self._connection.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            pipeline.hgetall(trace_key(event_id))
            (answer,) = await pipeline.execute(raise_on_error=False)
            fields = checked(answer)
        return stages_of(event_id, fields) if fields else None

    async def newest(self, count: int) -> list[Stages]:
        """Return the stages of the ``count`` newest events, by the last word of any edge, the newest first."""
        async with self._connection.connected() as redis:
            known: Any = await redis.zrange(TRACES_KEY, -count, -1)
            ids = [it.decode(errors="replace") for it in reversed(known)]
            pipeline = redis.pipeline(transaction=False)
            for event_id in ids:
                pipeline.hgetall(trace_key(event_id))
            hashes = await pipeline.execute(raise_on_error=False) if ids else []
        pairs = zip(ids, hashes, strict=True)
        return [stages_of(event_id, fields) for event_id, fields in pairs if isinstance(fields, dict) and fields]
