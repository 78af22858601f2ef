"""The entry of an edge in Redis; the entry of a killed edge expires."""

import asyncio
import os
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, TypeAlias

from bus.errors import BusError
from bus.log.log import Log
from bus.redis.keys import edge_key
from bus.redis.refusals import is_wrong_type
from bus.version import own_version
from edges.limits.mishaps import Mishaps

__all__ = ["announce", "announce_once", "withdraw"]

_HEARTBEAT_S: Final = 3.0
_PRESENCE_S: Final = 10.0
_FORGET_S: Final = 600.0
"""How long the index shows an edge that died, so that an operator finds which one is missing."""
_WITHDRAW_S: Final = 1.0
"""For a Redis that hangs: an entry that is not taken back expires."""

_Facts: TypeAlias = Mapping[str, str | int]


async def announce(log: Log, edge_id: str, facts: Callable[[], _Facts], mishaps: Mishaps) -> None:
    """Write the entry with the newest facts, again and again until cancelled."""
    while True:
        await announce_once(log, edge_id, facts(), mishaps)
        await asyncio.sleep(_HEARTBEAT_S)


async def announce_once(log: Log, edge_id: str, facts: _Facts, mishaps: Mishaps) -> None:
    """Write the entry now; where Redis is away, the next heartbeat will."""
    # decisions/0051: the one write of an edge that never stops, so refusals of writes are noticed here.
    with mishaps.spared("heartbeat"):
        process: _Facts = {"host": platform.node(), "pid": os.getpid(), "version": own_version()}
        await log.compare_clocks()
        clock = {"heartbeat_ms": log.redis_now_ms, "clock_offset_ms": round(log.clock_offset_ms or 0)}
        await _write(log, edge_key(edge_id), {**facts, **process, **clock})
        await log.enlist(edge_id, expires_s=_PRESENCE_S, forget_s=_FORGET_S)


async def _write(log: Log, key: str, facts: _Facts) -> None:
    """Write the hash; a key of another type in the place goes, for the name is the edge's own."""
    try:
        await log.announce(key, facts, expires_s=_PRESENCE_S)
    except BusError as error:
        if not is_wrong_type(error.__cause__):
            raise
        await log.withdraw(key)
        await log.announce(key, facts, expires_s=_PRESENCE_S)


async def withdraw(log: Log, edge_id: str) -> None:
    """Take the entry back at once, if Redis is there."""
    with suppress(BusError, TimeoutError):
        async with asyncio.timeout(_WITHDRAW_S):
            await log.withdraw(edge_key(edge_id))
            await log.delist(edge_id)
