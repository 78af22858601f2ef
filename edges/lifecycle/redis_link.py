"""The link to Redis, as an edge uses the link: the work at each new link and each loss, and the notices."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from bus.errors import BusError
from bus.log.log import Log
from bus.redis.subscriber import Subscriber
from bus.retrying import until_true
from bus.tasks import Spawn
from bus.words import NoticeName
from edges.lifecycle.outage import Outage
from edges.limits.mishaps import Mishaps
from edges.protocol.messages import Notice
from edges.rooms.hub import Hub

__all__ = ["FIRST_LINK_S", "Droppable", "RedisLink"]

_LOOK_AFTER_S: Final = (2.0, 3.0, 10.0)
"""Between the comparison of rooms and looks for what other edges found; most are back within two seconds."""
FIRST_LINK_S: Final = 3.0
"""From the start of an edge on; a Redis that was not found by then is away."""
_DROP: Final = "drop a connection to Redis"
_OUTAGE: Final = Notice.of(NoticeName.BUS_DEGRADED, "the link to Redis is down; events will be made up for")

_logger = logging.getLogger("edgebus.edges")


class Droppable(Protocol):
    """A connection to Redis beside the link."""

    async def drop(self) -> None:
        """Give the connection up; the next command opens another."""


class RedisLink:
    """Compares rooms with their logs when the link has come, and tells clients of the outage.

    Args:
        subscriber: the link; calls ``came`` and ``went``.
        hub: has the rooms.
        log: reads what rooms missed.
        beside: further connections, given up with the link: on the same path, most often.
        spawn: runs and owns a task.
        notify_all: sends a notice to every client; returns how many were told.
        mishaps: is told when looks for other edges' marks fail.
        story: tells the log of outages.

    """

    def __init__(  # noqa: PLR0913 (what the link's coming and going concerns)
        self,
        subscriber: Subscriber,
        hub: Hub,
        log: Log,
        beside: Sequence[Droppable],
        spawn: Spawn,
        notify_all: Callable[[Notice], int],
        mishaps: Mishaps,
        *,
        story: Outage,
    ) -> None:
        self._subscriber, self._hub, self._log, self._beside = subscriber, hub, log, beside
        self._spawn, self._notify_all, self._mishaps = spawn, notify_all, mishaps
        self._story, self._has_failed = story, False
        self._is_decided = asyncio.Event()
        """Whether the first link has come, or is overdue."""

    def begin(self) -> None:
        """Give the first link its time, from now on."""
        asyncio.get_running_loop().call_later(FIRST_LINK_S, self._decide)

    def _decide(self) -> None:
        if not self._is_decided.is_set():
            self._is_decided.set()
            self._story.began(None, rooms=0)

    async def first(self) -> None:
        """Return when the first link has come, or is overdue (decisions/0093): then commands tell of Redis' absence."""
        await self._is_decided.wait()

    @property
    def generation(self) -> int:
        """How often the link came up."""
        return self._subscriber.statistics().generation

    def trouble(self) -> str | None:
        """Return why rooms do not get every event at present, None when they do."""
        if not self._subscriber.is_up:
            return f"the link to Redis is down: {self._subscriber.trouble}"
        return None if self._subscriber.is_heard else "the link to Redis is deaf: no probe came back in time"

    def outage(self) -> Notice | None:
        """Return the notice for clients that come between the loss of a link and the comparison on the next link.

        Before the first link no room is open: subscribing waits for the link, and is answered UNAVAILABLE without.
        """
        return _OUTAGE if self._hub.owes_comparison else None

    def came(self) -> None:
        """Compare rooms with their logs."""
        self._is_decided.set()
        self._story.link_came(self._subscriber.statistics().channels)
        self._log.forget()
        if self.generation > 1:  # what was asked meanwhile may wait for where nothing comes back
            self._spawn(self._log.drop(), _DROP)
        self._spawn(self._compare(), "compare rooms")

    def went(self) -> None:
        """Tell rooms and clients of events to be missed from now on."""
        self._story.began(self._subscriber.trouble, rooms=self._hub.occupied)
        self._hub.link_went()
        for connection in (self._log, *self._beside):
            self._spawn(connection.drop(), _DROP)
        self._story.told(self._notify_all(_OUTAGE))

    async def settle(self, within_s: float) -> bool:
        """Have each fork marked that this edge alone can find; tell whether Redis was there in time.

        Another Redis may have taken over unnoticed, so the logs are asked even where all looks well.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._settled()
                return True
        return False

    async def _settled(self) -> None:
        await until_true(lambda: self._attempt(self._hub.settle))

    async def leave(self, within_s: float) -> None:
        """Settle for good, and warn where Redis does not answer: no other edge can tell clients (decisions/0085)."""
        if not await self.settle(within_s):
            fields = {"rooms": self._hub.heard, "reason": self.trouble() or "Redis did not answer in time"}
            _logger.warning("left before its rooms were compared with their logs", extra=fields)

    async def _compare(self) -> None:
        """Make up for events missed without the link; try again for as long as the link is up."""
        generation = self.generation

        async def is_over() -> bool:
            return not self._is_link(generation) or await self._attempt(self._hub.compare)

        await until_true(is_over)
        if not self._is_link(generation):  # lost meanwhile: what was compared says nothing about the next one
            return
        told = self._notify_all(
            Notice.of(NoticeName.BUS_RESTORED, generation)
        )  # whoever was told of an outage hears it
        self._story.ended(rooms=self._hub.logged, clients=told)
        await self._look_again(generation)

    async def _attempt(self, compare: Callable[[], Awaitable[bool | None]]) -> bool:
        """Try once. An error of any kind is a False: the edge is not ready, with the reason, until True."""
        try:
            is_done = await compare()
        except BusError as error:
            _logger.debug("rooms were not compared", extra={"reason": str(error)})
            return False
        except Exception as error:
            level = logging.DEBUG if self._has_failed else logging.ERROR
            _logger.log(level, "rooms could not be compared; tried again", exc_info=error)
            self._has_failed = True
            return False
        self._has_failed = False
        return is_done is not False

    async def _look_again(self, generation: int) -> None:
        """Look for forks found by edges that compared later than this edge."""
        for wait_s in _LOOK_AFTER_S:
            await asyncio.sleep(wait_s)
            if not self._is_link(generation):
                return
            try:
                with self._mishaps.spared("forks"):
                    await self._hub.look()
            except Exception:  # the next look is due all the same: nobody else would tell of those forks
                _logger.exception("forks could not be looked for")

    def _is_link(self, generation: int) -> bool:
        return self._subscriber.is_up and self.generation == generation
