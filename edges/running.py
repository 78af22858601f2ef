"""The life of an edge: begins, sends clients away, and closes every part in order."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from bus.redis.revocation import REVOKED
from bus.tasks import end
from edges.features import Works
from edges.lifecycle.drain import say_goodbye, send_away
from edges.lifecycle.heartbeat import announce, withdraw
from edges.lifecycle.housekeeping import (
    close_rooms,
    forget_surplus,
    keep_keys,
    keep_logs,
    sum_up,
    watch_certificate,
    watch_deadlines,
    watch_memory,
)
from edges.lifecycle.skill_reader import read_skills
from edges.lifecycle.vitals import watch_loop
from edges.parts import Parts
from edges.protocol.messages import GOING_AWAY, RESTARTING

__all__ = ["Running"]

_logger = logging.getLogger("edgebus.edges")


class Running:
    """The repeated works of an edge, and its end.

    Args:
        parts: of the edge.

    """

    def __init__(self, parts: Parts) -> None:
        self._parts, self._farewell = parts, GOING_AWAY
        self._tasks: list[asyncio.Task[None]] = []
        self._last_tasks: list[asyncio.Task[None]] = []

    async def begin(self, expires: datetime | None) -> None:
        """Accept, and begin to connect to Redis; ``expires`` is the end of the certificate, None for unknown."""
        parts = self._parts
        parts.listener.accept()
        parts.metrics_listener.accept()
        parts.observed.certificate_ends = expires
        parts.link.begin()
        if not parts.authenticator.is_open:
            parts.subscriber.listen(REVOKED, parts.revocations.take)
        await parts.subscriber.__aenter__()
        parts.spawn(parts.settling.run(), "settle")
        later = {
            name: self._behind(work) for name, work in {**self._works_at_redis(), **parts.features.works()}.items()
        }
        self._tasks = _started({**self._housekeeping(expires), **later})
        self._last_tasks = _started(parts.features.last_works())

    def _housekeeping(self, expires: datetime | None) -> dict[str, Coroutine[Any, Any, None]]:
        parts, mishaps = self._parts, self._parts.mishaps
        works = {
            "deadlines": watch_deadlines(parts.registry, mishaps),
            "rooms": close_rooms(parts.hub, mishaps),
            "surplus": forget_surplus(parts.hub, mishaps),
            "logs": keep_logs(parts.log, parts.hub, parts.service.families, mishaps),
            "certificate": watch_certificate(expires),
            "sums of the log": sum_up(parts.floods),
            "traces": parts.traces.run(mishaps),
        }
        if parts.settings.shows_metrics:
            works["lag"] = watch_loop(parts.observed.lag)
        if parts.skills is not None:
            works["skills"] = read_skills(parts.settings.redis_url, f"{parts.name}-skills", parts.skills, mishaps)
        jwks = parts.authenticator.jwks
        return works if jwks is None else {**works, "keys": keep_keys(jwks, mishaps)}

    def _works_at_redis(self) -> Works:
        parts, mishaps = self._parts, self._parts.mishaps
        works: Works = {"heartbeat": lambda: announce(parts.log, parts.id, parts.entry.facts, mishaps)}
        if parts.settings.shows_metrics:
            works["memory"] = lambda: watch_memory(parts.log, parts.observed, mishaps)
        return works

    async def _behind(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do a work from the time on at which all that the work needs is loaded."""
        await self._parts.settling.loaded()
        await work()

    async def drain(self) -> None:
        """Be not ready, and send every client away in time; behind an operator's drain, at once."""
        parts, settings = self._parts, self._parts.settings
        parts.health.leave()
        self._farewell = RESTARTING
        clients, loop = len(parts.registry), asyncio.get_running_loop()
        times = {"notice_s": settings.drain_notice_s, "window_s": settings.drain_window_s}
        _logger.info("edge drains", extra={"service": parts.service.name, "clients": clients, **times})
        parts.announce()
        if not await parts.draining.end():
            await asyncio.sleep(settings.drain_notice_s)
        began = loop.time()
        ends_at = began + settings.drain_window_s
        await send_away(parts.registry, settings.drain_window_s)
        left = {"clients": len(parts.registry), "after_s": round(loop.time() - began, 1)}
        _logger.info("edge has sent its clients away; some may be left", extra=left)
        await parts.link.settle(ends_at - loop.time())

    async def close(self) -> None:
        """Close every part, in order."""
        parts, close_timeout_s = self._parts, self._parts.settings.close_timeout_s
        parts.health.leave()
        await parts.draining.end()
        parts.listener.close()
        parts.metrics_listener.close()
        await asyncio.gather(
            say_goodbye(parts.registry, self._farewell, close_timeout_s), parts.link.leave(close_timeout_s)
        )
        if parts.ownership is not None:
            await parts.ownership.settle(close_timeout_s)
        await parts.subscriber.close()  # first: what comes by it may begin new tasks
        await end(self._tasks)
        await parts.features.end_works(close_timeout_s)
        await end([*self._last_tasks, *parts.commands.running, *parts.answers.tasks, *parts.hub.log_reads.tasks])
        parts.floods.flush()
        await withdraw(parts.log, parts.id)
        await parts.log.close()
        await parts.probing.close()
        await parts.revocations.close()
        await parts.telling.close()
        await parts.features.close()

    async def failed(self) -> None:
        """Wait until a part fails, and raise the failure."""
        link = asyncio.create_task(self._parts.subscriber.closed(), name="edge link")
        try:
            done, _ = await asyncio.wait([link, *self._tasks, *self._last_tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            link.cancel()
        for task in done:
            task.result()


def _started(works: dict[str, Coroutine[Any, Any, None]]) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(work, name=f"edge {name}") for name, work in works.items()]
