"""An edge's words about itself in Redis: an entry, which expires."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from bus.redis import library
from bus.redis.address import without_password
from bus.redis.clock import redis_ms
from bus.redis.connection import Connection, Reply
from bus.redis.keys import EDGES_KEY
from bus.redis.refusals import all_checked, checked, said
from bus.redis.role import is_untold, misplaced

__all__ = ["Announcer"]

_logger = logging.getLogger("edgebus.bus")


class Announcer(Connection):
    """A connection on which an edge announces itself."""

    _asks_role = True
    _may_enlist = True
    clock_offset_ms: float | None = None
    """This machine's clock, less Redis'; None before the first comparison."""

    async def misplaced(self) -> str | None:
        """Return the objection to this server as a primary; None where there is none, or no right to ask for the role.

        Raises:
            BusUnavailable: Redis did not answer.

        """
        if not self._asks_role:
            return None
        async with self.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            pipeline.execute_command("ROLE")
            (role,) = await pipeline.execute(raise_on_error=False)
        return self._misplaced(role)

    def _misplaced(self, role: Reply) -> str | None:
        """Return the objection to a server of this role; a user without ``ROLE`` is not asked for once more."""
        if isinstance(role, Exception):
            self._asks_role = not is_untold(said(role))
            return None
        where = misplaced(role)
        return where and f"Redis at {without_password(self._url)} {where}"

    def forget(self) -> None:
        """Take note that another Redis may answer now, which may permit ``ROLE``."""
        super().forget()
        self._asks_role = self._may_enlist = True

    async def memory(self) -> tuple[int, int]:
        """Return the bytes that Redis uses, and the most that Redis may use; 0 for no bound, or no answer.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused.

        """
        async with self.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            pipeline.info("memory")
            (told,) = await pipeline.execute(raise_on_error=False)
            checked(told)
        return _number(told, "used_memory"), _number(told, "maxmemory")

    async def announce(self, key: str, fields: Mapping[str, str | int], *, expires_s: float) -> None:
        """Write the hash ``key`` anew, with a new life of ``expires_s``: an edge's sign that the edge is there."""
        async with self.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            pipeline.hset(key, items=[text for pair in fields.items() for text in pair])
            pipeline.pexpire(key, int(expires_s * 1000))
            all_checked(await pipeline.execute(raise_on_error=False))

    async def withdraw(self, key: str) -> None:
        """Remove the hash that ``announce`` wrote."""
        async with self.connected() as redis:
            await redis.delete(key)

    async def compare_clocks(self) -> None:
        """Ask for Redis' clock, and keep the difference to this machine's.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused.

        """
        async with self.connected() as redis:
            asked_ms = time.time() * 1000
            theirs_ms = redis_ms(*await redis.time())
            self.clock_offset_ms = (asked_ms + time.time() * 1000) / 2 - theirs_ms

    @property
    def redis_now_ms(self) -> int:
        """Redis' clock, in milliseconds since 1970; before the first comparison, this machine's."""
        return int(time.time() * 1000 - (self.clock_offset_ms or 0.0))

    async def enlist(self, edge: str, *, expires_s: float, forget_s: float) -> None:
        """Put an edge into the index of edges, and take out edges whose entries expired ``forget_s`` ago.

        A user who may not is not asked to again on this Redis; the log says so once.

        Raises:
            BusUnavailable: Redis did not answer.
            BusError: Redis refused for another reason.

        """
        if not self._may_enlist:
            return
        async with self.connected() as redis:
            pipeline = redis.pipeline(transaction=False)
            pipeline.zadd(EDGES_KEY, {edge: self.redis_now_ms + int(expires_s * 1000)})
            pipeline.zremrangebyscore(EDGES_KEY, "-inf", self.redis_now_ms - int(forget_s * 1000))
            answers = await pipeline.execute(raise_on_error=False)
        self._may_enlist = not any(isinstance(answer, library.NoPermissionError) for answer in answers)
        if self._may_enlist:
            all_checked(answers)
        else:
            fields = {"key": EDGES_KEY, "run": "edgebus acl | redis-cli", "reason": said(answers[0])}
            _logger.warning("operators do not find the edge: its user of Redis is of an older version", extra=fields)

    async def delist(self, edge: str) -> None:
        """Take an edge out of the index."""
        async with self.connected() as redis:
            await redis.zrem(EDGES_KEY, edge)


def _number(told: Any, name: str) -> int:
    """Return a number of ``INFO``, 0 where another program than Redis answers something else."""
    value = told.get(name) if isinstance(told, Mapping) else None
    return value if isinstance(value, int) else 0
