"""The producer for code without asyncio: the same calls, each returning its result.

One background thread runs an event loop with a ``producers.Producer`` in it, so there is one implementation.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, Self, TypeVar

from bus.envelope import LINE_LIMIT_BYTES
from bus.errors import BusError
from bus.event import Event
from producers.producer import Producer as AsyncProducer
from producers.producer import Published

__all__ = ["Producer", "Published"]

ResultT = TypeVar("ResultT")


class Producer:
    """Publishes events to Redis and blocks until it has them. Safe to call from several threads.

    Arguments and errors are those of ``producers.Producer``. Not for use inside an event loop, which it would block.
    """

    def __init__(self, url: str | None = None, *, name: str = "unnamed", limit_bytes: int = LINE_LIMIT_BYTES) -> None:
        self._producer = AsyncProducer(url, name=name, limit_bytes=limit_bytes)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Start the background thread; Redis is not asked for anything yet."""
        if self._loop is not None:
            raise BusError("the producer is open already: use one `with` at a time, or share the producer")
        self._loop = asyncio.new_event_loop()
        work = (self._loop, self._producer)
        self._thread = threading.Thread(target=_serve, args=work, name="edgebus-producer", daemon=True)
        self._thread.start()
        self._call(self._producer.__aenter__())
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Let publishes that are under way end, then close the connection and the thread."""
        self.close()

    def close(self) -> None:
        """Let publishes that are under way end, then close the connection and the thread; twice is harmless."""
        if self._is_forked():
            self._loop = None  # the parent's, and so is the connection
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        ended = asyncio.run_coroutine_threadsafe(self._end(), loop)
        ended.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))
        error = ended.exception()  # Ctrl-C leaves this wait; the thread ends all the same
        self._thread.join()
        if error is not None:
            raise error

    def publish(self, event: Event) -> Published:
        """Publish ``event`` and return when Redis has it; see ``producers.Producer.publish``."""
        return self._call(self._producer.publish(event))

    def publish_all(self, events: Sequence[Event]) -> list[Published]:
        """Publish several events in order; see ``producers.Producer.publish_all``."""
        return self._call(self._producer.publish_all(events))

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

    def _submit(self, coroutine: Coroutine[Any, Any, ResultT]) -> "Future[ResultT]":
        if self._is_forked():
            raise BusError("the producer was opened before this process was forked: open another one here")
        with self._lock:  # nothing may be handed to a loop that is about to stop
            if self._loop is None:
                raise BusError("the producer is not open: use it as `with Producer(...) as producer`")
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _is_forked(self) -> bool:
        """Tell whether the thread stayed behind in the parent; whoever waited for it here would wait for ever."""
        return self._loop is not None and self._thread is not None and not self._thread.is_alive()


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
