"""The sender of a producer: sends the outbox's events, and tells of progress and losses.

While the link to Redis is up, events leave where the call is made, and answers are given where they come in. The
sender's task opens the link, and repeats attempts that failed.

Attempts and their repetition are in ``bus.log.publisher``.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final

from bus.log.appender import Appender
from bus.log.deadlines import Deadlines
from bus.log.publication import Published
from bus.log.publisher import AppendLog, LinkedLog, Publisher
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
        # With the producer, not with its first event: what is emitted last is sent while the program ends, after a fork
        # or out of a signal's handler, and none of these is a time for imports.
        import bus.redis.pooled  # noqa: F401

        self._logger = logger
        self._url, self._name, self._outbox = url, name, outbox
        self._publisher = Publisher(outbox, name=name, replicas=replicas, logger=logger, outside=self._emitted)
        self._deadlines: Deadlines[Item] = Deadlines(self.expire)
        self._log: LinkedLog | None = None
        self._is_closing = self._has_failed = False
        self._is_resting = True
        self._bug: Exception | None = None
        self._wake = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
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
        self._wake, self._waiting, self._bug = asyncio.Event(), [], None
        self._is_closing, self._has_failed, self._is_resting = False, False, True
        self._told = self._outbox.drops.counts
        self._outbox.open()

    def wake(self) -> None:
        """Send what waits in the outbox: at once where the link is up, else by the task."""
        # decisions/0156: while a pipeline is under way, its end looks into the outbox.
        if not self._is_resting or self._publisher.is_under_way:
            return
        if (log := self._log) is not None and log.is_up:
            self._begin(log)
        else:
            self._is_resting = False
            self._wake.set()

    def publish(self, item: Item, deadline_s: float) -> "asyncio.Future[Published]":
        """Send ``item`` as ``send`` does; the future has the outcome, also when cancelled.

        Raises:
            BusError: the producer is not open any more.

        """
        done = item.done = asyncio.get_running_loop().create_future()
        self.send(item, deadline_s)
        return done

    def send(self, item: Item, deadline_s: float) -> None:
        """Send ``item`` at once, past an empty outbox, or put it into the outbox; ``item.done`` gets the outcome.

        Raises:
            BusError: the producer is not open any more.

        """
        item.deadline_s = asyncio.get_running_loop().time() + deadline_s
        log, is_idle = self._log, self._is_resting and not self._publisher.is_under_way
        if is_idle and log is not None and log.is_up and self._outbox.is_empty:
            self._begin(log, (item,))
        else:
            self._outbox.add((item,))
            self.wake()
        if deadline_s and not item.is_given_up:
            self._deadlines.add(item, deadline_s)

    def close(self) -> None:
        """End as soon as the outbox is empty."""
        self._is_closing = True
        if not self._outbox.is_empty:
            self.wake()
        self._wake.set()

    async def progress(self) -> None:
        """Return when an event of the outbox was sent or dropped."""
        told = asyncio.get_running_loop().create_future()
        self._waiting.append(told)
        await told

    async def run(self) -> None:
        """Send until closed. After any end, every caller has an answer, and every drop was told."""
        try:
            # decisions/0003: the link is the sender's: a cancelled caller leaves no half-read answer.
            async with Appender(self._url, name=self._name) as log:
                self._log = log
                while await self._is_wanted():
                    await until_true(lambda: self._attempt(log))
                    self._rest()
        finally:
            self._log = None
            self._deadlines.close()
            self.give_up()

    async def _is_wanted(self) -> bool:
        """Wait until the task itself is to send; return False when the sender is closed, and no event waits."""
        while True:
            # Cleared before the look: a wake between look and wait would else be lost.
            self._wake.clear()
            if self._bug is not None:
                raise self._bug
            if not self._is_resting:
                return True
            if self._is_closing and self._outbox.is_empty and not self._publisher.is_under_way:
                return False
            self.tell()
            await self._wake.wait()

    async def _attempt(self, log: AppendLog) -> bool:
        if self._has_failed:  # an attempt without the task: the next comes after a pause
            self._has_failed = False
            return False
        is_done = await self._publisher.attempt(log)
        self.tell()
        return is_done

    def _rest(self) -> None:
        """Leave what comes from now on to ``wake``, and the link."""
        self._is_resting = True
        if not self._outbox.is_empty:
            self.wake()

    def _begin(self, log: LinkedLog, batch: Sequence[Item] | None = None) -> None:
        try:
            self._publisher.begin(log, self._went, self._fail, batch)
        except Exception as error:  # noqa: BLE001 (a bug of ours: handed on, and the task ends with it)
            self._fail(error)

    def _went(self, is_done: bool) -> None:
        """Take note of an attempt made without the task."""
        if self._waiting or self._outbox.drops.has_untold:
            self.tell()
        if not is_done:
            self._has_failed, self._is_resting = True, False
            self._wake.set()
        elif not self._outbox.is_empty:
            self.wake()
        elif self._is_closing:
            self._wake.set()

    def _fail(self, error: Exception) -> None:
        self._bug, self._is_resting = error, False
        self._wake.set()

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
        waiting, self._waiting = self._waiting, []
        for told in waiting:
            if not told.done():
                told.set_result(None)
        if self._outbox.drops.has_untold:
            self._outbox.drops.tell()
