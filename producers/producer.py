"""The SDK for services: publish an event, and know that Redis has the event; or emit an event, and go on.

Publishes that are under way at the same time share round trips: one task owns the connection, and sends the waiting
events as one pipeline.
"""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from bus.channel import Channel
from bus.envelope import LINE_LIMIT_BYTES
from bus.errors import BusError, BusUnavailable, EventError, OutboxFull, PublishError
from bus.event import Event
from bus.log.publication import Published
from bus.redis.address import check_url, default_url
from bus.service import Service
from producers.batch import Batch
from producers.calls import Calls
from producers.composer import Composer
from producers.drops import DropReason, OnDrop
from producers.emitting import Emitting, Taken
from producers.leaving import close, keep_until_done
from producers.outbox import Outbox, OutboxSettings
from producers.raw import raw_event
from producers.sender import LOGGER, Sender
from producers.skips import Skips
from producers.statistics import ProducerStatistics
from producers.tracing import NO_TRACE, traced

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from producers.metrics import ProducerMetrics

__all__ = ["DEADLINE_S", "Batch", "DropReason", "OutboxSettings", "Producer", "ProducerStatistics", "Published"]

DEADLINE_S: Final = 10.0
"""For how long a publish is tried: a Redis that restarts is back by then, and the caller learns of a dead one."""


class Producer(Calls):
    """Publishes events to Redis over one connection.

    ``async with Producer() as producer`` connects at the first publish. Calls may come from any number of tasks of the
    producer's event loop. Events of one task keep their order, also while attempts are repeated. A closed producer may
    be opened again. A producer that is collected without a close sends its events, and then closes.

    Args:
        url: of Redis; None takes ``EDGEBUS_REDIS_URL``, else ``redis://127.0.0.1:6390``.
        name: of the service, for ``CLIENT LIST``: the connection is called ``edgebus-producer-<name>``, with characters
            that Redis takes in no name (a space) as %XX.
        limit_bytes: the largest line that is sent.
        deadline_s: for how long a publish is tried unless the call says otherwise; 0 makes one attempt.
        wait_replicas: how many replicas are to confirm each event (Redis' ``WAIT``, a round trip to them); 0 asks none.
        outbox: bounds and policy for emitted events.
        on_drop: called in the event loop with each emitted event that is given up, and the reason. Errors of
            ``on_drop`` are logged.
        logger: is told when Redis goes and comes back, and at the close how many emitted events were lost.
        metrics: the registry of ``prometheus_client`` that shows the producer's numbers; several producers may share
            one, which has their sums. None shows none.

    Raises:
        AddressError: the URL cannot be used.
        TypeError: ``metrics`` is no registry.

    """

    def __init__(  # noqa: PLR0913 (what one may want to choose)
        self,
        url: str | None = None,
        *,
        name: str = "unnamed",
        limit_bytes: int = LINE_LIMIT_BYTES,
        deadline_s: float = DEADLINE_S,
        wait_replicas: int = 0,
        outbox: OutboxSettings = OutboxSettings(),  # noqa: B008 (it is frozen)
        on_drop: OnDrop | None = None,
        logger: logging.Logger = LOGGER,
        metrics: "CollectorRegistry | None" = None,
    ) -> None:
        url = url or default_url()
        check_url(url)
        if deadline_s < 0 or wait_replicas < 0:
            raise ValueError("deadline_s and wait_replicas are at least 0")
        self._name, self._skips, waiting = f"edgebus-producer-{name}", Skips(logger), Outbox(outbox, on_drop)
        sender = Sender(url, name=self._name, outbox=waiting, replicas=wait_replicas, logger=logger)
        super().__init__(Composer(limit_bytes), waiting, outbox, sender, deadline_s)
        self._metrics = None if metrics is None else self._counted_in(metrics)

    def _counted_in(self, registry: "CollectorRegistry") -> "ProducerMetrics":
        from producers.metrics import metrics_in  # a program without metrics never loads the library

        metrics = metrics_in(registry)
        metrics.add(self)
        return metrics

    async def open(self) -> Self:
        """Start the sender, and return the producer; no connection to Redis is made yet.

        For code without a block to stand in, such as a notebook or a framework's hooks; ``close`` is the other half.

        Raises:
            BusError: the producer is open already.

        """
        # decisions/0003: one task and one connection. A pool would lose the order; a lock around a connection would
        # cost a round trip per event, and a cancelled caller would leave a half-read answer behind.
        if self._is_open:
            raise BusError("the producer is open already: use one `async with` at a time, or another producer")
        self._closing, self._is_noticed, self._thread = False, False, threading.get_ident()
        self._sender.open()
        self._task = asyncio.create_task(self._sender.run(), name=self._name)
        self._loop = asyncio.get_running_loop()
        # decisions/0062: an owner that goes out of scope takes no events with it.
        keep_until_done(self, self._sender, self._task, self._settings.close_s)
        return self

    async def __aenter__(self) -> Self:
        """Do as ``open``."""
        return await self.open()

    @property
    def _is_open(self) -> bool:
        return self._task is not None and not self._task.done() and not self._outbox.is_forked

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send the waiting events, then close the connection; see ``close``."""
        await self.close()

    async def close(self) -> None:
        """Send waiting events for at most ``outbox.close_s``, then close the connection; twice is harmless.

        Events that are not with Redis by then are lost: emitted events are counted, and told to ``on_drop`` as
        ``closed``; one warning tells of all drops since the start; callers of ``publish`` get a ``BusError``. A
        cancelled ``close`` gives up at once.

        Raises:
            Exception: the error that ended the sender, if the error was a bug of ours.

        """
        self._closing = True
        if self._task is None or self._outbox.is_forked:  # of a forked child, the events are the parent's
            return
        try:
            await close(self._sender, self._task, self._settings.close_s)
        finally:
            if self._metrics is not None:
                self._metrics.settle(self)
        if not self._task.cancelled():
            await self._task

    async def publish(
        self,
        event: Event,
        *,
        deadline_s: float | None = None,
        repeated: bool = False,
        traceparent: str | None = None,
        trace: bool = False,
    ) -> Published:
        """Publish ``event`` on each of its channels, and return when Redis has the event on all channels.

        An attempt with a lost answer, or refused by Redis for the moment, is repeated with full jitter until the
        deadline. A repetition stores and sends the event once all the same; on a ``live`` channel the event may be seen
        twice. May be cancelled: the event may still be published, and other calls are not disturbed.

        Args:
            event: is frozen, and remembers its attempts.
            deadline_s: None takes the producer's; 0 makes one attempt.
            repeated: the same object was published before with an unknown outcome: complete the earlier publish, and
                do not publish another event. Use the same producer, or a producer opened later.
            traceparent: the trace that the event belongs to (W3C); None takes OpenTelemetry's active span, if any.
            trace: keep the event's stages for ``edgebus trace``, as for an event whose trace is sampled.

        Raises:
            TypeError: ``event`` is no event.
            pydantic.ValidationError: the event was changed or built past validation; nothing was sent.
            EventError: JSON cannot carry a value of the event, a line is too large, or ``traceparent`` is none;
                nothing was sent.
            BusUnavailable: past the deadline no channel is known to have the event, though a channel may have it.
            PublishError: Redis refused the event on every channel.
            PublishIncomplete: some channels have the event, others refused or have not answered; the error names both.
            PublishUncertain: the answer was lost, and the log no longer tells.
            PublishUnreplicated: stored, but fewer replicas than ``wait_replicas`` confirmed it.
            BusError: the producer is not open, or not in this event loop.

        """
        tracing = traced(traceparent, trace=trace)
        if tracing is NO_TRACE and self._metrics is None:  # the common case
            return await self._publishing(event, deadline_s, tracing, repeated=repeated)
        with tracing, self._timed():
            published = await self._publishing(event, deadline_s, tracing, repeated=repeated)
            tracing.end((published,))
            return published

    async def publish_all(
        self,
        events: Sequence[Event],
        *,
        deadline_s: float | None = None,
        repeated: bool = False,
        traceparent: str | None = None,
        trace: bool = False,
    ) -> list[Published]:
        """Publish several events in order; all are validated before the first is sent.

        Few events are one pipeline. Many are sent in slices (1,000 events, 4 MiB), each slice with the whole deadline;
        the event loop goes on.

        Raises:
            Exception: as ``publish`` does, for the first event that failed. Later events were tried all the same, but
                no slice behind a slice without an answer of Redis. The error's ``results`` has each event's outcome.

        """
        with traced(traceparent, trace=trace) as tracing:
            return await self._publish_all(events, deadline_s, tracing, repeated=repeated)

    async def publish_raw(
        self,
        channel: Channel | str,
        event: str,
        data: Any = None,
        *,
        service: Service | None = None,
        deadline_s: float | None = None,
        traceparent: str | None = None,
    ) -> Published:
        """Publish a name and data with no model, for bridges; see ``producers.raw.raw_event`` and ``publish``."""
        made = raw_event(channel, event, data, service=service)
        return await self.publish(made, deadline_s=deadline_s, traceparent=traceparent)

    async def publish_every(self, interval_s: float, make: Callable[[], Sequence[Event]]) -> None:
        """Publish the events of ``make()`` every ``interval_s`` seconds, from start to start.

        Goes on over an outage and over a refusal of Redis: lost events are counted as ``failed``, and told to the log.
        Ends only when cancelled, with an exception of ``make``, or when the producer is closed (``BusError``).
        """
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self.publish_round(make())
            due = max(due + interval_s, loop.time())  # a publish longer than the interval is not made up for
            await asyncio.sleep(due - loop.time())

    async def publish_round(self, events: Sequence[Event]) -> None:
        """Publish ``events`` once, as ``publish_every`` does."""
        try:
            await self.publish_all(events)
        except EventError as error:
            self.skip("a round of publish_every", error)
        except (BusUnavailable, PublishError) as error:  # decisions/0090: the next round has newer figures
            self._skips.tell("a round of publish_every", error)

    def batch(self, *, deadline_s: float | None = None) -> Batch:
        """Return a batch: ``async with producer.batch() as batch: batch.add(event)`` publishes when the block ends."""
        return Batch(self._composer.item, lambda items: self._publish(items, deadline_s))

    def emit(self, event: Event, *, traceparent: str | None = None, trace: bool = False) -> bool:
        """Put ``event`` into the outbox and return at once; the sender repeats attempts, in order, until Redis has it.

        May be called from any thread. Returns whether the outbox took the event: False for a full outbox under the
        policy ``drop_new``.

        Raises:
            TypeError: ``event`` is no event.
            pydantic.ValidationError: the event was changed or built past validation.
            EventError: JSON cannot carry a value of the event, or a line is too large.
            OutboxFull: there is no room, and the policy is ``error``.
            BusError: the producer is not open; or the policy is ``block``, which needs ``await emit_wait(event)``.

        """
        self._check_never_waits()
        self._check_open(from_anywhere=True)
        return self._emit(self._item(event, traceparent, trace=trace))

    async def emit_wait(
        self,
        event: Event,
        *,
        timeout_s: float | None = None,
        traceparent: str | None = None,
        trace: bool = False,
    ) -> bool:
        """Do as ``emit``, but under the policy ``block`` wait for room.

        Raises:
            Exception: as ``emit`` does.
            OutboxFull: there was no room within ``timeout_s``; None waits for ever.

        """
        self._check_open()
        item = self._item(event, traceparent, trace=trace)
        if self._settings.policy != "block":
            return self._emit(item)
        try:
            async with asyncio.timeout(timeout_s):
                # Several waiters may be woken for the same room: whoever comes first has it, the others wait again.
                while not self._emit(item):
                    await self._sender.progress()
                    self._check_open()
        except TimeoutError:
            raise OutboxFull(f"the outbox had no room within {timeout_s:g} s") from None
        return True

    async def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all events emitted before are with Redis or dropped; return False if ``timeout_s`` was too short.

        None waits without an end.
        """
        self._check_open()
        # Up to the last event of now: a caller that emits on elsewhere must not keep this wait from its end.
        number = self._outbox.last_number
        try:
            async with asyncio.timeout(timeout_s):
                while not self._outbox.is_past(number):
                    await self._sender.progress()
        except TimeoutError:
            return False
        return True

    def emitting(self) -> Emitting[Taken, Coroutine[Any, Any, None]]:
        """Return a publisher of this producer that neither waits nor raises, for ``Broadcaster(…, wait=False)``.

        Raises:
            BusError: the policy is ``block``, under which an event without room waits.

        """
        self._check_never_waits()
        return Emitting(self, self._skips, Taken)

    def skip(self, name: str, error: Exception) -> None:
        """Count a value called ``name`` that makes no event, and tell the log of the first of its kind."""
        self._skips.add(name, error)

    def statistics(self) -> ProducerStatistics:
        """Return the counters; may be called from any thread, open or closed."""
        told = self._sender.statistics()
        return replace(told, dropped=dict(Counter(told.dropped) + Counter(self._skips.counts)))
