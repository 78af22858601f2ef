"""The one task of a producer that talks to Redis: sends the outbox's events, and tells of progress and losses.

Attempts and their repetition are in ``bus.log.publisher``.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from bus.log.log import Log
from bus.log.publisher import AppendLog, Publisher
from bus.redis.address import without_password
from bus.retrying import until_true
from producers.outbox import Item, Outbox
from producers.statistics import ProducerStatistics

__all__ = ["LOGGER", "Sender"]

LOGGER: Final = logging.getLogger("edgebus.producers")


class Sender:
    """Sends the events of ``outbox`` until the sender is closed and the outbox empty.

    Args:
        url: of Redis.
        name: for ``CLIENT LIST``.
        outbox: holds the events to be sent.
        replicas: how many replicas are to confirm each event; 0 asks none.
        logger: is told of outages and losses.

    """

    def __init__(self, url: str, *, name: str, outbox: Outbox, replicas: int, logger: logging.Logger = LOGGER) -> None:
        self._logger = logger
        self._url, self._name, self._outbox = url, name, outbox
        self._publisher = Publisher(outbox, name=name, replicas=replicas, logger=logger, outside=self._emitted)
        self._is_closing = False
        self._wake, self._progress = asyncio.Event(), asyncio.Event()
        self._told: dict[str, int] = {}

    @property
    def is_forked(self) -> bool:
        """Whether the sender is a copy, in a forked child, of the parent's."""
        return self._outbox.is_forked

    def statistics(self) -> ProducerStatistics:
        """Return the counters."""
        events, size_bytes = self._outbox.size
        counts = self._publisher.counts
        return ProducerStatistics(
            counts.published,
            counts.failed,
            counts.retried,
            counts.unreplicated,
            events,
            size_bytes,
            self._outbox.drops.counts,
            self._publisher.is_away,
        )

    def _emitted(self) -> tuple[int, int]:
        return self._outbox.size[0], sum(self._outbox.drops.counts.values())

    def open(self) -> None:
        """Prepare for the running event loop; the sender may have run in another loop before."""
        # An asyncio.Event belongs to the loop in which a task first waited for the Event.
        self._wake, self._progress, self._is_closing = asyncio.Event(), asyncio.Event(), False
        self._told = self._outbox.drops.counts
        self._outbox.open()

    def wake(self) -> None:
        """Look into the outbox, and tell of drops."""
        self._wake.set()

    def close(self) -> None:
        """End as soon as the outbox is empty."""
        self._is_closing = True
        self._wake.set()

    async def progress(self) -> None:
        """Return when an event of the outbox was sent or dropped."""
        await self._progress.wait()

    async def run(self) -> None:
        """Send until closed. After any end, every caller has an answer, and every drop was told."""
        try:
            # decisions/0003: the task, not the caller, waits for Redis: a cancelled caller leaves no half-read answer.
            async with Log(self._url, name=self._name) as log:
                while await self._is_wanted():
                    await until_true(lambda: self._attempt(log))
        finally:
            self.give_up()

    async def _attempt(self, log: AppendLog) -> bool:
        is_done = await self._publisher.attempt(log)
        self.tell()
        return is_done

    async def _is_wanted(self) -> bool:
        while self._outbox.is_empty and not self._is_closing:
            # Cleared before the second look: an emit between look and wait would else not wake the sender.
            self._wake.clear()
            self.tell()
            if self._outbox.is_empty:
                await self._wake.wait()
        return not self._outbox.is_empty

    def give_up(self) -> None:
        """Answer the waiting callers, drop the rest, and tell both; calling ``give_up`` twice is harmless."""
        text = "the producer ended before Redis answered; whether the event is there is not known"
        self._publisher.give_up(self._outbox.clear(), text)
        self.tell()
        self.tell_losses()

    def tell_losses(self) -> None:
        """Warn once of the emitted events since the start that did not get to Redis."""
        # decisions/0062: the number, the address and the reasons stand in the text itself, which Python shows without
        # any logging set up: a producer that was never closed has no caller to tell.
        self._outbox.clear()
        self._outbox.drops.tell()
        dropped = self._outbox.drops.counts
        lost = {reason: count - self._told.get(reason, 0) for reason, count in dropped.items()}
        lost, self._told = {reason: count for reason, count in lost.items() if count}, dropped
        if not lost:
            return
        reasons = ", ".join(f"{count} {reason}" for reason, count in lost.items())
        last_error = self._publisher.last_error
        why = f"; the last error was: {last_error}" if last_error else ""
        address = without_password(self._url)
        self._logger.warning(
            "%d emitted events did not get to Redis at %s (%s)%s", sum(lost.values()), address, reasons, why
        )

    def expire(self, items: Iterable[Item]) -> None:
        """Answer the callers of ``items`` at their deadline; items being sent now are not recalled."""
        self._publisher.expire(items)

    def tell(self) -> None:
        """Wake the waiters for progress, and tell ``on_drop``."""
        self._progress.set()
        self._progress = asyncio.Event()
        if self._outbox.drops.has_untold:
            self._outbox.drops.tell()
