"""Repeated work of an edge: deadlines, rooms, logs, keys and the certificate."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from bus.channel import Family
from bus.log.log import Log
from bus.slices import Slices
from edges.lifecycle.observed import Observed
from edges.limits.floods import Floods
from edges.limits.mishaps import Mishaps
from edges.limits.registry import Registry
from edges.rooms.hub import Hub
from edges.transport.tls import expiry_warning

if TYPE_CHECKING:
    from edges.auth.jwks import Jwks

__all__ = [
    "close_rooms",
    "forget_surplus",
    "keep_keys",
    "keep_logs",
    "sum_up",
    "watch_certificate",
    "watch_deadlines",
    "watch_memory",
]

_DEADLINES_S: Final = 1.0
_SUMS_S: Final = 1.0
_ROOMS_S: Final = 0.25
_SURPLUS_S: Final = 10.0
_DAY_S: Final = 86_400.0
_KEEP_EVERY_S: Final = 600.0
_KEYS_EVERY_S: Final = 300.0
_MEMORY_EVERY_S: Final = 5.0
_KEEP_SHARE: Final = 3
"""A log is kept so many times in its life, so that one call may fail."""

_logger = logging.getLogger("edgebus.edges")


async def watch_deadlines(registry: Registry, mishaps: Mishaps) -> None:
    """Look at every connection's deadlines."""
    while True:
        await asyncio.sleep(_DEADLINES_S)
        with mishaps.spared("deadlines"):
            # One look for all, once a second: a timer for each connection would cost the loop's heap at every byte.
            now = asyncio.get_running_loop().time()
            for connection in registry:
                connection.check_deadlines(now)
            registry.look(now)


async def sum_up(floods: Floods) -> None:
    """Sum up what the log is told of many clients and rooms, once a second."""
    while True:
        await asyncio.sleep(_SUMS_S)
        floods.flush()


async def close_rooms(hub: Hub, mishaps: Mishaps) -> None:
    """Close rooms that have been empty for a while."""
    while True:
        await asyncio.sleep(_ROOMS_S)
        with mishaps.spared("rooms"):
            await hub.close_empty()


async def forget_surplus(hub: Hub, mishaps: Mishaps) -> None:
    """Have each room remember no more lines than it needs."""
    while True:
        await asyncio.sleep(_SURPLUS_S)
        with mishaps.spared("surplus"):
            slices = Slices()
            for room in hub.rooms:
                room.sequencer.forget_surplus()
                await slices.give_way()


async def keep_logs(log: Log, hub: Hub, families: Sequence[Family], mishaps: Mishaps) -> None:
    """Keep the logs of open rooms from expiring while clients watch."""
    lives_s = [it.retention.expires_s for it in families if it.retention.kind != "live"]
    every_s = min([_KEEP_EVERY_S, *(life_s / _KEEP_SHARE for life_s in lives_s)])
    while True:
        await asyncio.sleep(every_s)
        with mishaps.spared("logs"):
            await log.keep(hub.channels)


async def watch_certificate(expires: datetime | None) -> None:
    """Say at the start, and once a day, that the certificate ends soon; None: the end is not known."""
    while True:
        warning = None if expires is None else expiry_warning(expires, datetime.now(UTC))
        if warning is not None:
            _logger.warning(warning)
        await asyncio.sleep(_DAY_S)


async def keep_keys(jwks: "Jwks", mishaps: Mishaps) -> None:
    """Fetch the issuer's keys now and then, so that a withdrawn key is soon refused."""
    while True:
        with mishaps.spared("keys"):
            await jwks.refresh()
        await asyncio.sleep(_KEYS_EVERY_S)


async def watch_memory(log: Log, observed: Observed, mishaps: Mishaps) -> None:
    """Ask Redis now and then how much memory is used; what is not known is not told."""
    while True:
        told: tuple[int, int] | None = None
        with mishaps.spared("memory"):
            told = await log.memory()
        observed.redis_memory = told
        await asyncio.sleep(_MEMORY_EVERY_S)
