"""The one task of a producer that talks to Redis: sends what is in the outbox, and tells of progress and losses.

What an attempt is, and when it is repeated, is ``bus.log.publisher``'s.
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
    """Sends what is in ``outbox`` until it is closed and empty.

    Args:
        url: of Redis.
        name: what ``CLIENT LIST`` shows.
        outbox: what is to be sent.
        replicas: how many replicas are to confirm each event; 0 asks none.
        logger: is told of outages and losses.

    """

    def __init__(self, url: str, *, name: str, outbox: Outbox, replicas: int, logger: logging.Logger = LOGGER) -> None:
        self._logger = logger
        self._url, self._name, self._outbox = url, name, outbox
        self._publisher = Publisher(outbox, name=name, replicas=replicas, logger=logger)
        self._is_closing = False
        self._wake, self._progress = asyncio.Event(), asyncio.Event()
        self._told: dict[str, int] = {}

    @property
    def is_forked(self) -> bool:
        """Whether this is a copy, in a child, of what runs in the parent."""
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
            self._outbox.dropped,
            self._publisher.is_away,
        )

    def open(self) -> None:
        """Prepare for the running event loop: an Event belongs to the one that first waited for it."""
        self._wake, self._progress, self._is_closing = asyncio.Event(), asyncio.Event(), False
        self._told = self._outbox.dropped
        self._outbox.open()

    def wake(self) -> None:
        """Look into the outbox, and tell what was dropped."""
        self._wake.set()

    def close(self) -> None:
        """End as soon as nothing waits any more."""
        self._is_closing = True
        self._wake.set()

    async def progress(self) -> None:
        """Return when something of the outbox was sent or dropped."""
        await self._progress.wait()

    async def run(self) -> None:
        """Send until closed; whatever ends it, every caller has an answer then, and every drop is told."""
        try:
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
            self._wake.clear()
            self.tell()
            if self._outbox.is_empty:
                await self._wake.wait()
        return not self._outbox.is_empty

    def give_up(self) -> None:
        """Answer whoever waits, drop what is left, and tell both; calling it twice is harmless."""
        text = "the producer ended before Redis answered; whether the event is there is not known"
        self._publisher.give_up(self._outbox.clear(), text)
        self.tell()
        self.tell_losses()

    def tell_losses(self) -> None:
        """Say once, where nobody has to ask for it, how many emitted events did not get to Redis since the start."""
        self._outbox.clear()
        self._outbox.tell()
        dropped = self._outbox.dropped
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
        """Answer the callers of ``items`` that their time is over; what is being sent now is not recalled."""
        self._publisher.expire(items)

    def tell(self) -> None:
        """Tell whoever waits for progress, and ``on_drop``."""
        self._progress.set()
        self._progress = asyncio.Event()
        if self._outbox.has_untold:
            self._outbox.tell()
