"""What an edge says of itself in Redis while it is there. That of one that was killed expires by itself."""

import asyncio
import functools
import os
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Final, TypeAlias

from bus.errors import BusError
from bus.log.log import Log
from bus.redis.refusals import is_wrong_type
from edges.limits.mishaps import Mishaps

__all__ = ["announce", "announce_once", "withdraw"]

_HEARTBEAT_S: Final = 3.0
_PRESENCE_S: Final = 10.0
_WITHDRAW_S: Final = 1.0
"""For a Redis that hangs: what is not taken back expires by itself."""

_Facts: TypeAlias = Mapping[str, str | int]


async def announce(log: Log, edge_id: str, facts: Callable[[], _Facts], mishaps: Mishaps) -> None:
    """Say that an edge is there, and the newest facts about it, for as long as this runs."""
    while True:
        await announce_once(log, edge_id, facts(), mishaps)
        await asyncio.sleep(_HEARTBEAT_S)


async def announce_once(log: Log, edge_id: str, facts: _Facts, mishaps: Mishaps) -> None:
    """Say it now; where Redis is away, the next time."""
    with mishaps.spared("presence"):
        process: _Facts = {"host": platform.node(), "pid": os.getpid(), "version": _version()}
        await _write(log, f"bus:edge:{edge_id}", {**facts, **process})


async def _write(log: Log, key: str, facts: _Facts) -> None:
    """Write the hash; what somebody put in its place goes, for the name is this edge's own."""
    try:
        await log.announce(key, facts, expires_s=_PRESENCE_S)
    except BusError as error:
        if not is_wrong_type(error.__cause__):
            raise
        await log.withdraw(key)
        await log.announce(key, facts, expires_s=_PRESENCE_S)


async def withdraw(log: Log, edge_id: str) -> None:
    """Take it back at once, if Redis lets us."""
    with suppress(BusError, TimeoutError):
        async with asyncio.timeout(_WITHDRAW_S):
            await log.withdraw(f"bus:edge:{edge_id}")


@functools.cache
def _version() -> str:
    """Return what is installed; looked for once, since it stands in a file, and files may run out."""
    try:
        return version("edgebus")
    except PackageNotFoundError:
        return "unknown"
