"""The producer for code without asyncio: the same calls, each returning a result.

One background thread runs an event loop with a ``producers.Producer``, so there is one implementation.
"""

import asyncio
import logging
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self, TypeVar

from producers.neighbours import check_neighbours

check_neighbours()

from bus.channel import Channel
from bus.envelope import LINE_LIMIT_BYTES
from bus.errors import BusError
from bus.event import Event
from bus.service import Service
from producers.background import Answer, Background
from producers.batch import Batch as AsyncBatch
from producers.blocking_responder import Responder
from producers.drops import OnDrop
from producers.emitting import Emitting
from producers.guard import renew_after_fork
from producers.outbox import FORKED, Item
from producers.producer import DEADLINE_S, DropReason, OutboxSettings, ProducerStatistics, Published
from producers.producer import Producer as AsyncProducer
from producers.raw import raw_event
from producers.sender import LOGGER
from producers.wellbeing import HEALTH_TIMEOUT_S
from producers.wellbeing import health as async_health

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = [
    "Batch",
    "DropReason",
    "OutboxSettings",
    "Producer",
    "ProducerStatistics",
    "Published",
    "Responder",
    "health",
]

ResultT = TypeVar("ResultT")


class Producer:
    """Publishes events to Redis and blocks until Redis has the events. Safe to call from several threads.

    Arguments and errors are those of ``producers.Producer``; ``on_drop`` is called in the background thread. Events of
    one thread keep their order. Not for use inside an event loop, since a call would block the loop.

    A producer that is never closed, or goes out of scope, sends the emitted events all the same, at the latest when the
    program ends. The program's end waits for at most ``outbox.close_s`` seconds.
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
        self._producer = AsyncProducer(
            url,
            name=name,
            limit_bytes=limit_bytes,
            deadline_s=deadline_s,
            wait_replicas=wait_replicas,
            outbox=outbox,
            on_drop=on_drop,
            logger=logger,
            metrics=metrics,
        )
        self._close_s = outbox.close_s
        self._background: Background | None = None
        self._abandoned: Callable[[], object] | None = None
        self._is_forked = False
        # decisions/0061: reentrant. A signal handler or finalizer may call in the middle of a call of its own thread.
        self._lock = threading.RLock()
        renew_after_fork(self, Producer._after_fork)

    def open(self) -> Self:
        """Start the background thread, and return the producer; see ``producers.Producer.open``."""
        if self._background is not None:
            raise BusError("the producer is open already: use one `with` at a time, or share the producer")
        background = Background(self._producer, close_s=self._close_s)
        background.start()
        abandoned = weakref.finalize(self, background.end_soon)
        # decisions/0062: at the exit all threads end at the same time, and are waited for (producers.background).
        abandoned.atexit = False
        self._background, self._abandoned, self._is_forked = background, abandoned.detach, False
        return self

    def __enter__(self) -> Self:
        """Do as ``open``."""
        return self.open()

    def __exit__(self, *exc_info: object) -> None:
        """Send the waiting events, then close the connection and the thread; see ``close``."""
        self.close()

    def close(self) -> None:
        """Send waiting events for at most ``outbox.close_s``, then end connection and thread; twice is harmless."""
        with self._lock:
            background, self._background = self._background, None
        if background is None:
            return
        if self._abandoned is not None:
            self._abandoned()
        background.end_soon()
        background.join()  # Ctrl-C leaves this wait; the thread ends all the same

    def publish(
        self,
        event: Event,
        *,
        deadline_s: float | None = None,
        repeated: bool = False,
        traceparent: str | None = None,
        trace: bool = False,
    ) -> Published:
        """Publish ``event`` and return when Redis has the event; see ``producers.Producer.publish``."""
        self._check_open()
        # decisions/0158: no task, and no coroutine: one call in the loop, and one lock until the answer.
        return self._producer.publish_across(
            event, self._hand, deadline_s=deadline_s, repeated=repeated, traceparent=traceparent, trace=trace
        )

    def _hand(self, call: Callable[[Item, float], None], item: Item, deadline_s: float) -> Published:
        answer: Answer[Published] = Answer()
        item.done = answer
        with self._lock:  # no call may be handed to a loop that is about to stop
            self._check_open().hand(call, item, deadline_s)
        return answer.wait()

    def publish_all(
        self,
        events: Sequence[Event],
        *,
        deadline_s: float | None = None,
        repeated: bool = False,
        traceparent: str | None = None,
        trace: bool = False,
    ) -> list[Published]:
        """Publish several events in order; see ``producers.Producer.publish_all``."""
        return self._call(
            self._producer.publish_all(
                events, deadline_s=deadline_s, repeated=repeated, traceparent=traceparent, trace=trace
            )
        )

    def publish_raw(
        self,
        channel: Channel | str,
        event: str,
        data: Any = None,
        *,
        service: Service | None = None,
        deadline_s: float | None = None,
        traceparent: str | None = None,
    ) -> Published:
        """Publish a name and data with no model; see ``producers.Producer.publish_raw``."""
        made = raw_event(channel, event, data, service=service)
        return self.publish(made, deadline_s=deadline_s, traceparent=traceparent)

    def emit(self, event: Event, *, traceparent: str | None = None, trace: bool = False) -> bool:
        """Put ``event`` into the outbox and return at once; see ``producers.Producer.emit``."""
        self._check_open()
        return self._producer.emit(event, traceparent=traceparent, trace=trace)

    def emit_wait(
        self,
        event: Event,
        *,
        timeout_s: float | None = None,
        traceparent: str | None = None,
        trace: bool = False,
    ) -> bool:
        """Do as ``emit``, but under the policy ``block`` wait for room; see ``producers.Producer.emit_wait``."""
        return self._call(self._producer.emit_wait(event, timeout_s=timeout_s, traceparent=traceparent, trace=trace))

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all emitted events are with Redis or dropped; see ``producers.Producer.flush``."""
        return self._call(self._producer.flush(timeout_s))

    def batch(self, *, deadline_s: float | None = None) -> "Batch":
        """Return a batch: ``with producer.batch() as batch: batch.add(event)`` publishes when the block ends."""
        return Batch(self._producer.batch(deadline_s=deadline_s), self._call)

    def emitting(self) -> Emitting[bool, None]:
        """Return a publisher that neither waits nor raises; see ``producers.Producer.emitting``."""
        return Emitting(self, self._producer.emitting().skips, bool)

    def skip(self, name: str, error: Exception) -> None:
        """Count a value that makes no event; see ``producers.Producer.skip``."""
        self._producer.skip(name, error)

    def statistics(self) -> ProducerStatistics:
        """Return the counters."""
        return self._producer.statistics()

    def publish_every(self, interval_s: float, make: Callable[[], Sequence[Event]]) -> None:
        """Publish in the caller's thread, at intervals; see ``producers.Producer.publish_every``."""
        due = time.monotonic()
        while True:
            self._call(self._producer.publish_round(make()))
            due = max(due + interval_s, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))

    def _call(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        try:
            answer = self._submit(coroutine)
        except BusError:
            coroutine.close()  # or Python warns of a coroutine that was never awaited
            raise
        return answer.result()

    def _after_fork(self) -> None:
        """Leave the thread to the parent: a child has no such thread, and would wait for ever."""
        self._is_forked = self._is_forked or self._background is not None
        self._background, self._lock = None, threading.RLock()

    def _check_open(self) -> Background:
        background = self._background
        if background is not None:
            return background
        if self._is_forked:
            raise BusError(FORKED)
        raise BusError("the producer is not open: use it as `with Producer(...) as producer`")

    def _submit(self, coroutine: Coroutine[Any, Any, ResultT]) -> "Future[ResultT]":
        with self._lock:  # no call may be handed to a loop that is about to stop
            return self._check_open().run(coroutine)


def health(
    redis_url: str | None = None, service: Service | str | None = None, *, timeout_s: float = HEALTH_TIMEOUT_S
) -> dict[str, Any]:
    """Return the health of a service's edges; see ``producers.health``.

    Raises:
        BusError: called inside an event loop, which the call would block.

    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(async_health(redis_url, service, timeout_s=timeout_s))
    raise BusError("inside an event loop it is `await producers.health(…)`")


class Batch:
    """Events that are published together, in order; see ``producers.batch.Batch``."""

    def __init__(self, batch: AsyncBatch, call: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._batch, self._call = batch, call

    @property
    def results(self) -> list[Published | BusError]:
        """Each event's outcome, in order."""
        return self._batch.results

    def add(self, event: Event, *, repeated: bool = False) -> None:
        """Add ``event``, and validate the event now; see ``producers.batch.Batch``."""
        self._batch.add(event, repeated=repeated)

    def publish(self) -> list[Published | BusError]:
        """Publish the added events, and return ``results``; leaving the block does the same."""
        self._call(self._batch.publish())
        return self.results

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Publish, unless the block ended with an exception."""
        if kind is None:
            self.publish()
