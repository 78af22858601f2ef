"""An edge that sends its clients away: for good, before the process ends, or for as long as an operator wants."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from bus.tasks import Spawn, end
from edges.lifecycle.drain import send_away
from edges.lifecycle.health import Health
from edges.limits.registry import Registry
from edges.protocol.messages import DRAINED

__all__ = ["DRAINED_STATE", "DRAINING", "ENDING", "SERVING", "Draining"]

SERVING: Final = "serving"
DRAINING: Final = "draining"
DRAINED_STATE: Final = "drained"
ENDING: Final = "ending"

_logger = logging.getLogger("edgebus.edges")


class Draining:
    """The drain that an operator may begin and take back.

    Args:
        registry: the connections.
        health: is not ready meanwhile.
        notice_s: for balancers to notice.
        window_s: over which clients are sent away.
        spawn: runs and owns a task.
        announce: writes the edge's entry in Redis anew.

    Attributes:
        state: ``serving``, ``draining``, ``drained``, or ``ending`` where the process ends.

    """

    def __init__(
        self,
        registry: Registry,
        health: Health,
        spawn: Spawn,
        announce: Callable[[], None],
        *,
        notice_s: float,
        window_s: float,
    ) -> None:
        self._registry, self._health, self._spawn, self._announce = registry, health, spawn, announce
        self._notice_s, self._window_s = notice_s, window_s
        self._task: asyncio.Task[None] | None = None
        self.state = SERVING

    def begin(self) -> bool:
        """Begin to send clients away; tell whether the edge was serving until now."""
        if self.state is not SERVING:
            return False
        self._stand(DRAINING)
        self._task = self._spawn(self._send_away(), "drain by an operator")
        return True

    async def _send_away(self) -> None:
        await asyncio.sleep(self._notice_s)
        await send_away(self._registry, self._window_s)
        # decisions/0122: only now are newcomers refused. Before, a balancer that has not noticed may still send some.
        self._registry.closed = DRAINED
        self._stand(DRAINED_STATE)

    async def take_back(self) -> bool:
        """Serve again; tell whether an operator's drain was to be taken back."""
        if self.state not in (DRAINING, DRAINED_STATE):
            return False
        await self._end_task()
        self._registry.closed = None
        self._stand(SERVING)
        return True

    async def end(self) -> bool:
        """Let the process's end take over; tell whether all clients were sent away before."""
        was_drained, self.state = self.state is DRAINED_STATE, ENDING
        await self._end_task()
        return was_drained

    async def _end_task(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            await end([task])

    def _stand(self, state: str) -> None:
        self.state = state
        self._health.is_drained = state is not SERVING
        _logger.info("operator's drain", extra={"state": state, "connections": len(self._registry)})
        self._announce()
