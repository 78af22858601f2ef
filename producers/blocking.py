"""The producer for code without asyncio: the same calls, each returning its result.

One background thread runs an event loop with a ``producers.Producer`` in it, so there is one implementation.
"""

import asyncio
import atexit
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, Self, TypeVar

from producers.neighbours import check_neighbours

check_neighbours()

from bus.envelope import LINE_LIMIT_BYTES
from bus.errors import BusError
from bus.event import Event
from producers.outbox import OnDrop
from producers.producer import DEADLINE_S, DropReason, OutboxSettings, ProducerStatistics, Published
from producers.producer import Batch as AsyncBatch
from producers.producer import Producer as AsyncProducer

__all__ = ["Batch", "DropReason", "OutboxSettings", "Producer", "ProducerStatistics", "Published"]

ResultT = TypeVar("ResultT")


class Producer:
    """Publishes events to Redis and blocks until it has them. Safe to call from several threads.

    Arguments and errors are those of ``producers.Producer``; ``on_drop`` is called in the background thread. Events of
    one thread keep their order. Not for use inside an event loop, which it would block.

    A program that ends without closing it closes it then, which takes at most ``outbox.close_s`` seconds.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        name: str = "unnamed",
        limit_bytes: int = LINE_LIMIT_BYTES,
        deadline_s: float = DEADLINE_S,
        wait_replicas: int = 0,
        outbox: OutboxSettings = OutboxSettings(),  # noqa: B008 (it is frozen)
        on_drop: OnDrop | None = None,
    ) -> None:
        self._producer = AsyncProducer(
            url,
            name=name,
            limit_bytes=limit_bytes,
            deadline_s=deadline_s,
            wait_replicas=wait_replicas,
            outbox=outbox,
            on_drop=on_drop,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._at_exit: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        """Start the background thread; Redis is not asked for anything yet."""
        if self._loop is not None:
            raise BusError("the producer is open already: use one `with` at a time, or share the producer")
        self._loop = asyncio.new_event_loop()
        work = (self._loop, self._producer)
        self._thread = threading.Thread(target=_serve, args=work, name="edgebus-producer", daemon=True)
        self._thread.start()
        self._call(self._producer.__aenter__())
        self._at_exit = atexit.register(_closing(weakref.ref(self)))
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Send what waits, then close the connection and the thread; see ``close``."""
        self.close()

    def close(self) -> None:
        """Send what waits for at most ``outbox.close_s``, then end the connection and the thread; twice is harmless."""
        if self._is_forked():
            self._loop = None  # the parent's, and so is the connection
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        if self._at_exit is not None:
            atexit.unregister(self._at_exit)
        ended = asyncio.run_coroutine_threadsafe(self._end(), loop)
        ended.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))
        error = ended.exception()  # Ctrl-C leaves this wait; the thread ends all the same
        self._thread.join()
        if error is not None:
            raise error

    def publish(self, event: Event, *, deadline_s: float | None = None, repeated: bool = False) -> Published:
        """Publish ``event`` and return when Redis has it; see ``producers.Producer.publish``."""
        return self._call(self._producer.publish(event, deadline_s=deadline_s, repeated=repeated))

    def publish_all(
        self, events: Sequence[Event], *, deadline_s: float | None = None, repeated: bool = False
    ) -> list[Published]:
        """Publish several events in order; see ``producers.Producer.publish_all``."""
        return self._call(self._producer.publish_all(events, deadline_s=deadline_s, repeated=repeated))

    def emit(self, event: Event) -> bool:
        """Put ``event`` into the outbox and return at once; see ``producers.Producer.emit``."""
        self._check_open()
        return self._producer.emit(event)

    def emit_wait(self, event: Event, *, timeout_s: float | None = None) -> bool:
        """Do as ``emit``, but under the policy ``block`` wait for room; see ``producers.Producer.emit_wait``."""
        return self._call(self._producer.emit_wait(event, timeout_s=timeout_s))

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all that was emitted is with Redis or dropped; see ``producers.Producer.flush``."""
        return self._call(self._producer.flush(timeout_s))

    def batch(self, *, deadline_s: float | None = None) -> "Batch":
        """Return a batch: ``with producer.batch() as batch: batch.add(event)`` publishes when the block ends."""
        return Batch(self._producer.batch(deadline_s=deadline_s), self._call)

    def statistics(self) -> ProducerStatistics:
        """Return the counters."""
        return self._producer.statistics()

    def publish_every(self, interval_s: float, make: Callable[[], Sequence[Event]]) -> None:
        """Publish what ``make`` returns every ``interval_s`` seconds, in this thread; see ``producers.Producer``."""
        due = time.monotonic()
        while True:
            self.publish_all(make())
            due = max(due + interval_s, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))

    async def _end(self) -> None:
        """Close the producer, and wait until every caller in another thread has its answer."""
        try:
            await self._producer.close()
        finally:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*others, return_exceptions=True)

    def _call(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        try:
            answer = self._submit(coroutine)
        except BusError:
            coroutine.close()
            raise
        return answer.result()

    def _check_open(self) -> None:
        if self._is_forked():
            raise BusError("the producer was opened before this process was forked: open another one here")
        if self._loop is None:
            raise BusError("the producer is not open: use it as `with Producer(...) as producer`")

    def _submit(self, coroutine: Coroutine[Any, Any, ResultT]) -> "Future[ResultT]":
        self._check_open()
        with self._lock:  # nothing may be handed to a loop that is about to stop
            self._check_open()
            assert self._loop is not None  # noqa: S101 (just checked)
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _is_forked(self) -> bool:
        """Tell whether the thread stayed behind in the parent; whoever waited for it here would wait for ever."""
        return self._loop is not None and self._thread is not None and not self._thread.is_alive()


class Batch:
    """Events that are published together, in order; see ``producers.producer.Batch``."""

    def __init__(self, batch: AsyncBatch, call: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._batch, self._call = batch, call

    @property
    def results(self) -> list[Published | BusError]:
        """What came of each event, in order."""
        return self._batch.results

    def add(self, event: Event, *, repeated: bool = False) -> None:
        """Add ``event``; it is validated here."""
        self._batch.add(event, repeated=repeated)

    def publish(self) -> list[Published | BusError]:
        """Publish what was added, and return ``results``; what leaving the block does."""
        self._call(self._batch.publish())
        return self.results

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Publish, unless the block ended with an exception."""
        if kind is None:
            self.publish()


def _closing(producer: "weakref.ref[Producer]") -> Callable[[], None]:
    """Return what closes ``producer`` when the interpreter exits, without keeping it alive until then."""

    def close() -> None:
        if (it := producer()) is not None:
            it.close()

    return close


def _serve(loop: asyncio.AbstractEventLoop, producer: AsyncProducer) -> None:
    """Run ``loop`` until it is stopped.

    ``producer`` is held here because nothing takes a daemon thread apart: one that nobody closed would else be
    collected when the interpreter exits, or in a forked child, and its pending task would complain.
    """
    try:
        loop.run_forever()
    finally:
        loop.close()
    del producer
